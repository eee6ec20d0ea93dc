//! The settings of a consumer: one struct for a section, each with defaults that work.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use tidegate_chassis::{
    admin::AdminSettings,
    logs::LogSettings,
    settings::{Mistakes, Validate, duration},
    shutdown::ShutdownSettings,
};
use tidegate_classifier::{ClassifierSettings, Mode};
use tidegate_core::{decode::Format, event::Channel};
use tidegate_kafka::{LaneSettings, settings::KafkaSettings};

use crate::service::Service;

/// Everything that a consumer is told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// How to reach the cluster.
    pub kafka: KafkaSettings,
    /// Where results go.
    pub topics: Topics,
    /// When batches are closed and transactions committed.
    pub lane: LaneSection,
    /// How input is read and output is written.
    pub format: FormatSection,
    /// What scores the texts.
    pub model: ModelSection,
    /// What follows from the scores.
    pub policy: PolicySection,
    /// Metrics and probes.
    pub admin: AdminSettings,
    /// Logs.
    pub log: LogSettings,
    /// How long an orderly end may take.
    pub shutdown: ShutdownSettings,
}

/// The topics that are written to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Topics {
    /// One verdict for every event.
    pub verdicts: String,
    /// Spam: the event with its verdict.
    pub spam: String,
    /// Hate speech: the event with its verdict.
    pub hate: String,
    /// People who want to buy: the event with its verdict.
    pub purchase_intent: String,
    /// What a person must see.
    pub escalations: String,
    /// What could not be read, as it came.
    pub dead_letters: String,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            verdicts: "moderation.verdicts.v1".to_owned(),
            spam: "moderation.spam.v1".to_owned(),
            hate: "moderation.hate.v1".to_owned(),
            purchase_intent: "engagement.purchase-intent.v1".to_owned(),
            escalations: "moderation.escalations.v1".to_owned(),
            dead_letters: "moderation.dead-letters.v1".to_owned(),
        }
    }
}

impl Topics {
    /// Puts `prefix` before every name.
    pub fn add_prefix(&mut self, prefix: &str) {
        for name in [
            &mut self.verdicts,
            &mut self.spam,
            &mut self.hate,
            &mut self.purchase_intent,
            &mut self.escalations,
            &mut self.dead_letters,
        ] {
            name.insert_str(0, prefix);
        }
    }

    /// The names, in the order of [``conclude::Out``].
    #[must_use]
    pub fn names(&self) -> [&str; 6] {
        [
            &self.verdicts,
            &self.spam,
            &self.hate,
            &self.purchase_intent,
            &self.escalations,
            &self.dead_letters,
        ]
    }
}

/// The section `[lane]`; see [`LaneSettings`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LaneSection {
    /// Lanes in this process; each is a thread that uses up to one core. All processes together
    /// should have no more lanes than the input has partitions.
    pub count: usize,
    /// A batch is closed at this many records.
    pub batch_records: usize,
    /// A batch is closed at this many bytes.
    pub batch_bytes: usize,
    /// A batch is closed this long after its first record.
    #[serde(with = "duration")]
    pub batch_linger: Duration,
    /// A transaction is committed at this many input records.
    pub commit_records: usize,
    /// A transaction is committed this long after the previous commit began. Readers of the output
    /// see a verdict after this time at the latest, plus the commit itself.
    #[serde(with = "duration")]
    pub commit_interval: Duration,
    /// Events delivered before are recognised among this many; 0 turns it off.
    pub remembered_events: usize,
    /// Above this age of events the cascade sends fewer texts to the deep model.
    #[serde(with = "duration")]
    pub target_age: Duration,
}

impl Default for LaneSection {
    fn default() -> Self {
        let lane = LaneSettings::default();
        Self {
            count: 1,
            batch_records: lane.batch_records,
            batch_bytes: lane.batch_bytes,
            batch_linger: lane.batch_linger,
            commit_records: lane.commit_records,
            commit_interval: lane.commit_interval,
            remembered_events: 65_536,
            target_age: Duration::from_secs(5),
        }
    }
}

/// The section `[format]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FormatSection {
    /// What a record is where it has no `content-type` header.
    pub input: Encoding,
    /// What verdicts, routes and escalations are written as.
    pub output: Encoding,
}

/// How a record's value is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// JSON.
    #[default]
    Json,
    /// The messages of `tidegate.events.v1`.
    Protobuf,
}

impl From<Encoding> for Format {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Json => Self::Json,
            Encoding::Protobuf => Self::Protobuf,
        }
    }
}

/// The mode that the models decide.
const AUTO: &str = "auto";

