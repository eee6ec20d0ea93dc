//! Model folders made on the spot: a few words, each of which speaks for one label.
#![allow(dead_code, unreachable_pub)]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tidegate_classifier::{ClassifierSettings, Mode};
use tidegate_core::labels::Label;

/// The folder of the shipped models.
pub fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models")
}

/// What is wrong with a made model, if anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    None,
    NanWeight,
    FewerTokensThanVocabulary,
    OtherOutputName,
    ElevenOutputs,
    WideIds,
}

/// A model whose logit for a label is the sum of what its words say: each label's own name says
/// `strength`, the word `maybe` says 0, and every text begins at `base`.
#[derive(Clone, Copy, Debug)]
pub struct Tiny {
    pub deep: bool,
    pub strength: f32,
    pub base: f32,
    pub band: Option<(f32, f32)>,
    pub flaw: Flaw,
}

impl Tiny {
    pub fn screen() -> Self {
        Self {
            deep: false,
            strength: 8.0,
            base: -4.0,
            band: Some((0.3, 0.7)),
            flaw: Flaw::None,
        }
    }

    pub fn deep() -> Self {
        Self {
            deep: true,
            strength: 12.0,
            ..Self::screen()
        }
    }

    fn words() -> Vec<String> {
        let fixed = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "half", "maybe"];
        let names = Label::ALL.iter().map(|label| label.as_str());
        // The tokenizer splits at underscores.
        fixed
            .into_iter()
            .chain(names)
            .map(|word| word.replace('_', ""))
            .collect()
    }

    fn model(&self) -> Vec<u8> {
        let width = if self.flaw == Flaw::ElevenOutputs {
            11
        } else {
            10
        };
        let mut rows = Self::words().len();
        if self.flaw == Flaw::FewerTokensThanVocabulary {
            rows -= 1;
        }
        let mut table = vec![0.0f32; rows * width];
        for label in 0..10 {
            if let Some(cell) = table.get_mut((6 + label) * width + label) {
                *cell = self.strength;
            }
            table[4 * width + label] = self.strength / 2.0;
        }
        if self.flaw == Flaw::NanWeight {
            table[5 * width] = f32::NAN;
        }
        let wide = self.deep || self.flaw == Flaw::WideIds;
        onnx::tiny(&table, [rows, width], wide, self.deep, self.output())
    }

    fn output(&self) -> &'static str {
        if self.flaw == Flaw::OtherOutputName {
            "scores"
        } else {
            "logits"
        }
    }

    /// Writes the folder.
    pub fn write(&self, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        let vocab: serde_json::Map<_, _> = Self::words()
            .into_iter()
            .enumerate()
            .map(|(id, word)| (word, id.into()))
            .collect();
        let tokenizer = serde_json::json!({
            "added_tokens": [],
            "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": null, "lowercase": true},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": vocab},
        });
        std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
        std::fs::write(folder.join("model.onnx"), self.model()).unwrap();
        std::fs::write(folder.join("manifest.toml"), self.manifest(folder)).unwrap();
    }

    /// The manifest that fits the files in `folder`.
    pub fn manifest(&self, folder: &Path) -> String {
        let names: Vec<_> = Label::ALL.iter().map(|label| label.as_str()).collect();
        let mut text = format!(
            "format = 1\nname = \"{}\"\nversion = \"1\"\nlanguages = [\"en\"]\n\
             [model]\nfile = \"model.onnx\"\nsha256 = \"{}\"\ninput_ids = \"input_ids\"\noutput = \"logits\"\n{}\
             [tokenizer]\nfile = \"tokenizer.json\"\nsha256 = \"{}\"\nmax_tokens = 16\nstride = 8\npad_id = 0\n{}lowercase = true\n\
             [output]\nlabels = {names:?}\n\
             [calibration]\nscale = {:?}\nbias = {:?}\n[thresholds]\n",
            if self.deep { "deep" } else { "screen" },
            sha256(&folder.join("model.onnx")),
            if self.deep {
                "attention_mask = \"attention_mask\"\n"
            } else {
                ""
            },
            sha256(&folder.join("tokenizer.json")),
            if self.deep {
                "cls_id = 2\nsep_id = 3\n"
            } else {
                ""
            },
            [1.0; 10],
            [self.base; 10],
        );
        for name in &names {
            writeln!(text, "{name} = 0.5").unwrap();
        }
        if let Some((low, high)) = self.band {
            text.push_str("[cascade]\n");
            for name in &names {
                writeln!(text, "{name} = [{low}, {high}]").unwrap();
            }
        }
        text
    }
}

