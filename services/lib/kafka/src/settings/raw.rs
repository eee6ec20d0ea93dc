//! Settings of librdkafka by their own names, and those of them that are refused.

use std::collections::BTreeMap;

use rdkafka::{ClientConfig, error::KafkaError};
use serde::{Deserialize, Serialize};

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
    ("ssl.keystore.password", "use `security.key_file`"),
];

/// What is wrong with one raw setting: it is refused, or librdkafka does not know it.
pub(super) fn mistake(section: &str, name: &str, value: &str) -> Option<String> {
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
