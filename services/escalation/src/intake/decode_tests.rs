use std::sync::Arc;

use tidegate_core::{
    self as core, DecodeOptions, Decoded, Incoming, Label, Policy, Scores, Source, decide::Scored,
    route, verdict::Tier,
};
use tidegate_kafka::{Batch, RecordOffset};
use tidegate_proto::{encode_escalation, encode_routed};

use super::*;
use crate::times::millis;

const TEXT: &str = "they should all be gone";

/// What the pipeline writes for an event: JSON and Protobuf.
fn written(event: &str, label: Label, routed: bool) -> [Vec<u8>; 2] {
    let incoming = Incoming {
        payload: Some(event.as_bytes()),
        ..Incoming::default()
    };
    let protobuf = |_: &[u8]| unreachable!("the event is JSON");
    let decoded = core::decode(incoming, &(), &DecodeOptions::default(), protobuf).unwrap();
    let policy = Policy::default_policy();
    let source = Source {
        topic: "comments.v1",
        partition: 1,
        offset: 2,
    };
    let mut row = [0.01; Label::COUNT];
    row[label.index()] = 0.98;
    let scored = Scored {
        scores: Scores::new(row).unwrap(),
        tier: Tier::Screen,
        windows: 1,
        model_version: "m1",
        is_language_shown: true,
    };
    let (event, verdict) = match &decoded {
        Decoded::Event(event) => {
            let text = core::normalize(&event.text);
            let verdict = core::decide(event, &text, Some(&scored), &policy, source);
            (Some(event), verdict)
        }
        Decoded::Withdrawal(gone) => (None, core::withdraw(gone, &policy, source)),
    };
    let (mut json, mut protobuf) = (Vec::new(), Vec::new());
    match (routed, event) {
        (true, Some(event)) => {
            route::write_routed_json(event, &verdict, &mut json);
            encode_routed(event, &verdict, &mut protobuf);
        }
        _ => {
            let escalation = route::Escalation::new(event, &verdict);
            escalation.write_json(&mut json);
            encode_escalation(&escalation, &mut protobuf);
        }
    }
    [json, protobuf]
}

fn event() -> String {
    format!(
        r#"{{"id":"e1","platform":"instagram","brand":"acme","channel":"comment",
        "conversation_id":"talk","author":{{"id":"u7","name":"Ann","followers":12}},
        "text":"{TEXT}","lang":"en","created_at":1700000000000,"context":{{"order_id":"A1"}}}}"#
    )
}

