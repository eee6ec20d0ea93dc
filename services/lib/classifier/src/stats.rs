//! Counts what a classifier did, for metrics.

use std::time::Duration;

use tidegate_core::labels::{Label, LabelSet};

/// What one model did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelStats {
    /// Texts that it scored.
    pub texts: u64,
    /// Windows that they made; more than `texts` when some were over-long.
    pub windows: u64,
    /// Tokens in them, start and end tokens included.
    pub tokens: u64,
    /// Tokens that were run, padding included.
    pub padded_tokens: u64,
    /// Runs of the session.
    pub runs: u64,
    /// Time spent on making tokens.
    pub tokenize: Duration,
    /// Time spent in the session, batches being put together included.
    pub infer: Duration,
}

/// What a classifier did since its statistics were taken last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClassifierStats {
    /// Texts that were asked for.
    pub texts: u64,
    /// Texts that had an equal one earlier in their batch.
    pub deduplicated: u64,
    /// Texts whose scores were remembered from an earlier batch.
    pub cache_hits: u64,
    /// Texts whose scores were looked for among the remembered ones.
    pub cache_lookups: u64,
    /// The screen model's work.
    pub screen: ModelStats,
    /// The deep model's work.
    pub deep: ModelStats,
    /// Texts to which a cascade's deep model gave other labels than its screen model had.
    pub corrected: u64,
    /// For each label, the texts about which the two models disagreed.
    pub disagreed: [u64; Label::COUNT],
}

impl ClassifierStats {
    /// Compares the labels that a cascade's two models gave to one text.
    pub(crate) fn compare(&mut self, screen: LabelSet, deep: LabelSet) {
        self.corrected += u64::from(screen != deep);
        for &label in Label::ALL {
            let differs = screen.contains(label) != deep.contains(label);
            self.disagreed[label.index()] += u64::from(differs);
        }
    }

    /// The share of freshly scored texts that the deep model scored, 0 to 1.
    #[must_use]
    pub fn deep_share(&self) -> f64 {
        match self.screen.texts.max(self.deep.texts) {
            0 => 0.0,
            texts => self.deep.texts as f64 / texts as f64,
        }
    }
}
