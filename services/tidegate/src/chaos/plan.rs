//! What is done to the consumers, in which order: the same seed gives the same plan.

use std::time::Duration;

use rand::{Rng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

/// Something done to the running system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disturbance {
    /// SIGKILL; started again under the same name.
    Kill,
    /// SIGSTOP until its partitions are another's, then SIGCONT: its transaction must be refused.
    Pause,
    /// SIGSTOP, a successor under the same name, then SIGCONT: the first must be fenced.
    Replace,
    /// SIGTERM: it leaves in good order; started again under the same name.
    Leave,
    /// One consumer more for a while.
    Scale,
    /// A broker goes down, by SIGTERM or SIGKILL, and comes back.
    Broker,
}

impl Disturbance {
    /// In a word, as the report counts it.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "killed",
            Self::Pause => "paused",
            Self::Replace => "replaced",
            Self::Leave => "left",
            Self::Scale => "scaled",
            Self::Broker => "broker",
        }
    }

    /// About how long it takes with the rest after it; production is spread accordingly.
    #[must_use]
    pub(crate) fn expected(self) -> Duration {
        Duration::from_secs(match self {
            Self::Kill | Self::Leave => 5,
            Self::Pause | Self::Replace | Self::Scale => 9,
            Self::Broker => 12,
        })
    }
}

/// `kills` violent disturbances, and beside them clean departures, consumers that come and go and
/// (with `brokers`) broker restarts; in random order.
#[must_use]
pub(crate) fn plan(kills: u32, brokers: bool, rng: &mut ChaCha8Rng) -> Vec<Disturbance> {
    use Disturbance::{Broker, Kill, Leave, Pause, Replace, Scale};
    let mut plan: Vec<_> = [Kill, Pause, Kill, Replace, Kill]
        .into_iter()
        .cycle()
        .take(kills as usize)
        .collect();
    for (kind, each) in [(Leave, 5), (Scale, 5), (Broker, 10)] {
        if kind != Broker || brokers {
            plan.extend((0..kills.div_ceil(each)).map(|_| kind));
        }
    }
    plan.shuffle(rng);
    plan
}

/// A random time from `from` up to `to` milliseconds.
pub(crate) fn between(rng: &mut ChaCha8Rng, from: u64, to: u64) -> Duration {
    Duration::from_millis(rng.random_range(from..to))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn seeded(seed: u64, kills: u32, brokers: bool) -> Vec<Disturbance> {
        plan(kills, brokers, &mut ChaCha8Rng::seed_from_u64(seed))
    }

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_seed_another_order() {
        assert_eq!(seeded(1, 20, true), seeded(1, 20, true));
        assert_ne!(seeded(1, 20, true), seeded(2, 20, true));
    }

    #[test]
    fn a_plan_has_as_many_violent_disturbances_as_it_was_asked_for() {
        for kills in [1, 4, 20] {
            let violent = |d: &&Disturbance| {
                matches!(
                    d,
                    Disturbance::Kill | Disturbance::Pause | Disturbance::Replace
                )
            };
            assert_eq!(
                seeded(3, kills, true).iter().filter(violent).count(),
                kills as usize
            );
        }
    }

    #[test]
    fn brokers_of_another_are_left_alone() {
        assert!(seeded(1, 20, true).contains(&Disturbance::Broker));
        assert!(!seeded(1, 20, false).contains(&Disturbance::Broker));
    }
}
