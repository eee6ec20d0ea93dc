//! One lane at work on a topic, with what it did and what that cost.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tidegate_kafka::{
    Batch, Ended, Failure, Lane, LaneSettings, Observer, Outbox, Processor, Stage, StopFlag,
    client::KafkaTransport, settings::KafkaSettings,
};

use super::{
    cluster::{self, Cluster},
    usage,
};

/// Without a commit for this long a run is given up.
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// A moment, and the CPU time used until then.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Instant,
    client: Option<Duration>,
    brokers: Option<Duration>,
}

/// What a lane has done since it was given partitions.
#[derive(Debug, Default)]
pub(super) struct Done {
    began: Option<Mark>,
    ended: Option<Mark>,
    /// Input records in committed transactions.
    pub(super) records: u64,
    /// How long each commit took.
    pub(super) commits: Vec<Duration>,
    /// Records and bytes that were written, of the batches that were looked at.
    written: (u64, u64, u64),
    aborts: u64,
    /// The lane's wall time in reading, processing, sending and committing.
    stages: [Duration; 4],
}

impl Done {
    /// Seconds from the assignment to the commit of the last record.
    pub(super) fn seconds(&self) -> f64 {
        self.between(|mark| Some(mark.at))
            .map_or(f64::NAN, |(a, b)| (b - a).as_secs_f64())
    }

    fn between<T>(&self, part: impl Fn(&Mark) -> Option<T>) -> Option<(T, T)> {
        Some((part(self.began.as_ref()?)?, part(self.ended.as_ref()?)?))
    }

    /// Input records per second.
    pub(super) fn rate(&self) -> f64 {
        self.records as f64 / self.seconds()
    }

    /// CPU µs for each input record: of this process, and of the brokers.
    pub(super) fn cpu(&self) -> [Option<f64>; 2] {
        let each = |(a, b): (Duration, Duration)| (b - a).as_secs_f64() * 1e6 / self.records as f64;
        [
            self.between(|mark| mark.client).map(each),
            self.between(|mark| mark.brokers).map(each),
        ]
    }

    /// Wall µs for each input record that the lane spent in reading (waiting for records
    /// included), processing, sending and committing.
    pub(super) fn stages(&self) -> [f64; 4] {
        self.stages
            .map(|spent| spent.as_secs_f64() * 1e6 / self.records as f64)
    }

    /// Output records and their bytes, for each input record.
    pub(super) fn written(&self) -> [f64; 2] {
        let (records, out, bytes) = self.written;
        [out as f64 / records as f64, bytes as f64 / records as f64]
    }

    /// Transactions that were undone; a run with any is no clean measurement.
    pub(super) fn aborts(&self) -> u64 {
        self.aborts
    }
}

/// Shared by the lane's thread and the one that waits for it.
#[derive(Clone)]
pub(super) struct Book(Arc<Mutex<Done>>);

impl Book {
    pub(super) fn lock(&self) -> MutexGuard<'_, Done> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears the lane, and asks it to stop once it has done what was asked.
struct Listener {
    book: Book,
    brokers: Vec<u32>,
    wanted: u64,
    stop: StopFlag,
}

impl Listener {
    fn mark(&self) -> Mark {
        Mark {
            at: Instant::now(),
            client: usage::cpu_time(std::process::id()),
            brokers: cluster::cpu_time(&self.brokers),
        }
    }
}

impl Observer for Listener {
    fn assigned(&mut self, partitions: usize, _total: usize) {
        let mark = self.mark();
        if partitions > 0 {
            self.book.lock().began.get_or_insert(mark);
        }
    }

    fn committed(&mut self, records: usize, _since_begin: Duration, commit: Duration) {
        let mut done = self.book.lock();
        if done.ended.is_some() {
            return;
        }
        done.records += records as u64;
        done.commits.push(commit);
        if done.records >= self.wanted {
            done.ended = Some(self.mark());
            self.stop.set();
        }
    }

    fn aborted(&mut self, _reason: &str) {
        self.book.lock().aborts += 1;
    }

