//! Where a lane reads: setting positions back, and committing them under the lane's membership.

use std::time::{Duration, Instant};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer, ConsumerGroupMetadata},
    error::RDKafkaErrorCode as Code,
};

use super::Source;
use crate::{
    client::{errors, native},
    offsets::{NextOffset, TopicPartition},
    transport::{Assignment, Failure, FailureKind},
};

impl Source {
    /// Reads on from other positions.
    pub(crate) fn rewind(
        &mut self,
        to: &[(TopicPartition, Option<NextOffset>)],
    ) -> Result<(), Failure> {
        let targets: Vec<_> = to
            .iter()
            .map(|(partition, committed)| Assignment {
                partition: partition.clone(),
                committed: *committed,
            })
            .collect();
        self.seek(&targets)
    }

    pub(super) fn seek(&mut self, targets: &[Assignment]) -> Result<(), Failure> {
        const ACTION: &str = "seek";
        let mut moves = Vec::with_capacity(targets.len());
        for target in targets {
            let Some(owned) = self
                .owned
                .iter_mut()
                .find(|o| o.partition == target.partition)
            else {
                continue;
            };
            // Where nothing is committed, reading began at the first record that was delivered.
            // "The reset policy" again could mean the end, and records would be lost.
            let to = target.committed.map(NextOffset::get).or(owned.first);
            if to.is_some() && to != owned.position {
                owned.position = to;
                moves.push((&target.partition, to));
            }
        }
        let mut list = list(moves);
        if list.count() == 0 {
            return Ok(());
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let sought = self
                .client()?
                .seek_partitions(list, Duration::from_secs(5))
                .map_err(|error| errors::failure(FailureKind::Retry, ACTION, error.to_string()))?;
            let mut again = Vec::new();
            for element in sought.elements() {
                match element.error().map_err(|e| e.rdkafka_error_code()) {
                    Ok(()) => {}
                    // Not fetching yet, or no longer ours: the first passes, the second is told
                    // by the revocation that is on its way.
                    Err(Some(Code::UnknownPartition)) => {}
                    Err(Some(Code::State | Code::PreviousInProgress))
                        if Instant::now() < deadline =>
                    {
                        again.push((
                            element.topic().to_owned(),
                            element.partition(),
                            element.offset(),
                        ));
                    }
                    Err(code) => {
                        return Err(errors::failure(
                            FailureKind::Retry,
                            ACTION,
                            format!("{}[{}]: {code:?}", element.topic(), element.partition()),
                        ));
                    }
                }
            }
            if again.is_empty() {
                return Ok(());
            }
            list = TopicPartitionList::new();
            for (topic, partition, offset) in again {
                list.add_partition(&topic, partition)
                    .set_offset(offset)
                    .ok();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Who this lane is in the group now, for the transaction's offsets; `None` when it is out of
    /// the group. A name from before would be refused, and an empty one would not be checked at all.
    pub(crate) fn membership(&self) -> Option<ConsumerGroupMetadata> {
        let client = self.client.as_ref()?;
        if client.assignment_lost() {
            return None;
        }
        let metadata = client.group_metadata()?;
        native::is_member(client.client().native_ptr()).then_some(metadata)
    }

    /// Asks for positions to be committed, and does not wait for it.
    pub(crate) fn commit_async(
        &self,
        offsets: &[(TopicPartition, NextOffset)],
    ) -> Result<(), Failure> {
        let list = offsets_list(offsets);
        self.client()?
            .commit(&list, CommitMode::Async)
            .map_err(|error| {
                errors::failure(FailureKind::Retry, "commit offsets", error.to_string())
            })
    }

    /// Commits positions without a transaction.
    pub(crate) fn commit(&self, offsets: &[(TopicPartition, NextOffset)]) -> Result<(), Failure> {
        const ACTION: &str = "commit offsets";
        let list = offsets_list(offsets);
        let Err(error) = self.client()?.commit(&list, CommitMode::Sync) else {
            return Ok(());
        };
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        let kind = match code {
            Code::RequestTimedOut
            | Code::OperationTimedOut
            | Code::BrokerTransportFailure
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::WaitingForCoordinator => FailureKind::Retry,
            _ => FailureKind::Abort,
        };
        Err(errors::code_failure(ACTION, code, kind))
    }
}

pub(super) fn list<'a>(
    partitions: impl IntoIterator<Item = (&'a TopicPartition, Option<i64>)>,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in partitions {
        let mut element = list.add_partition(&partition.topic, partition.partition);
        if let Some(offset) = offset {
            // Only a negative offset is refused, and none comes from a broker or a record.
            element.set_offset(Offset::Offset(offset)).ok();
        }
    }
    list
}

pub(crate) fn offsets_list(offsets: &[(TopicPartition, NextOffset)]) -> TopicPartitionList {
    list(
        offsets
            .iter()
            .map(|(partition, next)| (partition, Some(next.get()))),
    )
}
