//! A lane's consumer and producer in the simulated cluster, with the state that a client keeps.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use rand::{Rng, seq::IteratorRandom};

use super::{
    cluster::{Cluster, NewRecord},
    faults::failure,
    group::{Event, MemberId},
    log::{Fate, TransactionId},
};
use crate::{
    batch::Batch,
    clock::Clock,
    offsets::{NextOffset, TopicPartition},
    outbox::Outbox,
    transport::{Assignment, Failure, FailureKind, Polled, Transport},
};

/// The answer that the lane owes after [`Polled::Revoked`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    Nothing,
    /// To the group, or to a group that this member is out of.
    ToGroup,
    /// To this client, which will give the partitions back.
    ToClient,
}

/// How far a transaction came, as this client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Open,
    OffsetsSent,
    /// Committed, but the answer was lost.
    Ended,
}

/// A [`Transport`] to the simulated cluster. Dropping it is a crash: nothing is cleaned up.
pub struct SimTransport {
    cluster: Rc<RefCell<Cluster>>,
    transactional_id: String,
    epoch: u32,
    member: MemberId,
    generation: u64,
    /// What this client reads, and where it goes on.
    positions: BTreeMap<TopicPartition, i64>,
    owed: Owed,
    /// The producer is new: everything has to be assigned again.
    forget: bool,
    /// What was taken from the lane to be given back.
    resuming: Vec<TopicPartition>,
    open: Option<Progress>,
    /// The outcome of a commit that was started and not yet asked for.
    early: Option<Result<(), Failure>>,
    undelivered: bool,
    /// Where the transaction began, for a flaw.
    began_at: BTreeMap<TopicPartition, i64>,
}

impl SimTransport {
    pub(super) fn connect(cluster: Rc<RefCell<Cluster>>, transactional_id: String) -> Self {
        let (epoch, member) = {
            let mut cluster = cluster.borrow_mut();
            let epoch = cluster.init_producer(&transactional_id);
            (epoch, join(&mut cluster))
        };
        Self {
            cluster,
            transactional_id,
            epoch,
            member,
            generation: 0,
            positions: BTreeMap::new(),
            owed: Owed::Nothing,
            forget: false,
            resuming: Vec::new(),
            open: None,
            early: None,
            undelivered: false,
            began_at: BTreeMap::new(),
        }
    }

    pub(super) fn member(&self) -> MemberId {
        self.member
    }

    /// What the client has to tell before it reads; `None` when there is nothing, or not yet.
    fn news(&mut self) -> Option<Polled> {
        let cluster = self.cluster.clone();
        let mut cluster = cluster.borrow_mut();
        if std::mem::take(&mut self.forget) && !self.positions.is_empty() {
            self.owed = Owed::ToClient;
            return Some(self.revoked(true));
        }
        if !cluster.group.contains(self.member) {
            self.resuming.clear();
            if !self.positions.is_empty() {
                self.owed = Owed::ToGroup;
                return Some(self.revoked(true));
            }
            self.member = join(&mut cluster);
        }
        match cluster.group.event(self.member).cloned() {
            Some(Event::Revoke(partitions)) => {
                cluster.group.heard(self.member);
                let (known, unknown): (Vec<_>, Vec<_>) = partitions
                    .into_iter()
                    .partition(|partition| self.positions.contains_key(partition));
                self.resuming.retain(|resuming| !unknown.contains(resuming));
                cluster.group.release(self.member, &unknown);
                if known.is_empty() {
                    return None;
                }
                self.owed = Owed::ToGroup;
                Some(Polled::Revoked {
                    partitions: known,
                    lost: false,
                })
            }
            Some(Event::Joined { generation, added }) => {
                let assignments = cluster.stable_offsets(&added)?;
                cluster.group.heard(self.member);
                self.generation = generation;
                (!added.is_empty()).then(|| self.assigned(assignments))
            }
            None if !self.resuming.is_empty() => {
                let mut assignments = cluster.stable_offsets(&self.resuming)?;
                if cluster.flaws.resume_from_memory {
                    for assignment in &mut assignments {
                        let position = self.began_at.get(&assignment.partition);
                        assignment.committed = position.copied().map(NextOffset::reported);
                    }
                }
                self.resuming.clear();
                Some(self.assigned(assignments))
            }
            None => None,
        }
    }

    fn revoked(&self, lost: bool) -> Polled {
        Polled::Revoked {
            partitions: self.positions.keys().cloned().collect(),
            lost,
        }
    }

