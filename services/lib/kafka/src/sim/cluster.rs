//! The brokers: logs, transactions with their producers, committed offsets, and the group.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{
    clock::SimClock,
    faults::{Faults, Flaws},
    group::Group,
    log::{Entry, Fate, Log, SimRecord, TransactionId},
    scenario::Stats,
};
use crate::{
    clock::Clock,
    offsets::{NextOffset, RecordOffset, TopicPartition},
    transport::Assignment,
};

/// How long a transaction may stay open.
pub(super) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(30);

/// The producer was replaced by a younger one, or its transaction took too long.
#[derive(Debug)]
pub(super) struct Fenced;

#[derive(Debug)]
struct Transaction {
    transactional_id: String,
    fate: Fate,
    opened: Duration,
    touched: BTreeSet<TopicPartition>,
    offsets: Vec<(TopicPartition, NextOffset)>,
}

#[derive(Debug, Default)]
struct Producer {
    epoch: u32,
    open: Option<TransactionId>,
}

/// A record that is to be appended.
#[derive(Clone, Debug)]
pub(super) struct NewRecord {
    pub(super) key: Option<Vec<u8>>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
}

#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) clock: SimClock,
    pub(super) rng: ChaCha8Rng,
    pub(super) faults: Faults,
    pub(super) flaws: Flaws,
    pub(super) group: Group,
    pub(super) stats: Stats,
    logs: BTreeMap<TopicPartition, Log>,
    transactions: Vec<Transaction>,
    producers: BTreeMap<String, Producer>,
    committed: BTreeMap<TopicPartition, NextOffset>,
}

