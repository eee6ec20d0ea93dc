//! One partition: an append-only list in which transaction markers take places too.

use crate::offsets::{RecordOffset, TopicPartition};

/// A record as it lies in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimRecord {
    /// The partition.
    pub partition: TopicPartition,
    /// Its place there.
    pub offset: RecordOffset,
    /// Milliseconds of simulated time at which it was written.
    pub timestamp_ms: i64,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// The headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl SimRecord {
    /// The last value under a header's name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let (_, value) = self.headers.iter().rev().find(|(n, _)| n == name)?;
        value.as_deref()
    }
}

/// A transaction, by its place in the cluster's list.
pub(super) type TransactionId = usize;

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Ongoing,
    Committed,
    Aborted,
}

#[derive(Clone, Debug)]
pub(super) enum Entry {
    Data(SimRecord, TransactionId),
    /// Where a transaction ended. No reader sees it.
    Marker,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Log(Vec<Entry>);

impl Log {
    pub(super) fn end(&self) -> i64 {
        i64::try_from(self.0.len()).unwrap_or(i64::MAX)
    }

    pub(super) fn append(&mut self, entry: Entry) {
        self.0.push(entry);
    }

    /// What a `read_committed` reader sees at `from` or after it: records of committed
    /// transactions, up to the first record of one that is ongoing.
    pub(super) fn committed(
        &self,
        from: i64,
        fate: impl Fn(TransactionId) -> Fate,
    ) -> impl Iterator<Item = &SimRecord> {
        let stable = self
            .0
            .iter()
            .position(|entry| matches!(entry, Entry::Data(_, id) if fate(*id) == Fate::Ongoing));
        let end = stable.unwrap_or(self.0.len());
        let start = usize::try_from(from).unwrap_or(0).min(end);
        self.0[start..end]
            .iter()
            .filter_map(move |entry| match entry {
                Entry::Data(record, id) if fate(*id) == Fate::Committed => Some(record),
                _ => None,
            })
    }
}
