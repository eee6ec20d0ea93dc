//! A record to what the store takes: a case, a message that is gone, or what cannot be read.

use prost::Message;
use tidegate_kafka::Record;
use tidegate_proto::{
    escalation::v1::{Case, CaseEvent, CaseSource, CaseVerdict},
    events::v1::{Action, Escalation, Event, Priority, RoutedEvent, Verdict},
};

use super::{json, sampling::Sampling};
use crate::store::Arrived;

/// Why a record cannot be read. A closed list: the names are in the store and in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has no bytes.
    Empty,
    /// It is not JSON.
    InvalidJson,
    /// It is not Protobuf.
    InvalidProtobuf,
    /// Its `content-type` names neither JSON nor Protobuf.
    UnknownContentType,
    /// A field is missing that every case needs.
    MissingField,
    /// A field holds something of another type.
    WrongField,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Empty,
        Self::InvalidJson,
        Self::InvalidProtobuf,
        Self::UnknownContentType,
        Self::MissingField,
        Self::WrongField,
    ];

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::InvalidJson => "invalid_json",
            Self::InvalidProtobuf => "invalid_protobuf",
            Self::UnknownContentType => "unknown_content_type",
            Self::MissingField => "missing_field",
            Self::WrongField => "wrong_field",
        }
    }
}

/// A record that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", reason.as_str())]
pub struct Unreadable {
    /// Why.
    pub reason: Reason,
    /// Which field, or where. Holds nothing that the record said.
    pub detail: String,
}

impl Unreadable {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { reason, detail }
    }
}

/// Reads a record of the escalations topic.
///
/// # Errors
/// It cannot be read.
pub fn escalation(record: &Record<'_>) -> Result<Arrived, Unreadable> {
    let escalation = match body(record)? {
        Body::Json(bytes) => json::escalation(bytes)?,
        Body::Protobuf(bytes) => Escalation::decode(bytes).map_err(|_| no_message())?,
    };
    let verdict = escalation.verdict.ok_or_else(|| missing("verdict"))?;
    present("verdict.id", &verdict.id)?;
    if escalation.withdrawn {
        present("verdict.event_id", &verdict.event_id)?;
        return Ok(Arrived::Withdrawn {
            event_id: verdict.event_id,
            platform: verdict.platform,
            brand: verdict.brand,
            verdict_id: verdict.id,
        });
    }
    let event = escalation.event.ok_or_else(|| missing("event"))?;
    Ok(Arrived::Open(Box::new(case(
        event,
        verdict,
        CaseSource::Machine,
    )?)))
}

/// Reads a record of a topic of events with their verdicts, and makes a case of it if it was
/// decided by the machine alone and is drawn.
///
/// # Errors
/// It cannot be read.
pub fn sample(record: &Record<'_>, sampling: &Sampling) -> Result<Option<Arrived>, Unreadable> {
    let routed = match body(record)? {
        Body::Json(bytes) => json::routed(bytes)?,
        Body::Protobuf(bytes) => RoutedEvent::decode(bytes).map_err(|_| no_message())?,
    };
    let verdict = routed.verdict.ok_or_else(|| missing("verdict"))?;
    let event = routed.event.ok_or_else(|| missing("event"))?;
    // What a person sees anyhow needs no sample.
    if verdict.action() != Action::Hide || !sampling.draws(event.id()) {
        return Ok(None);
    }
    let mut case = case(event, verdict, CaseSource::Sample)?;
    case.queue = format!("queues/{}", sampling.queue);
    case.set_priority(Priority::Low);
    case.due_time = None;
    Ok(Some(Arrived::Open(Box::new(case))))
}

fn case(event: Event, verdict: Verdict, source: CaseSource) -> Result<Case, Unreadable> {
    present("event.id", event.id())?;
    present("event.platform", event.platform())?;
    present("event.brand", event.brand())?;
    let review = verdict.review.clone().unwrap_or_default();
    let mut case = Case {
        queue: if review.queue.is_empty() {
            String::new()
        } else {
            format!("queues/{}", review.queue)
        },
        priority: review.priority,
        due_time: review.due_at,
        event: Some(CaseEvent {
            event_id: event.id.unwrap_or_default(),
            brand: event.brand.unwrap_or_default(),
            platform: event.platform.unwrap_or_default(),
            channel: event.channel,
            conversation_id: event.conversation_id,
            parent_id: event.parent_id,
            post_id: event.post_id,
            author: event.author,
            text: event.text,
            lang: event.lang,
            event_time: verdict.event_time.or(event.created_at),
            context: event.context,
            edits: 0,
        }),
        verdict: Some(CaseVerdict {
            verdict_id: verdict.id,
            action: verdict.action,
            labels: verdict.labels,
            scores: verdict.scores,
            reasons: verdict.reasons,
            tier: verdict.tier,
            model_version: verdict.model_version,
            policy_version: verdict.policy_version,
        }),
        ..Case::default()
    };
    case.set_source(source);
    Ok(case)
}

enum Body<'a> {
    Json(&'a [u8]),
    Protobuf(&'a [u8]),
}

/// The record's bytes, by what its header says they are; JSON where it says nothing.
fn body<'a>(record: &Record<'a>) -> Result<Body<'a>, Unreadable> {
    let bytes = record.payload.unwrap_or_default();
    if bytes.is_empty() {
        return Err(Unreadable::new(Reason::Empty, "there are no bytes"));
    }
    let essence = record.headers.get("content-type").map(|value| {
        let essence = value.split(|byte| *byte == b';').next();
        essence.unwrap_or_default().trim_ascii()
    });
    let Some(essence) = essence else {
        return Ok(Body::Json(bytes));
    };
    let is = |names: &[&str]| {
        names
            .iter()
            .any(|name| essence.eq_ignore_ascii_case(name.as_bytes()))
    };
    if is(&["application/json"]) {
        Ok(Body::Json(bytes))
    } else if is(&["application/x-protobuf", "application/protobuf"]) {
        Ok(Body::Protobuf(bytes))
    } else {
        Err(Unreadable::new(
            Reason::UnknownContentType,
            "the content-type header names neither JSON nor Protobuf",
        ))
    }
}

fn present(field: &str, value: &str) -> Result<(), Unreadable> {
    if value.is_empty() {
        return Err(missing(field));
    }
    Ok(())
}

fn missing(field: &str) -> Unreadable {
    Unreadable::new(Reason::MissingField, format!("field `{field}` is missing"))
}

/// Prost's own text may quote a field's value.
fn no_message() -> Unreadable {
    Unreadable::new(
        Reason::InvalidProtobuf,
        "the bytes are no message of this kind",
    )
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
