//! Which of the messages that the machine decided about alone a person looks at, to see how often
//! it errs.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tidegate_chassis::settings::{Mistakes, Validate};

/// The section `[sampling]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampling {
    /// The share of automatically hidden messages that become cases, from 0 to 1; 0 is none.
    pub rate: f64,
    /// The queue of these cases, without `queues/`.
    pub queue: String,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            rate: 0.01,
            queue: "quality".to_owned(),
        }
    }
}

impl Sampling {
    /// Whether this message is looked at. Depends on its id alone, so that every process answers
    /// the same, and a message that is edited is not drawn for anew.
    #[must_use]
    pub fn draws(&self, event_id: &str) -> bool {
        let hash = Sha256::digest(event_id.as_bytes());
        let number = hash
            .iter()
            .take(6)
            .fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
        (number as f64) < self.rate * (1_u64 << 48) as f64
    }
}

impl Validate for Sampling {
    fn validate(&self, mistakes: &mut Mistakes) {
        mistakes.require(
            (0.0..=1.0).contains(&self.rate),
            "rate",
            "must be from 0 to 1",
        );
        let named = !self.queue.is_empty() && !self.queue.contains('/');
        mistakes.require(named, "queue", "must be a queue's name, without `queues/`");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_is_drawn_is_the_rate_and_the_same_each_time() {
        let sampling = Sampling {
            rate: 0.1,
            ..Sampling::default()
        };
        let drawn = |n: &u32| sampling.draws(&format!("event-{n}"));
        let first: Vec<_> = (0..10_000).filter(drawn).collect();
        assert!((900..1_100).contains(&first.len()), "{}", first.len());
        assert_eq!(first, (0..10_000).filter(drawn).collect::<Vec<_>>());
    }

    #[test]
    fn none_and_all_are_possible() {
        for (rate, drawn) in [(0.0, false), (1.0, true)] {
            let sampling = Sampling {
                rate,
                ..Sampling::default()
            };
            assert!((0..1_000).all(|n| sampling.draws(&n.to_string()) == drawn));
        }
    }
}
