//! Topics made, filled and read to their ends by plain clients that know nothing of lanes.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer},
};

use crate::RealKafka;

const PATIENCE: Duration = Duration::from_secs(60);

/// Which records a reader sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Only those of committed transactions, and those outside any.
    Committed,
    /// All that were ever written, those of aborted transactions too.
    Uncommitted,
}

impl Isolation {
    /// The name that the client library uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "read_committed",
            Self::Uncommitted => "read_uncommitted",
        }
    }
}

/// A record that was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The partition it was in.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its key; empty when it has none.
    pub key: Vec<u8>,
    /// Its value; empty for a tombstone.
    pub value: Vec<u8>,
}

/// Topics of a cluster, as a test handles them.
pub trait Topics {
    /// The addresses of the plain listener.
    fn addresses(&self) -> &str;

    /// A name for a topic, group or transaction that no other case and no other run uses.
    #[must_use]
    fn name(&self, purpose: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        format!("{purpose}-{process}-{number}")
    }

    /// Makes a topic of a fresh name, replicated as the cluster does by default, and waits until
    /// every partition has a leader.
    ///
    /// # Errors
    /// The cluster refused, or was not ready in time.
    fn create_topic(&self, purpose: &str, partitions: i32) -> anyhow::Result<String> {
        self.create_topic_with(purpose, partitions, &[])
    }

    /// The same with settings of its own: names and values.
    ///
    /// # Errors
    /// The cluster refused, or was not ready in time.
    fn create_topic_with(
        &self,
        purpose: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<String> {
        let name = self.name(purpose);
        let admin: AdminClient<DefaultClientContext> = client(self.addresses()).create()?;
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(-1));
        let topic = settings
            .iter()
            .fold(topic, |topic, (name, value)| topic.set(name, value));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let made = pollster::block_on(admin.create_topics([&topic], &options))?;
        for result in made {
            result.map_err(|(topic, code)| anyhow::anyhow!("create topic {topic}: {code}"))?;
        }
        let begin = Instant::now();
        loop {
            let metadata = admin
                .inner()
                .fetch_metadata(Some(&name), Duration::from_secs(5))?;
            let ready = metadata.topics().iter().all(|topic| {
                topic.error().is_none()
                    && topic.partitions().len() == usize::try_from(partitions).unwrap_or_default()
                    && topic.partitions().iter().all(|p| p.leader() >= 0)
            });
            if ready {
                return Ok(name);
            }
            ensure!(begin.elapsed() < PATIENCE, "topic {name} has no leaders");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Writes records in order and waits until all are acknowledged.
    ///
    /// # Errors
    /// A record could not be written.
    fn produce<'r>(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = (&'r [u8], &'r [u8])>,
    ) -> anyhow::Result<()>
    where
        Self: Sized,
    {
        let producer: BaseProducer = client(self.addresses())
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("message.max.bytes", "100000000")
            .create()?;
        for (key, value) in records {
            let mut record = BaseRecord::to(topic).key(key).payload(value);
            while let Err((error, back)) = producer.send(record) {
                ensure!(
                    error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull),
                    "produce to {topic}: {error}"
                );
                producer.poll(Duration::from_millis(5));
                record = back;
            }
        }
        producer.flush(PATIENCE).context("flush what was produced")
    }

    /// Reads a topic from its beginning to its end as of now, as one sees it under `isolation`:
    /// a transaction that is still open hides what follows it from a reader of committed records.
    /// Records of one partition come in order.
    ///
    /// # Errors
    /// The end was not reached in time.
    fn read_all(&self, topic: &str, isolation: Isolation) -> anyhow::Result<Vec<Seen>> {
        let consumer: BaseConsumer = client(self.addresses())
            .set("group.id", "nobody")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "20")
            .set("isolation.level", isolation.as_str())
            .create()?;
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
        let partitions = metadata.topics().iter().flat_map(|t| t.partitions());
        let mut assignment = TopicPartitionList::new();
        for partition in partitions {
            assignment.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
        }
        consumer.assign(&assignment)?;
        let mut open: Vec<i32> = assignment
            .elements()
            .iter()
            .map(|at| at.partition())
            .collect();
        ensure!(!open.is_empty(), "there is no topic {topic}");
        let mut seen = Vec::new();
        let begin = Instant::now();
        while !open.is_empty() {
            ensure!(
                begin.elapsed() < PATIENCE,
                "the end of {topic} was not reached; {} records were read",
                seen.len()
            );
            match consumer.poll(Duration::from_millis(200)) {
                None => {}
                Some(Ok(record)) => seen.push(Seen {
                    partition: record.partition(),
                    offset: record.offset(),
                    key: record.key().unwrap_or_default().to_vec(),
                    value: record.payload().unwrap_or_default().to_vec(),
                }),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.retain(|other| *other != partition);
                }
                // The client repairs what it can by itself; the deadline catches the rest.
                Some(Err(_)) => {}
            }
        }
        Ok(seen)
    }

    /// Reads a topic again and again until `enough` says so, at most for `patience`; answers what
    /// was read last, so that the caller's assertion shows what was missing.
    ///
    /// # Errors
    /// The topic can't be read.
    fn read_until(
        &self,
        topic: &str,
        isolation: Isolation,
        patience: Duration,
        mut enough: impl FnMut(&[Seen]) -> bool,
    ) -> anyhow::Result<Vec<Seen>>
    where
        Self: Sized,
    {
        let begin = Instant::now();
        loop {
            let seen = self.read_all(topic, isolation)?;
            if enough(&seen) || begin.elapsed() > patience {
                return Ok(seen);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Topics for RealKafka {
    fn addresses(&self) -> &str {
        self.bootstrap()
    }
}

fn client(addresses: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", addresses);
    config
}
