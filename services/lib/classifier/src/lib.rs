//! Text to scores: models, tokens, batches, sessions and the cascade.
//!
//! A lane owns a [`Classifier`] and hands it batches of normalized texts. Each different text is
//! scored once: by the screen model, by the deep model, or by both in a [`Mode::Cascade`].
//!
//! ```no_run
//! use std::path::Path;
//! use tidegate_classifier::{Classifier, ClassifierSettings, Mode};
//!
//! let settings = ClassifierSettings::new(Path::new("models"), Mode::Screen);
//! let mut classifier = Classifier::load(&settings)?;
//! let mut scored = Vec::new();
//! classifier.classify(&["how much is the blue one?"], &mut scored)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod batch;
pub mod cache;
pub mod cascade;
mod checksum;
mod classifier;
mod error;
mod golden;
mod labels;
pub mod manifest;
mod model;
mod operators;
mod readings;
pub mod runtime;
mod scored;
mod session;
mod stats;
pub mod tokens;

pub use classifier::{Classifier, ClassifierSettings, Mode};
pub use error::{ClassifyError, GoldenError, LoadError};
pub use golden::GOLDEN_TOLERANCE;
pub use labels::Row;
pub use model::ModelInfo;
pub use readings::score_readings;
pub use scored::{Scored, Tier};
pub use stats::{ClassifierStats, ModelStats};
