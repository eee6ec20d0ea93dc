//! The real cluster behind a lane: librdkafka's consumer and transactional producer.
//!
//! [`KafkaTransport`] is what a lane owns; it is made for one thread. [`ClientHandle`] shows the
//! rest of the process how it is doing. Neither connecting nor a broker that goes away is a
//! failure: the clients connect again by themselves, and the log says what they wait for.

mod config;
mod consumer;
mod context;
pub mod embedded;
mod errors;
mod native;
mod numbered;
mod oauth;
mod producer;
mod quiet;
mod reading;
mod status;

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

pub use numbered::{NumberedWriter, Published};
pub use reading::Reading;
pub use status::{ClientHandle, ClientStatus, LagSnapshot};

use self::{
    consumer::Source,
    producer::{Job, JobKind, Sink, Stage},
    quiet::Quiet,
    status::Shared,
};
use crate::{
    batch::Batch,
    offsets::{NextOffset, TopicPartition},
    outbox::Outbox,
    settings::KafkaSettings,
    transport::{Failure, FailureKind, Polled, Transport},
};

pub(crate) use self::{config::common, consumer::creation_error, errors::advice};

const COMMIT: &str = "commit transaction";
/// How long a call waits for the brokers before it reports back and asks to be made again.
const PATIENCE: Duration = Duration::from_secs(5);
/// After how long a waiting call begins to serve the consumer.
const SERVE_AFTER: Duration = Duration::from_millis(500);
/// How long the clients may take to leave when a transport is dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a lane's clients can't be made. None of this has to do with brokers that are away.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The settings contradict themselves or each other; all mistakes.
    #[error("kafka settings: {}", .0.join("; "))]
    Settings(Vec<String>),
    /// The client library refuses the settings.
    #[error("kafka client: {0}")]
    Client(String),
}

/// A consumer and a transactional producer of librdkafka, for one lane.
pub struct KafkaTransport {
    source: Source,
    sink: Sink,
    shared: Arc<Shared>,
    brokers: String,
    started: Instant,
    polls: u32,
    quiet: Quiet,
}

impl KafkaTransport {
    /// Makes the clients of lane number `lane` and lets them connect in the background; no broker
    /// needs to be there yet. [`poll`](Transport::poll) reports what the brokers refuse.
    ///
    /// # Errors
    /// The settings are wrong in themselves.
    pub fn connect(settings: &KafkaSettings, lane: usize) -> Result<Self, ConnectError> {
        let mistakes = settings.validate();
        if !mistakes.is_empty() {
            return Err(ConnectError::Settings(mistakes));
        }
        let settings = Arc::new(settings.clone());
        let shared = Arc::new(Shared::new());
        let sink =
            Sink::new(settings.clone(), lane, shared.clone()).map_err(ConnectError::Client)?;
        let source =
            Source::new(settings.clone(), lane, shared.clone()).map_err(ConnectError::Client)?;
        Ok(Self {
            source,
            sink,
            shared,
            brokers: settings.brokers.clone(),
            started: Instant::now(),
            polls: 0,
            quiet: Quiet::default(),
        })
    }

    /// A handle that shows how the clients are doing.
    #[must_use]
    pub fn handle(&self) -> ClientHandle {
        ClientHandle {
            shared: self.shared.clone(),
        }
    }

    /// Waits for the call that the producer is making. While that lasts, the producer's events
    /// are served, and soon the consumer's, with its partitions paused.
    fn wait(&mut self, action: &'static str) -> Result<(), Failure> {
        let started = Instant::now();
        while self.sink.running().is_some() {
            let long = started.elapsed() >= SERVE_AFTER;
            let slice = Duration::from_millis(if long { 50 } else { 2 });
            if let Some(outcome) = self.sink.outcome(slice) {
                return outcome;
            }
            self.sink.serve();
            if long {
                self.source.serve_paused();
            }
            if self.sink.hangs() {
                let reason = "the client does not return";
                return Err(errors::failure(FailureKind::Rebuild, action, reason));
            }
            if started.elapsed() >= PATIENCE {
                let reason = self.unreachable();
                self.quiet.warn(|| format!("{action}: {reason}: waiting"));
                return Err(errors::failure(FailureKind::Retry, action, reason));
            }
        }
        Ok(())
    }

    fn unreachable(&self) -> String {
        match self.shared.last_error() {
            Some(error) => format!("no answer from {} ({error})", self.brokers),
            None => format!("no answer from {}", self.brokers),
        }
    }

