//! What the rest of the process may know about a lane's clients: connection, membership, lag.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Deserialize;

use crate::offsets::{NextOffset, TopicPartition};

/// How a lane's clients are doing. Cheap to take, at any time, from any thread.
#[derive(Clone, Debug, Default)]
pub struct ClientStatus {
    /// The group has answered: this lane has its partitions, or stands by without any.
    pub group_joined: bool,
    /// The producer has its identity and may begin transactions.
    pub producer_ready: bool,
    /// At least one broker is connected. `true` until the contrary is known.
    pub connected: bool,
    /// Partitions that this lane reads.
    pub assigned: usize,
    /// Assignments and revocations so far.
    pub rebalances: u64,
    /// The last thing that the clients complained about, and how long ago. Holds no message text.
    pub last_error: Option<(String, Duration)>,
}

impl ClientStatus {
    /// Whether the lane can work: group joined and producer initialised.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.group_joined && self.producer_ready
    }
}

/// How far a lane is behind, at one moment.
#[derive(Clone, Debug, Default)]
pub struct LagSnapshot {
    /// For each assigned partition: records between this lane's committed position and the end
    /// that it may read to; `None` when either is unknown. Each transaction leaves a marker that
    /// counts as one record, so the number need not reach zero.
    pub partitions: Vec<(TopicPartition, Option<u64>)>,
}

impl LagSnapshot {
    /// The sum over all partitions; `None` while any of them is unknown.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.partitions.iter().map(|(_, lag)| *lag).sum()
    }
}

/// A handle to the state of a lane's clients, for readiness, metrics and the command line.
#[derive(Clone, Debug)]
pub struct ClientHandle {
    pub(crate) shared: Arc<Shared>,
}

impl ClientHandle {
    /// How the clients are doing now.
    #[must_use]
    pub fn status(&self) -> ClientStatus {
        let state = self.shared.lock();
        ClientStatus {
            last_error: state
                .last_error
                .as_ref()
                .map(|(text, at)| (text.clone(), at.elapsed())),
            assigned: state.positions.len(),
            ..state.status.clone()
        }
    }

    /// How far the lane is behind, as of the last statistics of the client.
    #[must_use]
    pub fn lag(&self) -> LagSnapshot {
        let state = self.shared.lock();
        LagSnapshot {
            partitions: state
                .positions
                .iter()
                .map(|(partition, position)| (partition.clone(), position.lag()))
                .collect(),
        }
    }
}

/// What the client's callbacks and the lane's thread both write to.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Set once when the consumer is to go: rebalances are then answered at once.
    pub(crate) closing: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    status: ClientStatus,
    last_error: Option<(String, Instant)>,
    refused: Option<String>,
    positions: BTreeMap<TopicPartition, Position>,
}

#[derive(Debug, Default)]
struct Position {
    next: Option<i64>,
    end: Option<i64>,
}

impl Position {
    fn lag(&self) -> Option<u64> {
        let (next, end) = (self.next?, self.end?);
        Some(u64::try_from(end - next).unwrap_or(0))
    }
}

impl Shared {
    pub(crate) fn new() -> Self {
        let shared = Self::default();
        shared.lock().status.connected = true;
        shared
    }

