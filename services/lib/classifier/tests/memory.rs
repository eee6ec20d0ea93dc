//! Memory does not grow with the variety of texts.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "what helps a test may stop it, as the test itself may"
)]

mod support;

use support::shipped;
use tidegate_classifier::{Classifier, ClassifierSettings, Mode};

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn memory_stays_flat_over_batches_of_many_shapes() {
    let settings = ClassifierSettings::new(&shipped(), Mode::Screen);
    let mut classifier = Classifier::load(&settings).unwrap();
    let mut out = Vec::new();
    let mut run = |rounds: std::ops::Range<usize>| {
        for round in rounds {
            let texts: Vec<String> = (0..1 + round * 37 % 400)
                .map(|text| format!("{round} ") + &"word ".repeat(text * 7 % 150))
                .collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            classifier.classify(&texts, &mut out).unwrap();
        }
    };
    run(0..60);
    let before = resident();
    run(60..180);
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 << 20, "grew by {grown} bytes");
}
