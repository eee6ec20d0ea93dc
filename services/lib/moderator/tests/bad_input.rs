//! Whatever arrives has a named outcome: this is the README's table, as a test of the whole pipeline.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use std::sync::Arc;

use common::{WordScorer, pipeline, topics};
use serde_json::{Value, json};
use tidegate_kafka::{Batch, OutRecord, Outbox, Processor, RecordOffset};
use tidegate_moderator::{dead_letter, service::Service};

const NOW_MS: i64 = 1_790_000_000_000;

fn event() -> Value {
    json!({
        "id": "e1", "kind": "created", "platform": "instagram", "brand": "northlight",
        "channel": "comment", "conversation_id": "c1", "author": {"id": "u1", "name": "Noor"},
        "text": "how much is it", "created_at": NOW_MS,
    })
}

fn with(field: &str, value: Value) -> Vec<u8> {
    let mut event = event();
    event[field] = value;
    event.to_string().into_bytes()
}

fn without(field: &str) -> Vec<u8> {
    let mut event = event();
    event.as_object_mut().unwrap().remove(field);
    event.to_string().into_bytes()
}

/// One record with a key and headers through a pipeline of its own.
fn process(payload: Option<&[u8]>, content_type: &str, service: Service) -> Outbox {
    let mut batch = Batch::default();
    let topic: Arc<str> = service.default_topic().into();
    let headers = [
        ("content-type", Some(content_type.as_bytes())),
        ("traceparent", Some(b"00-1-2-01")),
    ];
    batch.push(
        &topic,
        3,
        RecordOffset(41),
        Some(NOW_MS),
        Some(b"key-1"),
        payload,
        headers,
    );
    let mut outbox = Outbox::new(topics());
    pipeline(service, WordScorer::default(), None).process(&batch, &mut outbox);
    outbox
}

fn text<'a>(record: &OutRecord<'a>, header: &str) -> &'a str {
    std::str::from_utf8(record.headers.get(header).unwrap_or_default()).unwrap()
}

/// The reason of the dead letter, or `verdict`. Checks that there is exactly one of both, and that
/// a dead letter has the bytes and headers that came.
fn outcome(payload: Option<&[u8]>, content_type: &str) -> String {
    let outbox = process(payload, content_type, Service::Comments);
    let main: Vec<_> = outbox
        .records()
        .filter(|r| r.topic.contains("verdicts") || r.topic.contains("dead-letters"))
        .collect();
    let [record] = main.as_slice() else {
        panic!("{} results", main.len())
    };
    assert_eq!(record.key, Some(&b"key-1"[..]));
    assert_eq!(text(record, "traceparent"), "00-1-2-01");
    if record.topic.contains("verdicts") {
        return "verdict".to_owned();
    }
    assert_eq!(outbox.len(), 1, "a dead letter takes no route");
    assert_eq!(record.payload, payload, "the bytes are as they came");
    assert_eq!(text(record, "content-type"), content_type);
    let place = [
        dead_letter::TOPIC,
        dead_letter::PARTITION,
        dead_letter::OFFSET,
    ];
    assert_eq!(
        place.map(|name| text(record, name)),
        ["comments.v1", "3", "41"]
    );
    assert_eq!(text(record, dead_letter::TIMESTAMP), NOW_MS.to_string());
    text(record, dead_letter::REASON).to_owned()
}

#[test]
fn every_kind_of_bad_input_has_its_named_outcome() {
    let whole = event().to_string().into_bytes();
    let mut invalid_utf8 = whole.clone();
    let at = invalid_utf8.windows(3).position(|w| w == b"how").unwrap();
    invalid_utf8[at] = 0xff;
    let bomb = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let huge = with("text", json!("x".repeat(10 << 20)));
    let long = with("text", json!("long text ".repeat(10_000)));
    let json = "application/json";
    let proto = "application/x-protobuf";
    let table: &[(&str, &[u8], &str, &str)] = &[
        ("a good event", &whole, json, "verdict"),
        (
            "invalid JSON",
            &whole[..whole.len() / 2],
            json,
            "invalid_json",
        ),
        ("not JSON at all", b"hello", json, "invalid_json"),
        ("invalid UTF-8", &invalid_utf8, json, "invalid_utf8"),
        ("empty", b"", json, "empty"),
        (
            "truncated Protobuf",
            &[0x0a, 0x7f, b'a'],
            proto,
            "truncated_protobuf",
        ),
        (
            "unknown content type",
            &whole,
            "image/png",
            "unknown_content_type",
        ),
        ("missing field", &without("id"), json, "missing_field"),
        (
            "wrongly typed field",
            &with("text", json!(42)),
            json,
            "wrong_type",
        ),
        (
            "unknown kind",
            &with("kind", json!("reacted")),
            json,
            "unknown_kind",
        ),
        ("nesting bomb", &bomb, json, "too_deep"),
        ("10 MB payload", &huge, json, "too_large"),
        ("100,000-character text", &long, json, "verdict"),
        (
            "NULs and bidi overrides",
            &with("text", json!("a\0b\u{202e}c")),
            json,
            "verdict",
        ),
        (
            "a clock in the future",
            &with("created_at", json!(NOW_MS * 2)),
            json,
            "verdict",
        ),
        ("no text", &with("text", json!("")), json, "verdict"),
        (
            "an unknown field",
            &with("reactions", json!([1, 2])),
            json,
            "verdict",
        ),
    ];
    for (what, payload, content_type, expected) in table {
        assert_eq!(outcome(Some(payload), content_type), *expected, "{what}");
    }
    assert_eq!(
        outcome(None, json),
        "verdict",
        "a tombstone withdraws what its key names"
    );
}