fn with_record<T>(payload: &[u8], content_type: &str, read: impl FnOnce(&Record<'_>) -> T) -> T {
    let mut batch = Batch::default();
    let topic: Arc<str> = "moderation.escalations.v1".into();
    let headers = [("content-type", Some(content_type.as_bytes()))];
    batch.push(
        &topic,
        0,
        RecordOffset(5),
        None,
        None,
        Some(payload),
        headers,
    );
    let record = batch.records().next().unwrap();
    read(&record)
}

const TYPES: [&str; 2] = ["application/json", "application/x-protobuf"];

#[test]
fn what_the_pipeline_escalates_becomes_the_same_case_from_json_and_from_protobuf() {
    let written = written(&event(), Label::Hate, false);
    let [from_json, from_protobuf] =
        [0, 1].map(
            |n| match with_record(&written[n], TYPES[n], escalation).unwrap() {
                Arrived::Open(case) => case,
                _ => panic!("no case"),
            },
        );
    assert!(from_json == from_protobuf, "JSON and Protobuf differ");

    let case = from_json;
    assert_eq!(case.source(), CaseSource::Machine);
    assert!(case.queue.starts_with("queues/"), "{}", case.queue);
    assert!(case.priority() >= Priority::High);
    let event = case.event.unwrap();
    assert_eq!(event.event_id, "e1");
    assert_eq!(event.text(), TEXT);
    assert_eq!(event.author.unwrap().followers, Some(12));
    assert_eq!(event.context["order_id"], "A1");
    assert_eq!(
        event.event_time.as_ref().map(millis),
        Some(1_700_000_000_000)
    );
    assert!(millis(&case.due_time.unwrap()) >= 1_700_000_000_000);
    let verdict = case.verdict.unwrap();
    assert!(
        verdict.action == i32::from(Action::HideAndReview)
            || verdict.action().as_str_name().contains("REVIEW")
    );
    assert!(verdict.scores.unwrap().hate > 0.9);
    assert_eq!(verdict.model_version(), "m1");
    assert!(!verdict.policy_version.is_empty() && !verdict.reasons.is_empty());
}

#[test]
fn a_message_that_is_gone_is_told_by_its_id_alone() {
    let gone = r#"{"id":"e1","kind":"deleted","platform":"instagram","brand":"acme"}"#;
    let written = written(gone, Label::Hate, false);
    for (payload, content_type) in written.iter().zip(TYPES) {
        let arrived = with_record(payload, content_type, escalation).unwrap();
        let Arrived::Withdrawn {
            event_id, brand, ..
        } = arrived
        else {
            panic!("not withdrawn");
        };
        assert_eq!((event_id.as_str(), brand.as_deref()), ("e1", Some("acme")));
    }
}

#[test]
fn a_sample_is_what_the_machine_hid_alone_and_the_draw_picks() {
    let all = Sampling {
        rate: 1.0,
        ..Sampling::default()
    };
    let none = Sampling {
        rate: 0.0,
        ..Sampling::default()
    };
    let hidden = written(&event(), Label::Spam, true);
    for (payload, content_type) in hidden.iter().zip(TYPES) {
        let drawn = with_record(payload, content_type, |record| sample(record, &all)).unwrap();
        let Some(Arrived::Open(case)) = drawn else {
            panic!("not drawn");
        };
        assert_eq!(case.source(), CaseSource::Sample);
        assert_eq!(case.queue, "queues/quality");
        assert_eq!(case.verdict.unwrap().action(), Action::Hide);
        let passed = with_record(payload, content_type, |record| sample(record, &none)).unwrap();
        assert!(passed.is_none());
    }
    let reviewed = written(&event(), Label::Hate, true);
    let drawn = with_record(&reviewed[0], TYPES[0], |record| sample(record, &all)).unwrap();
    assert!(drawn.is_none(), "a person sees it anyhow");
}

#[test]
fn what_cannot_be_read_has_a_reason_and_quotes_nothing() {
    let [json, protobuf] = written(&event(), Label::Hate, false);
    let text = String::from_utf8(json.clone()).unwrap();
    let cases: [(&[u8], &str, Reason); 9] = [
        (b"", TYPES[0], Reason::Empty),
        (&json[..json.len() / 2], TYPES[0], Reason::InvalidJson),
        (b"secret", TYPES[0], Reason::InvalidJson),
        (
            &protobuf[..protobuf.len() - 3],
            TYPES[1],
            Reason::InvalidProtobuf,
        ),
        (&json, "image/png", Reason::UnknownContentType),
        (b"{}", TYPES[0], Reason::WrongField),
        (br#"{"withdrawn":"secret"}"#, TYPES[0], Reason::WrongField),
        (
            &text.replace("\"comment\"", "\"secret\"").into_bytes(),
            TYPES[0],
            Reason::WrongField,
        ),
        (
            &text
                .replace("\"brand\":\"acme\"", "\"brand\":\"\"")
                .into_bytes(),
            TYPES[0],
            Reason::MissingField,
        ),
    ];
    for (payload, content_type, reason) in cases {
        let unreadable = with_record(payload, content_type, escalation)
            .err()
            .unwrap_or_else(|| panic!("{reason:?} was read"));
        assert_eq!(unreadable.reason, reason);
        assert!(!unreadable.to_string().contains("secret"), "{unreadable}");
    }
}

#[test]
fn a_record_without_a_content_type_is_json() {
    let [json, _] = written(&event(), Label::Hate, false);
    let mut batch = Batch::default();
    let topic: Arc<str> = "moderation.escalations.v1".into();
    batch.push(&topic, 0, RecordOffset(5), None, None, Some(&json), []);
    let record = batch.records().next().unwrap();
    assert!(escalation(&record).is_ok());
}