    fn waited(&mut self, stage: Stage, spent: Duration) {
        let mut done = self.book.lock();
        if done.began.is_some() && done.ended.is_none() {
            let at = match stage {
                Stage::Read => 0,
                Stage::Process => 1,
                Stage::Send => 2,
                Stage::Commit => 3,
                Stage::Backoff => return,
            };
            done.stages[at] += spent;
        }
    }
}

/// Counts what a processor writes, in one batch of sixteen.
struct Counting<P> {
    inner: P,
    book: Book,
    batches: u64,
}

impl<P: Processor> Processor for Counting<P> {
    fn process(&mut self, batch: &Batch, outbox: &mut Outbox) {
        let before = outbox.len();
        self.inner.process(batch, outbox);
        if self.batches.is_multiple_of(16) {
            let bytes: usize = outbox
                .records()
                .skip(before)
                .map(|r| r.payload.map_or(0, <[u8]>::len))
                .sum();
            let written = &mut self.book.lock().written;
            written.0 += batch.len() as u64;
            written.1 += (outbox.len() - before) as u64;
            written.2 += bytes as u64;
        }
        self.batches += 1;
    }

    fn sealed(&mut self) {
        self.inner.sealed();
    }

    fn committed(&mut self) {
        self.inner.committed();
    }

    fn aborted(&mut self) {
        self.inner.aborted();
    }
}

/// Writes one record for each that it reads, with the same key and value.
pub(super) struct Passthrough;

impl Processor for Passthrough {
    fn process(&mut self, batch: &Batch, outbox: &mut Outbox) {
        for record in batch.records() {
            let value = record
                .payload
                .map(|bytes| move |out: &mut Vec<u8>| out.extend_from_slice(bytes));
            outbox.push(0, record.key, [], value);
        }
    }

    fn committed(&mut self) {}

    fn aborted(&mut self) {}
}

/// A lane that runs.
pub(super) struct Running {
    pub(super) book: Book,
    stop: StopFlag,
    thread: JoinHandle<Result<Ended, Failure>>,
}

impl Running {
    /// Starts a lane that ends once `wanted` records are committed.
    pub(super) fn start<P: Processor + Send + 'static>(
        cluster: &Cluster,
        kafka: &KafkaSettings,
        lane: LaneSettings,
        topics: Vec<String>,
        processor: P,
        wanted: u64,
    ) -> anyhow::Result<Self> {
        let transport = KafkaTransport::connect(kafka, 0)?;
        let (book, stop) = (Book(Arc::default()), StopFlag::default());
        let listener = Listener {
            book: book.clone(),
            brokers: cluster.pids().to_vec(),
            wanted,
            stop: stop.clone(),
        };
        let counting = Counting {
            inner: processor,
            book: book.clone(),
            batches: 0,
        };
        let asked = stop.clone();
        let thread = thread::Builder::new()
            .name("lane".to_owned())
            .spawn(move || {
                Lane::new(transport, counting, topics, lane)
                    .with_observer(listener)
                    .run(&asked)
            })
            .context("start a lane's thread")?;
        Ok(Self { book, stop, thread })
    }

    /// Waits until the lane has partitions.
    pub(super) fn assigned(&self) -> anyhow::Result<()> {
        let begin = Instant::now();
        while self.book.lock().began.is_none() {
            anyhow::ensure!(
                begin.elapsed() < STALLED_AFTER && !self.thread.is_finished(),
                "the lane was given no partitions"
            );
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Asks the lane to stop although it has not done all.
    pub(super) fn stop(&self) {
        self.stop.set();
    }

    /// Waits for the lane's end.
    pub(super) fn join(self) -> anyhow::Result<Done> {
        let (mut seen, mut since) = (0, Instant::now());
        while !self.thread.is_finished() {
            thread::sleep(Duration::from_millis(20));
            let records = self.book.lock().records;
            if records > seen {
                (seen, since) = (records, Instant::now());
            }
            if since.elapsed() > STALLED_AFTER {
                self.stop.set();
                bail!("the lane stands still after {seen} records");
            }
        }
        match self.thread.join() {
            Ok(ended) => ended?,
            Err(_) => bail!("the lane panicked"),
        };
        Ok(std::mem::take(&mut *self.book.lock()))
    }
}
