//! What the pipeline writes as JSON, read into the messages of the contract.

use std::collections::BTreeMap;

use serde::Deserialize;
use tidegate_core::{
    Action, Channel, Kind, Label, Priority, Scores, Tier,
    names::{Named, Set},
};
use tidegate_proto::events::v1;

use super::decode::{Reason, Unreadable};
use crate::times::timestamp;

/// An escalation.
pub(super) fn escalation(bytes: &[u8]) -> Result<v1::Escalation, Unreadable> {
    let read: Escalation = read(bytes)?;
    Ok(v1::Escalation {
        withdrawn: read.withdrawn,
        event: read.event.map(Into::into),
        verdict: Some(read.verdict.into()),
    })
}

/// An event with its verdict.
pub(super) fn routed(bytes: &[u8]) -> Result<v1::RoutedEvent, Unreadable> {
    let read: Routed = read(bytes)?;
    Ok(v1::RoutedEvent {
        event: Some(read.event.into()),
        verdict: Some(read.verdict.into()),
    })
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(bytes).map_err(|error| {
        use serde_json::error::Category;
        // The error's own text may quote the record.
        let at = format!("at line {}, column {}", error.line(), error.column());
        match error.classify() {
            Category::Data => Unreadable::new(Reason::WrongField, at),
            Category::Io | Category::Syntax | Category::Eof => {
                Unreadable::new(Reason::InvalidJson, at)
            }
        }
    })
}

#[derive(Deserialize)]
struct Escalation {
    withdrawn: bool,
    event: Option<Event>,
    verdict: Verdict,
}

#[derive(Deserialize)]
struct Routed {
    #[serde(flatten)]
    event: Event,
    verdict: Verdict,
}

#[derive(Deserialize)]
struct Event {
    id: Option<String>,
    kind: Option<Kind>,
    platform: Option<String>,
    brand: Option<String>,
    channel: Option<Channel>,
    conversation_id: Option<String>,
    parent_id: Option<String>,
    post_id: Option<String>,
    #[serde(default)]
    author: Author,
    text: Option<String>,
    lang: Option<String>,
    created_at: Option<i64>,
    #[serde(default)]
    context: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Author {
    id: Option<String>,
    name: Option<String>,
    followers: Option<u64>,
    is_creator: bool,
}

#[derive(Deserialize)]
struct Verdict {
    id: String,
    event_id: String,
    kind: Option<Kind>,
    brand: Option<String>,
    platform: Option<String>,
    channel: Option<Channel>,
    conversation_id: Option<String>,
    event_time: Option<i64>,
    action: Option<Action>,
    #[serde(default)]
    withdrawn: bool,
    #[serde(default)]
    labels: Vec<Label>,
    scores: Option<Scores>,
    #[serde(default)]
    reasons: Vec<ReasonOf>,
    #[serde(default)]
    text_flags: Vec<String>,
    #[serde(default)]
    clock_ahead: bool,
    review: Option<Review>,
    tier: Option<Tier>,
    #[serde(default)]
    windows: u32,
    model_version: Option<String>,
    #[serde(default)]
    policy_version: String,
    source: Option<Source>,
}

#[derive(Deserialize)]
struct ReasonOf {
    code: String,
    label: Option<Label>,
    score: Option<f32>,
    threshold: Option<f32>,
}

#[derive(Deserialize)]
struct Review {
    queue: String,
    priority: Option<Priority>,
    due_at: Option<i64>,
}

#[derive(Deserialize)]
struct Source {
    topic: String,
    partition: i32,
    offset: i64,
}

/// The number of a name on the wire: its place in the core's list, after the unspecified one.
fn number<T: Named>(name: Option<T>) -> i32 {
    name.map_or(0, |name| name.index() as i32 + 1)
}

impl From<Event> for v1::Event {
    fn from(event: Event) -> Self {
        Self {
            id: event.id,
            kind: number(event.kind),
            platform: event.platform,
            brand: event.brand,
            channel: number(event.channel),
            conversation_id: event.conversation_id,
            parent_id: event.parent_id,
            post_id: event.post_id,
            author: Some(v1::Author {
                id: event.author.id,
                name: event.author.name,
                followers: event.author.followers,
                is_creator: event.author.is_creator,
            }),
            text: event.text,
            lang: event.lang,
            created_at: event.created_at.map(timestamp),
            context: event.context,
        }
    }
}

impl From<Verdict> for v1::Verdict {
    fn from(verdict: Verdict) -> Self {
        let labels: Set<Label> = verdict.labels.into_iter().collect();
        Self {
            id: verdict.id,
            event_id: verdict.event_id,
            kind: number(verdict.kind),
            brand: verdict.brand,
            platform: verdict.platform,
            channel: number(verdict.channel),
            conversation_id: verdict.conversation_id,
            event_time: verdict.event_time.map(timestamp),
            action: number(verdict.action),
            withdrawn: verdict.withdrawn,
            labels: labels.iter().map(|label| number(Some(label))).collect(),
            scores: verdict.scores.as_ref().map(v1::Scores::from),
            reasons: verdict.reasons.into_iter().map(Into::into).collect(),
            text_flags: verdict.text_flags,
            clock_ahead: verdict.clock_ahead,
            review: verdict.review.map(|review| v1::Review {
                queue: review.queue,
                priority: number(review.priority),
                due_at: review.due_at.map(timestamp),
            }),
            tier: number(verdict.tier),
            windows: verdict.windows,
            model_version: verdict.model_version,
            policy_version: verdict.policy_version,
            source: verdict.source.map(|source| v1::Source {
                topic: source.topic,
                partition: source.partition,
                offset: source.offset,
            }),
        }
    }
}

impl From<ReasonOf> for v1::Reason {
    fn from(reason: ReasonOf) -> Self {
        Self {
            code: reason.code,
            label: number(reason.label),
            score: reason.score,
            threshold: reason.threshold,
        }
    }
}
