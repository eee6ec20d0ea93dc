//! What the service exports: one catalogue. The names are a contract with dashboards and alerts.

mod catalogue;

use std::time::Duration;

pub use catalogue::CATALOGUE;
use catalogue::*;
use metrics::{Gauge, counter, gauge, histogram};
use tidegate_chassis::metrics::{Catalogue, MetricDef};
use tidegate_proto::{
    escalation::v1::{Case, CaseSource, Decision, Outcome, Queue},
    events::v1::Action,
};
use tonic::Code;

use crate::{store::Swept, times};

/// The catalogue as the chassis installs it.
#[must_use]
pub fn catalogue() -> Catalogue {
    Catalogue::new()
        .with(CATALOGUE)
        .with(crate::ends::metrics::CATALOGUE)
        .with(tidegate_moderator::metrics::POLICY_METRICS)
}

/// Something that is counted until this is dropped.
pub(crate) struct Counted(Gauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

fn counted(def: &MetricDef) -> Counted {
    let gauge = gauge!(def.name);
    gauge.increment(1);
    Counted(gauge)
}

/// A call is being answered.
pub(crate) fn in_flight() -> Counted {
    counted(&IN_FLIGHT)
}

/// A watch stream is open.
pub(crate) fn stream() -> Counted {
    counted(&STREAMS)
}

/// The service ended a watch stream.
pub(crate) fn stream_ended(reason: &'static str) {
    counter!(STREAMS_ENDED.name, "reason" => reason).increment(1);
}

/// A call was answered.
pub(crate) fn called(method: &'static str, code: Code, took: Duration) {
    counter!(CALLS.name, "method" => method, "code" => code_name(code)).increment(1);
    histogram!(CALL_TIME.name, "method" => method).record(took);
}

/// A call was refused before it did anything.
pub(crate) fn refused(reason: &'static str) {
    counter!(REFUSED.name, "reason" => reason).increment(1);
}

/// The code as the protocol names it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// How a queue stands.
pub(crate) fn queue(queue: &Queue, now_ms: i64) {
    let label = label_of(&queue.name);
    let set = |def: &MetricDef, value: i64| {
        gauge!(def.name, "queue" => label.clone()).set(value as f64);
    };
    set(&WAITING, queue.open_count);
    set(&CLAIMED, queue.claimed_count);
    set(&HELD, queue.held_count);
    set(&OVERDUE, queue.breached_count);
    let oldest = queue.oldest_open_time.as_ref().map(times::millis);
    let age_ms = oldest.map_or(0, |oldest| (now_ms - oldest).max(0));
    gauge!(OLDEST.name, "queue" => label).set(age_ms as f64 / 1e3);
}

/// What a sweep did.
pub(crate) fn swept(swept: &Swept) {
    counter!(EXPIRED.name).increment(swept.expired);
    counter!(RETURNED.name).increment(swept.returned);
    counter!(REMOVED.name).increment(swept.removed);
    for (_, queue) in &swept.warned {
        counter!(WARNED.name, "queue" => label_of(queue)).increment(1);
    }
    for (_, queue) in &swept.breached {
        counter!(BREACHED.name, "queue" => label_of(queue)).increment(1);
    }
}

/// A case was taken.
pub(crate) fn claimed(case: &Case) {
    let (Some(created), Some(first)) = (&case.create_time, &case.first_claim_time) else {
        return;
    };
    // Only the first claim ends the wait.
    if case.first_claim_time == case.last_claim_time {
        let waited = (times::millis(first) - times::millis(created)).max(0);
        histogram!(CLAIM_WAIT.name, "queue" => label_of(&case.queue)).record(waited as f64 / 1e3);
    }
}

/// A person decided a case.
pub(crate) fn decided(case: &Case) {
    let Some(decision) = case.decisions.last() else {
        return;
    };
    let source = case.source().as_str_name();
    counter!(
        DECISIONS.name,
        "outcome" => lower(decision.outcome().as_str_name(), "OUTCOME_"),
        "source" => lower(source, "CASE_SOURCE_"),
    )
    .increment(1);
    if let (Some(claimed), Some(decided)) = (&case.last_claim_time, &decision.decide_time) {
        let took = (times::millis(decided) - times::millis(claimed)).max(0);
        histogram!(HANDLING.name, "queue" => label_of(&case.queue)).record(took as f64 / 1e3);
    }
    match case.decisions.as_slice() {
        [only] => reviewed(case, only),
        [first, second] => {
            let agreed = if first.outcome == second.outcome {
                "true"
            } else {
                "false"
            };
            counter!(SECOND_REVIEWS.name, "agreed" => agreed).increment(1);
        }
        _ => {}
    }
}

/// An objection was decided.
pub(crate) fn appeal_decided(overturned: bool) {
    let outcome = if overturned { "overturned" } else { "upheld" };
    counter!(APPEALS.name, "outcome" => outcome).increment(1);
}

/// Compares what the machine did alone with what a person says.
fn reviewed(case: &Case, decision: &Decision) {
    let Some(verdict) = &case.verdict else {
        return;
    };
    let Some(overturned) = overturns(verdict.action(), decision.outcome(), case.source()) else {
        return;
    };
    let mut labels: Vec<&str> = verdict.labels().map(|label| label.as_str_name()).collect();
    if labels.is_empty() {
        labels.push("LABEL_NONE");
    }
    for label in labels {
        let labels = [
            ("label", lower(label, "LABEL_")),
            ("policy_version", verdict.policy_version.clone()),
        ];
        counter!(REVIEWED.name, &labels).increment(1);
        counter!(OVERTURNED.name, &labels).increment(u64::from(overturned));
    }
}

/// Whether a person undid what the machine had decided; none where it had left it open.
pub fn overturns(action: Action, outcome: Outcome, source: CaseSource) -> Option<bool> {
    let against = matches!(outcome, Outcome::Hide | Outcome::Delete | Outcome::Ban);
    match action {
        Action::Hide | Action::HideAndReview => Some(matches!(
            outcome,
            Outcome::Allow | Outcome::Replied | Outcome::NoAction | Outcome::Refund
        )),
        // A message that was let through is only looked at when drawn or reported.
        Action::Allow if source != CaseSource::Unspecified => Some(against),
        _ => None,
    }
}

/// `OUTCOME_HIDE` as `hide`.
fn lower(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

/// `queues/conduct` as `conduct`.
fn label_of(queue: &str) -> String {
    queue.strip_prefix("queues/").unwrap_or(queue).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_keeps_the_rules() {
        assert_eq!(catalogue().faults(), Vec::<String>::new());
    }

    #[test]
    fn a_hidden_message_that_a_person_shows_again_is_a_false_positive() {
        let machine = CaseSource::Machine;
        let overturned = |action, outcome| overturns(action, outcome, machine);
        assert_eq!(overturned(Action::Hide, Outcome::Allow), Some(true));
        assert_eq!(overturned(Action::Hide, Outcome::Delete), Some(false));
        assert_eq!(overturned(Action::Allow, Outcome::Ban), Some(true));
        assert_eq!(overturned(Action::Allow, Outcome::NoAction), Some(false));
        assert_eq!(overturned(Action::Review, Outcome::Hide), None);
    }
}