/// The section `[model]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelSection {
    /// `screen`, `deep` or `cascade`; `auto` is a cascade where there is a deep model, else `screen`.
    pub mode: String,
    /// The folder that holds the models' folders, `screen` and `deep`.
    pub folder: PathBuf,
    /// Texts whose scores each lane remembers, about 80 bytes each: those that the deep model scored,
    /// and over-long ones.
    pub cache: usize,
}

impl Default for ModelSection {
    fn default() -> Self {
        Self {
            mode: AUTO.to_owned(),
            folder: "models".into(),
            cache: 65_536,
        }
    }
}

/// The section `[policy]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PolicySection {
    /// The policy file; the shipped policy where there is none.
    pub file: Option<PathBuf>,
    /// How often the file is looked at for a change.
    #[serde(with = "duration")]
    pub check_every: Duration,
}

impl Default for PolicySection {
    fn default() -> Self {
        Self {
            file: None,
            check_every: Duration::from_secs(2),
        }
    }
}

impl Settings {
    /// Gives `service` its own name, group and topic wherever the settings say nothing.
    pub fn fill_in(&mut self, service: Service) {
        let fill = |text: &mut String, name: &dyn Fn() -> String| {
            if text.is_empty() {
                *text = name();
            }
        };
        let kafka = &mut self.kafka;
        fill(&mut kafka.group_id, &|| {
            format!("tidegate-{}", service.name())
        });
        fill(&mut kafka.transactional_id_prefix, &|| {
            format!("tidegate-{}", service.name())
        });
        fill(&mut kafka.instance, &hostname);
        if kafka.topics.is_empty() {
            kafka.topics.push(service.default_topic().to_owned());
        }
    }

    /// What the classifier of each lane loads.
    #[must_use]
    pub fn classifier(&self) -> ClassifierSettings {
        let best = || Mode::best(&self.model.folder);
        let mode = self.model.mode.parse().unwrap_or_else(|_| best());
        ClassifierSettings {
            cache_capacity: self.model.cache,
            ..ClassifierSettings::new(&self.model.folder, mode)
        }
    }

    /// How each lane works.
    #[must_use]
    pub fn lane(&self) -> LaneSettings {
        let lane = &self.lane;
        LaneSettings {
            batch_records: lane.batch_records,
            batch_bytes: lane.batch_bytes,
            batch_linger: lane.batch_linger,
            commit_records: lane.commit_records,
            commit_interval: lane.commit_interval,
            stop_timeout: self.shutdown.deadline.mul_f64(0.8),
            ..LaneSettings::default()
        }
    }
}

/// The pod's name under Kubernetes; stable for a StatefulSet.
fn hostname() -> String {
    std::env::var("HOSTNAME")
        .ok()
        .or_else(|| std::fs::read_to_string("/etc/hostname").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "local".to_owned())
}

impl Validate for Settings {
    fn validate(&self, mistakes: &mut Mistakes) {
        mistakes.within("kafka", |mistakes| {
            // The names that differ by service are filled in later and are then right.
            let mut whole = self.clone();
            whole.fill_in(Service::Comments);
            add_each(mistakes, whole.kafka.validate());
        });
        mistakes.within("lane", |mistakes| {
            mistakes.in_range("count", self.lane.count, 1..=256);
            add_each(mistakes, self.lane().validate());
        });
        mistakes.within("topics", |mistakes| {
            let names = self.topics.names();
            for (index, name) in names.into_iter().enumerate() {
                let field = TOPIC_FIELDS[index];
                mistakes.require(!name.is_empty(), field, "must not be empty");
                let read = self.kafka.topics.iter().any(|topic| topic == name);
                mistakes.require(!read, field, "is also read: every record would come back");
            }
        });
        mistakes.within("model", |mistakes| {
            let mode = &self.model.mode;
            let is_known = mode == AUTO || mode.parse::<Mode>().is_ok();
            mistakes.require(is_known, "mode", "must be auto, screen, deep or cascade");
        });
        mistakes.within("admin", |mistakes| self.admin.validate(mistakes));
        mistakes.within("log", |mistakes| self.log.validate(mistakes));
        mistakes.within("shutdown", |mistakes| self.shutdown.validate(mistakes));
    }
}

const TOPIC_FIELDS: [&str; 6] = [
    "verdicts",
    "spam",
    "hate",
    "purchase_intent",
    "escalations",
    "dead_letters",
];

/// Takes over messages that begin with the setting's name.
fn add_each(mistakes: &mut Mistakes, messages: Vec<String>) {
    for message in messages {
        match message.split_once(": ") {
            Some((key, message)) => mistakes.add(key, message),
            None => mistakes.add("", message),
        }
    }
}

/// The channel that events of a topic have when they name none.
#[must_use]
pub fn default_channel(service: Service) -> Channel {
    match service {
        Service::Comments => Channel::Comment,
        Service::Dms => Channel::Dm,
    }
}
