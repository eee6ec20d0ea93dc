//! What can go wrong while models are loaded and used.

use std::path::PathBuf;

use crate::manifest::ManifestError;
use crate::runtime::RuntimeError;
use crate::tokens::TokenizerError;

/// Why a model cannot be used. Each message says which file is at fault and what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// ONNX Runtime is not there.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The manifest was refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not the one that the manifest was written for.
    #[error(
        "{path} has SHA-256 {found}, but its manifest says {expected}: restore the file, or write the manifest anew"
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// What the manifest says.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// The tokenizer file cannot be used.
    #[error("{path} is not a usable tokenizer: {source}")]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: TokenizerError,
    },
    /// The graph cannot be loaded.
    #[error("{path} is not a usable ONNX model: {reason}")]
    Model {
        /// The file.
        path: PathBuf,
        /// What ONNX Runtime said, on one line.
        reason: String,
    },
    /// The graph's inputs or outputs are not those of the manifest.
    #[error("{path} does not fit its manifest: {}", .mistakes.join("; "))]
    Interface {
        /// The file.
        path: PathBuf,
        /// One sentence for each mistake.
        mistakes: Vec<String>,
    },
    /// The model failed its first runs.
    #[error("{path} failed its probe run: {source}")]
    Probe {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: ClassifyError,
    },
    /// A cascade needs to know when the screen model is unsure.
    #[error(
        "{path} has no [cascade] part, which mode `cascade` needs: add it, or use mode `screen` or `deep`"
    )]
    NoBand {
        /// The screen model's manifest.
        path: PathBuf,
    },
}

/// Why texts could not be scored. It is about the model and never about one text: no text makes a
/// sound model fail.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClassifyError {
    /// ONNX Runtime refused a run.
    #[error("model {model} failed to run: {reason}")]
    Run {
        /// The model's name.
        model: String,
        /// What ONNX Runtime said, on one line.
        reason: String,
    },
    /// The output has another shape than ten logits for each row.
    #[error("model {model} gave an output of shape {found:?} where [{rows}, 10] was expected")]
    Shape {
        /// The model's name.
        model: String,
        /// Rows that were put in.
        rows: usize,
        /// The shape that came out.
        found: Vec<i64>,
    },
    /// The output is not a number: the weights are damaged.
    #[error(
        "model {model} gave a score that is not a finite number: its weights are damaged, restore the model's files"
    )]
    NotFinite {
        /// The model's name.
        model: String,
    },
}

/// Why a model does not reproduce its golden file.
#[derive(Debug, thiserror::Error)]
pub enum GoldenError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The golden file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is not an object with `text` and ten `scores`.
    #[error("{path}, line {line}: must be an object with `text` and ten `scores`")]
    Line {
        /// The golden file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// The texts cannot be scored.
    #[error(transparent)]
    Classify(#[from] ClassifyError),
    /// A score is too far from the one that was recorded in training.
    #[error(
        "{path}, line {line}: {label} is {found}, recorded was {expected}: model, tokenizer and golden file are not of one make"
    )]
    Differs {
        /// The golden file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The label's name.
        label: &'static str,
        /// The recorded score.
        expected: f32,
        /// The score given now.
        found: f32,
    },
}
