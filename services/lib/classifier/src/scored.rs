//! What the classifier says about one text.

use crate::labels::{LABEL_COUNT, Row};
use crate::model::TextScores;

/// Calibrated probabilities of the ten labels.
pub type Scores = Row;

/// Which model gave the scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// The small, fast model.
    Screen,
    /// The large, slow model.
    Deep,
}

impl Tier {
    /// The tier's name in verdicts and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Screen => "screen",
            Self::Deep => "deep",
        }
    }
}

impl std::fmt::Display for Tier {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

/// What the classifier says about one text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// Calibrated probabilities of the ten labels.
    pub scores: Scores,
    /// Which model gave them.
    pub tier: Tier,
    /// How many windows the text was scored in. More than one: the text was over-long, and each
    /// score is the highest that any window had.
    pub windows: u16,
}

impl Scored {
    /// Stands where scores will be.
    pub(crate) const NONE: Self = Self {
        scores: [0.0; LABEL_COUNT],
        tier: Tier::Screen,
        windows: 0,
    };

    pub(crate) fn new(scores: &TextScores, tier: Tier) -> Self {
        Self {
            scores: scores.row,
            tier,
            windows: scores.windows,
        }
    }

    pub(crate) fn row(&self) -> &Row {
        &self.scores
    }
}
