//! The settings of the process: one struct for a section, each with defaults that work.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use tidegate_chassis::{
    admin::AdminSettings,
    logs::LogSettings,
    settings::{Mistakes, Secret, Validate, duration, secret_from},
    shutdown::ShutdownSettings,
};
use tidegate_classifier::{ClassifierSettings, Mode};
use tidegate_kafka::settings::KafkaSettings;
use tidegate_moderator::settings::PolicySection;

use crate::{
    auth::settings::AuthSection,
    ends::{EndsSettings, IntakeSection, OutboxSection, Topics},
    intake::Sampling,
    server::settings::{LimitsSection, ServerSection, TlsSection, WatchSection},
    store::StoreSettings,
};

/// Everything that the process is told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Where cases are kept.
    pub store: StoreSection,
    /// How to reach the cluster; without brokers nothing comes in and nothing goes out.
    pub kafka: KafkaSettings,
    /// The topics that are read and written.
    pub topics: Topics,
    /// When escalations are stored.
    pub intake: IntakeSection,
    /// How decisions are published.
    pub outbox: OutboxSection,
    /// Which automatic decisions people look at.
    pub sampling: Sampling,
    /// How calls are taken.
    pub server: ServerSection,
    /// How connections are encrypted.
    pub tls: TlsSection,
    /// How callers prove who they are.
    pub auth: AuthSection,
    /// What callers may use.
    pub limits: LimitsSection,
    /// Streams of changes.
    pub watch: WatchSection,
    /// What scores texts for ScoringService.
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

/// The section `[store]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoreSection {
    /// `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`.
    pub url: Option<Secret>,
    /// The same, in a file.
    pub url_file: Option<PathBuf>,
    /// How many connections read at once.
    pub readers: u32,
    /// How many commands one commit may hold.
    pub group: usize,
    /// How long closed cases that name an order are kept.
    #[serde(with = "duration")]
    pub keep_transactional: Duration,
    /// How long other closed cases are kept.
    #[serde(with = "duration")]
    pub keep_chat: Duration,
    /// How long answers are kept for repeated request ids.
    #[serde(with = "duration")]
    pub keep_replies: Duration,
    /// How often leases, holds and deadlines are looked at.
    #[serde(with = "duration")]
    pub sweep_every: Duration,
}

/// Where cases are kept when nothing is set.
const DEFAULT_URL: &str = "sqlite:tidegate-cases.db";

impl Default for StoreSection {
    fn default() -> Self {
        let store = StoreSettings::new("");
        Self {
            url: None,
            url_file: None,
            readers: store.readers,
            group: store.group,
            keep_transactional: millis(store.keep_transactional_ms),
            keep_chat: millis(store.keep_chat_ms),
            keep_replies: millis(store.keep_replies_ms),
            sweep_every: Duration::from_secs(1),
        }
    }
}

fn millis(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

fn as_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl StoreSection {
    /// As the store takes them.
    ///
    /// # Errors
    /// The address is given twice, or its file cannot be read.
    pub fn store(&self) -> Result<StoreSettings, String> {
        let url = secret_from(self.url.as_ref(), self.url_file.as_deref())
            .map_err(|error| error.to_string())?;
        let url = url.unwrap_or_else(|| Secret::new(DEFAULT_URL));
        let known = ["sqlite:", "postgres://", "postgresql://"];
        if !known.iter().any(|scheme| url.expose().starts_with(scheme)) {
            return Err("must begin with sqlite: or postgres://".to_owned());
        }
        Ok(StoreSettings {
            readers: self.readers,
            group: self.group,
            keep_transactional_ms: as_millis(self.keep_transactional),
            keep_chat_ms: as_millis(self.keep_chat),
            keep_replies_ms: as_millis(self.keep_replies),
            ..StoreSettings::new(url.expose())
        })
    }
}

impl Validate for StoreSection {
    fn validate(&self, mistakes: &mut Mistakes) {
        if let Err(message) = self.store() {
            mistakes.add("url", message);
        }
        mistakes.in_range("readers", self.readers, 1..=256);
        mistakes.in_range("group", self.group, 1..=10_000);
        let day = Duration::from_secs(86_400);
        mistakes.require(
            self.keep_transactional >= day,
            "keep_transactional",
            "must be at least 1d",
        );
        mistakes.require(self.keep_chat >= day, "keep_chat", "must be at least 1d");
        mistakes.require(
            self.keep_replies >= Duration::from_secs(60),
            "keep_replies",
            "must be at least 1m",
        );
        let sensible = Duration::from_millis(50)..=Duration::from_secs(60);
        mistakes.require(
            sensible.contains(&self.sweep_every),
            "sweep_every",
            "must be from 50ms to 1m",
        );
    }
}

/// The section `[model]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelSection {
    /// `off`, `screen`, `deep` or `cascade`.
    pub mode: String,
    /// The folder that holds the models' folders, `screen` and `deep`.
    pub folder: PathBuf,
}

impl Default for ModelSection {
    fn default() -> Self {
        Self {
            mode: "off".to_owned(),
            folder: "models".into(),
        }
    }
}

impl ModelSection {
    /// What the scoring thread loads; none when it is off.
    #[must_use]
    pub fn classifier(&self) -> Option<ClassifierSettings> {
        let mode = self.mode.parse::<Mode>().ok()?;
        Some(ClassifierSettings::new(&self.folder, mode))
    }
}

impl Settings {
    /// What the ends towards Kafka are told.
    #[must_use]
    pub fn ends(&self) -> EndsSettings {
        EndsSettings {
            kafka: self.kafka.clone(),
            topics: self.topics.clone(),
            intake: self.intake.clone(),
            outbox: self.outbox.clone(),
            sampling: self.sampling.clone(),
        }
    }
}

impl Validate for Settings {
    fn validate(&self, mistakes: &mut Mistakes) {
        mistakes.within("store", |mistakes| self.store.validate(mistakes));
        self.ends().validate(mistakes);
        mistakes.within("server", |mistakes| self.server.validate(mistakes));
        mistakes.within("tls", |mistakes| {
            self.tls.validate(self.server.listen, mistakes);
        });
        mistakes.within("auth", |mistakes| self.auth.validate(mistakes));
        mistakes.within("limits", |mistakes| self.limits.validate(mistakes));
        mistakes.within("watch", |mistakes| self.watch.validate(mistakes));
        mistakes.within("model", |mistakes| {
            if self.model.mode != "off"
                && let Err(message) = self.model.mode.parse::<Mode>()
            {
                mistakes.add("mode", format!("{message}, or `off`"));
            }
        });
        mistakes.within("admin", |mistakes| self.admin.validate(mistakes));
        mistakes.within("log", |mistakes| self.log.validate(mistakes));
        mistakes.within("shutdown", |mistakes| self.shutdown.validate(mistakes));
        mistakes.within("server", |mistakes| {
            mistakes.require(
                self.server.leave_wait < self.shutdown.deadline,
                "leave_wait",
                "must be less than shutdown.deadline",
            );
        });
    }
}