    /// Looks whether the producer has its identity yet; waits up to `timeout` for it.
    fn check_start(&mut self, timeout: Duration) -> Result<(), Failure> {
        match self.sink.outcome(timeout) {
            None => {}
            Some(Ok(())) => self.sink.started(),
            Some(Err(failure)) => match failure.kind {
                FailureKind::Stop => return Err(failure),
                FailureKind::Retry => self.sink.submit(Job::Init),
                FailureKind::Abort | FailureKind::Rebuild => {
                    tracing::warn!("{failure}: a new producer is made");
                    std::thread::sleep(Duration::from_millis(200));
                    self.renew_sink()?;
                }
            },
        }
        if self.sink.stage == Stage::Starting && self.started.elapsed() > PATIENCE {
            let reason = self.unreachable();
            self.quiet
                .warn(|| format!("the producer has no identity yet: {reason}: waiting"));
        }
        Ok(())
    }

    fn renew_sink(&mut self) -> Result<(), Failure> {
        self.started = Instant::now();
        self.sink
            .renew()
            .map_err(|reason| errors::failure(FailureKind::Stop, "make a producer", reason))
    }

    fn refused(&self) -> Result<(), Failure> {
        match self.shared.take_refused() {
            Some(reason) => Err(errors::failure(FailureKind::Stop, "connect", reason)),
            None => Ok(()),
        }
    }

    /// Sees that no earlier call is still running before a transaction is begun or used.
    fn settle(&mut self, action: &'static str) -> Result<(), Failure> {
        if self.sink.stage == Stage::Starting {
            self.check_start(PATIENCE)?;
            self.refused()?;
        }
        match self.sink.stage {
            Stage::Starting => Err(errors::failure(
                FailureKind::Retry,
                action,
                self.unreachable(),
            )),
            Stage::Broken => Err(errors::failure(
                FailureKind::Rebuild,
                action,
                "the producer is broken",
            )),
            Stage::Ready | Stage::Open | Stage::OffsetsSent => Ok(()),
        }
    }

    /// What remains of the transaction after a call failed.
    fn failed(&mut self, action: &'static str, failure: Failure) -> Failure {
        // The record that could not be written explains more than the call that failed for it.
        let failure = if failure.kind == FailureKind::Retry {
            failure
        } else {
            self.sink.await_report();
            self.sink.explain_failure(action).unwrap_or(failure)
        };
        match failure.kind {
            FailureKind::Rebuild => self.sink.broken(),
            FailureKind::Abort => self.sink.stage = Stage::Open,
            FailureKind::Retry | FailureKind::Stop => {}
        }
        failure
    }

    fn commit_transaction(
        &mut self,
        offsets: &[(TopicPartition, NextOffset)],
    ) -> Result<(), Failure> {
        self.submit_commit(offsets)?;
        self.wait(COMMIT)
    }

    /// Sees that a commit is under way.
    fn submit_commit(&mut self, offsets: &[(TopicPartition, NextOffset)]) -> Result<(), Failure> {
        if self.sink.running().is_some() {
            return Ok(());
        }
        let job = match self.sink.stage {
            _ if !self.sink.transactional() => Job::Flush,
            Stage::Open if !offsets.is_empty() => {
                let Some(member) = self.source.membership() else {
                    return Err(errors::failure(
                        FailureKind::Abort,
                        COMMIT,
                        "this lane is no longer a member of the group",
                    ));
                };
                Job::SendOffsets(consumer::offsets_list(offsets), member)
            }
            _ => Job::Commit,
        };
        self.sink.submit(job);
        Ok(())
    }
}

