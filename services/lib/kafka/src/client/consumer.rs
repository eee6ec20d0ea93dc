//! The reading half of a lane: a consumer whose rebalances wait for the lane's answer.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::BorrowedMessage,
};

use super::{
    config,
    context::{ConsumerEvents, Rebalance, answer},
    errors, native,
    quiet::Quiet,
    status::Shared,
};
use crate::{
    batch::Batch,
    offsets::{NextOffset, RecordOffset, TopicPartition},
    settings::KafkaSettings,
    transport::{Assignment, Failure, FailureKind, Polled},
};

mod positions;
mod rebalance;

pub(crate) use positions::offsets_list;

/// How long one question about committed offsets may hold up a poll.
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait before the broker is asked again to accept a static member whose predecessor
/// it has not given up yet.
const UNRELEASED_BACKOFF: Duration = Duration::from_secs(3);

type Client = BaseConsumer<ConsumerEvents>;

/// A partition that the lane reads.
#[derive(Debug)]
struct Owned {
    partition: TopicPartition,
    /// The first offset delivered since the assignment: where "nothing committed" began.
    first: Option<i64>,
    /// Where reading goes on, as far as it is known here.
    position: Option<i64>,
}

impl Owned {
    fn new(assignment: &Assignment) -> Self {
        Self {
            partition: assignment.partition.clone(),
            first: None,
            position: assignment.committed.map(NextOffset::get),
        }
    }
}

/// Something that the lane must hear of before it reads on.
#[derive(Debug)]
enum Pending {
    /// The group changes the assignment.
    Group(Rebalance),
    /// What was committed is in doubt: the lane is made to let go of everything…
    Forget,
    /// …and is given it back at what the group says is committed.
    Resume(Vec<Owned>),
}

pub(crate) struct Source {
    client: Option<Client>,
    settings: Arc<KafkaSettings>,
    lane: usize,
    shared: Arc<Shared>,
    owned: Vec<Owned>,
    topics: Vec<Arc<str>>,
    pending: VecDeque<Pending>,
    /// The revocation that the lane was told of and has not answered.
    unanswered: Option<Answer>,
    paused: bool,
    not_before: Option<Instant>,
    quiet: Quiet,
}

#[derive(Debug)]
enum Answer {
    Group(TopicPartitionList),
    Resume,
}

impl Source {
    pub(crate) fn new(
        settings: Arc<KafkaSettings>,
        lane: usize,
        shared: Arc<Shared>,
    ) -> Result<Self, String> {
        let mut source = Self {
            client: None,
            settings,
            lane,
            shared,
            owned: Vec::new(),
            topics: Vec::new(),
            pending: VecDeque::new(),
            unanswered: None,
            paused: false,
            not_before: None,
            quiet: Quiet::default(),
        };
        source.client = Some(source.connect()?);
        Ok(source)
    }

    fn connect(&self) -> Result<Client, String> {
        let config = config::consumer(&self.settings, self.lane)?;
        let events = ConsumerEvents::new(
            self.shared.clone(),
            self.settings.security.token_file.clone(),
        );
        let client: Client = config
            .create_with_context(events)
            .map_err(|error| creation_error("consumer", &error))?;
        let topics: Vec<&str> = self.settings.topics.iter().map(String::as_str).collect();
        client
            .subscribe(&topics)
            .map_err(|error| format!("can't subscribe to {}: {error}", topics.join(", ")))?;
        Ok(client)
    }

    /// The client, which is only ever missing between two clients.
    pub(crate) fn client(&self) -> Result<&Client, Failure> {
        self.client.as_ref().ok_or_else(|| {
            errors::failure(FailureKind::Retry, "read", "the consumer is restarting")
        })
    }

