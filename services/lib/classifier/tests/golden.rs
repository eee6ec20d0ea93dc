//! The shipped models score recorded texts as they did in training.
#![allow(
    clippy::unwrap_used,
    reason = "what helps a test may stop it, as the test itself may"
)]

mod support;

use support::{Tiny, shipped, tiny};
use tidegate_classifier::{Classifier, ClassifierSettings, GoldenError, Mode};

#[test]
fn the_shipped_models_reproduce_their_golden_files() {
    let has_manifest = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let is_model = path.join("manifest.toml").is_file();
        is_model.then(|| path.file_name().unwrap().to_owned())
    };
    let entries = std::fs::read_dir(shipped()).unwrap();
    let mut models: Vec<_> = entries.filter_map(has_manifest).collect();
    models.sort();
    assert_eq!(
        models,
        ["deep", "screen"],
        "every model that is shipped is tested here"
    );
    for mode in [Mode::Screen, Mode::Deep] {
        let mut classifier = Classifier::load(&ClassifierSettings::new(&shipped(), mode)).unwrap();
        assert!(classifier.verify_golden().unwrap() >= 100);
    }
}

fn verify(line: &str) -> Result<usize, GoldenError> {
    let (folder, settings) = tiny(Mode::Screen, Tiny::screen(), Tiny::deep());
    std::fs::write(folder.path().join("screen/golden.jsonl"), line).unwrap();
    Classifier::load(&settings).unwrap().verify_golden()
}

#[test]
fn another_score_than_the_recorded_one_is_told_with_its_line_and_label() {
    let line =
        r#"{"text":"maybe","scores":[0.018,0.018,0.018,0.9,0.018,0.018,0.018,0.018,0.018,0.018]}"#;
    let error = verify(line).unwrap_err().to_string();
    assert!(error.contains("line 1: purchase_intent is 0.01"), "{error}");
    assert!(!error.contains("maybe"), "texts stay out of errors");
    assert_eq!(verify(&line.replace("0.9", "0.018")).unwrap(), 1);
}

#[test]
fn a_golden_line_of_another_form_is_told_by_its_number() {
    let error = verify("{\"text\":\"x\",\"scores\":[1]}").unwrap_err();
    assert!(matches!(error, GoldenError::Line { line: 1, .. }));
}

#[test]
fn a_model_without_a_golden_file_compares_nothing() {
    let (_folder, settings) = tiny(Mode::Screen, Tiny::screen(), Tiny::deep());
    assert_eq!(
        Classifier::load(&settings)
            .unwrap()
            .verify_golden()
            .unwrap(),
        0
    );
}