impl Cluster {
    /// A cluster with these topics, of which `inputs` are read by the group.
    pub(super) fn new(
        seed: u64,
        faults: Faults,
        flaws: Flaws,
        cooperative: bool,
        inputs: Vec<TopicPartition>,
        outputs: Vec<TopicPartition>,
    ) -> Self {
        Self {
            clock: SimClock::default(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            faults,
            flaws,
            stats: Stats::default(),
            logs: inputs
                .iter()
                .chain(&outputs)
                .map(|partition| (partition.clone(), Log::default()))
                .collect(),
            group: Group::new(cooperative, inputs),
            transactions: Vec::new(),
            producers: BTreeMap::new(),
            committed: BTreeMap::new(),
        }
    }

    /// Gives a producer its identity: what its predecessor left open is aborted, and its
    /// predecessor can do nothing more. Returns the epoch.
    pub(super) fn init_producer(&mut self, transactional_id: &str) -> u32 {
        let producer = self
            .producers
            .entry(transactional_id.to_owned())
            .or_default();
        if self.flaws.no_fencing {
            return producer.epoch;
        }
        producer.epoch += 1;
        let epoch = producer.epoch;
        if let Some(open) = producer.open {
            self.end(open, Fate::Aborted);
        }
        epoch
    }

    /// The open transaction of a producer; opens one if there is none.
    pub(super) fn transaction(
        &mut self,
        transactional_id: &str,
        epoch: u32,
    ) -> Result<TransactionId, Fenced> {
        self.check_epoch(transactional_id, epoch)?;
        let id = self.transactions.len();
        let producer = self
            .producers
            .entry(transactional_id.to_owned())
            .or_default();
        if let Some(open) = producer.open {
            return Ok(open);
        }
        producer.open = Some(id);
        self.transactions.push(Transaction {
            transactional_id: transactional_id.to_owned(),
            fate: Fate::Ongoing,
            opened: self.clock.now(),
            touched: BTreeSet::new(),
            offsets: Vec::new(),
        });
        Ok(id)
    }

    pub(super) fn check_epoch(&mut self, transactional_id: &str, epoch: u32) -> Result<(), Fenced> {
        self.time_out();
        let current = self.producers.get(transactional_id).map(|p| p.epoch);
        if current == Some(epoch) {
            Ok(())
        } else {
            self.stats.fenced += 1;
            Err(Fenced)
        }
    }

    /// Appends to the partition that the key picks.
    pub(super) fn append(&mut self, transaction: TransactionId, topic: &str, record: NewRecord) {
        let partitions: Vec<_> = self.partitions(topic).cloned().collect();
        assert!(
            !partitions.is_empty(),
            "the simulation has no topic {topic}"
        );
        let key = record.key.as_deref().unwrap_or_default();
        let hash = key.iter().fold(17_usize, |hash, byte| {
            hash * 31 % 65_521 + usize::from(*byte)
        });
        let partition = partitions[hash % partitions.len()].clone();
        let timestamp_ms = i64::try_from(self.clock.now().as_millis()).unwrap_or(i64::MAX);
        self.transactions[transaction]
            .touched
            .insert(partition.clone());
        let log = self.logs.entry(partition.clone()).or_default();
        let record = SimRecord {
            partition,
            offset: RecordOffset(log.end()),
            timestamp_ms,
            key: record.key,
            payload: record.payload,
            headers: record.headers,
        };
        log.append(Entry::Data(record, transaction));
    }

    /// Adds offsets to the transaction; they count once it is committed.
    pub(super) fn add_offsets(
        &mut self,
        transaction: TransactionId,
        offsets: &[(TopicPartition, NextOffset)],
    ) {
        if self.flaws.offsets_outside_transaction {
            self.committed.extend(offsets.iter().cloned());
        } else {
            self.transactions[transaction].offsets = offsets.to_vec();
        }
    }

    /// Ends a transaction: a marker in each partition that it wrote to, and its offsets with it.
    pub(super) fn end(&mut self, transaction: TransactionId, fate: Fate) {
        let ended = &mut self.transactions[transaction];
        assert_eq!(ended.fate, Fate::Ongoing, "a transaction ends once");
        ended.fate = fate;
        for partition in &ended.touched {
            if let Some(log) = self.logs.get_mut(partition) {
                log.append(Entry::Marker);
            }
        }
        if fate == Fate::Committed {
            self.committed.extend(ended.offsets.iter().cloned());
        }
        if let Some(producer) = self.producers.get_mut(&ended.transactional_id) {
            producer.open = None;
        }
    }

    /// Aborts what was open for too long, and fences its producer.
    pub(super) fn time_out(&mut self) {
        let now = self.clock.now();
        let late: Vec<TransactionId> = self
            .producers
            .values()
            .filter_map(|producer| producer.open)
            .filter(|id| now > self.transactions[*id].opened + TRANSACTION_TIMEOUT)
            .collect();
        for id in late {
            self.stats.timed_out += 1;
            if let Some(producer) = self
                .producers
                .get_mut(&self.transactions[id].transactional_id)
            {
                producer.epoch += 1;
            }
            self.end(id, Fate::Aborted);
        }
    }

    /// What the group has committed for these; `None` while any of it is pending.
    pub(super) fn stable_offsets(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Option<Vec<Assignment>> {
        self.time_out();
        let pending = self
            .transactions
            .iter()
            .filter(|transaction| transaction.fate == Fate::Ongoing)
            .flat_map(|transaction| &transaction.offsets)
            .any(|(partition, _)| partitions.contains(partition));
        if pending && !self.flaws.pending_offsets_ignored {
            self.stats.unstable += 1;
            return None;
        }
        let assignment = |partition: &TopicPartition| Assignment {
            partition: partition.clone(),
            committed: self.committed.get(partition).copied(),
        };
        Some(partitions.iter().map(assignment).collect())
    }

    /// The first record at `from` or after it that a reader may see.
    pub(super) fn fetch(&self, partition: &TopicPartition, from: i64) -> Option<&SimRecord> {
        self.logs
            .get(partition)?
            .committed(from, |id| self.seen(id))
            .next()
    }

    fn seen(&self, transaction: TransactionId) -> Fate {
        if self.flaws.read_uncommitted {
            return Fate::Committed;
        }
        self.transactions[transaction].fate
    }

    /// Everything in a topic that is committed, partition by partition.
    pub(super) fn committed_records(&self, topic: &str) -> impl Iterator<Item = &SimRecord> {
        self.logs
            .iter()
            .filter(move |(partition, _)| &*partition.topic == topic)
            .flat_map(|(_, log)| log.committed(0, |id| self.transactions[id].fate))
    }

    /// Whether the group has committed everything that there is to read in a topic.
    pub(super) fn is_read(&self, topic: &str) -> bool {
        self.partitions(topic).all(|partition| {
            let from = self.committed.get(partition).map_or(0, |next| next.get());
            self.logs[partition]
                .committed(from, |id| self.transactions[id].fate)
                .next()
                .is_none()
        })
    }

    fn partitions(&self, topic: &str) -> impl Iterator<Item = &TopicPartition> {
        self.logs
            .keys()
            .filter(move |partition| &*partition.topic == topic)
    }
}