    /// A callback that panicked leaves nothing half-written here, so its poison is ignored.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub(crate) fn error(&self, text: String) {
        self.lock().last_error = Some((text, Instant::now()));
    }

    /// A broker refused this user. It ends the process only as long as nothing ever worked:
    /// later it may be a broker or a password in the middle of a change.
    pub(crate) fn refused(&self, reason: String) {
        let mut state = self.lock();
        if !state.status.group_joined && state.refused.is_none() {
            state.refused = Some(reason);
        }
    }

    pub(crate) fn take_refused(&self) -> Option<String> {
        self.lock().refused.take()
    }

    pub(crate) fn last_error(&self) -> Option<String> {
        self.lock()
            .last_error
            .as_ref()
            .map(|(text, _)| text.clone())
    }

    pub(crate) fn set_connected(&self, connected: bool) {
        self.lock().status.connected = connected;
    }

    pub(crate) fn set_producer_ready(&self, ready: bool) {
        self.lock().status.producer_ready = ready;
    }

    pub(crate) fn left_group(&self) {
        let mut state = self.lock();
        state.status.group_joined = false;
        state.positions.clear();
    }

    pub(crate) fn assigned(
        &self,
        partitions: impl IntoIterator<Item = (TopicPartition, Option<NextOffset>)>,
    ) {
        let mut state = self.lock();
        state.status.group_joined = true;
        state.status.connected = true;
        state.status.rebalances += 1;
        state.refused = None;
        for (partition, committed) in partitions {
            let next = committed.map(NextOffset::get);
            state
                .positions
                .insert(partition, Position { next, end: None });
        }
    }

    pub(crate) fn revoked(&self, partitions: &[TopicPartition]) {
        let mut state = self.lock();
        state.status.rebalances += 1;
        for partition in partitions {
            state.positions.remove(partition);
        }
    }

    pub(crate) fn committed(&self, offsets: &[(TopicPartition, NextOffset)]) {
        let mut state = self.lock();
        for (partition, next) in offsets {
            if let Some(position) = state.positions.get_mut(partition) {
                position.next = Some(next.get());
            }
        }
    }

    /// Takes the ends of the partitions out of the consumer's statistics.
    ///
    /// The `consumer_lag` in there is not used: it is measured from the last offset that the
    /// consumer itself committed, and here the producer commits.
    pub(crate) fn statistics(&self, json: &[u8]) {
        let Ok(statistics) = serde_json::from_slice::<Statistics<'_>>(json) else {
            tracing::debug!("the client's statistics can't be read");
            return;
        };
        let mut state = self.lock();
        state.status.connected = statistics
            .brokers
            .values()
            .any(|broker| broker.state == "UP");
        for (partition, position) in &mut state.positions {
            let end = statistics
                .topics
                .get(&*partition.topic)
                .and_then(|topic| topic.partitions.get(&partition.partition))
                .map(|partition| partition.ls_offset);
            // Negative: not known yet.
            position.end = end.filter(|end| *end >= 0);
        }
    }
}

#[derive(Deserialize)]
struct Statistics<'a> {
    #[serde(borrow, default)]
    brokers: BTreeMap<&'a str, BrokerStatistics<'a>>,
    #[serde(borrow, default)]
    topics: BTreeMap<&'a str, TopicStatistics>,
}

#[derive(Deserialize)]
struct BrokerStatistics<'a> {
    #[serde(borrow)]
    state: &'a str,
}

#[derive(Deserialize)]
struct TopicStatistics {
    #[serde(default)]
    partitions: BTreeMap<i32, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    ls_offset: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition() -> TopicPartition {
        TopicPartition {
            topic: "in".into(),
            partition: 3,
        }
    }

    fn statistics(ls_offset: i64) -> Vec<u8> {
        format!(
            r#"{{"name":"x","brokers":{{"b:1/1":{{"state":"UP","rtt":{{}}}}}},
               "topics":{{"in":{{"topic":"in","partitions":{{"3":{{"ls_offset":{ls_offset},
               "hi_offset":99,"consumer_lag":7}}}}}}}}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn lag_is_the_readable_end_minus_the_position_this_lane_committed() {
        let shared = Arc::new(Shared::new());
        let handle = ClientHandle {
            shared: shared.clone(),
        };
        shared.assigned([(partition(), Some(NextOffset::reported(10)))]);
        assert_eq!(handle.lag().total(), None, "no end is known yet");

        shared.statistics(&statistics(50));
        assert_eq!(handle.lag().total(), Some(40));

        shared.committed(&[(partition(), NextOffset::reported(45))]);
        assert_eq!(handle.lag().total(), Some(5));
    }

    #[test]
    fn an_unknown_end_or_position_is_not_a_number() {
        let shared = Arc::new(Shared::new());
        let handle = ClientHandle {
            shared: shared.clone(),
        };
        shared.assigned([(partition(), None)]);
        shared.statistics(&statistics(50));
        assert_eq!(handle.lag().partitions, [(partition(), None)]);

        shared.committed(&[(partition(), NextOffset::reported(45))]);
        shared.statistics(&statistics(-1001));
        assert_eq!(handle.lag().total(), None);
    }

    #[test]
    fn a_refusal_counts_only_until_the_group_was_joined() {
        let shared = Shared::new();
        shared.refused("wrong password".into());
        assert_eq!(shared.take_refused().as_deref(), Some("wrong password"));

        shared.assigned([]);
        shared.refused("wrong password".into());
        assert_eq!(shared.take_refused(), None);
    }
}