#[test]
fn a_batch_of_good_and_bad_records_keeps_order_and_loses_none() {
    let mut batch = Batch::default();
    let topic: Arc<str> = "comments.v1".into();
    let good = |n: i64| with("id", json!(format!("e{n}")));
    for n in 0..200 {
        let payload = if n % 3 == 0 {
            b"broken".to_vec()
        } else {
            good(n)
        };
        batch.push(
            &topic,
            0,
            RecordOffset(n),
            Some(NOW_MS),
            None,
            Some(&payload),
            [],
        );
    }
    let mut outbox = Outbox::new(topics());
    pipeline(Service::Comments, WordScorer::default(), None).process(&batch, &mut outbox);
    let verdicts: Vec<Value> = outbox
        .records()
        .filter(|record| record.topic.contains("verdicts"))
        .map(|record| serde_json::from_slice(record.payload.unwrap()).unwrap())
        .collect();
    let expected: Vec<_> = (0..200)
        .filter(|n| n % 3 != 0)
        .map(|n| format!("e{n}"))
        .collect();
    let ids: Vec<_> = verdicts
        .iter()
        .map(|v| v["event_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, expected);
    let dead = outbox
        .records()
        .filter(|record| record.topic.contains("dead-letters"))
        .count();
    assert_eq!(verdicts.len() + dead, 200);
}

#[test]
fn an_event_seen_before_gets_its_verdict_and_no_route_again() {
    let spam = with("text", json!("this is spam"));
    let mut batch = Batch::default();
    let topic: Arc<str> = "comments.v1".into();
    for offset in [1, 2] {
        batch.push(
            &topic,
            0,
            RecordOffset(offset),
            Some(NOW_MS),
            None,
            Some(&spam),
            [],
        );
    }
    let mut outbox = Outbox::new(topics());
    pipeline(Service::Comments, WordScorer::default(), None).process(&batch, &mut outbox);
    let to = |name: &str| outbox.records().filter(|r| r.topic.contains(name)).count();
    assert_eq!((to("verdicts"), to("spam")), (2, 1));
}

#[test]
fn a_message_that_could_not_be_scored_goes_to_a_person() {
    let mut batch = Batch::default();
    let topic: Arc<str> = "comments.v1".into();
    let payload = event().to_string();
    batch.push(
        &topic,
        0,
        RecordOffset(1),
        Some(NOW_MS),
        None,
        Some(payload.as_bytes()),
        [],
    );
    let mut outbox = Outbox::new(topics());
    let scorer = WordScorer {
        fails: true,
        ..WordScorer::default()
    };
    pipeline(Service::Comments, scorer, None).process(&batch, &mut outbox);
    let verdict: Value =
        serde_json::from_slice(outbox.records().next().unwrap().payload.unwrap()).unwrap();
    assert_eq!(
        (&verdict["action"], &verdict["tier"]),
        (&json!("review"), &json!("none"))
    );
    assert_eq!(verdict["reasons"][0]["code"], "not_scored");
    assert!(
        outbox
            .records()
            .any(|record| record.topic.contains("escalations"))
    );
}

#[test]
fn a_comment_with_spam_is_hidden_and_a_dm_never_is() {
    let spam = with("text", json!("this is spam"));
    let mut dm: Value = serde_json::from_slice(&spam).unwrap();
    dm["channel"] = json!("dm");
    for (payload, service, action) in [
        (spam, Service::Comments, "hide"),
        (dm.to_string().into_bytes(), Service::Dms, "review"),
    ] {
        let outbox = process(Some(&payload), "application/json", service);
        let record = outbox.records().next().unwrap();
        let verdict: Value = serde_json::from_slice(record.payload.unwrap()).unwrap();
        assert_eq!(verdict["action"], action);
        assert_eq!(verdict["source"]["topic"], service.default_topic());
        assert!(
            outbox
                .records()
                .any(|record| record.topic == "moderation.spam.v1")
        );
    }
}

#[test]
fn opt_outs_agent_requests_and_order_trouble_are_recognised_in_a_dm() {
    for (text, reason) in [
        ("STOP", "opt_out"),
        ("agent", "agent_request"),
        ("where is my order??", "order_trouble"),
    ] {
        let mut dm = event();
        dm["channel"] = json!("dm");
        dm["text"] = json!(text);
        let outbox = process(
            Some(dm.to_string().as_bytes()),
            "application/json",
            Service::Dms,
        );
        let escalation = outbox
            .records()
            .find(|r| r.topic.contains("escalations"))
            .unwrap();
        let escalation: Value = serde_json::from_slice(escalation.payload.unwrap()).unwrap();
        let reasons = escalation["verdict"]["reasons"].as_array().unwrap();
        assert!(
            reasons.iter().any(|r| r["code"] == reason),
            "{text}: {reasons:?}"
        );
    }
}
