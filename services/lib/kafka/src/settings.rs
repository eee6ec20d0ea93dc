//! How to reach the cluster and what to promise there; checked as a whole before anything connects.

use serde::{Deserialize, Serialize};

mod raw;
mod security;

pub use raw::RawSettings;
pub use security::{Mechanism, Protocol, Secret, Security};

/// Where the cluster is, who this process is there, and how records are delivered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// Addresses to start from: `host:port`, separated by commas.
    #[serde(default)]
    pub brokers: String,
    /// The consumer group.
    #[serde(default)]
    pub group_id: String,
    /// The topics to read.
    #[serde(default)]
    pub topics: Vec<String>,
    /// What every `transactional.id` of this application begins with; access rights are given to
    /// this prefix.
    #[serde(default)]
    pub transactional_id_prefix: String,
    /// The name of this process, the same after each restart and unlike any other's: the pod's
    /// name, for example. With the lane's number it makes the `transactional.id`.
    #[serde(default)]
    pub instance: String,
    /// Whether lanes keep their partitions over a restart (`group.instance.id`). The group then
    /// waits for a missing lane until `session_timeout_ms` is over.
    #[serde(default)]
    pub static_membership: bool,
    /// What is promised about each record.
    #[serde(default)]
    pub delivery: Delivery,
    /// How the group shares out partitions.
    #[serde(default)]
    pub group_protocol: GroupProtocol,
    /// Encryption and identity.
    #[serde(default)]
    pub security: Security,
    /// How long the broker waits before it aborts a transaction whose lane is gone, in
    /// milliseconds. Readers of the output stand still as long.
    #[serde(default = "defaults::transaction_timeout_ms")]
    pub transaction_timeout_ms: u32,
    /// How long the group waits for a lane that is gone, in milliseconds. With the `consumer`
    /// protocol the broker decides.
    #[serde(default = "defaults::session_timeout_ms")]
    pub session_timeout_ms: u32,
    /// How long a record waits for others to share a request with, in milliseconds; at most 5,
    /// because each commit waits as long.
    #[serde(default = "defaults::linger_ms")]
    pub linger_ms: u32,
    /// How output is compressed: `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    #[serde(default = "defaults::compression")]
    pub compression: String,
    /// How often lag and connection state are refreshed, in milliseconds.
    #[serde(default = "defaults::statistics_interval_ms")]
    pub statistics_interval_ms: u32,
    /// Settings of librdkafka for both clients, by their own names; these win over all above.
    #[serde(default)]
    pub client: RawSettings,
    /// Settings of librdkafka for the consumer.
    #[serde(default)]
    pub consumer: RawSettings,
    /// Settings of librdkafka for the producer.
    #[serde(default)]
    pub producer: RawSettings,
}

mod defaults {
    pub(super) fn transaction_timeout_ms() -> u32 {
        30_000
    }
    pub(super) fn session_timeout_ms() -> u32 {
        45_000
    }
    pub(super) fn linger_ms() -> u32 {
        5
    }
    pub(super) fn compression() -> String {
        "lz4".to_owned()
    }
    pub(super) fn statistics_interval_ms() -> u32 {
        1_000
    }
}

/// What is promised about each record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Results and positions are committed in one transaction.
    #[default]
    ExactlyOnce,
    /// Results are acknowledged before positions are committed: a crash repeats records.
    AtLeastOnce,
}

/// How the group shares out partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupProtocol {
    /// The members agree among themselves; any broker.
    #[default]
    Classic,
    /// The broker decides (KIP-848); brokers from 4.0 on.
    Consumer,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self::new("", "", [""; 0], "", "")
    }
}

impl KafkaSettings {
    /// Settings for `topics` on `brokers`, everything else as it is by default.
    #[must_use]
    pub fn new(
        brokers: impl Into<String>,
        group_id: impl Into<String>,
        topics: impl IntoIterator<Item = impl Into<String>>,
        transactional_id_prefix: impl Into<String>,
        instance: impl Into<String>,
    ) -> Self {
        Self {
            brokers: brokers.into(),
            group_id: group_id.into(),
            topics: topics.into_iter().map(Into::into).collect(),
            transactional_id_prefix: transactional_id_prefix.into(),
            instance: instance.into(),
            static_membership: false,
            delivery: Delivery::default(),
            group_protocol: GroupProtocol::default(),
            security: Security::default(),
            transaction_timeout_ms: defaults::transaction_timeout_ms(),
            session_timeout_ms: defaults::session_timeout_ms(),
            linger_ms: defaults::linger_ms(),
            compression: defaults::compression(),
            statistics_interval_ms: defaults::statistics_interval_ms(),
            client: RawSettings::default(),
            consumer: RawSettings::default(),
            producer: RawSettings::default(),
        }
    }

    /// The name of one lane: its `transactional.id`, and with static membership its
    /// `group.instance.id`.
    #[must_use]
    pub fn lane_id(&self, lane: usize) -> String {
        format!("{}-{}-{lane}", self.transactional_id_prefix, self.instance)
    }

    /// Everything that is wrong, one message for each setting, by its name; empty when all is well.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut require = |good: bool, message: &str| {
            if !good {
                mistakes.push(message.to_owned());
            }
        };
        require(
            is_broker_list(&self.brokers),
            "brokers: give at least one host:port, separated by commas",
        );
        require(!self.group_id.is_empty(), "group_id: must not be empty");
        require(
            !self.topics.is_empty(),
            "topics: name at least one topic to read",
        );
        for topic in &self.topics {
            require(
                is_topic_name(topic),
                &format!(
                    "topics: {topic:?} is not a topic name (1 to 249 of a-z, A-Z, 0-9, '.', '_', '-')"
                ),
            );
        }
        let needs_identity = self.delivery == Delivery::ExactlyOnce || self.static_membership;
        require(
            !needs_identity || !self.transactional_id_prefix.is_empty(),
            "transactional_id_prefix: must not be empty, it names this application's transactions",
        );
        require(
            !needs_identity || !self.instance.is_empty(),
            "instance: must not be empty; give each process a name that stays the same after a \
             restart, such as the pod's",
        );
        require(
            (1_000..=900_000).contains(&self.transaction_timeout_ms),
            "transaction_timeout_ms: must be from 1000 to 900000 (brokers refuse more by default)",
        );
        require(
            (1_000..=1_800_000).contains(&self.session_timeout_ms),
            "session_timeout_ms: must be from 1000 to 1800000",
        );
        require(
            self.linger_ms <= 5,
            "linger_ms: must be at most 5, each commit waits as long",
        );
        require(
            ["none", "gzip", "snappy", "lz4", "zstd"].contains(&self.compression.as_str()),
            "compression: must be none, gzip, snappy, lz4 or zstd",
        );
        require(
            (100..=60_000).contains(&self.statistics_interval_ms),
            "statistics_interval_ms: must be from 100 to 60000, lag is read from it",
        );
        self.security.validate(&mut mistakes);
        for (section, raw) in [
            ("client", &self.client),
            ("consumer", &self.consumer),
            ("producer", &self.producer),
        ] {
            for (name, value) in &raw.0 {
                mistakes.extend(raw::mistake(section, name, value));
            }
        }
        mistakes
    }
}

fn is_broker_list(brokers: &str) -> bool {
    !brokers.is_empty()
        && brokers.split(',').all(|broker| {
            broker
                .trim()
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        })
}

fn is_topic_name(name: &str) -> bool {
    (1..=249).contains(&name.len())
        && name != "."
        && name != ".."
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
