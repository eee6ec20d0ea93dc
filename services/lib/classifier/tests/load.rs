//! A model that cannot be trusted is refused, with an error that says why.
#![allow(
    clippy::unwrap_used,
    reason = "what helps a test may stop it, as the test itself may"
)]

mod support;

use std::path::Path;

use support::{Flaw, Tiny, tiny};
use tidegate_classifier::manifest::ManifestError;
use tidegate_classifier::{Classifier, ClassifierSettings, ClassifyError, LoadError, Mode};

fn load(mode: Mode, screen: Tiny, deep: Tiny) -> Result<Classifier, LoadError> {
    let (_folder, settings) = tiny(mode, screen, deep);
    Classifier::load(&settings)
}

fn flawed(flaw: Flaw) -> LoadError {
    let screen = Tiny {
        flaw,
        ..Tiny::screen()
    };
    load(Mode::Screen, screen, Tiny::deep()).err().unwrap()
}

/// Loads the screen model after `change` was done to its folder.
fn changed(change: impl FnOnce(&Path)) -> LoadError {
    let (folder, settings) = tiny(Mode::Screen, Tiny::screen(), Tiny::deep());
    change(&folder.path().join("screen"));
    Classifier::load(&settings).err().unwrap()
}

fn edit(folder: &Path, from: &str, to: &str) {
    let path = folder.join("manifest.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from));
    std::fs::write(&path, text.replace(from, to)).unwrap();
}

#[test]
fn sound_models_load_in_every_mode() {
    for mode in [Mode::Screen, Mode::Deep, Mode::Cascade] {
        let classifier = load(mode, Tiny::screen(), Tiny::deep()).unwrap();
        let expected = if mode == Mode::Cascade { 2 } else { 1 };
        assert_eq!(classifier.models().len(), expected);
    }
}

#[test]
fn a_folder_without_a_manifest_is_named() {
    let settings = ClassifierSettings::new(Path::new("/nowhere"), Mode::Screen);
    let error = Classifier::load(&settings).err().unwrap();
    assert!(error.to_string().contains("/nowhere/screen/manifest.toml"));
}

#[test]
fn a_file_that_is_not_the_manifests_is_refused() {
    for name in ["model.onnx", "tokenizer.json"] {
        let error = changed(|folder| {
            let path = folder.join(name);
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.push(b'\n');
            std::fs::write(&path, bytes).unwrap();
        });
        assert!(matches!(error, LoadError::Checksum { .. }), "{error}");
        assert!(error.to_string().contains(name));
    }
}

#[test]
fn a_missing_model_file_is_named() {
    let error = changed(|folder| std::fs::remove_file(folder.join("model.onnx")).unwrap());
    assert!(matches!(error, LoadError::Read { .. }), "{error}");
}

#[test]
fn a_corrupt_model_with_the_right_checksum_is_refused() {
    for bytes in [Vec::new(), b"not a model".to_vec(), vec![0xff; 4096]] {
        let error = changed(|folder| {
            std::fs::write(folder.join("model.onnx"), &bytes).unwrap();
            std::fs::write(
                folder.join("manifest.toml"),
                Tiny::screen().manifest(folder),
            )
            .unwrap();
        });
        assert!(matches!(error, LoadError::Model { .. }), "{error}");
        assert!(!error.to_string().contains('\n'));
    }
}

#[test]
fn a_model_cut_short_is_refused_wherever_it_is_cut() {
    for share in [1, 3, 7] {
        let error = changed(|folder| {
            let path = folder.join("model.onnx");
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() * share / 8]).unwrap();
            std::fs::write(
                folder.join("manifest.toml"),
                Tiny::screen().manifest(folder),
            )
            .unwrap();
        });
        let is_clear = matches!(
            error,
            LoadError::Model { .. } | LoadError::Interface { .. } | LoadError::Probe { .. }
        );
        assert!(is_clear, "{error}");
    }
}

#[test]
fn labels_in_another_order_are_refused() {
    let error = changed(|folder| edit(folder, "\"spam\", \"hate\"", "\"hate\", \"spam\""));
    assert!(
        error
            .to_string()
            .contains("output.labels must be, in this order, spam, hate")
    );
}