    fn assigned(&mut self, assignments: Vec<Assignment>) -> Polled {
        let positions = assignments.iter().map(|assignment| {
            let from = assignment.committed.map_or(0, NextOffset::get);
            (assignment.partition.clone(), from)
        });
        self.positions.extend(positions);
        Polled::Assigned(assignments)
    }

    /// A record of one of the partitions, whichever answers first.
    fn fetch(&mut self, batch: &mut Batch) -> bool {
        let mut cluster = self.cluster.borrow_mut();
        let cluster = &mut *cluster;
        let slow = cluster.faults.slow_fetch;
        if cluster.rng.random_bool(slow) {
            return false;
        }
        let found = self
            .positions
            .iter()
            .filter_map(|(partition, from)| cluster.fetch(partition, *from));
        // `choose` draws from the generator while the log is read: it needs one of its own.
        let mut rng = cluster.rng.clone();
        let Some(record) = found.choose(&mut rng) else {
            return false;
        };
        let headers = record.headers.iter();
        batch.push(
            &record.partition.topic,
            record.partition.partition,
            record.offset,
            Some(record.timestamp_ms),
            record.key.as_deref(),
            record.payload.as_deref(),
            headers.map(|(name, value)| (name.as_str(), value.as_deref())),
        );
        let next = record.offset.next().get();
        self.positions.insert(record.partition.clone(), next);
        cluster.rng = rng;
        true
    }

    fn strike(&self, action: &'static str) -> Result<(), Failure> {
        let mut cluster = self.cluster.borrow_mut();
        let cluster = &mut *cluster;
        cluster.faults.strike(&mut cluster.rng, action)
    }

    /// The first half of a commit, unless it is done.
    fn send_offsets(&mut self, offsets: &[(TopicPartition, NextOffset)]) -> Result<(), Failure> {
        const ACTION: &str = "commit transaction";
        if self.undelivered {
            let reason = "a record was not delivered";
            return Err(failure(FailureKind::Abort, ACTION, reason));
        }
        self.strike(ACTION)?;
        let transaction = self.transaction(ACTION)?;
        if self.open.expect("a transaction to commit") == Progress::Open {
            let mut cluster = self.cluster.borrow_mut();
            let current = cluster.group.is_current(self.member, self.generation);
            if !current && !cluster.flaws.stale_members_commit {
                cluster.stats.stale += 1;
                let reason = "not a member of this generation";
                return Err(failure(FailureKind::Abort, ACTION, reason));
            }
            cluster.add_offsets(transaction, offsets);
            self.open = Some(Progress::OffsetsSent);
        }
        Ok(())
    }

    /// The transaction on the broker, if this producer may still have one.
    fn transaction(&self, action: &'static str) -> Result<TransactionId, Failure> {
        self.cluster
            .borrow_mut()
            .transaction(&self.transactional_id, self.epoch)
            .map_err(|_| failure(FailureKind::Rebuild, action, "the producer is fenced"))
    }
}

fn join(cluster: &mut Cluster) -> MemberId {
    let Cluster { group, rng, .. } = cluster;
    group.join(rng)
}

