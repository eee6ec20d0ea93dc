//! How far each partition was read: pure bookkeeping that decides what is committed and where
//! reading goes on after an abort.

use std::sync::Arc;

use crate::{
    offsets::{NextOffset, RecordOffset, TopicPartition},
    transport::Assignment,
};

/// A record that the ledger can't accept; it is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfTurn {
    /// The record lies before what was already read: it would be counted twice.
    #[error("{partition} went back to offset {got}, after everything before {expected} was read")]
    Backwards {
        /// Where.
        partition: TopicPartition,
        /// The lowest offset that could have come.
        expected: i64,
        /// The offset that came.
        got: i64,
    },
    /// The record is from a partition that this lane does not own.
    #[error("{0} is not assigned to this lane, but a record of it was read")]
    NotAssigned(TopicPartition),
}

/// A position in a partition; `None` where the group had committed nothing: the beginning, or
/// wherever the client's reset policy leads.
pub type Position = (TopicPartition, Option<NextOffset>);

#[derive(Clone, Debug)]
struct Entry {
    partition: TopicPartition,
    /// Where the open transaction began.
    start: Option<NextOffset>,
    /// What comes after the last record that was read.
    next: Option<NextOffset>,
}

impl Entry {
    fn moved(&self) -> bool {
        self.start != self.next
    }
}

/// For each assigned partition: where the transaction began, and what is to be read next.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    entries: Vec<Entry>,
    /// The entry of the last record: the next one mostly has the same.
    last: usize,
}

impl Ledger {
    /// Adds partitions, or sets those that are known to what the group has committed.
    pub fn assign(&mut self, assignments: &[Assignment]) {
        for Assignment {
            partition,
            committed,
        } in assignments
        {
            self.entries.retain(|entry| entry.partition != *partition);
            self.entries.push(Entry {
                partition: partition.clone(),
                start: *committed,
                next: *committed,
            });
        }
        self.last = 0;
    }

    /// Forgets partitions; those that are not known are ignored.
    pub fn revoke(&mut self, partitions: &[TopicPartition]) {
        self.entries
            .retain(|entry| !partitions.contains(&entry.partition));
        self.last = 0;
    }

    /// Notes that a record was read. Offsets may leave gaps: transaction markers, aborted records
    /// and compaction take offsets that no reader sees.
    ///
    /// # Errors
    /// The record is out of turn.
    pub fn record(
        &mut self,
        topic: &Arc<str>,
        partition: i32,
        offset: RecordOffset,
    ) -> Result<(), OutOfTurn> {
        let entry = self.entry(topic, partition).ok_or_else(|| {
            OutOfTurn::NotAssigned(TopicPartition {
                topic: topic.clone(),
                partition,
            })
        })?;
        match entry.next {
            Some(next) if offset.0 < next.get() => Err(OutOfTurn::Backwards {
                partition: entry.partition.clone(),
                expected: next.get(),
                got: offset.0,
            }),
            _ => {
                entry.next = Some(offset.next());
                Ok(())
            }
        }
    }

    /// Begins a new transaction at `offsets`, which are committed: what [`to_commit`] said, though
    /// more may have been read since.
    ///
    /// [`to_commit`]: Self::to_commit
    pub fn committed(&mut self, offsets: &[(TopicPartition, NextOffset)]) {
        for (partition, next) in offsets {
            let entry = self.entries.iter_mut().find(|e| e.partition == *partition);
            if let Some(entry) = entry {
                entry.start = Some(*next);
            }
        }
    }

    /// Goes back to where the transaction began, and says which partitions must be read again from
    /// where: those that moved.
    #[must_use = "the transport must be rewound to these positions"]
    pub fn rewind(&mut self) -> Vec<Position> {
        let points = self.rewind_points();
        for entry in &mut self.entries {
            entry.next = entry.start;
        }
        points
    }

    /// Where the partitions that moved were when the transaction began.
    #[must_use]
    pub fn rewind_points(&self) -> Vec<Position> {
        self.entries
            .iter()
            .filter(|entry| entry.moved())
            .map(|entry| (entry.partition.clone(), entry.start))
            .collect()
    }

    /// What to commit: the next offsets of the partitions that moved.
    #[must_use]
    pub fn to_commit(&self) -> Vec<(TopicPartition, NextOffset)> {
        self.entries
            .iter()
            .filter(|entry| entry.moved())
            .filter_map(|entry| Some((entry.partition.clone(), entry.next?)))
            .collect()
    }

    /// How many partitions are assigned.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.entries.len()
    }

    /// The entry of a partition. Topics are compared by pointer before they are compared by name.
    fn entry(&mut self, topic: &Arc<str>, partition: i32) -> Option<&mut Entry> {
        let is_it = |entry: &Entry| {
            entry.partition.partition == partition
                && (Arc::ptr_eq(&entry.partition.topic, topic) || entry.partition.topic == *topic)
        };
        if !self.entries.get(self.last).is_some_and(is_it) {
            self.last = self.entries.iter().position(is_it)?;
        }
        self.entries.get_mut(self.last)
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
