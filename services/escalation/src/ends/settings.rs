//! The sections `[kafka]`, `[topics]`, `[intake]`, `[outbox]` and `[sampling]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_chassis::settings::{Mistakes, Validate, duration};
use tidegate_kafka::{admin::Admin, settings::KafkaSettings};

use crate::{intake::Sampling, outbox::Encoding};

/// What the ends towards Kafka are told.
#[derive(Clone, Debug, Default)]
pub struct EndsSettings {
    /// How to reach the cluster; without brokers there are no ends.
    pub kafka: KafkaSettings,
    /// The topics.
    pub topics: Topics,
    /// When cases are stored.
    pub intake: IntakeSection,
    /// How decisions are written.
    pub outbox: OutboxSection,
    /// What is drawn for review.
    pub sampling: Sampling,
}

/// The section `[topics]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Topics {
    /// What a person must see: read.
    pub escalations: String,
    /// Spam, with its events: read for samples.
    pub spam: String,
    /// What people decided: written.
    pub resolutions: String,
    /// Further topics that hold what people wrote: receipts of erasures name them, with the time
    /// until which each keeps it.
    pub personal: Vec<String>,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            escalations: "moderation.escalations.v1".to_owned(),
            spam: "moderation.spam.v1".to_owned(),
            resolutions: "moderation.resolutions.v1".to_owned(),
            personal: [
                "comments.v1",
                "dms.v1",
                "moderation.hate.v1",
                "engagement.purchase-intent.v1",
                "moderation.dead-letters.v1",
            ]
            .map(str::to_owned)
            .to_vec(),
        }
    }
}

/// The section `[intake]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IntakeSection {
    /// A batch is stored at this many records.
    pub batch_records: usize,
    /// A batch is stored at this many bytes.
    pub batch_bytes: usize,
    /// A batch is stored this long after its first record.
    #[serde(with = "duration")]
    pub batch_linger: Duration,
}

impl Default for IntakeSection {
    fn default() -> Self {
        Self {
            batch_records: 500,
            batch_bytes: 4 << 20,
            batch_linger: Duration::from_millis(20),
        }
    }
}

/// The section `[outbox]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutboxSection {
    /// What decisions are written as: `json` or `protobuf`.
    pub format: Encoding,
}

/// The consumer group, and what names of transactions begin with.
const NAME: &str = "tidegate-escalation";

impl EndsSettings {
    /// As the reading end uses them.
    #[must_use]
    pub fn reading(&self) -> KafkaSettings {
        let mut kafka = self.filled();
        kafka.topics = vec![self.topics.escalations.clone()];
        if self.sampling.rate > 0.0 {
            kafka.topics.push(self.topics.spam.clone());
        }
        kafka
    }

    /// As the publishing end uses them: the same in every process, so that a new one ends what its
    /// predecessor left open.
    #[must_use]
    pub fn publishing(&self) -> KafkaSettings {
        let mut kafka = self.filled();
        kafka.group_id.push_str("-outbox");
        kafka.instance = "outbox".to_owned();
        kafka.topics = vec![self.topics.resolutions.clone()];
        kafka
    }

    /// The topics that hold what people wrote, each with how long it keeps it, in milliseconds;
    /// `None` where that is without limit, or nobody could be asked. Blocks for a while.
    #[must_use]
    pub fn retention(&self) -> Vec<(String, Option<i64>)> {
        let Topics {
            escalations,
            spam,
            resolutions,
            personal,
        } = &self.topics;
        let mut topics = personal.clone();
        topics.extend([escalations, spam, resolutions].map(Clone::clone));
        if self.kafka.brokers.is_empty() {
            return Vec::new();
        }
        let asked = Admin::connect(&self.publishing(), Duration::from_secs(5))
            .and_then(|admin| admin.retention(&topics));
        asked.unwrap_or_else(|error| {
            tracing::warn!(
                %error,
                "how long topics keep records is unknown: erasures will say without limit"
            );
            topics.into_iter().map(|topic| (topic, None)).collect()
        })
    }

    fn filled(&self) -> KafkaSettings {
        let mut kafka = self.kafka.clone();
        for name in [&mut kafka.group_id, &mut kafka.transactional_id_prefix] {
            if name.is_empty() {
                *name = NAME.to_owned();
            }
        }
        if kafka.instance.is_empty() {
            kafka.instance = "escalation".to_owned();
        }
        kafka
    }
}

impl Validate for EndsSettings {
    fn validate(&self, mistakes: &mut Mistakes) {
        mistakes.within("kafka", |mistakes| {
            mistakes.require(
                self.kafka.topics.is_empty(),
                "topics",
                "is not used here: name the topics under [topics]",
            );
            if self.kafka.brokers.is_empty() {
                return;
            }
            for message in self.reading().validate() {
                match message.split_once(": ") {
                    Some((key, message)) => mistakes.add(key, message),
                    None => mistakes.add("", message),
                }
            }
        });
        mistakes.within("topics", |mistakes| {
            let Topics {
                escalations,
                spam,
                resolutions,
                ..
            } = &self.topics;
            for (key, name) in [
                ("escalations", escalations),
                ("spam", spam),
                ("resolutions", resolutions),
            ] {
                mistakes.require(!name.is_empty(), key, "must not be empty");
            }
            mistakes.require(
                resolutions != escalations && resolutions != spam,
                "resolutions",
                "is also read: every decision would come back",
            );
            mistakes.require(
                spam != escalations,
                "spam",
                "must not be the topic of escalations",
            );
        });
        mistakes.within("intake", |mistakes| {
            let intake = &self.intake;
            mistakes.in_range("batch_records", intake.batch_records, 1..=10_000);
            mistakes.in_range("batch_bytes", intake.batch_bytes, 1_024..=256 << 20);
            mistakes.require(
                intake.batch_linger <= Duration::from_secs(10),
                "batch_linger",
                "must be at most 10s",
            );
        });
        mistakes.within("sampling", |mistakes| self.sampling.validate(mistakes));
    }
}
