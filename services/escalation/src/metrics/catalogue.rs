//! The names: a contract with dashboards and alerts.

use metrics::Unit;
use tidegate_chassis::metrics::{MetricDef, SECONDS};

/// Every metric of the service itself; parts beside it add their own.
pub const CATALOGUE: &[MetricDef] = &[
    CALLS,
    CALL_TIME,
    IN_FLIGHT,
    REFUSED,
    STREAMS,
    STREAMS_ENDED,
    WAITING,
    CLAIMED,
    HELD,
    OVERDUE,
    OLDEST,
    EXPIRED,
    RETURNED,
    WARNED,
    BREACHED,
    REMOVED,
    CLAIM_WAIT,
    HANDLING,
    DECISIONS,
    SECOND_REVIEWS,
    REVIEWED,
    OVERTURNED,
    APPEALS,
];

pub(super) const CALLS: MetricDef = MetricDef::counter(
    "tidegate_grpc_calls_total",
    Unit::Count,
    "Calls that were answered, by how.",
    &["method", "code"],
);
pub(super) const CALL_TIME: MetricDef = MetricDef::histogram(
    "tidegate_grpc_call_duration_seconds",
    SECONDS,
    Unit::Seconds,
    "Time from a call's arrival to its answer, or to a stream's beginning. The wait of ClaimCase \
     is in it.",
    &["method"],
);
pub(super) const IN_FLIGHT: MetricDef = MetricDef::gauge(
    "tidegate_grpc_calls_in_flight",
    Unit::Count,
    "Calls that are being answered.",
    &[],
);
pub(super) const REFUSED: MetricDef = MetricDef::counter(
    "tidegate_grpc_refused_total",
    Unit::Count,
    "Calls refused before they did anything, by why.",
    &["reason"],
);
pub(super) const STREAMS: MetricDef = MetricDef::gauge(
    "tidegate_watch_streams",
    Unit::Count,
    "Watch streams that are open.",
    &[],
);
pub(super) const STREAMS_ENDED: MetricDef = MetricDef::counter(
    "tidegate_watch_streams_ended_total",
    Unit::Count,
    "Watch streams that the service ended, by why.",
    &["reason"],
);
pub(super) const WAITING: MetricDef = MetricDef::gauge(
    "tidegate_review_queue_depth",
    Unit::Count,
    "Cases that wait for someone to take them.",
    &["queue"],
);
pub(super) const CLAIMED: MetricDef = MetricDef::gauge(
    "tidegate_review_queue_claimed",
    Unit::Count,
    "Cases that an agent has.",
    &["queue"],
);
pub(super) const HELD: MetricDef = MetricDef::gauge(
    "tidegate_review_queue_on_hold",
    Unit::Count,
    "Cases that are put aside.",
    &["queue"],
);
pub(super) const OVERDUE: MetricDef = MetricDef::gauge(
    "tidegate_review_queue_overdue",
    Unit::Count,
    "Waiting cases whose deadline has passed.",
    &["queue"],
);
pub(super) const OLDEST: MetricDef = MetricDef::gauge(
    "tidegate_review_queue_oldest_age_seconds",
    Unit::Seconds,
    "Age of the oldest waiting case; 0 when none waits.",
    &["queue"],
);
pub(super) const EXPIRED: MetricDef = MetricDef::counter(
    "tidegate_leases_expired_total",
    Unit::Count,
    "Cases that returned to their queue because their agent fell silent.",
    &[],
);
pub(super) const RETURNED: MetricDef = MetricDef::counter(
    "tidegate_holds_returned_total",
    Unit::Count,
    "Cases that returned to their queue after being put aside.",
    &[],
);
pub(super) const WARNED: MetricDef = MetricDef::counter(
    "tidegate_deadline_warnings_total",
    Unit::Count,
    "Cases that came near their deadline undecided.",
    &["queue"],
);
pub(super) const BREACHED: MetricDef = MetricDef::counter(
    "tidegate_deadline_breaches_total",
    Unit::Count,
    "Cases that passed their deadline undecided; the queue is the one they are in now.",
    &["queue"],
);
pub(super) const REMOVED: MetricDef = MetricDef::counter(
    "tidegate_cases_removed_total",
    Unit::Count,
    "Closed cases removed at the end of their retention.",
    &[],
);
pub(super) const CLAIM_WAIT: MetricDef = MetricDef::histogram(
    "tidegate_case_wait_seconds",
    WAITS,
    Unit::Seconds,
    "Time from a case's opening to its first claim.",
    &["queue"],
);
pub(super) const HANDLING: MetricDef = MetricDef::histogram(
    "tidegate_case_handling_seconds",
    WAITS,
    Unit::Seconds,
    "Time from a case's last claim to its decision.",
    &["queue"],
);
pub(super) const DECISIONS: MetricDef = MetricDef::counter(
    "tidegate_decisions_total",
    Unit::Count,
    "Decisions that people made, by what they decided and what had opened the case.",
    &["outcome", "source"],
);
pub(super) const SECOND_REVIEWS: MetricDef = MetricDef::counter(
    "tidegate_second_reviews_total",
    Unit::Count,
    "Cases that two people decided, by whether they agreed.",
    &["agreed"],
);
pub(super) const REVIEWED: MetricDef = MetricDef::counter(
    "tidegate_machine_decisions_reviewed_total",
    Unit::Count,
    "What the machine had decided alone and a person looked at, by each label that it gave.",
    &["label", "policy_version"],
);
pub(super) const OVERTURNED: MetricDef = MetricDef::counter(
    "tidegate_machine_decisions_overturned_total",
    Unit::Count,
    "What the machine had decided alone and a person decided otherwise, by each label that it \
     gave: over the reviewed ones, the share of false positives (hidden) or negatives (allowed).",
    &["label", "policy_version"],
);
pub(super) const APPEALS: MetricDef = MetricDef::counter(
    "tidegate_appeals_decided_total",
    Unit::Count,
    "Objections that were decided, by how.",
    &["outcome"],
);

/// Bucket edges for what people take, in seconds: 1 s to 1 day.
pub(super) const WAITS: &[f64] = &[
    1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0,
    28_800.0, 86_400.0,
];
