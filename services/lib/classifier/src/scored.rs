//! What the classifier says about one text.

use tidegate_core::labels::Scores;

use crate::model::TextScores;

/// Which model gave the scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Tier {
    /// The small, fast model.
    #[default]
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
#[derive(Debug, Clone, Copy, PartialEq, Default)]
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
    /// Whether it took longer than it takes to remember it: the screen scores a short text in a
    /// microsecond.
    pub(crate) fn is_worth_keeping(&self) -> bool {
        self.tier == Tier::Deep || self.windows > 1
    }

    /// The same as a decision takes it.
    #[must_use]
    pub fn by_model(self, model_version: &str) -> tidegate_core::Scored<'_> {
        tidegate_core::Scored {
            scores: self.scores,
            tier: match self.tier {
                Tier::Screen => tidegate_core::Tier::Screen,
                Tier::Deep => tidegate_core::Tier::Deep,
            },
            windows: u32::from(self.windows),
            model_version,
            is_language_shown: true,
        }
    }

    /// `None` when a score is not a number.
    pub(crate) fn new(scores: &TextScores, tier: Tier) -> Option<Self> {
        Some(Self {
            scores: Scores::new(scores.row).ok()?,
            tier,
            windows: scores.windows,
        })
    }
}
