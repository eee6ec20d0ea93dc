//! Partitions that come and go: what the lane is told, in which order, and what the group is answered.

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{Consumer, RebalanceProtocol},
    error::KafkaError,
};

use super::{Answer, COMMITTED_TIMEOUT, Owned, Pending, Source, intern, positions::list};
use crate::{
    client::{context::answer, errors},
    offsets::{NextOffset, TopicPartition},
    transport::{Assignment, Failure, FailureKind, Polled},
};

impl Source {
    pub(super) fn next_pending(&mut self, may_assign: bool) -> Result<Option<Polled>, Failure> {
        if self.unanswered.is_some() {
            return Ok(None);
        }
        while let Some(pending) = self.pending.pop_front() {
            match pending {
                Pending::Forget => {
                    let partitions: Vec<_> =
                        self.owned.iter().map(|o| o.partition.clone()).collect();
                    if partitions.is_empty() {
                        continue;
                    }
                    self.pause();
                    self.unanswered = Some(Answer::Resume);
                    return Ok(Some(Polled::Revoked {
                        partitions,
                        lost: true,
                    }));
                }
                Pending::Resume(owned) => {
                    let partitions: Vec<_> = owned.iter().map(|o| o.partition.clone()).collect();
                    let Some(assignments) = self.committed(&partitions)? else {
                        self.pending.push_front(Pending::Resume(owned));
                        return Ok(None);
                    };
                    self.owned.extend(owned);
                    self.seek(&assignments)?;
                    return Ok(Some(self.tell_assigned(assignments)));
                }
                Pending::Group(rebalance) if rebalance.assign => {
                    let partitions = self.names(&rebalance.partitions);
                    let committed = if may_assign {
                        self.committed(&partitions)?
                    } else {
                        None
                    };
                    let Some(assignments) = committed else {
                        self.pending.push_front(Pending::Group(rebalance));
                        return Ok(None);
                    };
                    self.assign(&assignments)?;
                    return Ok(Some(self.tell_assigned(assignments)));
                }
                Pending::Group(rebalance) => {
                    let partitions = self.names(&rebalance.partitions);
                    // What the lane was already made to forget, it need not be told of again.
                    self.pending.retain_mut(|pending| match pending {
                        Pending::Resume(waiting) => {
                            waiting.retain(|o| !partitions.contains(&o.partition));
                            !waiting.is_empty()
                        }
                        _ => true,
                    });
                    let known: Vec<_> = partitions
                        .into_iter()
                        .filter(|p| self.owned.iter().any(|o| o.partition == *p))
                        .collect();
                    if known.is_empty() {
                        self.accept_revocation(&rebalance.partitions);
                        continue;
                    }
                    self.unanswered = Some(Answer::Group(rebalance.partitions));
                    return Ok(Some(Polled::Revoked {
                        partitions: known,
                        lost: rebalance.lost,
                    }));
                }
            }
        }
        Ok(None)
    }

    fn tell_assigned(&self, assignments: Vec<Assignment>) -> Polled {
        self.shared.assigned(
            assignments
                .iter()
                .map(|a| (a.partition.clone(), a.committed)),
        );
        Polled::Assigned(assignments)
    }

    fn names(&mut self, list: &TopicPartitionList) -> Vec<TopicPartition> {
        list.elements()
            .iter()
            .map(|element| TopicPartition {
                topic: intern(&mut self.topics, element.topic()).clone(),
                partition: element.partition(),
            })
            .collect()
    }

    /// What the group has committed; `None` when nobody could say yet.
    fn committed(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Option<Vec<Assignment>>, Failure> {
        if partitions.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let client = self.client()?;
        // Waits for transactions that are still open on these partitions: the broker says
        // "unstable" until a predecessor's commit or abort is through.
        let answered = client.committed_offsets(
            list(partitions.iter().map(|p| (p, None))),
            COMMITTED_TIMEOUT,
        );
        let answered = match answered {
            Ok(answered) => answered,
            Err(error) => return self.committed_unknown(&error),
        };
        let mut assignments = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let Some(element) = answered.find_partition(&partition.topic, partition.partition)
            else {
                return Ok(None);
            };
            if let Err(error) = element.error() {
                return self.committed_unknown(&error);
            }
            assignments.push(Assignment {
                partition: partition.clone(),
                committed: match element.offset() {
                    Offset::Offset(offset) => Some(NextOffset::reported(offset)),
                    _ => None,
                },
            });
        }
        Ok(Some(assignments))
    }

    fn committed_unknown<T>(&mut self, error: &KafkaError) -> Result<Option<T>, Failure> {
        if let Some(code) = error.rdkafka_error_code()
            && let Some(advice) = errors::advice(code)
        {
            return Err(errors::stop(
                "read committed offsets",
                &code.to_string(),
                advice,
            ));
        }
        self.quiet.warn(|| {
            format!(
                "the group's committed offsets can't be read yet ({error}): waiting; if this \
                 outlasts the transaction timeout, a transaction hangs on the brokers, and \
                 `kafka-transactions.sh find-hanging` names it"
            )
        });
        Ok(None)
    }

    fn assign(&mut self, assignments: &[Assignment]) -> Result<(), Failure> {
        // Without a committed offset the client applies its reset policy.
        let list = list(
            assignments
                .iter()
                .map(|a| (&a.partition, a.committed.map(NextOffset::get))),
        );
        // The client keeps a pause over a revocation: a partition that was taken away during one
        // would come back paused, and nobody would ever resume it.
        if let Err(error) = self.client()?.resume(&list) {
            tracing::warn!(%error, "a partition may still be paused");
        }
        answer(self.client()?, true, &list).map_err(|error| {
            errors::failure(FailureKind::Stop, "take partitions", error.to_string())
        })?;
        if !matches!(
            self.client()?.rebalance_protocol(),
            RebalanceProtocol::Cooperative
        ) {
            self.owned.clear();
        }
        for assignment in assignments {
            self.owned.retain(|o| o.partition != assignment.partition);
            self.owned.push(Owned::new(assignment));
        }
        Ok(())
    }

    /// The lane has let go of what it was told to.
    pub(crate) fn release(&mut self, partitions: &[TopicPartition]) {
        let gone = self
            .owned
            .extract_if(.., |o| partitions.contains(&o.partition))
            .collect();
        self.shared.revoked(partitions);
        match self.unanswered.take() {
            Some(Answer::Group(list)) => self.accept_revocation(&list),
            Some(Answer::Resume) => self.pending.push_front(Pending::Resume(gone)),
            None => tracing::warn!("partitions were released that nobody asked for"),
        }
    }

    fn accept_revocation(&self, list: &TopicPartitionList) {
        if let Some(client) = &self.client
            && let Err(error) = answer(client, false, list)
        {
            // The group has moved on without waiting, for instance after a session timeout.
            tracing::warn!(%error, "giving partitions back was refused");
        }
    }

    /// Makes the lane let go of everything and start again at what the group has committed.
    ///
    /// After a producer failed for good, nobody here knows whether its last commit went through;
    /// the broker does, once the next producer has its identity.
    pub(crate) fn resynchronise(&mut self) {
        if !self.owned.is_empty() {
            self.pending.push_front(Pending::Forget);
        }
    }
}