fn sha256(path: &Path) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(std::fs::read(path).unwrap()) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// A folder with both models, and settings for them.
pub fn tiny(mode: Mode, screen: Tiny, deep: Tiny) -> (tempfile::TempDir, ClassifierSettings) {
    let folder = tempfile::tempdir().unwrap();
    screen.write(&folder.path().join("screen"));
    deep.write(&folder.path().join("deep"));
    let settings = ClassifierSettings::new(folder.path(), mode);
    (folder, settings)
}

/// Writes just enough of the ONNX format.
mod onnx {
    fn varint(out: &mut Vec<u8>, mut value: u64) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    fn int(out: &mut Vec<u8>, field: u64, value: u64) {
        varint(out, field << 3);
        varint(out, value);
    }

    fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
        varint(out, field << 3 | 2);
        varint(out, value.len() as u64);
        out.extend_from_slice(value);
    }

    fn message(parts: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        parts(&mut out);
        out
    }

    fn tensor(name: &str, kind: u64, dims: &[usize], data: &[u8]) -> Vec<u8> {
        message(|out| {
            for &dim in dims {
                int(out, 1, dim as u64);
            }
            int(out, 2, kind);
            bytes(out, 8, name.as_bytes());
            bytes(out, 9, data);
        })
    }

    fn node(kind: &str, inputs: &[&str], output: &str, attribute: Option<(&str, u64)>) -> Vec<u8> {
        message(|out| {
            for input in inputs {
                bytes(out, 1, input.as_bytes());
            }
            bytes(out, 2, output.as_bytes());
            bytes(out, 4, kind.as_bytes());
            if let Some((name, value)) = attribute {
                let attribute = message(|out| {
                    bytes(out, 1, name.as_bytes());
                    int(out, 3, value);
                    int(out, 20, 2);
                });
                bytes(out, 5, &attribute);
            }
        })
    }

    fn value(name: &str, kind: u64, dims: [Result<usize, &str>; 2]) -> Vec<u8> {
        let shape = message(|out| {
            for dim in dims {
                let dim = message(|out| match dim {
                    Ok(size) => int(out, 1, size as u64),
                    Err(name) => bytes(out, 2, name.as_bytes()),
                });
                bytes(out, 1, &dim);
            }
        });
        let tensor = message(|out| {
            int(out, 1, kind);
            bytes(out, 2, &shape);
        });
        let kind = message(|out| bytes(out, 1, &tensor));
        message(|out| {
            bytes(out, 1, name.as_bytes());
            bytes(out, 2, &kind);
        })
    }

    /// Sums the table's rows of a text's tokens; with a mask, only of those that it lets through.
    pub(super) fn tiny(
        table: &[f32],
        shape: [usize; 2],
        wide: bool,
        masked: bool,
        output: &str,
    ) -> Vec<u8> {
        let floats = |values: &[f32]| {
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect::<Vec<_>>()
        };
        let graph = message(|out| {
            bytes(
                out,
                1,
                &node("Gather", &["table", "input_ids"], "rows", Some(("axis", 0))),
            );
            if masked {
                bytes(
                    out,
                    1,
                    &node(
                        "Gather",
                        &["let", "attention_mask"],
                        "weights",
                        Some(("axis", 0)),
                    ),
                );
                bytes(out, 1, &node("Mul", &["rows", "weights"], "kept", None));
            }
            let kept = if masked { "kept" } else { "rows" };
            bytes(
                out,
                1,
                &node("ReduceSum", &[kept, "axes"], output, Some(("keepdims", 0))),
            );
            bytes(out, 2, b"tiny");
            bytes(out, 5, &tensor("table", 1, &shape, &floats(table)));
            bytes(out, 5, &tensor("axes", 7, &[1], &1u64.to_le_bytes()));
            if masked {
                bytes(out, 5, &tensor("let", 1, &[2, 1], &floats(&[0.0, 1.0])));
            }
            let dims = [Err("batch"), Err("tokens")];
            bytes(out, 11, &value("input_ids", if wide { 7 } else { 6 }, dims));
            if masked {
                bytes(out, 11, &value("attention_mask", 7, dims));
            }
            bytes(out, 12, &value(output, 1, [Err("batch"), Ok(shape[1])]));
        });
        message(|out| {
            int(out, 1, 8);
            bytes(out, 7, &graph);
            bytes(out, 8, &message(|out| int(out, 2, 13)));
        })
    }
}
