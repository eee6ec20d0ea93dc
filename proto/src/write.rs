//! The core's conclusions to Protobuf.

use prost::Message;
use tidegate_core::{
    Event, Label, Reason, Review, Scores, Verdict, names::Named, route::Escalation,
};

use crate::events::v1;

/// Appends an event.
pub fn encode_event(event: &Event<'_>, out: &mut Vec<u8>) {
    write(&to_event(event), out);
}

/// Appends a verdict.
pub fn encode_verdict(verdict: &Verdict<'_>, out: &mut Vec<u8>) {
    write(&to_verdict(verdict), out);
}

/// Appends an event with its verdict.
pub fn encode_routed(event: &Event<'_>, verdict: &Verdict<'_>, out: &mut Vec<u8>) {
    let routed = v1::RoutedEvent {
        event: Some(to_event(event)),
        verdict: Some(to_verdict(verdict)),
    };
    write(&routed, out);
}

/// Appends an escalation.
pub fn encode_escalation(escalation: &Escalation<'_, '_>, out: &mut Vec<u8>) {
    let escalation = v1::Escalation {
        withdrawn: escalation.withdrawn,
        event: escalation.event.map(to_event),
        verdict: Some(to_verdict(escalation.verdict)),
    };
    write(&escalation, out);
}

fn write(message: &impl Message, out: &mut Vec<u8>) {
    message
        .encode(out)
        .expect("a vector grows as far as memory does");
}

fn to_event(event: &Event<'_>) -> v1::Event {
    let owned = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(str::to_owned);
    v1::Event {
        id: Some(event.id.as_str().to_owned()),
        kind: number(event.kind),
        platform: Some(event.platform.to_string()),
        brand: Some(event.brand.as_str().to_owned()),
        channel: number(event.channel),
        conversation_id: owned(&event.conversation_id),
        parent_id: owned(&event.parent_id),
        post_id: owned(&event.post_id),
        author: Some(v1::Author {
            id: owned(&event.author.id),
            name: owned(&event.author.name),
            followers: event.author.followers,
            is_creator: event.author.is_creator,
        }),
        text: Some(event.text.to_string()),
        lang: owned(&event.lang),
        created_at: Some(timestamp(event.created_at_ms)),
        context: event
            .context
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect(),
    }
}

fn to_verdict(verdict: &Verdict<'_>) -> v1::Verdict {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    v1::Verdict {
        id: verdict.id.to_string(),
        event_id: verdict.event_id.to_owned(),
        kind: number(verdict.kind),
        brand: owned(verdict.brand),
        platform: owned(verdict.platform),
        channel: verdict.channel.map_or(0, number),
        conversation_id: owned(verdict.conversation_id),
        event_time: verdict.event_time_ms.map(timestamp),
        action: number(verdict.action),
        withdrawn: verdict.withdrawn,
        labels: verdict.labels.iter().map(number).collect(),
        scores: verdict.scores.as_ref().map(v1::Scores::from),
        reasons: verdict.reasons.iter().map(to_reason).collect(),
        text_flags: verdict
            .text_flags
            .iter()
            .map(|flag| flag.as_str().to_owned())
            .collect(),
        clock_ahead: verdict.clock_ahead,
        review: verdict.review.map(to_review),
        tier: number(verdict.tier),
        windows: verdict.windows,
        model_version: owned(verdict.model_version),
        policy_version: verdict.policy_version.to_owned(),
        source: Some(v1::Source {
            topic: verdict.source.topic.to_owned(),
            partition: verdict.source.partition,
            offset: verdict.source.offset,
        }),
    }
}

impl From<&Scores> for v1::Scores {
    fn from(scores: &Scores) -> Self {
        Self {
            spam: scores[Label::Spam].get(),
            hate: scores[Label::Hate].get(),
            abuse: scores[Label::Abuse].get(),
            purchase_intent: scores[Label::PurchaseIntent].get(),
            support: scores[Label::Support].get(),
            risk: scores[Label::Risk].get(),
            collab: scores[Label::Collab].get(),
            question: scores[Label::Question].get(),
            negative: scores[Label::Negative].get(),
            positive: scores[Label::Positive].get(),
        }
    }
}

fn to_reason(reason: &Reason<'_>) -> v1::Reason {
    v1::Reason {
        code: reason.code.to_owned(),
        label: reason.label.map_or(0, number),
        score: reason.score.map(|score| score.get()),
        threshold: reason.threshold.map(|threshold| threshold.get()),
    }
}

fn to_review(review: Review<'_>) -> v1::Review {
    v1::Review {
        queue: review.queue.to_owned(),
        priority: number(review.priority),
        due_at: Some(timestamp(review.due_at_ms)),
    }
}

fn timestamp(ms: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: ms.div_euclid(1_000),
        nanos: (ms.rem_euclid(1_000) * 1_000_000) as i32,
    }
}

/// The number of a name on the wire: its place in the core's list, after the unspecified one. A
/// test holds both lists together.
fn number<T: Named>(name: T) -> i32 {
    name.index() as i32 + 1
}

#[cfg(test)]
mod tests {
    use tidegate_core::{Action, Channel, Kind, Priority, Tier};

    use super::*;

    #[test]
    fn the_core_s_names_have_the_numbers_of_the_proto_files() {
        fn check<T: Named, E: TryFrom<i32>>(prefix: &str, name_of: impl Fn(E) -> &'static str) {
            for one in T::ALL {
                let proto = E::try_from(number(*one))
                    .ok()
                    .expect("the proto file has this name");
                assert_eq!(
                    name_of(proto),
                    format!("{prefix}_{}", one.as_str().to_uppercase())
                );
            }
            assert!(
                E::try_from(T::ALL.len() as i32 + 1).is_err(),
                "{prefix} has more names"
            );
        }
        check::<Kind, v1::EventKind>("EVENT_KIND", |one| one.as_str_name());
        check::<Channel, v1::Channel>("CHANNEL", |one| one.as_str_name());
        check::<Label, v1::Label>("LABEL", |one| one.as_str_name());
        check::<Action, v1::Action>("ACTION", |one| one.as_str_name());
        check::<Priority, v1::Priority>("PRIORITY", |one| one.as_str_name());
        check::<Tier, v1::Tier>("TIER", |one| one.as_str_name());
    }
}