    /// One step: a record into `batch`, a rebalance, or nothing. `may_assign` is false while the
    /// producer has no identity: what a predecessor left open could still be committed.
    pub(crate) fn poll(
        &mut self,
        batch: &mut Batch,
        timeout: Duration,
        may_assign: bool,
    ) -> Result<Polled, Failure> {
        self.reconnect_if_due()?;
        if !self.pending.is_empty()
            && let Some(polled) = self.next_pending(may_assign)?
        {
            return Ok(polled);
        }
        if self
            .pending
            .iter()
            .any(|pending| matches!(pending, Pending::Resume(_)))
        {
            // Nothing may be delivered before it is known where to read on.
            self.serve_paused();
            std::thread::sleep(timeout);
            return Ok(Polled::Idle);
        }
        if self.paused {
            self.resume()?;
        }
        let Self {
            client: Some(client),
            owned,
            topics,
            ..
        } = self
        else {
            std::thread::sleep(timeout);
            return Ok(Polled::Idle);
        };
        match client.poll(timeout) {
            Some(Ok(message)) => {
                let topic = intern(topics, message.topic());
                note_delivered(owned, topic, &message);
                push(batch, topic, &message);
                return Ok(Polled::Record);
            }
            Some(Err(error)) => self.read_error(&error)?,
            None => {}
        }
        self.collect_rebalances();
        Ok(self.next_pending(may_assign)?.unwrap_or(Polled::Idle))
    }

    fn collect_rebalances(&mut self) {
        let Some(client) = &self.client else { return };
        let rebalances = client.context().take_rebalances();
        self.pending
            .extend(rebalances.into_iter().map(Pending::Group));
    }

    /// Keeps the membership alive while the lane's thread waits for something else: partitions
    /// are paused, so nothing is delivered, and rebalances are kept for the next poll.
    pub(crate) fn serve_paused(&mut self) {
        if !self.paused {
            self.pause();
        }
        let Some(client) = &self.client else { return };
        for _ in 0..16 {
            match client.poll(Duration::ZERO) {
                None => break,
                Some(Err(error)) => tracing::debug!(%error, "while waiting"),
                Some(Ok(message)) => {
                    // The pause came too late for this one: it will be read again.
                    let (topic, partition) = (message.topic().to_owned(), message.partition());
                    let offset = Offset::Offset(message.offset());
                    drop(message);
                    if let Err(error) = client.seek(&topic, partition, offset, COMMITTED_TIMEOUT) {
                        tracing::error!(%error, topic, partition, "a record can't be put back");
                    }
                }
            }
        }
        self.collect_rebalances();
    }

    fn pause(&mut self) {
        let Some(client) = &self.client else { return };
        let paused = client.assignment().and_then(|all| client.pause(&all));
        match paused {
            Ok(()) => self.paused = true,
            Err(error) => tracing::warn!(%error, "partitions can't be paused"),
        }
    }

    fn resume(&mut self) -> Result<(), Failure> {
        let client = self.client()?;
        client
            .assignment()
            .and_then(|all| client.resume(&all))
            .map_err(|error| errors::failure(FailureKind::Retry, "resume", error.to_string()))?;
        self.paused = false;
        Ok(())
    }

    fn read_error(&mut self, error: &KafkaError) -> Result<(), Failure> {
        const ACTION: &str = "read";
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        let fatal = self.client.as_ref().and_then(|c| c.client().fatal_error());
        if let Some((code, text)) = fatal {
            if code == Code::UnreleasedInstanceId {
                self.quiet.warn(|| {
                    "the group has not given up this lane's predecessor yet: waiting".to_owned()
                });
                self.drop_client(UNRELEASED_BACKOFF);
                return Ok(());
            }
            let advice = errors::advice(code).unwrap_or("restart this process");
            return Err(errors::stop(ACTION, &text, advice));
        }
        if errors::is_missing_topic(code) {
            let topics = self.settings.topics.join(", ");
            self.quiet.warn(|| {
                format!(
                    "one of the topics {topics} does not exist: {}; waiting",
                    errors::CREATE_TOPIC
                )
            });
            return Ok(());
        }
        match errors::advice(code) {
            // Counted by `Shared::refused`, which knows whether it ever worked.
            Some(_) if errors::is_authentication(code) => Ok(()),
            Some(advice) => Err(errors::stop(ACTION, &code.to_string(), advice)),
            None => {
                self.shared.error(error.to_string());
                self.quiet
                    .warn(|| format!("reading is held up ({error}): waiting"));
                Ok(())
            }
        }
    }

