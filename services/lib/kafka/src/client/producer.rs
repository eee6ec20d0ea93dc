//! The writing half of a lane: a producer, and a thread that makes its blocking calls.
//!
//! A transactional call can block for as long as the brokers are away. It runs on a helper thread
//! with no time limit of its own, as librdkafka asks for; the lane's thread waits for it, and while
//! it waits it serves the producer's events (an abort never ends without that) and the consumer.

use std::{
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rdkafka::{
    TopicPartitionList,
    consumer::ConsumerGroupMetadata,
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
    util::Timeout,
};

use super::{
    config, consumer::creation_error, context::ProducerEvents, errors, native, status::Shared,
};
use crate::{
    outbox::OutRecord,
    settings::{Delivery, KafkaSettings},
    transport::{Failure, FailureKind},
};

/// How long a failed transaction waits for what was queued to be written or to fail. Its reports say
/// which record it was; and aborting before the broker has heard of the transaction's partitions can
/// break the producer.
const DRAIN_BEFORE_ABORT: Duration = Duration::from_secs(1);
/// How much longer than the transaction its offsets may take, for a slow machine.
const OVER_TIME: Duration = Duration::from_secs(2);
/// How long one try at getting an identity may take; it goes on in the background.
const INIT_SLICE: Duration = Duration::from_secs(5);

type Client = BaseProducer<ProducerEvents>;

/// Where the producer's transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has no identity yet.
    Starting,
    /// No transaction is open.
    Ready,
    /// Records may be sent.
    Open,
    /// The offsets are part of the transaction.
    OffsetsSent,
    /// Only a new producer helps.
    Broken,
}

/// A call that may block.
pub(crate) enum Job {
    Init,
    /// Adds these offsets to the transaction, then commits it.
    SendOffsets(TopicPartitionList, ConsumerGroupMetadata),
    Commit,
    Abort,
    /// Waits until everything is written, without a transaction.
    Flush,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobKind {
    Init,
    SendOffsets,
    Commit,
    Abort,
    Flush,
}

pub(crate) struct Sink {
    settings: Arc<KafkaSettings>,
    lane: usize,
    shared: Arc<Shared>,
    worker: Option<Worker>,
    pub(crate) stage: Stage,
}

struct Worker {
    client: Arc<Client>,
    jobs: Sender<Job>,
    done: Receiver<News>,
    running: Option<JobKind>,
    /// Of the job that is running still, as far as anybody asked.
    outcome: Option<Result<(), Failure>>,
    /// When the last job was submitted.
    since: Instant,
    thread: JoinHandle<()>,
}

/// What a worker has to tell.
enum News {
    /// The offsets are in the transaction, and the commit begins.
    OffsetsSent,
    /// The job is done.
    Done(Result<(), Failure>),
}

impl Sink {
    pub(crate) fn new(
        settings: Arc<KafkaSettings>,
        lane: usize,
        shared: Arc<Shared>,
    ) -> Result<Self, String> {
        let mut sink = Self {
            settings,
            lane,
            shared,
            worker: None,
            stage: Stage::Broken,
        };
        sink.renew()?;
        Ok(sink)
    }

    pub(crate) fn transactional(&self) -> bool {
        self.settings.delivery == Delivery::ExactlyOnce
    }

    /// Replaces the producer and asks for an identity.
    pub(crate) fn renew(&mut self) -> Result<(), String> {
        self.close(Duration::from_secs(2));
        let config = config::producer(&self.settings, self.lane)?;
        let events = ProducerEvents::new(
            self.shared.clone(),
            self.settings.security.token_file.clone(),
        );
        let client: Client = config
            .create_with_context(events)
            .map_err(|error| creation_error("producer", &error))?;
        self.worker = Some(Worker::start(Arc::new(client), self.lane)?);
        self.stage = Stage::Starting;
        if self.transactional() {
            self.submit(Job::Init);
        } else {
            self.started();
        }
        Ok(())
    }

    pub(crate) fn started(&mut self) {
        self.stage = Stage::Ready;
        self.shared.set_producer_ready(true);
    }

    pub(crate) fn broken(&mut self) {
        self.stage = Stage::Broken;
        self.shared.set_producer_ready(false);
    }

    fn worker(&self, action: &'static str) -> Result<&Worker, Failure> {
        self.worker
            .as_ref()
            .ok_or_else(|| errors::failure(FailureKind::Rebuild, action, "there is no producer"))
    }

    pub(crate) fn running(&self) -> Option<JobKind> {
        self.worker.as_ref().and_then(|worker| worker.running)
    }

