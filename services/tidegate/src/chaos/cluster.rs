//! The cluster as an outsider sees it: plain clients that share no code with a lane.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::BorrowedMessage,
};
use tidegate_kafka::{
    admin::{Admin, TopicSpec},
    settings::KafkaSettings,
};
use tidegate_tests::{Isolation, RealKafka, StartError};

/// How long the cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a topic may bring no record before reading it is given up.
const SILENCE: Duration = Duration::from_secs(60);

/// A cluster of our own, or one that was given.
pub(crate) struct Cluster {
    own: Option<RealKafka>,
    brokers: String,
    count: u8,
}

impl Cluster {
    /// Starts `count` brokers, unless the address of some is given.
    ///
    /// # Errors
    /// This machine lacks something, or they do not start.
    pub(crate) fn start(given: Option<&str>, count: u8) -> Result<Self, StartError> {
        Ok(match given {
            Some(brokers) => Self {
                own: None,
                brokers: brokers.to_owned(),
                count: 0,
            },
            None => {
                let own = RealKafka::start_own(count, &[])?;
                let brokers = own.bootstrap().to_owned();
                Self {
                    own: Some(own),
                    brokers,
                    count,
                }
            }
        })
    }

    /// Its address.
    #[must_use]
    pub(crate) fn brokers(&self) -> &str {
        &self.brokers
    }

    /// How many brokers may be restarted; 0 if they are not ours, or there is but one.
    ///
    /// While a lone broker goes or comes its partitions have no leader, and Kafka 4.3 ends a
    /// transaction without the markers of such partitions: it stays open in them for good
    /// (KAFKA-20734).
    #[must_use]
    pub(crate) fn breakable(&self) -> u8 {
        if self.count > 1 { self.count } else { 0 }
    }

    /// Ends a broker, in good order or as a crash does, and starts it again.
    ///
    /// # Errors
    /// It does not come back.
    pub(crate) fn restart(&self, number: u8, crash: bool) -> anyhow::Result<()> {
        let Some(own) = &self.own else { return Ok(()) };
        if crash {
            own.kill_broker(number)?
        } else {
            own.stop_broker(number)?
        }
        Ok(own.start_broker(number)?)
    }

    /// Makes topics and waits until each partition has a leader.
    ///
    /// # Errors
    /// The cluster refuses, or takes too long.
    pub(crate) fn create(&self, topics: &[(String, i32)]) -> anyhow::Result<()> {
        let settings = KafkaSettings::new(&self.brokers, "chaos", ["chaos"], "chaos", "chaos");
        let admin = Admin::connect(&settings, PATIENCE)?;
        let specs: Vec<_> = topics
            .iter()
            .map(|(name, count)| TopicSpec::new(name.clone(), *count))
            .collect();
        admin.create_missing(&specs)?;
        let begin = Instant::now();
        loop {
            let known = admin.describe()?.topics;
            let led = |name: &String| {
                known.iter().any(|topic| {
                    topic.name == *name && topic.partitions.iter().all(|p| p.leader.is_some())
                })
            };
            if topics.iter().all(|(name, _)| led(name)) {
                return Ok(());
            }
            ensure!(begin.elapsed() < PATIENCE, "the new topics have no leaders");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// An eye on how far `group` is in `topic`.
    ///
    /// # Errors
    /// The client can't be made.
    pub(crate) fn watch(
        &self,
        group: &str,
        topic: &str,
        partitions: i32,
    ) -> anyhow::Result<GroupWatch> {
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, partitions - 1);
        // Uncommitted: otherwise the answer waits for every open transaction to end.
        Ok(GroupWatch {
            client: self.client(group, Isolation::Uncommitted)?,
            list,
        })
    }

    /// How many partitions of `topics` end in a transaction that is still open: what a reader of
    /// committed records can see ends before what there is.
    ///
    /// # Errors
    /// A partition's leader does not answer.
    pub(crate) fn open(&self, topics: &[(String, i32)]) -> anyhow::Result<u64> {
        let committed = self.client("chaos-audit", Isolation::Committed)?;
        let all = self.client("chaos-audit", Isolation::Uncommitted)?;
        let mut open = 0;
        for (topic, partitions) in topics {
            for partition in 0..*partitions {
                let (_, stable) = committed.fetch_watermarks(topic, partition, PATIENCE)?;
                let (_, end) = all.fetch_watermarks(topic, partition, PATIENCE)?;
                open += u64::from(stable < end);
            }
        }
        Ok(open)
    }

    /// Reads a topic from its beginning to its end as of now. Records of a partition come in the
    /// order of the log, each once. Returns how many there were.
    ///
    /// # Errors
    /// The end can't be reached.
    pub(crate) fn read(
        &self,
        topic: &str,
        isolation: Isolation,
        mut each: impl FnMut(&BorrowedMessage<'_>),
    ) -> anyhow::Result<u64> {
        let client = self.client("chaos-audit", isolation)?;
        let metadata = client.fetch_metadata(Some(topic), PATIENCE)?;
        let partitions: Vec<_> = metadata
            .topics()
            .iter()
            .flat_map(|t| t.partitions())
            .map(|p| p.id())
            .collect();
        ensure!(!partitions.is_empty(), "there is no topic {topic}");
        let mut list = TopicPartitionList::new();
        for partition in &partitions {
            list.add_partition_offset(topic, *partition, Offset::Beginning)?;
        }
        client.assign(&list)?;
        let mut unread = partitions.clone();
        let mut next = vec![0; partitions.len()];
        let mut count = 0;
        let mut moved = Instant::now();
        while !unread.is_empty() {
            match client.poll(Duration::from_millis(200)) {
                Some(Ok(record)) => {
                    moved = Instant::now();
                    let at = usize::try_from(record.partition())
                        .ok()
                        .and_then(|p| next.get_mut(p));
                    match at {
                        // A client that sets itself back must not make duplicates.
                        Some(at) if record.offset() >= *at => *at = record.offset() + 1,
                        _ => bail!("the client read {topic}/{} twice", record.partition()),
                    }
                    count += 1;
                    each(&record);
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    moved = Instant::now();
                    unread.retain(|other| *other != partition);
                }
                // The client repairs what it can by itself; the silence catches the rest.
                Some(Err(_)) | None => {}
            }
            ensure!(
                moved.elapsed() < SILENCE,
                "the end of {topic} can't be reached"
            );
        }
        Ok(count)
    }

    fn client(&self, group: &str, isolation: Isolation) -> anyhow::Result<BaseConsumer> {
        ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "20")
            .set("isolation.level", isolation.as_str())
            .create()
            .context("make a reader")
    }
}

/// An eye on a group's progress, without taking part in it.
pub(crate) struct GroupWatch {
    client: BaseConsumer,
    list: TopicPartitionList,
}

impl GroupWatch {
    /// How many records the group has behind it, all partitions together.
    ///
    /// # Errors
    /// The group's coordinator does not answer.
    pub(crate) fn consumed(&self) -> anyhow::Result<u64> {
        let committed = self
            .client
            .committed_offsets(self.list.clone(), Duration::from_secs(5))?;
        let offsets = committed
            .elements()
            .into_iter()
            .map(|at| match at.offset() {
                Offset::Offset(next) => u64::try_from(next).unwrap_or_default(),
                _ => 0,
            });
        Ok(offsets.sum())
    }
}
