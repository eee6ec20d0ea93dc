//! What goes wrong and how often; and which rules of Kafka are broken on purpose.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::transport::{Failure, FailureKind};

/// Probabilities from 0 to 1: of the first group for each call to the cluster, of the second for
/// each turn of the schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// A call fails and has to be made again.
    pub retry: f64,
    /// A call fails and the transaction has to be aborted.
    pub abort: f64,
    /// A call fails and the producer has to be replaced.
    pub fatal: f64,
    /// A commit goes through, but its answer does not arrive; half of these producers fail then.
    pub lost_answer: f64,
    /// A record is not delivered, which only the commit tells.
    pub undelivered: f64,
    /// A fetch brings nothing although there is something.
    pub slow_fetch: f64,

    /// A process dies, to be restarted under the same name later.
    pub crash: f64,
    /// A process stands still for a while; often longer than the group or the transaction waits.
    pub freeze: f64,
    /// A process stands still, a second one is started under its name, and the first goes on.
    pub twin: f64,
    /// A process is stopped in good order, and restarted later.
    pub restart: f64,
    /// The group shares out its partitions anew.
    pub rebalance: f64,
    /// A member is thrown out of the group though it is alive.
    pub evict: f64,
    /// Time passes, up to more than a transaction may take.
    pub delay: f64,
}

impl Faults {
    /// Nothing goes wrong.
    #[must_use]
    pub fn none() -> Self {
        Self {
            retry: 0.0,
            abort: 0.0,
            fatal: 0.0,
            lost_answer: 0.0,
            undelivered: 0.0,
            slow_fetch: 0.0,
            crash: 0.0,
            freeze: 0.0,
            twin: 0.0,
            restart: 0.0,
            rebalance: 0.0,
            evict: 0.0,
            delay: 0.0,
        }
    }

    /// Everything goes wrong, often.
    #[must_use]
    pub fn many() -> Self {
        Self {
            retry: 0.05,
            abort: 0.03,
            fatal: 0.01,
            lost_answer: 0.05,
            undelivered: 0.01,
            slow_fetch: 0.1,
            crash: 0.01,
            freeze: 0.02,
            twin: 0.005,
            restart: 0.005,
            rebalance: 0.03,
            evict: 0.01,
            delay: 0.01,
        }
    }

    /// Whether a call fails in one of the ways that any call can.
    pub(super) fn strike(&self, rng: &mut ChaCha8Rng, action: &'static str) -> Result<(), Failure> {
        let dice: f64 = rng.random();
        let kind = if dice < self.retry {
            FailureKind::Retry
        } else if dice < self.retry + self.abort {
            FailureKind::Abort
        } else if dice < self.retry + self.abort + self.fatal {
            FailureKind::Rebuild
        } else {
            return Ok(());
        };
        Err(failure(kind, action, "a fault of the simulation"))
    }
}

/// Rules of Kafka, or of its use, that are switched off: with any of these, records are lost or
/// doubled sooner or later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    /// Offsets are committed at once and not with the transaction.
    pub offsets_outside_transaction: bool,
    /// After an abort reading goes on where it was.
    pub no_rewind: bool,
    /// Offsets are accepted from members of an earlier generation, and from strangers.
    pub stale_members_commit: bool,
    /// A partition is taken over while its offsets are pending in an open transaction.
    pub pending_offsets_ignored: bool,
    /// After the producer was replaced, reading goes on where its transaction began, whether or
    /// not that was committed.
    pub resume_from_memory: bool,
    /// A new producer leaves its predecessor alone.
    pub no_fencing: bool,
    /// Aborted and unfinished records are read.
    pub read_uncommitted: bool,
}

pub(super) fn failure(kind: FailureKind, action: &'static str, reason: &str) -> Failure {
    Failure {
        kind,
        action,
        reason: reason.to_owned(),
    }
}