impl Transport for KafkaTransport {
    fn poll(&mut self, batch: &mut Batch, timeout: Duration) -> Result<Polled, Failure> {
        let ready = self.sink.stage != Stage::Starting;
        let polled = self.source.poll(batch, timeout, ready)?;
        self.polls = self.polls.wrapping_add(1);
        // The producer's events are few; an idle producer has tokens to refresh all the same.
        if !matches!(polled, Polled::Record) || self.polls.is_multiple_of(1024) {
            self.sink.serve();
            if !ready {
                self.check_start(Duration::ZERO)?;
            }
            self.refused()?;
        }
        Ok(polled)
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), Failure> {
        self.source.release(partitions);
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Failure> {
        self.settle("begin transaction")?;
        match self.sink.stage {
            Stage::Ready => self
                .sink
                .begin()
                .map_err(|f| self.failed("begin transaction", f)),
            _ => Ok(()),
        }
    }

    fn send(&mut self, outbox: &Outbox) -> Result<(), Failure> {
        const ACTION: &str = "send";
        self.settle(ACTION)?;
        for record in outbox.records() {
            let mut full_since = None;
            while !self
                .sink
                .send(&record)
                .map_err(|f| self.failed(ACTION, f))?
            {
                // The queue is full: wait for room, as long as records can be written at all.
                std::thread::sleep(Duration::from_millis(1));
                self.sink.serve();
                if self.sink.has_failed() {
                    let failure = errors::failure(FailureKind::Abort, ACTION, "the queue is full");
                    return Err(self.failed(ACTION, failure));
                }
                let since = *full_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= SERVE_AFTER {
                    self.source.serve_paused();
                    let reason = self.unreachable();
                    self.quiet
                        .warn(|| format!("the producer's queue is full: {reason}: waiting"));
                }
            }
        }
        Ok(())
    }

    fn start_commit(&mut self, offsets: &[(TopicPartition, NextOffset)]) -> bool {
        // What went wrong is said by `commit`, which follows.
        self.sink.stage == Stage::Open && self.submit_commit(offsets).is_ok()
    }

    fn has_committed(&mut self, timeout: Duration) -> bool {
        self.sink.is_done(timeout)
    }

    fn commit(&mut self, offsets: &[(TopicPartition, NextOffset)]) -> Result<(), Failure> {
        self.settle("commit")?;
        let result = if self.sink.transactional() {
            self.commit_transaction(offsets)
        } else {
            self.commit_offsets(offsets)
        };
        match result {
            Ok(()) => {
                self.sink.ended();
                self.shared.committed(offsets);
                Ok(())
            }
            Err(failure) => Err(self.failed("commit", failure)),
        }
    }

    fn abort(&mut self) -> Result<(), Failure> {
        const ACTION: &str = "abort transaction";
        self.settle(ACTION)?;
        if matches!(
            self.sink.running(),
            Some(JobKind::Commit | JobKind::SendOffsets)
        ) {
            // The commit that was given up on is still under way, and may yet succeed.
            match self.wait(ACTION) {
                Ok(()) => {
                    self.sink.broken();
                    return Err(errors::failure(
                        FailureKind::Rebuild,
                        ACTION,
                        "the commit went through after all",
                    ));
                }
                Err(failure) if failure.kind == FailureKind::Abort => {}
                Err(failure) => return Err(self.failed(ACTION, failure)),
            }
        }
        if self.sink.stage == Stage::Ready {
            return Ok(());
        }
        if self.sink.running() != Some(JobKind::Abort) {
            self.sink.submit(if self.sink.transactional() {
                Job::Abort
            } else {
                Job::Flush
            });
        }
        let aborted = self.wait(ACTION);
        match aborted {
            Ok(()) => {
                self.sink.ended();
                Ok(())
            }
            // Without a transaction there is nothing to undo; the records are sent again.
            Err(failure) if !self.sink.transactional() && failure.kind == FailureKind::Abort => {
                self.sink.ended();
                Ok(())
            }
            Err(failure) => Err(self.failed(ACTION, failure)),
        }
    }

    fn rewind(&mut self, to: &[(TopicPartition, Option<NextOffset>)]) -> Result<(), Failure> {
        self.source.rewind(to)
    }

    fn rebuild(&mut self) -> Result<(), Failure> {
        const ACTION: &str = "rebuild the producer";
        if self.sink.stage != Stage::Starting {
            self.sink.broken();
            self.renew_sink()?;
        }
        if self.sink.stage == Stage::Starting {
            self.wait_start()?;
        }
        self.settle(ACTION)?;
        // The new identity has ended whatever the old one left open, so the group's committed
        // offsets are final now. Only they know whether the last commit went through.
        self.source.resynchronise();
        Ok(())
    }

    /// An open transaction is not committed: the next producer under the same id aborts it. When
    /// the clients don't end in time, the process should end rather than wait for them.
    fn leave(&mut self, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        let left = self.source.close(timeout);
        let remaining = until.saturating_duration_since(Instant::now());
        let ended = self.sink.close(remaining.max(Duration::from_millis(500)));
        left && ended
    }
}

impl KafkaTransport {
    /// Waits a while for the producer's identity; the consumer is served meanwhile.
    fn wait_start(&mut self) -> Result<(), Failure> {
        let started = Instant::now();
        while self.sink.stage == Stage::Starting && started.elapsed() < PATIENCE {
            self.check_start(Duration::from_millis(5))?;
            self.sink.serve();
            if started.elapsed() >= SERVE_AFTER {
                self.source.serve_paused();
            }
            self.refused()?;
        }
        Ok(())
    }

    fn commit_offsets(&mut self, offsets: &[(TopicPartition, NextOffset)]) -> Result<(), Failure> {
        self.submit_commit(offsets)?;
        self.wait("write records")?;
        if offsets.is_empty() {
            return Ok(());
        }
        self.source.commit(offsets)
    }
}

impl Drop for KafkaTransport {
    fn drop(&mut self) {
        self.leave(CLOSE_TIMEOUT);
    }
}

/// Does `work` on a thread of its own and waits up to `timeout` for it; says whether it was done.
fn bounded(what: &str, timeout: Duration, work: impl FnOnce() + Send + 'static) -> bool {
    let (done, finished) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name(format!("close-{what}"))
        .spawn(move || {
            work();
            done.send(()).ok();
        });
    let in_time = thread.is_ok() && finished.recv_timeout(timeout).is_ok();
    if !in_time {
        tracing::warn!("the {what} did not end within {timeout:?} and is left behind");
    }
    in_time
}
