//! The thread that reads: a consumer whose positions are the database's own.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tidegate_chassis::{health::Heartbeat, shutdown::Shutdown};
use tidegate_kafka::{
    Batch, FailureKind, NextOffset, Polled, TopicPartition,
    client::Reading,
    settings::KafkaSettings,
    transport::{Assignment, Failure},
};
use tokio::runtime::Handle;

use super::{Sampling, take};
use crate::{
    Refusal, Store, StoreError,
    ends::{IntakeSection, Topics, metrics},
    store::Progress,
};

/// How long one look for records takes when there are none.
const IDLE: Duration = Duration::from_millis(100);
/// The first and the longest pause after something failed.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long the group may take to let go at the end.
const LEAVE: Duration = Duration::from_secs(5);

/// The reading end.
pub struct Intake {
    /// Where cases go.
    pub store: Store,
    /// Runs what the store does.
    pub runtime: Handle,
    /// How to reach the cluster, with the topics to read.
    pub kafka: KafkaSettings,
    /// The topics by what they hold.
    pub topics: Topics,
    /// When a batch is stored.
    pub section: IntakeSection,
    /// What is drawn for review.
    pub sampling: Sampling,
    /// Says when to end.
    pub shutdown: Shutdown,
}

/// Why a batch was not stored.
enum NotStored {
    /// The database cannot take it now.
    Later,
    /// Another process has read on from where this one began.
    Overtaken,
}

impl Intake {
    /// Reads until the end is asked for. What the cluster refuses is logged and tried again: people
    /// go on working meanwhile.
    pub fn run(self, heartbeat: &Heartbeat) {
        while !self.shutdown.is_requested() {
            match Reading::connect(&self.kafka) {
                Ok(reading) => {
                    let mut turn = Turn {
                        intake: &self,
                        reading,
                        known: HashMap::new(),
                        batch: Batch::default(),
                        since: None,
                        failed: 0,
                    };
                    if let Err(failure) = turn.run(heartbeat) {
                        metrics::refused("intake");
                        tracing::error!(%failure, "escalations cannot be read; trying again");
                    }
                    turn.reading.leave(LEAVE);
                }
                Err(error) => tracing::error!(%error, "escalations cannot be read"),
            }
            heartbeat.beat();
            if self.shutdown.wait_for(Duration::from_secs(10)) {
                return;
            }
        }
    }
}

/// One membership of the group.
struct Turn<'a> {
    intake: &'a Intake,
    reading: Reading,
    /// What the database says of each partition that is read here; `None` where it says nothing.
    known: HashMap<TopicPartition, Option<i64>>,
    batch: Batch,
    since: Option<Instant>,
    /// How often in a row storing failed.
    failed: u32,
}

