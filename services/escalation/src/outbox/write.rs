//! Resolutions as records.

use prost::Message;
use serde::Serialize;
use tidegate_proto::escalation::v1::{CaseSource, Outcome, Resolution};
use tidegate_proto::events::v1::{Action, Channel, Label};

use crate::times::millis;

/// Appends a resolution as one JSON object: fields in snake_case, enums as lower-case names
/// without their prefix, times in milliseconds since the Unix epoch.
pub fn json(resolution: &Resolution, out: &mut Vec<u8>) {
    let fields = Fields {
        id: &resolution.id,
        case: &resolution.case,
        event_id: &resolution.event_id,
        grouped_event_ids: &resolution.grouped_event_ids,
        brand: &resolution.brand,
        platform: &resolution.platform,
        channel: name(resolution.channel(), Channel::as_str_name),
        conversation_id: resolution.conversation_id.as_deref(),
        verdict_id: &resolution.verdict_id,
        machine_action: name(resolution.machine_action(), Action::as_str_name),
        machine_labels: labels(resolution.machine_labels()),
        outcome: name(resolution.outcome(), Outcome::as_str_name),
        labels: labels(resolution.labels()),
        text: resolution.text.as_deref(),
        lang: resolution.lang.as_deref(),
        agent: &resolution.agent,
        second_agreed: resolution.second_agreed,
        appeal: resolution.appeal,
        source: name(resolution.source(), CaseSource::as_str_name),
        decide_time: resolution.decide_time.as_ref().map(millis),
        model_version: resolution.model_version.as_deref(),
        policy_version: &resolution.policy_version,
    };
    serde_json::to_writer(out, &fields).expect("memory takes every byte");
}

/// Appends a resolution as Protobuf.
pub fn protobuf(resolution: &Resolution, out: &mut Vec<u8>) {
    resolution
        .encode(out)
        .expect("a vector grows as far as memory does");
}

#[derive(Serialize)]
struct Fields<'a> {
    id: &'a str,
    case: &'a str,
    event_id: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    grouped_event_ids: &'a [String],
    brand: &'a str,
    platform: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_id: Option<&'a str>,
    verdict_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine_action: Option<String>,
    machine_labels: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    labels: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lang: Option<&'a str>,
    agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    second_agreed: Option<bool>,
    appeal: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decide_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_version: Option<&'a str>,
    policy_version: &'a str,
}

fn labels(labels: impl Iterator<Item = Label>) -> Vec<String> {
    labels
        .filter_map(|label| name(label, Label::as_str_name))
        .collect()
}

/// `OUTCOME_HIDE` as `hide`; nothing for what is unspecified.
fn name<T: PartialEq + Default>(value: T, full: impl Fn(&T) -> &'static str) -> Option<String> {
    if value == T::default() {
        return None;
    }
    let unspecified = full(&T::default());
    let prefix = unspecified.trim_end_matches("UNSPECIFIED");
    let full = full(&value);
    Some(full.strip_prefix(prefix).unwrap_or(full).to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::times::timestamp;

    #[test]
    fn json_has_lower_case_names_and_times_in_milliseconds() {
        let mut resolution = Resolution {
            id: "r".to_owned(),
            case: "cases/c".to_owned(),
            event_id: "e".to_owned(),
            brand: "b".to_owned(),
            platform: "x".to_owned(),
            conversation_id: Some("talk".to_owned()),
            verdict_id: "v".to_owned(),
            text: Some("what was written".to_owned()),
            agent: "agent-1".to_owned(),
            second_agreed: Some(false),
            decide_time: Some(timestamp(1_700_000_000_123)),
            policy_version: "p".to_owned(),
            ..Resolution::default()
        };
        resolution.set_channel(Channel::Live);
        resolution.set_machine_action(Action::HideAndReview);
        resolution.set_outcome(Outcome::HandedOver);
        resolution.set_source(CaseSource::Sample);
        resolution.labels = vec![Label::PurchaseIntent.into(), Label::Negative.into()];
        let mut out = Vec::new();
        json(&resolution, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"id":"r","case":"cases/c","event_id":"e","brand":"b","platform":"x","#,
                r#""channel":"live","conversation_id":"talk","verdict_id":"v","#,
                r#""machine_action":"hide_and_review","machine_labels":[],"#,
                r#""outcome":"handed_over","labels":["purchase_intent","negative"],"#,
                r#""text":"what was written","agent":"agent-1","second_agreed":false,"#,
                r#""appeal":false,"source":"sample","decide_time":1700000000123,"#,
                r#""policy_version":"p"}"#
            )
        );
    }

    #[test]
    fn what_is_written_as_protobuf_is_read_back_whole() {
        let resolution = Resolution {
            id: "r".to_owned(),
            labels: vec![Label::Hate.into()],
            ..Resolution::default()
        };
        let mut out = Vec::new();
        protobuf(&resolution, &mut out);
        assert_eq!(Resolution::decode(&*out).unwrap(), resolution);
    }
}
