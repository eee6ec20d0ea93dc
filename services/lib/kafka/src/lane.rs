//! The state machine of one lane: read, process, send, commit; and what to do when a step fails.
//!
//! Each [`step`](Lane::step) makes one call that may block, so that a lane that waits for a broker
//! still turns, still stops when it is asked to, and can be simulated.

use std::time::Duration;

use self::estimate::Estimate;
use crate::{
    batch::Batch,
    clock::{Clock, StopFlag, SystemClock},
    ledger::{Ledger, Position},
    observer::{Observer, Stage},
    offsets::{NextOffset, TopicPartition},
    outbox::Outbox,
    transport::{Failure, Processor, Transport},
};

mod estimate;
mod recovery;
mod settings;
mod work;

pub use settings::LaneSettings;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There was nothing to do, or a wait after a failure is not over.
    Idle,
    /// Something small: records read that don't fill a batch yet, a change of partitions, a
    /// position set back, a call that must be made again.
    Turned,
    /// A batch of `records` was processed and handed to the producer.
    Worked {
        /// Input records.
        records: usize,
    },
    /// A transaction was committed.
    Committed {
        /// Input records in it.
        records: usize,
        /// From its opening to its commit.
        since_begin: Duration,
        /// The commit, its retries included.
        duration: Duration,
    },
    /// The transaction was aborted, or there was none to abort.
    Aborted,
    /// The producer was replaced.
    Rebuilt,
    /// The lane has left the group. Another step does nothing.
    Stopped(Ended),
}

/// How a lane ended that was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything that it had read is committed.
    Committed,
    /// What it had read last is undone, and will be read again by whoever gets its partitions.
    Undone,
}

/// The call that the next step makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Read,
    Begin,
    Process,
    Send,
    Commit,
    /// Read and process what follows, while a commit is under way.
    Ahead,
    Abort,
    Rewind,
    Rebuild,
    Release,
    Leave,
    Nothing,
}

/// The open transaction.
#[derive(Clone, Copy, Debug)]
struct Transaction {
    opened: Duration,
    commit_at: Duration,
    records: usize,
}

/// When the last commit was begun and done, and how long commits take.
#[derive(Clone, Copy, Debug)]
struct Commit {
    began: Duration,
    ended: Duration,
    takes: Estimate,
}

#[derive(Debug)]
struct Revocation {
    partitions: Vec<TopicPartition>,
    lost: bool,
}

/// One thread's worth of work: a transport, a processor, and the state between them.
pub struct Lane<T, P> {
    transport: T,
    processor: P,
    settings: LaneSettings,
    clock: Box<dyn Clock + Send>,
    observer: Box<dyn Observer + Send>,

    next: Next,
    batch: Batch,
    outbox: Outbox,
    /// Records that are processed already, and no longer in the batch: the outbox waits for a transaction.
    prepared: usize,
    /// When the first of them was read.
    prepared_began: Duration,
    ledger: Ledger,
    transaction: Option<Transaction>,
    /// What the commit that is under way commits.
    committing: Vec<(TopicPartition, NextOffset)>,
    /// What the group waits for this lane to let go of.
    revocation: Option<Revocation>,
    /// Where reading goes on once the transaction is aborted.
    rewind_to: Vec<Position>,
    /// Why the producer must be replaced.
    broken: String,

    batch_began: Duration,
    commit_began: Option<Duration>,
    last_commit: Option<Commit>,
    not_before: Duration,
    /// Failures of the same call in a row.
    failures: u32,
    /// Transactions undone since the last commit.
    undone_in_a_row: u32,
    stop_by: Option<Duration>,
    ended: Ended,
}

