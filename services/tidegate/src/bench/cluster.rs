//! The Kafka that is measured with: started here, or given.

use std::time::Duration;
use tidegate_moderator::tally::now_ms;

use anyhow::Context as _;
use rdkafka::{
    config::ClientConfig,
    error::RDKafkaErrorCode,
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use tidegate_kafka::{
    admin::{Admin, TopicSpec},
    settings::KafkaSettings,
};
use tidegate_tests::RealKafka;

use super::{
    events::{Events, Messages, Prepared},
    progress, usage,
};
use crate::topics::route_partitions;

/// How many partitions topics of events and of verdicts have.
pub(super) const PARTITIONS: i32 = 6;
/// How long an answer of the cluster may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster, and the processes of its brokers where they run on this machine.
pub(super) struct Cluster {
    brokers: String,
    pids: Vec<u32>,
    /// Ends its brokers when it is dropped.
    _own: Option<RealKafka>,
}

impl Cluster {
    /// The cluster at `given`, or a broker of its own.
    pub(super) fn start(given: Option<&str>) -> anyhow::Result<Self> {
        let own = match given {
            Some(_) => None,
            None => {
                progress("starting Kafka (the first time, its jars are fetched) …");
                Some(RealKafka::start(1)?)
            }
        };
        let brokers = given
            .or(own.as_ref().map(RealKafka::bootstrap))
            .unwrap_or_default();
        let mut cluster = Self {
            brokers: brokers.to_owned(),
            pids: Vec::new(),
            _own: own,
        };
        let described = cluster.admin()?.describe()?;
        cluster.pids = described
            .brokers
            .iter()
            .filter_map(|(_, address)| {
                let (host, port) = address.rsplit_once(':')?;
                let is_here = ["127.0.0.1", "localhost", "::1"].contains(&host);
                is_here.then(|| usage::listener(port.parse().ok()?))?
            })
            .collect();
        if cluster.pids.len() < described.brokers.len() {
            cluster.pids.clear();
            progress("the brokers are not on this machine: their CPU time can't be told");
        }
        Ok(cluster)
    }

    fn admin(&self) -> anyhow::Result<Admin> {
        Ok(Admin::connect(&self.settings("admin", &[]), PATIENCE)?)
    }

    /// Settings of a client that reads `topics` in a group that no other run uses.
    pub(super) fn settings(&self, purpose: &str, topics: &[&str]) -> KafkaSettings {
        let name = unique(&format!("bench-{purpose}"));
        let topics = if topics.is_empty() { &["none"] } else { topics };
        KafkaSettings::new(&self.brokers, &name, topics.iter().copied(), &name, "bench")
    }

    /// The addresses.
    pub(super) fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The brokers' processes; none where they are not on this machine.
    pub(super) fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// Makes topics that the pipeline writes, as `tidegate topics create` would.
    pub(super) fn make_outputs(&self, topics: [&str; 6]) -> anyhow::Result<()> {
        let [verdicts, routes @ ..] = topics;
        self.make(&[verdicts], PARTITIONS)?;
        self.make(&routes, route_partitions(PARTITIONS))
    }

    /// Makes topics where they are missing.
    pub(super) fn make(&self, topics: &[&str], partitions: i32) -> anyhow::Result<()> {
        let specs: Vec<_> = topics
            .iter()
            .map(|name| {
                let mut spec = TopicSpec::new(*name, partitions);
                // What a long run writes must not fill the disk.
                for (name, value) in [
                    ("segment.bytes", 64 << 20),
                    ("retention.bytes", 512_i64 << 20),
                ] {
                    spec.config.insert(name.to_owned(), value.to_string());
                }
                spec
            })
            .collect();
        self.admin()?.create_missing(&specs)?;
        // A new topic has no leaders for a moment.
        let begin = std::time::Instant::now();
        loop {
            let described = self.admin()?.describe()?;
            let is_led = |topic: &&str| {
                described.topics.iter().any(|known| {
                    known.name == **topic && known.partitions.iter().all(|p| p.leader.is_some())
                })
            };
            if topics.iter().all(is_led) {
                return Ok(());
            }
            anyhow::ensure!(begin.elapsed() < PATIENCE, "new topics have no leaders");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A topic of its own with `records` events; gives its name.
    pub(super) fn preload(&self, messages: &Messages, records: u64) -> anyhow::Result<String> {
        let topic = unique("bench-input");
        progress(&format!("writing {records} events to {topic} …"));
        self.make(&[&topic], PARTITIONS)?;
        let (feed, mut events) = (Feed::new(self, &topic)?, Events::new(messages, 7));
        for _ in 0..records {
            feed.send(&events.short())?;
        }
        feed.finish()?;
        Ok(topic)
    }
}

/// CPU time of several processes; `None` of none, or where one can't be looked at.
pub(super) fn cpu_time(pids: &[u32]) -> Option<Duration> {
    if pids.is_empty() {
        return None;
    }
    pids.iter().map(|pid| usage::cpu_time(*pid)).sum()
}

/// A name that no other run uses.
pub(super) fn unique(purpose: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!(
        "{purpose}-{}-{}-{number}",
        std::process::id(),
        now_ms() / 1_000
    )
}

/// Writes events to one topic, as a brand's own producer would.
pub(super) struct Feed {
    producer: BaseProducer,
    topic: String,
}

impl Feed {
    pub(super) fn new(cluster: &Cluster, topic: &str) -> anyhow::Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", cluster.brokers())
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random")
            .create()
            .context("make a producer")?;
        Ok(Self {
            producer,
            topic: topic.to_owned(),
        })
    }

    /// Queues one event; waits while the queue is full.
    pub(super) fn send(&self, event: &Prepared) -> anyhow::Result<()> {
        self.write(None, &event.key, &event.payload)
    }

    /// Queues one record, to its key's partition if no other is named; waits while the queue is full.
    pub(super) fn write(
        &self,
        partition: Option<i32>,
        key: &str,
        payload: &[u8],
    ) -> anyhow::Result<()> {
        let mut record = BaseRecord::to(&self.topic).key(key).payload(payload);
        record.partition = partition;
        while let Err((error, back)) = self.producer.send(record) {
            let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            anyhow::ensure!(is_full, "write to {}: {error}", self.topic);
            self.producer.poll(Duration::from_millis(5));
            record = back;
        }
        Ok(())
    }

    /// Serves the producer's events.
    pub(super) fn serve(&self) {
        self.producer.poll(Duration::ZERO);
    }

    /// Waits until all is written.
    pub(super) fn finish(&self) -> anyhow::Result<()> {
        self.producer.flush(PATIENCE).context("write events")
    }
}
