//! Escalations in: records become cases, stored in one database transaction with how far was read.

pub mod decode;
mod json;
mod reader;
pub mod sampling;

use tidegate_kafka::{Batch, Record, TopicPartition};

pub use self::{reader::Intake, sampling::Sampling};
use crate::{
    ends::{Topics, metrics},
    store::{Arrived, Kept},
};

/// What a batch of records holds.
struct Taken {
    arrived: Vec<Arrived>,
    /// The next offset of each partition.
    next: Vec<(TopicPartition, i64)>,
}

/// Reads every record of a batch. What cannot be read is kept as it came: nothing is lost, and
/// reading goes on.
fn take(batch: &Batch, topics: &Topics, sampling: &Sampling) -> Taken {
    let mut arrived = Vec::with_capacity(batch.len());
    let mut next: Vec<(TopicPartition, i64)> = Vec::new();
    for record in batch.records() {
        let after = record.offset.next().get();
        let same = |(at, _): &&mut (TopicPartition, i64)| {
            at.partition == record.partition && at.topic == *record.topic
        };
        match next.iter_mut().find(same) {
            Some((_, next)) => *next = after,
            None => next.push((record.topic_partition(), after)),
        }
        let read = if **record.topic == *topics.spam {
            decode::sample(&record, sampling)
        } else {
            decode::escalation(&record).map(Some)
        };
        match read {
            Ok(one) => arrived.extend(one),
            Err(unreadable) => {
                metrics::unreadable(unreadable.reason);
                tracing::warn!(
                    topic = &**record.topic,
                    partition = record.partition,
                    offset = record.offset.0,
                    reason = unreadable.reason.as_str(),
                    detail = unreadable.detail,
                    "a record cannot be read and is put aside"
                );
                arrived.push(Arrived::Unreadable(Box::new(kept(&record, &unreadable))));
            }
        }
    }
    Taken { arrived, next }
}

fn kept(record: &Record<'_>, unreadable: &decode::Unreadable) -> Kept {
    Kept {
        topic: record.topic.to_string(),
        partition: record.partition,
        offset: record.offset.0,
        reason: unreadable.reason.as_str(),
        detail: unreadable.detail.clone(),
        key: record.key.unwrap_or_default().to_vec(),
        value: record.payload.unwrap_or_default().to_vec(),
    }
}
