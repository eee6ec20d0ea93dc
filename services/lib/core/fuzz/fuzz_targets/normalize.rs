//! Normal text is normal: reading it again changes nothing, and it stays bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_core::normalize;

fuzz_target!(|text: &str| {
    let once = normalize(text);
    assert_eq!(normalize(once.scored()).scored(), once.scored());
    assert!(once.scored().len() <= 11 * text.len());
    drop(once.undisguised());
});
