//! Where a record was, and what is committed: two types, so that they can't be mixed.

use std::{fmt, sync::Arc};

/// The offset of a record that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordOffset(pub i64);

impl RecordOffset {
    /// What to commit once this record is done. The only place that makes a [`NextOffset`] out of
    /// a record.
    #[must_use]
    pub fn next(self) -> NextOffset {
        NextOffset(self.0 + 1)
    }
}

/// The offset of the next record to read: what Kafka stores as a group's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextOffset(i64);

impl NextOffset {
    /// The position that the broker reported, e.g. as committed by the group.
    #[must_use]
    pub fn reported(offset: i64) -> Self {
        Self(offset)
    }

    /// The number to hand to the client.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}