#[test]
fn all_mistakes_of_a_manifest_are_told_at_once() {
    let error = changed(|folder| {
        edit(folder, "format = 1", "format = 2\ncolour = \"red\"");
        edit(folder, "stride = 8", "stride = 17");
        edit(folder, "file = \"model.onnx\"", "file = \"../model.onnx\"");
        edit(
            folder,
            "[thresholds]\nspam = 0.5",
            "[thresholds]\nspam = 1.5\nrude = 0.1",
        );
        edit(folder, "output = \"logits\"\n", "");
        edit(folder, "[0.3, 0.7]", "[0.7, 0.3]");
    });
    let LoadError::Manifest(ManifestError::Mistakes { mistakes, .. }) = error else {
        panic!("{error}");
    };
    for expected in [
        "format must be 1",
        "colour is not known",
        "tokenizer.stride must be at most 16",
        "model.file must be a file name",
        "model.output is missing",
        "thresholds.spam must be a number from 0 to 1",
        "thresholds.rude is not known",
        "cascade.positive must be [low, high]",
    ] {
        assert!(
            mistakes.iter().any(|mistake| mistake.starts_with(expected)),
            "{expected} not in {mistakes:?}"
        );
    }
    assert_eq!(mistakes.len(), 17);
}

#[test]
fn a_manifest_that_is_not_toml_says_where() {
    let error = changed(|folder| edit(folder, "format = 1", "format 1"));
    assert!(error.to_string().contains("line 1"), "{error}");
    assert!(!error.to_string().contains('\n'));
}

#[test]
fn a_weight_that_is_not_a_number_is_found_before_the_first_text() {
    let error = flawed(Flaw::NanWeight);
    assert!(
        matches!(
            &error,
            LoadError::Probe {
                source: ClassifyError::NotFinite { .. },
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_vocabulary_larger_than_the_models_is_found_before_the_first_text() {
    let error = flawed(Flaw::FewerTokensThanVocabulary);
    assert!(
        matches!(
            &error,
            LoadError::Probe {
                source: ClassifyError::Run { .. },
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn outputs_that_are_not_the_manifests_are_refused() {
    assert!(
        flawed(Flaw::OtherOutputName)
            .to_string()
            .contains("no output `logits`")
    );
    assert!(
        flawed(Flaw::ElevenOutputs)
            .to_string()
            .contains("shape [batch, 10]")
    );
}

#[test]
fn an_input_that_the_manifest_lacks_is_refused() {
    let error = load(Mode::Deep, Tiny::screen(), Tiny::deep()).map(|_| ());
    assert!(error.is_ok());
    let (folder, settings) = tiny(Mode::Deep, Tiny::screen(), Tiny::deep());
    edit(
        &folder.path().join("deep"),
        "attention_mask = \"attention_mask\"\n",
        "",
    );
    let error = Classifier::load(&settings).err().unwrap();
    assert!(
        error
            .to_string()
            .contains("2 inputs where the manifest names 1"),
        "{error}"
    );
}

#[test]
fn ids_of_either_width_are_fed_as_the_graph_asks() {
    let screen = Tiny {
        flaw: Flaw::WideIds,
        ..Tiny::screen()
    };
    assert!(load(Mode::Screen, screen, Tiny::deep()).is_ok());
}

#[test]
fn a_cascade_without_a_band_is_refused() {
    let screen = Tiny {
        band: None,
        ..Tiny::screen()
    };
    let error = load(Mode::Cascade, screen, Tiny::deep()).err().unwrap();
    assert!(matches!(error, LoadError::NoBand { .. }));
    assert!(load(Mode::Screen, screen, Tiny::deep()).is_ok());
}

#[test]
fn a_tokenizer_that_treats_case_otherwise_than_the_manifest_is_refused() {
    let error = changed(|folder| edit(folder, "lowercase = true", "lowercase = false"));
    assert!(error.to_string().contains("its lowercase is true"));
}
