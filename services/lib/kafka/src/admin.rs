//! Topics: what is there, and creating what is missing. For the command line and demonstrations.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    admin::{
        AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier,
        ResourceSpecifier, TopicReplication,
    },
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode as Code},
};

use crate::{client, settings::KafkaSettings};

/// Why a question to the cluster has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The settings are wrong in themselves; all mistakes.
    #[error("kafka settings: {}", .0.join("; "))]
    Settings(Vec<String>),
    /// The client library refuses the settings.
    #[error("kafka client: {0}")]
    Client(String),
    /// The brokers did not answer, or refused.
    #[error("{action} on {brokers}: {reason}")]
    Cluster {
        /// What was being done.
        action: &'static str,
        /// Where.
        brokers: String,
        /// What the client said.
        reason: String,
    },
    /// A topic was refused.
    #[error("create topic {topic}: {reason}")]
    Topic {
        /// The topic's name.
        topic: String,
        /// Why.
        reason: String,
    },
}

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// How many brokers hold each partition; `-1` leaves it to the cluster.
    pub replicas: i32,
    /// Settings of the topic, by Kafka's own names.
    pub config: BTreeMap<String, String>,
}

impl TopicSpec {
    /// A topic with the cluster's own defaults.
    #[must_use]
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        Self {
            name: name.into(),
            partitions,
            replicas: -1,
            config: BTreeMap::new(),
        }
    }
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// Its partitions, in order.
    pub partitions: Vec<PartitionInfo>,
}

/// A partition as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Its number.
    pub partition: i32,
    /// The broker that leads it; `None` while there is none.
    pub leader: Option<i32>,
    /// How many brokers hold it.
    pub replicas: usize,
    /// How many of these are up to date.
    pub in_sync: usize,
}

/// The cluster as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterInfo {
    /// The brokers: number and address.
    pub brokers: Vec<(i32, String)>,
    /// The topics, by name.
    pub topics: Vec<TopicInfo>,
}

/// Asks a cluster about itself.
pub struct Admin {
    client: AdminClient<DefaultClientContext>,
    brokers: String,
    timeout: Duration,
}

impl Admin {
    /// A client for the cluster that `settings` name; `timeout` bounds each question.
    ///
    /// # Errors
    /// The settings are wrong in themselves.
    pub fn connect(settings: &KafkaSettings, timeout: Duration) -> Result<Self, AdminError> {
        let mistakes = settings.validate();
        if !mistakes.is_empty() {
            return Err(AdminError::Settings(mistakes));
        }
        let config = client::common(settings).map_err(AdminError::Client)?;
        let client = config
            .create()
            .map_err(|error| AdminError::Client(client::creation_error("admin", &error)))?;
        Ok(Self {
            client,
            brokers: settings.brokers.clone(),
            timeout,
        })
    }

    /// The brokers and all topics.
    ///
    /// # Errors
    /// No broker answered in time, or it refused.
    pub fn describe(&self) -> Result<ClusterInfo, AdminError> {
        let metadata = self
            .client
            .inner()
            .fetch_metadata(None, self.timeout)
            .map_err(|error| self.cluster_error("describe cluster", &error))?;
        let brokers = metadata
            .brokers()
            .iter()
            .map(|broker| (broker.id(), format!("{}:{}", broker.host(), broker.port())))
            .collect();
        let mut topics: Vec<_> = metadata
            .topics()
            .iter()
            .map(|topic| TopicInfo {
                name: topic.name().to_owned(),
                partitions: topic
                    .partitions()
                    .iter()
                    .map(|partition| PartitionInfo {
                        partition: partition.id(),
                        leader: Some(partition.leader()).filter(|leader| *leader >= 0),
                        replicas: partition.replicas().len(),
                        in_sync: partition.isr().len(),
                    })
                    .collect(),
            })
            .collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(ClusterInfo { brokers, topics })
    }

    /// Creates those of `topics` that do not exist, and returns their names. What exists stays as
    /// it is, whatever its partitions and settings.
    ///
    /// # Errors
    /// No broker answered in time, or one of the topics was refused.
    pub fn create_missing(&self, topics: &[TopicSpec]) -> Result<Vec<String>, AdminError> {
        let existing = self.describe()?.topics;
        let missing: Vec<_> = topics
            .iter()
            .filter(|topic| existing.iter().all(|known| known.name != topic.name))
            .collect();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let new: Vec<_> = missing
            .iter()
            .map(|topic| {
                let replicas = TopicReplication::Fixed(topic.replicas);
                topic.config.iter().fold(
                    NewTopic::new(&topic.name, topic.partitions, replicas),
                    |new, (name, value)| new.set(name, value),
                )
            })
            .collect();
        let options = AdminOptions::new()
            .request_timeout(Some(self.timeout))
            .operation_timeout(Some(self.timeout));
        let results = pollster::block_on(self.client.create_topics(&new, &options))
            .map_err(|error| self.cluster_error("create topics", &error))?;
        let mut created = Vec::new();
        for result in results {
            match result {
                Ok(topic) => created.push(topic),
                // Another process was faster.
                Err((_, Code::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    let reason = match client::advice(code) {
                        Some(advice) => format!("{code}: {advice}"),
                        None => code.to_string(),
                    };
                    return Err(AdminError::Topic { topic, reason });
                }
            }
        }
        Ok(created)
    }

    /// How long topics keep their records, in milliseconds; `None` for one that keeps some without
    /// limit. What does not exist is left out.
    ///
    /// # Errors
    /// No broker answered in time, or it refused.
    pub fn retention(&self, topics: &[String]) -> Result<Vec<(String, Option<i64>)>, AdminError> {
        let names: Vec<_> = topics
            .iter()
            .map(|topic| ResourceSpecifier::Topic(topic))
            .collect();
        let options = AdminOptions::new().request_timeout(Some(self.timeout));
        let described = pollster::block_on(self.client.describe_configs(&names, &options))
            .map_err(|error| self.cluster_error("describe topics", &error))?;
        Ok(described
            .into_iter()
            .flatten()
            .filter_map(|resource| {
                let kept = kept_ms(&resource);
                match resource.specifier {
                    OwnedResourceSpecifier::Topic(name) => Some((name, kept)),
                    _ => None,
                }
            })
            .collect())
    }

    fn cluster_error(&self, action: &'static str, error: &KafkaError) -> AdminError {
        let advice = error.rdkafka_error_code().and_then(client::advice);
        AdminError::Cluster {
            action,
            brokers: self.brokers.clone(),
            reason: match advice {
                Some(advice) => format!("{error}: {advice}"),
                None => error.to_string(),
            },
        }
    }
}

/// How long a topic keeps records; `None` if without limit.
fn kept_ms(topic: &ConfigResource) -> Option<i64> {
    let value = |name: &str| topic.get(name).and_then(|entry| entry.value.as_deref());
    // A compacted topic keeps the last record of each key.
    if value("cleanup.policy").is_some_and(|policy| policy.contains("compact")) {
        return None;
    }
    let ms: i64 = value("retention.ms")?.parse().ok()?;
    (ms >= 0).then_some(ms)
}
