//! The shipped models score recorded texts as they did in training.

use std::path::{Path, PathBuf};

use tidegate_classifier::{Classifier, ClassifierSettings, Mode};

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models")
}

#[test]
fn the_screen_model_reproduces_its_golden_file() {
    let settings = ClassifierSettings::new(&models(), Mode::Screen);
    let mut classifier = Classifier::load(&settings).unwrap();
    assert!(classifier.verify_golden().unwrap() >= 100);
}