impl Turn<'_> {
    fn run(&mut self, heartbeat: &Heartbeat) -> Result<(), Failure> {
        let client = self.reading.handle();
        let mut reported = Instant::now();
        while !self.intake.shutdown.is_requested() {
            heartbeat.beat();
            if reported.elapsed() >= Duration::from_secs(1) {
                reported = Instant::now();
                metrics::connected("intake", client.status().connected);
                metrics::lag(client.lag().partitions);
            }
            let linger = self.intake.section.batch_linger;
            let wait = self
                .since
                .map_or(IDLE, |since| linger.saturating_sub(since.elapsed()));
            match self.reading.poll(&mut self.batch, wait) {
                Ok(Polled::Record) => {
                    self.since.get_or_insert_with(Instant::now);
                }
                Ok(Polled::Idle) => {}
                Ok(Polled::Assigned(assigned)) => self.assigned(&assigned),
                Ok(Polled::Revoked { partitions, lost }) => {
                    if !lost {
                        self.store();
                    }
                    for partition in &partitions {
                        self.known.remove(partition);
                    }
                    self.again();
                    self.reading.release(&partitions);
                }
                Err(failure) if failure.kind == FailureKind::Retry => {
                    tracing::debug!(%failure, "reading is held up");
                    self.pause(PAUSES.0);
                }
                Err(failure) => return Err(failure),
            }
            let full = self.batch.len() >= self.intake.section.batch_records
                || self.batch.byte_len() >= self.intake.section.batch_bytes;
            if full || self.since.is_some_and(|since| since.elapsed() >= linger) {
                self.store();
            }
        }
        self.store();
        Ok(())
    }

    /// Asks the database where to begin with partitions that were given.
    fn assigned(&mut self, assigned: &[Assignment]) {
        let partitions: Vec<_> = assigned.iter().map(|one| one.partition.clone()).collect();
        for partition in &partitions {
            self.known.insert(partition.clone(), None);
        }
        self.position(&partitions);
    }

    /// Sets partitions to where the database says, as soon as it and the brokers answer.
    fn position(&mut self, partitions: &[TopicPartition]) {
        let mut pause = PAUSES.0;
        while !self.intake.shutdown.is_requested() {
            let Err(problem) = self.try_position(partitions) else {
                return;
            };
            tracing::warn!(problem, "reading cannot begin yet");
            self.pause(pause);
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    fn try_position(&mut self, partitions: &[TopicPartition]) -> Result<(), String> {
        let mut stored: HashMap<&str, Vec<(i32, i64)>> = HashMap::new();
        for partition in partitions {
            let topic = &*partition.topic;
            if !stored.contains_key(topic) {
                let offsets = self.block_on(self.intake.store.offsets(topic));
                stored.insert(topic, offsets.map_err(|error| error.to_string())?);
            }
        }
        let mut positions = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let (first, end) = self
                .reading
                .bounds(partition)
                .map_err(|failure| failure.to_string())?;
            let offsets = stored.get(&*partition.topic).into_iter().flatten();
            let known = offsets
                .filter(|(number, _)| *number == partition.partition)
                .map(|(_, next)| *next)
                .next();
            let begin = known.unwrap_or(first);
            if begin < first || begin > end {
                tracing::warn!(
                    %partition, stored = begin, first, end,
                    "the topic no longer holds where reading stopped (its retention is too short, \
                     or it was made anew): reading begins with what there is"
                );
            }
            let begin = if (first..=end).contains(&begin) {
                begin
            } else {
                first
            };
            self.known.insert(partition.clone(), known);
            positions.push((partition.clone(), NextOffset::reported(begin)));
        }
        self.reading
            .start_at(&positions)
            .map_err(|failure| failure.to_string())
    }

    /// Stores the batch; if that fails it is undone, to be read again.
    fn store(&mut self) {
        self.since = None;
        if self.batch.is_empty() {
            return;
        }
        match self.try_store() {
            Ok(()) => {
                self.batch.clear();
                self.failed = 0;
            }
            Err(NotStored::Later) => {
                self.again();
                let pause = PAUSES.0 * 2_u32.saturating_pow(self.failed.min(10));
                self.failed += 1;
                self.pause(pause.min(PAUSES.1));
            }
            Err(NotStored::Overtaken) => {
                self.batch.clear();
                let all: Vec<_> = self.known.keys().cloned().collect();
                self.position(&all);
            }
        }
    }

    fn try_store(&mut self) -> Result<(), NotStored> {
        let Intake {
            topics, sampling, ..
        } = self.intake;
        let taken = take(&self.batch, topics, sampling);
        let progress: Vec<_> = taken
            .next
            .iter()
            .map(|(partition, next)| Progress {
                topic: partition.topic.to_string(),
                partition: partition.partition,
                known: self.known.get(partition).copied().flatten(),
                next: *next,
            })
            .collect();
        let began = Instant::now();
        match self.block_on(self.intake.store.intake(taken.arrived, &progress)) {
            Ok(report) => {
                metrics::stored(&report, began.elapsed());
                let mut kept = Vec::with_capacity(taken.next.len());
                for (partition, next) in taken.next {
                    kept.push((partition.clone(), NextOffset::reported(next)));
                    self.known.insert(partition, Some(next));
                }
                self.reading.kept(&kept);
                Ok(())
            }
            Err(StoreError::Refused(Refusal::Overtaken { .. })) => {
                tracing::warn!("another process has read on from here: going on after it");
                Err(NotStored::Overtaken)
            }
            Err(error) => {
                tracing::warn!(%error, records = self.batch.len(), "cases cannot be stored");
                Err(NotStored::Later)
            }
        }
    }

    /// Reads what the batch holds again.
    fn again(&mut self) {
        let mut first: HashMap<TopicPartition, i64> = HashMap::new();
        for record in self.batch.records() {
            first
                .entry(record.topic_partition())
                .or_insert(record.offset.0);
        }
        self.batch.clear();
        self.since = None;
        let positions: Vec<_> = first
            .into_iter()
            .filter(|(partition, _)| self.known.contains_key(partition))
            .map(|(partition, offset)| (partition, NextOffset::reported(offset)))
            .collect();
        if positions.is_empty() {
            return;
        }
        if let Err(failure) = self.reading.start_at(&positions) {
            tracing::warn!(%failure, "reading cannot go back yet");
            let partitions: Vec<_> = positions.into_iter().map(|(one, _)| one).collect();
            self.position(&partitions);
        }
    }

    fn pause(&mut self, duration: Duration) {
        let until = Instant::now() + duration;
        while Instant::now() < until && !self.intake.shutdown.is_requested() {
            self.reading.wait(Duration::from_millis(50));
        }
    }

    fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.intake.runtime.block_on(work)
    }
}
