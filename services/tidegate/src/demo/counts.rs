//! What the demo has seen: consumed as the lanes committed it, everything else as an independent
//! reader found it on the topics, so that the balance is a check and not an echo.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Recent verdicts that are kept for the screen.
const RECENT: usize = 6;

/// Running counts.
pub(super) struct Counts {
    started: Instant,
    /// Records fed to the input topics.
    pub fed: u64,
    /// Records whose transaction the lanes committed.
    pub consumed: u64,
    /// Verdicts found on their topic.
    pub verdicts: u64,
    /// Dead letters found on their topic.
    pub dead_letters: u64,
    /// Records found on the topic of each route.
    pub routed: Routed,
    /// Verdicts that hide the message.
    pub hidden: u64,
    /// Verdicts by the model that scored.
    pub scored_by: ScoredBy,
    /// How the review queue stands.
    pub cases: CasesNow,
    /// Milliseconds from a record's timestamp to its committed verdict.
    latency: Histogram<u64>,
    /// The last verdicts that did something, newest first.
    pub recent: VecDeque<Recent>,
}

/// Records by route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Routed {
    /// Probable spam.
    pub spam: u64,
    /// Hate speech.
    pub hate: u64,
    /// People who want to buy.
    pub purchase_intent: u64,
    /// What a person must see.
    pub escalations: u64,
}

/// Verdicts by the model that scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct ScoredBy {
    /// The fast one.
    pub screen: u64,
    /// The thorough one.
    pub deep: u64,
    /// None: what is withdrawn.
    pub none: u64,
}

/// How the review queue stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CasesNow {
    /// Cases that were ever opened.
    pub opened: u64,
    /// Those that wait.
    pub open: u64,
    /// Those that someone has.
    pub claimed: u64,
    /// Those that are decided.
    pub resolved: u64,
    /// Those that wait past their deadline.
    pub breached: u64,
    /// Age of the oldest one that waits, in seconds.
    pub oldest_s: u64,
}

/// Cases at the end of a run.
#[derive(Debug, Serialize)]
pub(super) struct Cases {
    /// Cases that were ever opened.
    pub opened: u64,
    /// Those that people decided.
    pub resolved: u64,
    /// Those that wait.
    pub open: u64,
}

/// A verdict as the screen shows it.
#[derive(Clone, Debug)]
pub(super) struct Recent {
    /// What is done with the message.
    pub action: String,
    /// Why.
    pub reasons: String,
    /// The event and where it came from.
    pub about: String,
}

/// The end of a run, as the last line of `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// Records fed.
    pub fed: u64,
    /// Records that the lanes committed.
    pub consumed: u64,
    /// Verdicts on their topic.
    pub verdicts: u64,
    /// Dead letters on their topic.
    pub dead_letters: u64,
    /// Records on the topics of the routes.
    pub routed: Routed,
    /// Verdicts that hide.
    pub hidden: u64,
    /// Verdicts by the model that scored.
    pub scored_by: ScoredBy,
    /// The review queue.
    pub cases: Cases,
    /// Consumed records per second over the whole run.
    pub events_per_second: u64,
    /// Record timestamp to committed verdict.
    pub latency_ms: Latency,
    /// Seconds that the run took.
    pub seconds: f64,
    /// Whether each record fed was consumed and became one verdict or one dead letter.
    pub balanced: bool,
}

/// Percentiles in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    /// Half of the records took at most this.
    pub p50: u64,
    /// 99 of 100 took at most this.
    pub p99: u64,
}

impl Counts {
    /// Nothing seen yet.
    #[must_use]
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            fed: 0,
            consumed: 0,
            verdicts: 0,
            dead_letters: 0,
            routed: Routed::default(),
            hidden: 0,
            scored_by: ScoredBy::default(),
            cases: CasesNow::default(),
            // Latencies up to an hour, to one part in a hundred.
            latency: Histogram::new_with_max(3_600_000, 2)
                .expect("the bounds are constants that the histogram takes"),
            recent: VecDeque::new(),
        }
    }

    /// Records came through in this time.
    pub(super) fn latency(&mut self, took: Duration, records: usize) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.latency.saturating_record_n(ms, records as u64);
    }

    /// Keeps a verdict for the screen.
    pub(super) fn keep(&mut self, verdict: Recent) {
        self.recent.push_front(verdict);
        self.recent.truncate(RECENT);
    }

    /// How long the run lasts.
    #[must_use]
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Where the run stands.
    #[must_use]
    pub(super) fn summary(&self) -> Summary {
        let seconds = self.elapsed().as_secs_f64();
        Summary {
            fed: self.fed,
            consumed: self.consumed,
            verdicts: self.verdicts,
            dead_letters: self.dead_letters,
            routed: self.routed,
            hidden: self.hidden,
            scored_by: self.scored_by,
            cases: Cases {
                opened: self.cases.opened,
                resolved: self.cases.resolved,
                open: self.cases.open,
            },
            events_per_second: (self.consumed as f64 / seconds) as u64,
            latency_ms: Latency {
                p50: self.latency.value_at_quantile(0.5),
                p99: self.latency.value_at_quantile(0.99),
            },
            seconds: (seconds * 1000.0).round() / 1000.0,
            balanced: self.fed == self.consumed
                && self.consumed == self.verdicts + self.dead_letters,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_balanced_only_when_every_record_fed_became_one_verdict_or_dead_letter() {
        let mut counts = Counts::new();
        (
            counts.fed,
            counts.consumed,
            counts.verdicts,
            counts.dead_letters,
        ) = (10, 10, 9, 1);
        assert!(counts.summary().balanced);
        counts.verdicts = 10;
        assert!(!counts.summary().balanced, "one was counted twice");
        (counts.verdicts, counts.consumed) = (8, 9);
        assert!(!counts.summary().balanced, "one was lost");
    }

    #[test]
    fn percentiles_weigh_each_latency_by_its_records() {
        let mut counts = Counts::new();
        counts.latency(Duration::from_millis(10), 99);
        counts.latency(Duration::from_millis(500), 1);
        let latency = counts.summary().latency_ms;
        assert_eq!((latency.p50, latency.p99), (10, 10));
    }
}
