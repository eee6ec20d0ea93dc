//! Publishes numbered records exactly once: the number of the last one is committed, as an offset
//! of a group that has no members, in the transaction that publishes them. Whoever comes next
//! learns from it what is published, however its predecessor ended.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};

use super::{
    CLOSE_TIMEOUT, ClientHandle, ConnectError, bounded, common,
    consumer::creation_error,
    context::ConsumerEvents,
    errors,
    producer::{Job, JobKind, Sink},
    status::Shared,
};
use crate::{
    outbox::Outbox,
    settings::{Delivery, KafkaSettings},
    transport::{Failure, FailureKind},
};

/// How long one look at the brokers may take before the caller is asked whether to go on.
const SLICE: Duration = Duration::from_millis(200);

/// What is published, as the group's offset says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The last number.
    pub number: i64,
    /// What was noted beside it.
    pub mark: String,
}

/// A transactional producer, and a consumer that reads and names the group's offset.
pub struct NumberedWriter {
    sink: Sink,
    offsets: Option<BaseConsumer<ConsumerEvents>>,
    shared: Arc<Shared>,
    /// The topic under whose first partition the number is kept.
    topic: String,
}

impl NumberedWriter {
    /// Makes the clients; no broker needs to be there yet. The transactional id is that of lane 0
    /// of `settings`, whose topics are not looked at; the number is kept in its group.
    ///
    /// # Errors
    /// The settings are wrong in themselves.
    pub fn connect(settings: &KafkaSettings, topic: &str) -> Result<Self, ConnectError> {
        let mut settings = settings.clone();
        settings.delivery = Delivery::ExactlyOnce;
        let mistakes = settings.validate();
        if !mistakes.is_empty() {
            return Err(ConnectError::Settings(mistakes));
        }
        let shared = Arc::new(Shared::new());
        let mut config = common(&settings).map_err(ConnectError::Client)?;
        config
            .set("group.id", &settings.group_id)
            .set("enable.auto.commit", "false")
            // Waits for what a predecessor's transaction left open.
            .set("isolation.level", "read_committed");
        let events = ConsumerEvents::new(shared.clone(), settings.security.token_file.clone());
        let offsets = config
            .create_with_context(events)
            .map_err(|error| ConnectError::Client(creation_error("consumer", &error)))?;
        let sink =
            Sink::new(Arc::new(settings), 0, shared.clone()).map_err(ConnectError::Client)?;
        Ok(Self {
            sink,
            offsets: Some(offsets),
            shared,
            topic: topic.to_owned(),
        })
    }

    /// A handle that shows how the clients are doing.
    #[must_use]
    pub fn handle(&self) -> ClientHandle {
        ClientHandle {
            shared: self.shared.clone(),
        }
    }

    /// Waits for the producer's identity, which ends what a predecessor left open, and reads what
    /// is published; `None` if nothing ever was. `go_on` is asked while it waits.
    ///
    /// # Errors
    /// The brokers refuse, or `go_on` said no. A new writer may be made then.
    pub fn start(&mut self, go_on: &mut dyn FnMut() -> bool) -> Result<Option<Published>, Failure> {
        const ACTION: &str = "read what is published";
        self.finish(JobKind::Init, "initialise transactions", go_on)?;
        self.sink.started();
        loop {
            let mut list = TopicPartitionList::new();
            list.add_partition(&self.topic, 0);
            let answer = self
                .offsets(ACTION)?
                .committed_offsets(list, Duration::from_secs(2));
            let error = match answer {
                Ok(answer) => match answer.find_partition(&self.topic, 0) {
                    Some(element) => match (element.error(), element.offset()) {
                        (Ok(()), Offset::Offset(number)) => {
                            return Ok(Some(Published {
                                number,
                                mark: element.metadata().to_owned(),
                            }));
                        }
                        (Ok(()), _) => return Ok(None),
                        (Err(error), _) => error,
                    },
                    None => return Ok(None),
                },
                Err(error) => error,
            };
            if let Some(code) = error.rdkafka_error_code()
                && let Some(advice) = errors::advice(code)
            {
                return Err(errors::stop(ACTION, &code.to_string(), advice));
            }
            self.pause(ACTION, &error.to_string(), go_on)?;
        }
    }

