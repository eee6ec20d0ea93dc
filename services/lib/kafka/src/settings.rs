//! How to reach the cluster and what to promise there; checked as a whole before anything connects.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use rdkafka::{ClientConfig, error::KafkaError};
use serde::{Deserialize, Serialize};

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

/// How the connection is encrypted, and how this process proves who it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Security {
    /// Encryption and authentication in use.
    pub protocol: Protocol,
    /// How to authenticate, with `sasl_plaintext` and `sasl_ssl`.
    pub mechanism: Option<Mechanism>,
    /// The user's name.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// A file that holds the password; a line break at its end is ignored.
    pub password_file: Option<PathBuf>,
    /// A file that holds the OAUTHBEARER token; read again whenever the token runs out.
    pub token_file: Option<PathBuf>,
    /// Certificates of the authorities that are trusted (PEM); the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// The certificate that this process shows (PEM).
    pub certificate_file: Option<PathBuf>,
    /// The key to that certificate (PEM).
    pub key_file: Option<PathBuf>,
    /// The password of the key file.
    pub key_password: Option<Secret>,
}

/// Encryption and authentication of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Neither.
    #[default]
    Plaintext,
    /// Encrypted; with a client certificate also authenticated.
    Ssl,
    /// Authenticated, not encrypted.
    SaslPlaintext,
    /// Both.
    SaslSsl,
}

impl Protocol {
    /// The name that librdkafka uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    pub(crate) fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    pub(crate) fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }
}

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mechanism {
    /// User and password as they are; only over TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Challenge and response with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Challenge and response with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// A token from an identity provider.
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
}

impl Mechanism {
    /// The name that brokers use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }
}

/// A value that is never shown: not in logs, not in dumps of the settings.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides `value`.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the client library only.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

/// Settings of librdkafka by their own names. A number or a truth value is as good as a string.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RawSettings(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for RawSettings {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Scalar {
            Bool(bool),
            Int(i64),
            Float(f64),
            Text(String),
        }
        let map = BTreeMap::<String, Scalar>::deserialize(deserializer)?;
        Ok(Self(
            map.into_iter()
                .map(|(name, value)| {
                    let value = match value {
                        Scalar::Bool(value) => value.to_string(),
                        Scalar::Int(value) => value.to_string(),
                        Scalar::Float(value) => value.to_string(),
                        Scalar::Text(value) => value,
                    };
                    (name, value)
                })
                .collect(),
        ))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for RawSettings {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

/// Raw settings that would break a promise or hide a setting of this crate, and what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("bootstrap.servers", "use `brokers`"),
    ("metadata.broker.list", "use `brokers`"),
    ("group.id", "use `group_id`"),
    (
        "group.instance.id",
        "use `static_membership` and `instance`",
    ),
    ("group.protocol", "use `group_protocol`"),
    (
        "enable.auto.commit",
        "positions are committed together with the results",
    ),
    (
        "auto.commit.enable",
        "positions are committed together with the results",
    ),
    (
        "enable.auto.offset.store",
        "positions are committed together with the results",
    ),
    (
        "isolation.level",
        "uncommitted records would be counted as read",
    ),
    (
        "enable.partition.eof",
        "the client's positions would go wrong",
    ),
    (
        "transactional.id",
        "use `transactional_id_prefix` and `instance`",
    ),
    ("transaction.timeout.ms", "use `transaction_timeout_ms`"),
    ("session.timeout.ms", "use `session_timeout_ms`"),
    ("enable.idempotence", "retries would write records twice"),
    ("acks", "an unacknowledged record can be lost"),
    (
        "request.required.acks",
        "an unacknowledged record can be lost",
    ),
    (
        "max.in.flight.requests.per.connection",
        "use `max.in.flight` of at most 5",
    ),
    (
        "delivery.report.only.error",
        "commits rely on it being true",
    ),
    ("log.queue", "log lines are served by the lane"),
    ("security.protocol", "use `security.protocol`"),
    ("sasl.mechanism", "use `security.mechanism`"),
    ("sasl.mechanisms", "use `security.mechanism`"),
    ("sasl.username", "use `security.username`"),
    (
        "sasl.password",
        "use `security.password_file`, it is never shown",
    ),
    (
        "ssl.key.password",
        "use `security.key_password`, it is never shown",
    ),
    ("ssl.key.pem", "use `security.key_file`"),
    (
        "sasl.oauthbearer.client.secret",
        "use `security.token_file`",
    ),
    ("sasl.oauthbearer.config", "use `security.token_file`"),
];

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
                mistakes.extend(raw_mistake(section, name, value));
            }
        }
        mistakes
    }
}