    /// Whether the offsets are on their way for longer than the transaction may last. When the
    /// group's coordinator leaves the cluster, the client can forget to look for the next one, and
    /// keeps to no time limit. Nothing was committed yet, so a new producer may take over; the
    /// call's thread and client are left behind until the call returns.
    pub(crate) fn hangs(&self) -> bool {
        let limit = Duration::from_millis(self.settings.transaction_timeout_ms.into());
        self.worker.as_ref().is_some_and(|worker| {
            worker.running == Some(JobKind::SendOffsets)
                && worker.since.elapsed() > limit + OVER_TIME
        })
    }

    pub(crate) fn submit(&mut self, job: Job) {
        if let Some(worker) = &mut self.worker {
            worker.running = Some(job.kind());
            worker.since = Instant::now();
            // A worker that is gone is noticed when its answer is waited for.
            worker.jobs.send(job).ok();
        }
    }

    /// Whether no job is running, or its outcome is known; waits up to `timeout` for that.
    pub(crate) fn is_done(&mut self, timeout: Duration) -> bool {
        let Some(worker) = &mut self.worker else {
            return true;
        };
        if worker.running.is_none() || worker.outcome.is_some() {
            return true;
        }
        match worker.done.recv_timeout(timeout) {
            Ok(News::Done(outcome)) => worker.outcome = Some(outcome),
            Ok(News::OffsetsSent) => {
                worker.running = Some(JobKind::Commit);
                self.stage = Stage::OffsetsSent;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let (action, reason) = ("call the producer", "its thread ended");
                let failure = errors::failure(FailureKind::Rebuild, action, reason);
                worker.outcome = Some(Err(failure));
            }
        }
        worker.outcome.is_some()
    }

    /// The outcome of the running job, if it comes within `timeout`.
    pub(crate) fn outcome(&mut self, timeout: Duration) -> Option<Result<(), Failure>> {
        if !self.is_done(timeout) {
            return None;
        }
        let worker = self.worker.as_mut()?;
        worker.running = None;
        worker.outcome.take()
    }

    /// Serves the producer's events: failed deliveries, errors, tokens.
    pub(crate) fn serve(&self) {
        if let Some(worker) = &self.worker {
            worker.client.poll(Duration::ZERO);
        }
    }

    pub(crate) fn begin(&mut self) -> Result<(), Failure> {
        const ACTION: &str = "begin transaction";
        if self.transactional() {
            self.worker(ACTION)?
                .client
                .begin_transaction()
                .map_err(|error| errors::transaction_failure(ACTION, &error))?;
        }
        self.stage = Stage::Open;
        Ok(())
    }

    /// Queues one record. `Ok(false)`: the queue is full, try again later.
    pub(crate) fn send(&self, record: &OutRecord<'_>) -> Result<bool, Failure> {
        const ACTION: &str = "send";
        let client = &self.worker(ACTION)?.client;
        let mut queued = BaseRecord::<[u8], [u8]>::to(record.topic);
        queued.key = record.key;
        queued.payload = record.payload;
        queued.headers = headers(record);
        let Err((error, _)) = client.send(queued) else {
            return Ok(true);
        };
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        if code == Code::QueueFull {
            return Ok(false);
        }
        let topic = record.topic;
        if errors::is_missing_topic(code) {
            let what = format!("output topic {topic} does not exist");
            return Err(errors::stop(ACTION, &what, errors::CREATE_TOPIC));
        }
        if code == Code::MessageSizeTooLarge {
            let bytes = record.payload.map_or(0, <[u8]>::len);
            return Err(errors::too_large(ACTION, topic, bytes));
        }
        Err(self.explain_failure(ACTION).unwrap_or_else(|| {
            let kind = match client.client().fatal_error() {
                Some(_) => FailureKind::Rebuild,
                // The transaction has failed already: the client takes no more records for it.
                None => FailureKind::Abort,
            };
            errors::code_failure(ACTION, code, kind)
        }))
    }

    /// Whether a record of this transaction could not be written.
    pub(crate) fn has_failed(&self) -> bool {
        self.worker
            .as_ref()
            .is_some_and(|worker| worker.client.context().has_failed())
    }

    /// Waits for the report of the record for which a call failed: the client fails the call first,
    /// and hands the report over a moment later, to whoever serves its events.
    pub(crate) fn await_report(&self) {
        let Some(Worker { client, .. }) = &self.worker else {
            return;
        };
        let until = Instant::now() + DRAIN_BEFORE_ABORT;
        while self.stage != Stage::Starting
            && !self.has_failed()
            && client.in_flight_count() > 0
            && Instant::now() < until
        {
            client.poll(Duration::from_millis(2));
        }
    }