    /// Publishes the records of `outbox` and notes that `number` is the last one that is published,
    /// with `mark` beside it; both or neither. `go_on` is asked while it waits.
    ///
    /// # Errors
    /// Nobody knows whether it was done: drop this writer, make a new one, and
    /// [`start`](Self::start) it.
    pub fn publish(
        &mut self,
        outbox: &Outbox,
        number: i64,
        mark: &str,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<(), Failure> {
        const ACTION: &str = "send";
        self.sink.begin()?;
        for record in outbox.records() {
            while !self.sink.send(&record)? {
                self.sink.serve();
                if self.sink.has_failed() {
                    return Err(self.explain(errors::failure(
                        FailureKind::Abort,
                        ACTION,
                        "the queue is full",
                    )));
                }
                self.pause(ACTION, "the producer's queue is full", go_on)?;
            }
        }
        let consumer = self.offsets(ACTION)?;
        let member = consumer.group_metadata().ok_or_else(|| {
            errors::failure(FailureKind::Rebuild, ACTION, "there is no group to name")
        })?;
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(&self.topic, 0);
        element.set_metadata(mark);
        element
            .set_offset(Offset::Offset(number))
            .map_err(|error| errors::failure(FailureKind::Stop, ACTION, error.to_string()))?;
        self.sink.submit(Job::SendOffsets(list, member));
        self.finish(JobKind::SendOffsets, "send offsets to transaction", go_on)?;
        self.sink.submit(Job::Commit);
        self.finish(JobKind::Commit, "commit transaction", go_on)?;
        self.sink.ended();
        Ok(())
    }

    /// Lets an idle writer's clients refresh their tokens and hear of errors.
    pub fn serve(&self) {
        self.sink.serve();
        if let Some(consumer) = &self.offsets {
            // It reads nothing, so nothing can come.
            drop(consumer.poll(Duration::ZERO));
        }
    }

    fn offsets(&self, action: &'static str) -> Result<&BaseConsumer<ConsumerEvents>, Failure> {
        self.offsets
            .as_ref()
            .ok_or_else(|| errors::failure(FailureKind::Rebuild, action, "the writer has ended"))
    }

    /// Waits for the running job; makes it again where the client asks for that.
    fn finish(
        &mut self,
        kind: JobKind,
        action: &'static str,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<(), Failure> {
        let mut asked = Instant::now();
        loop {
            match self.sink.outcome(Duration::from_millis(5)) {
                Some(Ok(())) => return Ok(()),
                Some(Err(failure)) if failure.kind == FailureKind::Retry => {
                    std::thread::sleep(Duration::from_millis(50));
                    match kind {
                        JobKind::Init => self.sink.submit(Job::Init),
                        JobKind::Commit => self.sink.submit(Job::Commit),
                        _ => return Err(self.explain(failure)),
                    }
                }
                Some(Err(failure)) => return Err(self.explain(failure)),
                None => {}
            }
            self.serve();
            if let Some(reason) = self.shared.take_refused() {
                return Err(errors::failure(FailureKind::Stop, "connect", reason));
            }
            if self.sink.hangs() {
                let reason = "the client does not return";
                return Err(errors::failure(FailureKind::Rebuild, action, reason));
            }
            if asked.elapsed() >= SLICE {
                asked = Instant::now();
                if !go_on() {
                    return Err(given_up(action));
                }
            }
        }
    }

    fn pause(
        &self,
        action: &'static str,
        reason: &str,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<(), Failure> {
        tracing::debug!(action, reason, "waiting");
        self.serve();
        std::thread::sleep(SLICE);
        if go_on() {
            Ok(())
        } else {
            Err(given_up(action))
        }
    }

    /// The record that could not be written explains more than the call that failed for it.
    fn explain(&self, failure: Failure) -> Failure {
        self.sink.explain_failure(failure.action).unwrap_or(failure)
    }
}

fn given_up(action: &'static str) -> Failure {
    errors::failure(FailureKind::Rebuild, action, "given up")
}

impl Drop for NumberedWriter {
    fn drop(&mut self) {
        self.sink.close(CLOSE_TIMEOUT);
        if let Some(consumer) = self.offsets.take() {
            self.shared
                .closing
                .store(true, std::sync::atomic::Ordering::Release);
            bounded("consumer", CLOSE_TIMEOUT, move || drop(consumer));
        }
    }
}