impl Transport for SimTransport {
    fn poll(&mut self, batch: &mut Batch, timeout: Duration) -> Result<Polled, Failure> {
        assert_eq!(self.owed, Owed::Nothing, "polled without letting go first");
        if let Some(news) = self.news() {
            return Ok(news);
        }
        if self.resuming.is_empty() && self.fetch(batch) {
            return Ok(Polled::Record);
        }
        self.cluster.borrow().clock.sleep(timeout);
        Ok(Polled::Idle)
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), Failure> {
        self.positions.retain(|held, _| !partitions.contains(held));
        match std::mem::replace(&mut self.owed, Owed::Nothing) {
            Owed::ToGroup => {
                let mut cluster = self.cluster.borrow_mut();
                cluster.group.release(self.member, partitions);
            }
            Owed::ToClient => self.resuming = partitions.to_vec(),
            Owed::Nothing => panic!("the lane let go of what nobody asked for"),
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Failure> {
        assert_eq!(self.open, None, "began in a transaction");
        self.strike("begin transaction")?;
        self.open = Some(Progress::Open);
        self.undelivered = false;
        Ok(())
    }

    fn send(&mut self, outbox: &Outbox) -> Result<(), Failure> {
        const ACTION: &str = "send";
        assert_eq!(self.open, Some(Progress::Open), "sent out of a transaction");
        let fault = self.strike(ACTION);
        if let Err(failure) = &fault
            && failure.kind == FailureKind::Retry
        {
            return fault;
        }
        // Other failures come after some of the records.
        let upto = match fault {
            Ok(()) => outbox.len(),
            Err(_) => self.cluster.borrow_mut().rng.random_range(0..=outbox.len()),
        };
        for record in outbox.records().take(upto) {
            let transaction = self.transaction(ACTION)?;
            let mut cluster = self.cluster.borrow_mut();
            let undelivered = cluster.faults.undelivered;
            if cluster.rng.random_bool(undelivered) {
                self.undelivered = true;
                continue;
            }
            let headers = record.headers.iter();
            let new = NewRecord {
                key: record.key.map(<[u8]>::to_vec),
                payload: record.payload.map(<[u8]>::to_vec),
                headers: headers
                    .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
                    .collect(),
            };
            cluster.append(transaction, record.topic, new);
        }
        fault
    }

    /// How much of the commit is done before what is read meanwhile is left to chance.
    fn start_commit(&mut self, offsets: &[(TopicPartition, NextOffset)]) -> bool {
        let dice = self.cluster.borrow_mut().rng.random_range(0..4);
        let outcome = match dice {
            0 => self.commit(offsets),
            1 => self.send_offsets(offsets),
            _ => return dice == 2,
        };
        self.early = match outcome {
            // Whoever asks again gets on with it.
            Err(failure) if failure.kind == FailureKind::Retry => None,
            Ok(()) if self.open.is_some() => None,
            outcome => Some(outcome),
        };
        true
    }

    fn has_committed(&mut self, timeout: Duration) -> bool {
        let mut cluster = self.cluster.borrow_mut();
        cluster.clock.sleep(timeout);
        cluster.rng.random_ratio(1, 3)
    }

    fn commit(&mut self, offsets: &[(TopicPartition, NextOffset)]) -> Result<(), Failure> {
        const ACTION: &str = "commit transaction";
        if let Some(outcome) = self.early.take() {
            return outcome;
        }
        assert!(!offsets.is_empty(), "committed nothing");
        if self.open == Some(Progress::Ended) {
            let (id, epoch) = (&self.transactional_id, self.epoch);
            let fenced = self.cluster.borrow_mut().check_epoch(id, epoch).is_err();
            if fenced {
                return Err(failure(FailureKind::Rebuild, ACTION, "fenced"));
            }
            self.open = None;
            return Ok(());
        }
        self.send_offsets(offsets)?;
        self.strike(ACTION)?;
        let transaction = self.transaction(ACTION)?;
        let mut cluster = self.cluster.borrow_mut();
        cluster.end(transaction, Fate::Committed);
        self.open = Some(Progress::Ended);
        let lost_answer = cluster.faults.lost_answer;
        if cluster.rng.random_bool(lost_answer) {
            cluster.stats.lost_answers += 1;
            let kind = if cluster.rng.random_bool(0.5) {
                FailureKind::Retry
            } else {
                FailureKind::Rebuild
            };
            return Err(failure(kind, ACTION, "no answer"));
        }
        self.open = None;
        for (partition, next) in offsets {
            self.began_at.insert(partition.clone(), next.get());
        }
        Ok(())
    }

    fn abort(&mut self) -> Result<(), Failure> {
        const ACTION: &str = "abort transaction";
        if let Some(Ok(())) = self.early.take() {
            let reason = "the commit went through after all";
            return Err(failure(FailureKind::Rebuild, ACTION, reason));
        }
        assert!(self.open.is_some(), "aborted out of a transaction");
        self.strike(ACTION)?;
        let transaction = self.transaction(ACTION)?;
        self.cluster.borrow_mut().end(transaction, Fate::Aborted);
        self.open = None;
        Ok(())
    }

    fn rewind(&mut self, to: &[(TopicPartition, Option<NextOffset>)]) -> Result<(), Failure> {
        self.strike("seek")?;
        if self.cluster.borrow().flaws.no_rewind {
            return Ok(());
        }
        for (partition, next) in to {
            let position = self.positions.get_mut(partition);
            *position.expect("only what is held can be rewound") = next.map_or(0, NextOffset::get);
        }
        Ok(())
    }

    fn rebuild(&mut self) -> Result<(), Failure> {
        self.strike("make a new producer")?;
        let mut cluster = self.cluster.borrow_mut();
        self.epoch = cluster.init_producer(&self.transactional_id);
        self.open = None;
        self.early = None;
        self.forget = true;
        Ok(())
    }

    fn leave(&mut self, _timeout: Duration) -> bool {
        let mut cluster = self.cluster.borrow_mut();
        let Cluster { group, rng, .. } = &mut *cluster;
        group.remove(self.member, rng);
        true
    }
}