    /// Why the transaction can't be committed, when a record could not be written.
    pub(crate) fn explain_failure(&self, action: &'static str) -> Option<Failure> {
        let client = &self.worker.as_ref()?.client;
        let failure = client.context().failure()?;
        if failure.code == Code::MessageSizeTooLarge {
            return Some(errors::too_large(action, &failure.topic, failure.bytes));
        }
        let what = format!(
            "a record for {} could not be written: {}",
            failure.topic, failure.code
        );
        Some(if let Some(advice) = errors::advice(failure.code) {
            errors::stop(action, &what, advice)
        } else if errors::is_missing_topic(failure.code) {
            errors::stop(action, &what, errors::CREATE_TOPIC)
        } else if client.client().fatal_error().is_some() {
            errors::failure(FailureKind::Rebuild, action, what)
        } else {
            errors::failure(FailureKind::Abort, action, what)
        })
    }

    /// The transaction is over: what failed in it is forgotten.
    pub(crate) fn ended(&mut self) {
        self.stage = Stage::Ready;
        if let Some(worker) = &self.worker {
            worker.client.context().forget_failure();
        }
    }

    /// Ends the producer. Says whether that was done in time.
    pub(crate) fn close(&mut self, timeout: Duration) -> bool {
        self.shared.set_producer_ready(false);
        let Some(worker) = self.worker.take() else {
            return true;
        };
        super::bounded("producer", timeout, move || {
            let Worker {
                client,
                jobs,
                thread,
                ..
            } = worker;
            drop((client, jobs));
            if thread.join().is_err() {
                tracing::warn!("the producer's thread panicked");
            }
        })
    }
}

impl Job {
    fn kind(&self) -> JobKind {
        match self {
            Self::Init => JobKind::Init,
            Self::SendOffsets(..) => JobKind::SendOffsets,
            Self::Commit => JobKind::Commit,
            Self::Abort => JobKind::Abort,
            Self::Flush => JobKind::Flush,
        }
    }
}

impl Worker {
    fn start(client: Arc<Client>, lane: usize) -> Result<Self, String> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (outbox, done) = mpsc::channel();
        let owned = client.clone();
        let thread = std::thread::Builder::new()
            .name(format!("lane-{lane}-producer"))
            .spawn(move || {
                while let Ok(job) = inbox.recv() {
                    let outcome = run(&owned, job, || outbox.send(News::OffsetsSent).is_ok());
                    if outbox.send(News::Done(outcome)).is_err() {
                        break;
                    }
                }
            })
            .map_err(|error| format!("producer: a thread can't be started: {error}"))?;
        Ok(Self {
            client,
            jobs,
            done,
            running: None,
            outcome: None,
            since: Instant::now(),
            thread,
        })
    }
}

/// Does a job. `offsets_sent` is called between its two halves; nobody listens if it says no.
fn run(client: &Client, job: Job, offsets_sent: impl FnOnce() -> bool) -> Result<(), Failure> {
    let (action, result) = match job {
        Job::Init => (
            "initialise transactions",
            client.init_transactions(INIT_SLICE),
        ),
        Job::SendOffsets(offsets, member) => {
            // The offsets travel while the last records are still being written.
            let sent = client.send_offsets_to_transaction(&offsets, &member, Timeout::Never);
            match sent {
                Ok(()) if offsets_sent() => return commit(client),
                _ => ("send offsets to transaction", sent),
            }
        }
        Job::Commit => return commit(client),
        Job::Flush => return written(client, "write records"),
        Job::Abort => {
            drain(client, Some(Instant::now() + DRAIN_BEFORE_ABORT));
            (
                "abort transaction",
                client.abort_transaction(Timeout::Never),
            )
        }
    };
    result.map_err(|error: KafkaError| errors::transaction_failure(action, &error))
}

fn commit(client: &Client) -> Result<(), Failure> {
    const ACTION: &str = "commit transaction";
    written(client, ACTION)?;
    client
        .commit_transaction(Timeout::Never)
        .map_err(|error| errors::transaction_failure(ACTION, &error))
}

/// Waits until everything is written, or something can't be.
fn written(client: &Client, action: &'static str) -> Result<(), Failure> {
    drain(client, None);
    if client.context().has_failed() {
        let reason = "a record could not be written";
        return Err(errors::failure(FailureKind::Abort, action, reason));
    }
    Ok(())
}

/// Waits until everything is written, something has failed, or `until` has come.
fn drain(client: &Client, until: Option<Instant>) {
    while !native::flush(client.client().native_ptr(), Duration::from_millis(50)) {
        if client.context().has_failed() || until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
    }
}

fn headers(record: &OutRecord<'_>) -> Option<OwnedHeaders> {
    let count = record.headers.spans.len();
    if count == 0 {
        return None;
    }
    let list = OwnedHeaders::new_with_capacity(count);
    Some(record.headers.iter().fold(list, |list, (key, value)| {
        list.insert(Header { key, value })
    }))
}
