//! The reading half of a lane: a consumer whose rebalances wait for the lane's answer.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata},
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
    fn client(&self) -> Result<&Client, Failure> {
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
        if self.paused {
            self.resume()?;
        }
        if !self.pending.is_empty()
            && let Some(polled) = self.next_pending(may_assign)?
        {
            return Ok(polled);
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

    fn next_pending(&mut self, may_assign: bool) -> Result<Option<Polled>, Failure> {
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
        self.quiet
            .warn(|| format!("the group's committed offsets can't be read yet ({error}): waiting"));
        Ok(None)
    }

    fn assign(&mut self, assignments: &[Assignment]) -> Result<(), Failure> {
        // Without a committed offset the client applies its reset policy.
        let list = list(
            assignments
                .iter()
                .map(|a| (&a.partition, a.committed.map(NextOffset::get))),
        );
        answer(self.client()?, true, &list).map_err(|error| {
            errors::failure(FailureKind::Stop, "take partitions", error.to_string())
        })?;
        if !matches!(
            self.client()?.rebalance_protocol(),
            rdkafka::consumer::RebalanceProtocol::Cooperative
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

    /// Reads on from other positions.
    pub(crate) fn rewind(
        &mut self,
        to: &[(TopicPartition, Option<NextOffset>)],
    ) -> Result<(), Failure> {
        let targets: Vec<_> = to
            .iter()
            .map(|(partition, committed)| Assignment {
                partition: partition.clone(),
                committed: *committed,
            })
            .collect();
        self.seek(&targets)
    }

    fn seek(&mut self, targets: &[Assignment]) -> Result<(), Failure> {
        const ACTION: &str = "seek";
        let mut moves = Vec::with_capacity(targets.len());
        for target in targets {
            let Some(owned) = self
                .owned
                .iter_mut()
                .find(|o| o.partition == target.partition)
            else {
                continue;
            };
            // Where nothing is committed, reading began at the first record that was delivered.
            // "The reset policy" again could mean the end, and records would be lost.
            let to = target.committed.map(NextOffset::get).or(owned.first);
            if to.is_some() && to != owned.position {
                owned.position = to;
                moves.push((&target.partition, to));
            }
        }
        let mut list = list(moves);
        if list.count() == 0 {
            return Ok(());
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let sought = self
                .client()?
                .seek_partitions(list, Duration::from_secs(5))
                .map_err(|error| errors::failure(FailureKind::Retry, ACTION, error.to_string()))?;
            let mut again = Vec::new();
            for element in sought.elements() {
                match element.error().map_err(|e| e.rdkafka_error_code()) {
                    Ok(()) => {}
                    // Not fetching yet, or no longer ours: the first passes, the second is told
                    // by the revocation that is on its way.
                    Err(Some(Code::UnknownPartition)) => {}
                    Err(Some(Code::State | Code::PreviousInProgress))
                        if Instant::now() < deadline =>
                    {
                        again.push((
                            element.topic().to_owned(),
                            element.partition(),
                            element.offset(),
                        ));
                    }
                    Err(code) => {
                        return Err(errors::failure(
                            FailureKind::Retry,
                            ACTION,
                            format!("{}[{}]: {code:?}", element.topic(), element.partition()),
                        ));
                    }
                }
            }
            if again.is_empty() {
                return Ok(());
            }
            list = TopicPartitionList::new();
            for (topic, partition, offset) in again {
                list.add_partition(&topic, partition)
                    .set_offset(offset)
                    .ok();
            }
            std::thread::sleep(Duration::from_millis(5));
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

    /// Who this lane is in the group now, for the transaction's offsets; `None` when it is out of
    /// the group. A name from before would be refused, and an empty one would not be checked at all.
    pub(crate) fn membership(&self) -> Option<ConsumerGroupMetadata> {
        let client = self.client.as_ref()?;
        if client.assignment_lost() {
            return None;
        }
        let metadata = client.group_metadata()?;
        native::is_member(client.client().native_ptr()).then_some(metadata)
    }

    /// Commits positions without a transaction.
    pub(crate) fn commit(&self, offsets: &[(TopicPartition, NextOffset)]) -> Result<(), Failure> {
        const ACTION: &str = "commit offsets";
        let list = offsets_list(offsets);
        let Err(error) = self
            .client()?
            .commit(&list, rdkafka::consumer::CommitMode::Sync)
        else {
            return Ok(());
        };
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        let kind = match code {
            Code::RequestTimedOut
            | Code::OperationTimedOut
            | Code::BrokerTransportFailure
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::WaitingForCoordinator => FailureKind::Retry,
            _ => FailureKind::Abort,
        };
        Err(errors::code_failure(ACTION, code, kind))
    }

    /// Keeps the membership alive while the lane's thread waits for something else: partitions
    /// are paused, so nothing is delivered, and rebalances are kept for the next poll.
    pub(crate) fn serve_paused(&mut self) {
        let Some(client) = &self.client else { return };
        if !self.paused {
            let partitions = list(self.owned.iter().map(|o| (&o.partition, None)));
            if let Err(error) = client.pause(&partitions) {
                tracing::warn!(%error, "partitions can't be paused");
            }
            self.paused = true;
        }
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

    fn resume(&mut self) -> Result<(), Failure> {
        let partitions = list(self.owned.iter().map(|o| (&o.partition, None)));
        self.client()?
            .resume(&partitions)
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
    super::bounded("consumer", timeout, move || {
        client.unsubscribe();
        drop(client);
    })
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

fn list<'a>(
    partitions: impl IntoIterator<Item = (&'a TopicPartition, Option<i64>)>,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in partitions {
        let mut element = list.add_partition(&partition.topic, partition.partition);
        if let Some(offset) = offset {
            // Only a negative offset is refused, and none comes from a broker or a record.
            element.set_offset(Offset::Offset(offset)).ok();
        }
    }
    list
}

pub(crate) fn offsets_list(offsets: &[(TopicPartition, NextOffset)]) -> TopicPartitionList {
    list(
        offsets
            .iter()
            .map(|(partition, next)| (partition, Some(next.get()))),
    )
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
