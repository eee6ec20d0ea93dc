//! Reads committed records outside any group, for tools and checks; and sets a group's beginning.

use std::time::{Duration, Instant};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::KafkaError,
};

use crate::{
    client::{self, ConnectError},
    settings::KafkaSettings,
};

/// A consumer that reads what is committed from wherever it is assigned to, and commits nothing.
///
/// # Errors
/// The settings are wrong in themselves; a broker that is away is no error.
pub fn reader(settings: &KafkaSettings) -> Result<BaseConsumer, ConnectError> {
    // The client wants a name even though nothing is stored under it.
    make(settings, &format!("{}-reader", settings.group_id))
}

/// The partitions of `topics` at their present ends. Topics that were created a moment ago are
/// waited for.
///
/// # Errors
/// The cluster did not answer within `timeout`, or a topic is missing.
pub fn ends(
    consumer: &BaseConsumer,
    topics: &[&str],
    timeout: Duration,
) -> Result<TopicPartitionList, KafkaError> {
    let started = Instant::now();
    let mut ends = TopicPartitionList::new();
    for topic in topics {
        let found = loop {
            match ends_of(consumer, topic, timeout) {
                Err(_) if started.elapsed() < timeout => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                found => break found?,
            }
        };
        for (partition, end) in found {
            ends.add_partition_offset(topic, partition, Offset::Offset(end))?;
        }
    }
    Ok(ends)
}

fn ends_of(
    consumer: &BaseConsumer,
    topic: &str,
    timeout: Duration,
) -> Result<Vec<(i32, i64)>, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), timeout)?;
    let topic_metadata = metadata.topics().first();
    if let Some(error) = topic_metadata.and_then(|topic| topic.error()) {
        return Err(KafkaError::MetadataFetch(error.into()));
    }
    topic_metadata
        .into_iter()
        .flat_map(|topic| topic.partitions())
        .map(|partition| {
            let (_, end) = consumer.fetch_watermarks(topic, partition.id(), timeout)?;
            Ok((partition.id(), end))
        })
        .collect()
}

/// Lets the group of `settings`, which must have no members, begin at the present end of its
/// topics: what they hold already is not read.
///
/// # Errors
/// The settings are wrong, or the cluster did not answer or refused.
pub fn begin_at_end(settings: &KafkaSettings, timeout: Duration) -> Result<(), ReaderError> {
    let consumer = make(settings, &settings.group_id)?;
    let topics: Vec<_> = settings.topics.iter().map(String::as_str).collect();
    let ends = ends(&consumer, &topics, timeout)?;
    Ok(consumer.commit(&ends, CommitMode::Sync)?)
}

/// Why a reader did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    /// It could not be made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The cluster did not answer in time or refused.
    #[error("ask the cluster: {0}")]
    Cluster(#[from] KafkaError),
}

fn make(settings: &KafkaSettings, group: &str) -> Result<BaseConsumer, ConnectError> {
    let mistakes = settings.validate();
    if !mistakes.is_empty() {
        return Err(ConnectError::Settings(mistakes));
    }
    let mut config: ClientConfig = client::common(settings).map_err(ConnectError::Client)?;
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "20")
        .create()
        .map_err(|error| ConnectError::Client(client::creation_error("reader", &error)))
}
