//! What the ends towards Kafka export.

use std::time::Duration;

use metrics::{Unit, counter, gauge, histogram};
use tidegate_chassis::metrics::{MetricDef, SECONDS};
use tidegate_kafka::TopicPartition;

use crate::{intake::decode::Reason, store::IntakeReport};

/// Every metric of the ends.
pub const CATALOGUE: &[MetricDef] = &[
    TAKEN, UNREADABLE, STORE_TIME, BEHIND, PUBLISHED, WAITING, CONNECTED, REFUSED,
];

const TAKEN: MetricDef = MetricDef::counter(
    "tidegate_escalations_taken_total",
    Unit::Count,
    "Escalations that were stored, by what became of them.",
    &["outcome"],
);
const UNREADABLE: MetricDef = MetricDef::counter(
    "tidegate_escalations_unreadable_total",
    Unit::Count,
    "Records that could not be read and are kept as they came, by why.",
    &["reason"],
);
const STORE_TIME: MetricDef = MetricDef::histogram(
    "tidegate_intake_store_duration_seconds",
    SECONDS,
    Unit::Seconds,
    "Time that storing a batch of escalations took.",
    &[],
);
const BEHIND: MetricDef = MetricDef::gauge(
    "tidegate_intake_lag_records",
    Unit::Count,
    "Records between what is stored and the end of the partition.",
    &["topic", "partition"],
);
const PUBLISHED: MetricDef = MetricDef::counter(
    "tidegate_resolutions_published_total",
    Unit::Count,
    "Decisions that were published.",
    &[],
);
const WAITING: MetricDef = MetricDef::gauge(
    "tidegate_resolutions_waiting",
    Unit::Count,
    "Decisions that wait to be published, as far as one look at them reaches (500).",
    &[],
);
const CONNECTED: MetricDef = MetricDef::gauge(
    "tidegate_escalation_kafka_connected",
    Unit::Count,
    "Whether an end is connected to Kafka.",
    &["end"],
);
const REFUSED: MetricDef = MetricDef::counter(
    "tidegate_escalation_kafka_refused_total",
    Unit::Count,
    "Times that Kafka refused an end what it needs; the log says what.",
    &["end"],
);

/// A batch was stored.
pub(crate) fn stored(report: &IntakeReport, took: Duration) {
    histogram!(STORE_TIME.name).record(took);
    for (outcome, count) in [
        ("opened", report.opened),
        ("updated", report.updated),
        ("reopened", report.reopened),
        ("grouped", report.grouped),
        ("withdrawn", report.withdrawn),
        ("unchanged", report.unchanged),
    ] {
        counter!(TAKEN.name, "outcome" => outcome).increment(count);
    }
}

/// A record cannot be read.
pub(crate) fn unreadable(reason: Reason) {
    counter!(UNREADABLE.name, "reason" => reason.as_str()).increment(1);
}

/// How far behind reading is.
pub(crate) fn lag(partitions: Vec<(TopicPartition, Option<u64>)>) {
    for (at, behind) in partitions {
        let Some(behind) = behind else { continue };
        let labels = [
            ("topic", at.topic.to_string()),
            ("partition", at.partition.to_string()),
        ];
        gauge!(BEHIND.name, &labels).set(behind as f64);
    }
}

/// Decisions were published.
pub(crate) fn published(count: usize) {
    counter!(PUBLISHED.name).increment(count as u64);
}

/// Decisions wait.
pub(crate) fn waiting(count: usize) {
    gauge!(WAITING.name).set(count as f64);
}

/// Whether an end reaches the brokers.
pub(crate) fn connected(end: &'static str, connected: bool) {
    gauge!(CONNECTED.name, "end" => end).set(f64::from(u8::from(connected)));
}

/// Kafka refused an end.
pub(crate) fn refused(end: &'static str) {
    counter!(REFUSED.name, "end" => end).increment(1);
}