    fn drop_client(&mut self, backoff: Duration) {
        if let Some(client) = self.client.take() {
            close(client, &self.shared, Duration::from_secs(2));
        }
        self.owned.clear();
        self.pending.clear();
        self.shared.left_group();
        self.not_before = Some(Instant::now() + backoff);
    }

    fn reconnect_if_due(&mut self) -> Result<(), Failure> {
        if self.not_before.is_some_and(|at| Instant::now() >= at) {
            self.not_before = None;
            self.shared
                .closing
                .store(false, std::sync::atomic::Ordering::Release);
            let client = self
                .connect()
                .map_err(|reason| errors::failure(FailureKind::Stop, "connect", reason))?;
            self.client = Some(client);
        }
        Ok(())
    }

    /// Leaves the group. Says whether that was done in time.
    pub(crate) fn close(&mut self, timeout: Duration) -> bool {
        self.collect_rebalances();
        let Some(client) = self.client.take() else {
            return true;
        };
        self.shared
            .closing
            .store(true, std::sync::atomic::Ordering::Release);
        // What waits for an answer would hold up the closing.
        if let Some(Answer::Group(list)) = self.unanswered.take() {
            answer(&client, false, &list).ok();
        }
        for pending in self.pending.drain(..) {
            if let Pending::Group(rebalance) = pending {
                answer(&client, rebalance.assign, &rebalance.partitions).ok();
            }
        }
        close(client, &self.shared, timeout)
    }
}

/// Drops a consumer on a thread of its own: dropping waits for the group, and has been seen to
/// wait for ever. A consumer that does not go in time is left behind; the process is about to end.
fn close(client: Client, shared: &Shared, timeout: Duration) -> bool {
    shared
        .closing
        .store(true, std::sync::atomic::Ordering::Release);
    // Closing unsubscribes too. Doing that first starts another rebalance when one is under way.
    super::bounded("consumer", timeout, move || drop(client))
}

pub(crate) fn creation_error(what: &str, error: &KafkaError) -> String {
    match error {
        // The value is left out: it may be a password.
        KafkaError::ClientConfig(_, _, name, _) if name.contains("password") => {
            format!("{what}: {name} is not acceptable")
        }
        KafkaError::ClientConfig(_, reason, name, _) => format!("{what}: {name}: {reason}"),
        KafkaError::ClientCreation(reason) => format!("{what}: {reason}"),
        other => format!("{what}: {other}"),
    }
}

/// The shared name of `topic`: a lane reads few topics, mostly the same one again.
fn intern<'t>(topics: &'t mut Vec<Arc<str>>, topic: &str) -> &'t Arc<str> {
    let index = match topics.iter().position(|known| **known == *topic) {
        Some(index) => index,
        None => {
            topics.push(topic.into());
            topics.len() - 1
        }
    };
    &topics[index]
}

fn note_delivered(owned: &mut [Owned], topic: &Arc<str>, message: &BorrowedMessage<'_>) {
    let (partition, offset) = (message.partition(), message.offset());
    if let Some(owned) = owned
        .iter_mut()
        .find(|o| o.partition.partition == partition && Arc::ptr_eq(&o.partition.topic, topic))
    {
        owned.first.get_or_insert(offset);
        owned.position = Some(offset + 1);
    }
}

fn push(batch: &mut Batch, topic: &Arc<str>, message: &BorrowedMessage<'_>) {
    batch.push(
        topic,
        message.partition(),
        RecordOffset(message.offset()),
        message.timestamp().to_millis(),
        message.key(),
        message.payload(),
        native::headers(message),
    );
}
