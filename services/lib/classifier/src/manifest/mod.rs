//! Reads and checks `manifest.toml`, which says how a model is fed and what its outputs mean.

mod part;

use std::path::{Path, PathBuf};

use part::Part;
use tidegate_core::labels::Label;
use toml::{Table, Value};

use crate::labels::{Row, names};

/// The one manifest format there is.
const FORMAT: i64 = 1;

/// What a model folder holds and how its model is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The model's name, such as `screen`.
    pub name: String,
    /// The model's version; it goes into verdicts and metrics.
    pub version: String,
    /// Languages that the model was trained and measured for (ISO 639-1).
    pub languages: Vec<String>,
    /// The graph and its names.
    pub model: ModelPart,
    /// The tokenizer and its limits.
    pub tokenizer: TokenizerPart,
    /// Logit to probability.
    pub calibration: Calibration,
    /// Recommended threshold for each label, 0 to 1.
    pub thresholds: Row,
    /// For each label, the closed range of scores in which the model is unsure of itself.
    pub cascade: [Option<(f32, f32)>; Label::COUNT],
}

/// The `[model]` part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPart {
    /// File name in the model's folder.
    pub file: String,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// Name of the input that takes token ids.
    pub input_ids: String,
    /// Name of the input that tells tokens from padding, for a model that has one.
    pub attention_mask: Option<String>,
    /// Name of the output: one logit for each label.
    pub output: String,
}

/// The `[tokenizer]` part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizerPart {
    /// File name in the model's folder.
    pub file: String,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// Most tokens in one window, `cls` and `sep` included.
    pub max_tokens: usize,
    /// Tokens from the start of one window to the start of the next.
    pub stride: usize,
    /// The id that fills a batch up.
    pub pad_id: i32,
    /// Start and end token around each window, for a model that has them.
    pub specials: Option<(i32, i32)>,
    /// Whether the tokenizer ignores case.
    pub lowercase: bool,
}

impl TokenizerPart {
    /// Most tokens of the text itself in one window.
    #[must_use]
    pub fn width(&self) -> usize {
        self.max_tokens - if self.specials.is_some() { 2 } else { 0 }
    }
}

/// How a logit becomes a probability: `sigmoid(scale * logit + bias)`, label by label.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Factor for each label.
    pub scale: Row,
    /// Addend for each label.
    pub bias: Row,
}

impl Calibration {
    /// The calibrated probability of one label.
    #[must_use]
    pub fn probability(&self, label: usize, logit: f32) -> f32 {
        1.0 / (1.0 + (-(self.scale[label] * logit + self.bias[label])).exp())
    }
}

/// Why a manifest was refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The manifest.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path} is not TOML: {reason}")]
    Syntax {
        /// The manifest.
        path: PathBuf,
        /// Where and what, on one line.
        reason: String,
    },
    /// Entries are missing, unknown or wrong; all of them are listed.
    #[error("{path} has {} mistake(s): {}", .mistakes.len(), .mistakes.join("; "))]
    Mistakes {
        /// The manifest.
        path: PathBuf,
        /// One sentence for each mistake, beginning with the key.
        mistakes: Vec<String>,
    },
}

impl Manifest {
    /// Reads the manifest at `path`.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let text = std::fs::read_to_string(path).map_err(|source| ManifestError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Reads a manifest from `text`; `path` is only named in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ManifestError> {
        let table: Table =
            text.parse()
                .map_err(|error: toml::de::Error| ManifestError::Syntax {
                    path: path.to_path_buf(),
                    reason: one_line(&error.to_string()),
                })?;
        let mut mistakes = Vec::new();
        let manifest = check(table, &mut mistakes);
        if mistakes.is_empty() {
            Ok(manifest)
        } else {
            Err(ManifestError::Mistakes {
                path: path.to_path_buf(),
                mistakes,
            })
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn check(table: Table, mistakes: &mut Vec<String>) -> Manifest {
    let mut top = Part::new("", table, mistakes);
    let format = top.integer("format", 0, i64::MAX);
    if format != FORMAT {
        top.mistake("format", &format!("must be {FORMAT}"));
    }
    let (name, version) = (top.text("name"), top.text("version"));
    let languages = top.texts("languages");
    let parts = ["model", "tokenizer", "output", "calibration", "thresholds"];
    let [model, tokenizer, output, calibration, thresholds] = parts.map(|name| top.part(name));
    let cascade = top.optional("cascade").map(|value| match value {
        Value::Table(table) => table,
        _ => {
            top.mistake("cascade", "must be a table");
            Table::new()
        }
    });
    top.end();

    let mut part = Part::new("model.", model, mistakes);
    let model = ModelPart {
        file: part.file("file"),
        sha256: part.sha256("sha256"),
        input_ids: part.text("input_ids"),
        attention_mask: part.optional_text("attention_mask"),
        output: part.text("output"),
    };
    part.end();

    let tokenizer = tokenizer_part(Part::new("tokenizer.", tokenizer, mistakes));

    let mut part = Part::new("output.", output, mistakes);
    let labels = part.texts("labels");
    if !labels.is_empty() && labels != names() {
        part.mistake(
            "labels",
            &format!("must be, in this order, {}", names().join(", ")),
        );
    }
    part.end();

    let mut part = Part::new("calibration.", calibration, mistakes);
    let calibration = Calibration {
        scale: part.row("scale"),
        bias: part.row("bias"),
    };
    part.end();

    let mut part = Part::new("thresholds.", thresholds, mistakes);
    let thresholds = names().map(|label| part.probability(label));
    part.end();

    let mut bands = [None; Label::COUNT];
    if let Some(table) = cascade {
        let mut part = Part::new("cascade.", table, mistakes);
        bands = names().map(|label| part.band(label));
        part.end();
    }
    Manifest {
        name,
        version,
        languages,
        model,
        tokenizer,
        calibration,
        thresholds,
        cascade: bands,
    }
}

fn tokenizer_part(mut part: Part<'_>) -> TokenizerPart {
    let max_id = i64::from(i32::MAX);
    let id = |part: &mut Part<'_>, key| {
        part.has(key)
            .then(|| i32::try_from(part.integer(key, 0, max_id)).unwrap_or_default())
    };
    let (cls, sep) = (id(&mut part, "cls_id"), id(&mut part, "sep_id"));
    if cls.is_some() != sep.is_some() {
        part.mistake("cls_id", "and sep_id must be given together");
    }
    let specials = cls.zip(sep);
    let max_tokens = part.integer("max_tokens", 4, 8192);
    let width = max_tokens - if specials.is_some() { 2 } else { 0 };
    let stride = part.integer("stride", 1, 8192);
    if max_tokens >= 4 && stride > width {
        part.mistake(
            "stride",
            &format!("must be at most {width}, or text between windows would be skipped"),
        );
    }
    let checked = TokenizerPart {
        file: part.file("file"),
        sha256: part.sha256("sha256"),
        max_tokens: usize::try_from(max_tokens).unwrap_or_default(),
        stride: usize::try_from(stride).unwrap_or_default(),
        pad_id: i32::try_from(part.integer("pad_id", 0, max_id)).unwrap_or_default(),
        specials,
        lowercase: part.flag("lowercase"),
    };
    part.end();
    checked
}