impl<T: Transport, P: Processor> Lane<T, P> {
    /// A lane whose processor writes to `topics`, by their index.
    #[must_use]
    pub fn new(transport: T, processor: P, topics: Vec<String>, settings: LaneSettings) -> Self {
        Self {
            transport,
            processor,
            settings,
            clock: Box::new(SystemClock::default()),
            observer: Box::new(()),
            next: Next::Read,
            batch: Batch::default(),
            outbox: Outbox::new(topics),
            prepared: 0,
            prepared_began: Duration::ZERO,
            ledger: Ledger::default(),
            transaction: None,
            committing: Vec::new(),
            revocation: None,
            rewind_to: Vec::new(),
            broken: String::new(),
            batch_began: Duration::ZERO,
            commit_began: None,
            last_commit: None,
            not_before: Duration::ZERO,
            failures: 0,
            undone_in_a_row: 0,
            stop_by: None,
            ended: Ended::Committed,
        }
    }

    /// Uses another clock than the machine's.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock + Send + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Tells `observer` what happens.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Observer + Send + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// The transport and the processor, for what they alone can tell.
    pub fn parts(&mut self) -> (&mut T, &mut P) {
        (&mut self.transport, &mut self.processor)
    }

    /// Works until `stop` is set, then finishes or aborts what is open, commits, and leaves.
    ///
    /// # Errors
    /// A failure of kind [`FailureKind::Stop`](crate::FailureKind::Stop): nothing that this process
    /// does will help. The open transaction was aborted if that was still possible.
    pub fn run(&mut self, stop: &StopFlag) -> Result<Ended, Failure> {
        loop {
            if stop.is_set() {
                self.stop();
            }
            match self.step() {
                Ok(Step::Stopped(ended)) => return Ok(ended),
                Ok(_) => {}
                Err(failure) => {
                    // Readers of the output would wait for this transaction until it times out.
                    if self.transaction.is_some()
                        && let Err(abort) = self.transport.abort()
                    {
                        tracing::warn!(%abort, "the open transaction is left to the broker");
                    }
                    self.leave(self.clock.now());
                    return Err(failure);
                }
            }
        }
    }

    /// From now on nothing more is read; the steps that follow finish what is open and leave.
    pub fn stop(&mut self) {
        if self.stop_by.is_none() {
            self.stop_by = Some(self.clock.now() + self.settings.stop_timeout);
        }
    }

    /// Does the next bounded piece of work.
    ///
    /// # Errors
    /// A failure of kind [`FailureKind::Stop`](crate::FailureKind::Stop).
    pub fn step(&mut self) -> Result<Step, Failure> {
        self.observer.heartbeat();
        let now = self.clock.now();
        let stopping = self.stop_by.is_some();
        if self.stop_by.is_some_and(|by| now >= by) && self.next != Next::Nothing {
            self.next = Next::Leave;
        } else if now < self.not_before && !(stopping && self.next == Next::Read) {
            let nap = (self.not_before - now).min(self.settings.poll_timeout);
            self.clock.sleep(nap);
            self.observer.waited(Stage::Backoff, nap);
            return Ok(Step::Idle);
        }
        match self.next {
            Next::Read => self.read(),
            Next::Begin => self.begin(),
            Next::Process => self.process(),
            Next::Send => self.send(),
            Next::Commit => self.commit(),
            Next::Ahead => self.ahead(),
            Next::Abort => self.abort(),
            Next::Rewind => self.rewind(),
            Next::Rebuild => self.rebuild(),
            Next::Release => self.release(),
            Next::Leave => {
                self.leave(now);
                Ok(Step::Stopped(self.ended))
            }
            Next::Nothing => Ok(Step::Stopped(self.ended)),
        }
    }

    fn leave(&mut self, now: Duration) {
        let left = self.stop_by.map_or(self.settings.stop_timeout, |by| {
            by.saturating_sub(now).max(Duration::from_secs(1))
        });
        let in_time = self.transport.leave(left);
        self.next = Next::Nothing;
        if self.transaction.is_some() || self.has_unsent() {
            self.ended = Ended::Undone;
        }
        match self.ended {
            _ if !in_time => tracing::warn!("the lane left without an answer of the group"),
            Ended::Committed => tracing::info!("the lane has left; everything is committed"),
            Ended::Undone => {
                tracing::warn!("the lane has left; what it read last will be read again");
            }
        }
    }
}