impl Security {
    fn validate(&self, mistakes: &mut Vec<String>) {
        let protocol = self.protocol.as_str();
        if self.protocol.has_sasl() {
            match self.mechanism {
                None => mistakes.push(format!(
                    "security.mechanism: {protocol} needs one of PLAIN, SCRAM-SHA-256, \
                     SCRAM-SHA-512, OAUTHBEARER"
                )),
                Some(Mechanism::OauthBearer) => {
                    if self.token_file.is_none() {
                        mistakes.push(
                            "security.token_file: OAUTHBEARER needs a file that holds the token"
                                .to_owned(),
                        );
                    }
                }
                Some(mechanism) => {
                    let mechanism = mechanism.as_str();
                    if self.username.as_deref().unwrap_or_default().is_empty() {
                        mistakes.push(format!("security.username: {mechanism} needs a user name"));
                    }
                    if self.password.is_none() && self.password_file.is_none() {
                        mistakes.push(format!(
                            "security.password_file: {mechanism} needs a password (or \
                             `security.password`)"
                        ));
                    }
                }
            }
        } else if self.mechanism.is_some() {
            mistakes.push(format!(
                "security.mechanism: has no effect with {protocol}; set security.protocol to \
                 sasl_ssl, or remove it"
            ));
        }
        if self.password.is_some() && self.password_file.is_some() {
            mistakes
                .push("security.password: set it or `security.password_file`, not both".to_owned());
        }
        if self.certificate_file.is_some() != self.key_file.is_some() {
            mistakes.push(
                "security.certificate_file: a client certificate needs `security.key_file` too, \
                 and a key needs its certificate"
                    .to_owned(),
            );
        }
        if !self.protocol.has_tls() && (self.ca_file.is_some() || self.certificate_file.is_some()) {
            mistakes.push(format!(
                "security.ca_file: certificates have no effect with {protocol}; set \
                 security.protocol to ssl or sasl_ssl"
            ));
        }
        for (name, file) in [
            ("password_file", &self.password_file),
            ("token_file", &self.token_file),
            ("ca_file", &self.ca_file),
            ("certificate_file", &self.certificate_file),
            ("key_file", &self.key_file),
        ] {
            if let Some(file) = file
                && let Err(error) = std::fs::File::open(file)
            {
                mistakes.push(format!(
                    "security.{name}: {} can't be read: {error}",
                    file.display()
                ));
            }
        }
    }

    /// The password, from wherever it is kept.
    pub(crate) fn read_password(&self) -> Result<Option<Secret>, String> {
        match &self.password_file {
            None => Ok(self.password.clone()),
            Some(file) => std::fs::read_to_string(file)
                .map(|text| Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
                .map_err(|error| {
                    format!(
                        "security.password_file: {} can't be read: {error}",
                        file.display()
                    )
                }),
        }
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

/// What is wrong with one raw setting: it is refused, or librdkafka does not know it.
fn raw_mistake(section: &str, name: &str, value: &str) -> Option<String> {
    if let Some((_, instead)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Some(format!("{section}.{name}: can't be set here: {instead}"));
    }
    let mut config = ClientConfig::new();
    config.set(name, value);
    match config.create_native_config() {
        Ok(_) => None,
        Err(KafkaError::ClientConfig(_, reason, ..)) => Some(format!("{section}.{name}: {reason}")),
        Err(error) => Some(format!("{section}.{name}: {error}")),
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
