//! What becomes of every kind of record.

use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::event::{Kind, MAX_NESTING, MAX_TEXT_BYTES};

const EVENT: &str = r#"{"id":"e1","kind":"created","platform":"instagram","brand":"northlight",
    "channel":"comment","conversation_id":"c1","parent_id":"p1","post_id":"post-1",
    "author":{"id":"u1","name":"Noor","followers":1200,"is_creator":true},
    "text":"how much?","lang":"en","created_at":1731000000000,"context":{"order_id":"A1"}}"#;

fn no_protobuf(_: &[u8]) -> Result<Fields<'static>, Rejection> {
    Err(Rejection::new(
        RejectionReason::InvalidProtobuf,
        "not in these tests",
    ))
}

fn with<'a>(
    payload: &'a [u8],
    headers: &[(&str, &[u8])],
    options: &DecodeOptions,
) -> Result<Decoded<'a>, Rejection> {
    let record = Incoming {
        payload: Some(payload),
        key: Some(b"k"),
        timestamp_ms: Some(1_731_000_000_500),
    };
    decode(record, headers, options, no_protobuf)
}

fn json(payload: &str) -> Result<Decoded<'_>, Rejection> {
    with(payload.as_bytes(), &[], &DecodeOptions::default())
}

fn event(payload: &str) -> Event<'_> {
    match json(payload).unwrap() {
        Decoded::Event(event) => event,
        Decoded::Withdrawal(_) => panic!("a withdrawal"),
    }
}

fn reason(payload: &[u8]) -> RejectionReason {
    with(payload, &[], &DecodeOptions::default())
        .unwrap_err()
        .reason
}

/// The event above with one field changed; `None` takes it out.
fn changed(field: &str, value: Option<&str>) -> String {
    let mut event: serde_json::Map<_, _> = serde_json::from_str(EVENT).unwrap();
    match value {
        Some(value) => event.insert(field.to_owned(), serde_json::from_str(value).unwrap()),
        None => event.remove(field),
    };
    serde_json::to_string(&event).unwrap()
}

#[test]
fn every_field_of_an_event_is_read_and_borrowed() {
    let event = event(EVENT);
    assert_eq!(event.id.as_str(), "e1");
    assert_eq!(event.kind, Kind::Created);
    assert_eq!(event.channel, Channel::Comment);
    assert_eq!(event.platform, "instagram");
    assert_eq!(event.brand.as_str(), "northlight");
    assert_eq!(event.conversation_id.as_deref(), Some("c1"));
    assert_eq!(event.parent_id.as_deref(), Some("p1"));
    assert_eq!(event.post_id.as_deref(), Some("post-1"));
    assert_eq!(event.author.id.as_deref(), Some("u1"));
    assert_eq!(event.author.name.as_deref(), Some("Noor"));
    assert_eq!(event.author.followers, Some(1200));
    assert!(event.author.is_creator);
    assert_eq!(event.lang.as_deref(), Some("en"));
    assert_eq!(event.created_at_ms, 1_731_000_000_000);
    assert_eq!(event.context("order_id"), Some("A1"));
    assert!(matches!(event.text, Cow::Borrowed("how much?")));
}

#[test]
fn missing_optional_fields_and_nulls_are_no_error() {
    let event = event(
        r#"{"id":"e1","platform":"x","brand":"b","channel":"dm","text":"hi","author":null,
            "context":null,"lang":null,"parent_id":null}"#,
    );
    assert_eq!(event.kind, Kind::Created);
    assert_eq!(
        event.created_at_ms, 1_731_000_000_500,
        "the record's own time"
    );
    assert_eq!(event.author, Default::default());
    assert!(event.context.is_empty());
}

#[test]
fn unknown_fields_are_ignored_whatever_they_hold() {
    let payload = changed("media", Some(r#"[{"url":"x","sizes":[1,2,{"a":null}]}]"#));
    assert_eq!(event(&payload), event(EVENT));
}

#[test]
fn a_field_that_every_event_needs_is_named_when_it_is_missing() {
    for field in ["id", "platform", "brand", "channel", "text"] {
        let rejection = json(&changed(field, None)).map(|_| ()).unwrap_err();
        assert_eq!(rejection.reason, RejectionReason::MissingField);
        assert!(rejection.detail.contains(field), "{rejection}");
    }
}

#[test]
fn a_field_of_another_type_is_named_without_quoting_it() {
    for (field, value) in [
        ("id", "42"),
        ("text", r#"["secret"]"#),
        ("author", r#""secret""#),
        ("author", r#"{"name":7}"#),
        ("author", r#"{"followers":"secret"}"#),
        ("context", r#"{"a":["secret"]}"#),
        ("created_at", "true"),
    ] {
        let rejection = json(&changed(field, Some(value))).map(|_| ()).unwrap_err();
        assert_eq!(
            rejection.reason,
            RejectionReason::WrongType,
            "{field} {value}"
        );
        assert!(rejection.detail.contains(field), "{rejection}");
        assert!(!rejection.to_string().contains("secret"), "{rejection}");
    }
    assert_eq!(reason(b"[1]"), RejectionReason::WrongType);
    assert_eq!(reason(b"\"text\""), RejectionReason::WrongType);
}

#[test]
fn what_is_no_json_is_said_to_be_none_without_quoting_it() {
    for payload in [
        "{",
        r#"{"id":"secret""#,
        r#"{"id":secret}"#,
        "secret",
        "{} secret",
        " ",
    ] {
        let rejection = json(payload).map(|_| ()).unwrap_err();
        assert_eq!(rejection.reason, RejectionReason::InvalidJson, "{payload}");
        assert!(!rejection.to_string().contains("secret"), "{rejection}");
    }
}

#[test]
fn an_empty_payload_and_bytes_that_are_no_utf8_have_reasons_of_their_own() {
    assert_eq!(reason(b""), RejectionReason::Empty);
    assert_eq!(reason(b"{\"id\":\"\xff\"}"), RejectionReason::InvalidUtf8);
    assert_eq!(reason(b"\xff\xfe"), RejectionReason::InvalidUtf8);
}

#[test]
fn a_nesting_bomb_is_too_deep_wherever_it_hides() {
    let bomb = ["[".repeat(5_000), "]".repeat(5_000)].concat();
    assert_eq!(reason(bomb.as_bytes()), RejectionReason::TooDeep);
    assert_eq!(
        reason("[".repeat(100_000).as_bytes()),
        RejectionReason::TooDeep
    );
    let hidden = format!(r#"{{"unknown":{bomb},"id":"e1"}}"#);
    assert_eq!(reason(hidden.as_bytes()), RejectionReason::TooDeep);
    // Brackets in texts and lists beside each other are not deep.
    let text = changed("text", Some(&format!("{:?}", "[\"{".repeat(100))));
    assert!(json(&text).is_ok());
    let wide = changed("unknown", Some(&format!("[{}[]]", "[],".repeat(100))));
    assert!(json(&wide).is_ok());
    let deepest = ["[".repeat(MAX_NESTING - 1), "]".repeat(MAX_NESTING - 1)].concat();
    assert!(json(&changed("unknown", Some(&deepest))).is_ok());
}

#[test]
fn ten_megabytes_are_too_large_and_a_hundred_thousand_characters_are_not() {
    let payload = vec![b' '; 10 << 20];
    assert_eq!(reason(&payload), RejectionReason::TooLarge);
    let payload = changed("text", Some(&format!("{:?}", "😀".repeat(100_000))));
    assert_eq!(event(&payload).text.chars().count(), 100_000);
    let payload = changed(
        "text",
        Some(&format!("{:?}", "a".repeat(MAX_TEXT_BYTES + 1))),
    );
    assert_eq!(reason(payload.as_bytes()), RejectionReason::TooLarge);
    let payload = changed("id", Some(&format!("{:?}", "a".repeat(2_000))));
    assert_eq!(reason(payload.as_bytes()), RejectionReason::TooLarge);
    let entries: Vec<_> = (0..500).map(|n| format!("\"{n}\":1")).collect();
    let payload = changed("context", Some(&format!("{{{}}}", entries.join(","))));
    assert_eq!(reason(payload.as_bytes()), RejectionReason::TooLarge);
}

#[test]
fn nuls_and_direction_overrides_in_a_text_are_accepted_as_they_are() {
    let payload = changed("text", Some(r#""a\u0000b\u202ec""#));
    assert_eq!(event(&payload).text, "a\0b\u{202e}c");
}

#[test]
fn unknown_kinds_and_channels_have_reasons_of_their_own() {
    let unknown_kind = changed("kind", Some(r#""reacted""#));
    assert_eq!(
        reason(unknown_kind.as_bytes()),
        RejectionReason::UnknownKind
    );
    let unknown_channel = changed("channel", Some(r#""fax""#));
    assert_eq!(
        reason(unknown_channel.as_bytes()),
        RejectionReason::UnknownChannel
    );
}

#[test]
fn times_are_rfc_3339_or_seconds_or_milliseconds() {
    for (value, ms) in [
        (r#""2024-11-07T17:20:00Z""#, 1_731_000_000_000),
        (r#""2024-11-07T18:20:00.25+01:00""#, 1_731_000_000_250),
        ("1731000000", 1_731_000_000_000),
        ("1731000000123", 1_731_000_000_123),
        ("-1", -1_000),
    ] {
        assert_eq!(
            event(&changed("created_at", Some(value))).created_at_ms,
            ms,
            "{value}"
        );
    }
    for value in [
        r#""yesterday""#,
        r#""2024-13-07T17:20:00Z""#,
        "99999999999999999999",
    ] {
        let payload = changed("created_at", Some(value));
        let reason = reason(payload.as_bytes());
        assert!(
            matches!(
                reason,
                RejectionReason::InvalidTime | RejectionReason::WrongType
            ),
            "{value}: {reason}"
        );
    }
}

#[test]
fn a_clock_that_is_ahead_is_accepted_and_marked() {
    let ahead = event(&changed("created_at", Some("1731000900000"))).clock_ahead();
    assert!(ahead);
    let payload = changed("created_at", Some("1731000900000"));
    assert_eq!(
        event(&payload).event_time_ms(),
        1_731_000_000_500,
        "the record's own time"
    );
    assert!(!event(EVENT).clock_ahead());
}

#[test]
fn a_deleted_message_needs_nothing_but_its_id() {
    let Decoded::Withdrawal(withdrawal) = json(r#"{"id":"e1","kind":"deleted"}"#).unwrap() else {
        panic!("an event")
    };
    assert_eq!(withdrawal.id.as_str(), "e1");
    assert!(!withdrawal.is_tombstone);
    assert_eq!(
        reason(br#"{"kind":"deleted"}"#),
        RejectionReason::MissingField
    );
}

#[test]
fn a_tombstone_withdraws_what_its_key_names() {
    let record = Incoming {
        payload: None,
        key: Some(b"c1"),
        timestamp_ms: Some(7),
    };
    let options = DecodeOptions::default();
    let Decoded::Withdrawal(withdrawal) = decode(record, &(), &options, no_protobuf).unwrap()
    else {
        panic!("an event")
    };
    assert!(withdrawal.is_tombstone);
    assert_eq!((withdrawal.id.as_str(), withdrawal.at_ms), ("c1", Some(7)));
    let keyless = decode(
        Incoming {
            key: None,
            ..record
        },
        &(),
        &options,
        no_protobuf,
    );
    assert_eq!(keyless.unwrap_err().reason, RejectionReason::MissingField);
}

#[test]
fn the_content_type_chooses_and_its_parameters_and_case_do_not_matter() {
    let options = DecodeOptions {
        default_format: Format::Protobuf,
        ..Default::default()
    };
    for json in [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/vnd.x+json",
    ] {
        assert!(
            with(
                EVENT.as_bytes(),
                &[("content-type", json.as_bytes())],
                &options
            )
            .is_ok()
        );
    }
    let outcome = |headers: &[(&str, &[u8])]| {
        with(EVENT.as_bytes(), headers, &options)
            .unwrap_err()
            .reason
    };
    assert_eq!(
        outcome(&[("content-type", b"application/x-protobuf")]),
        RejectionReason::InvalidProtobuf
    );
    assert_eq!(outcome(&[]), RejectionReason::InvalidProtobuf);
    assert_eq!(
        outcome(&[("content-type", b"image/png")]),
        RejectionReason::UnknownContentType
    );
    assert_eq!(
        outcome(&[("content-type", b"\xff")]),
        RejectionReason::UnknownContentType
    );
}

#[test]
fn a_topic_s_own_channel_stands_in_for_a_missing_one() {
    let options = DecodeOptions {
        default_channel: Some(Channel::Dm),
        ..Default::default()
    };
    let payload = changed("channel", None);
    let Ok(Decoded::Event(event)) = with(payload.as_bytes(), &[], &options) else {
        panic!("no event")
    };
    assert_eq!(event.channel, Channel::Dm);
}

#[test]
fn a_binary_cloud_event_s_headers_fill_what_the_body_lacks_and_change_nothing_else() {
    let headers: [(&str, &[u8]); 3] = [
        ("ce_id", b"from-header"),
        ("ce_time", b"2024-11-07T17:20:01Z"),
        ("ce_type", b"com.example.dm.edited"),
    ];
    let payload = r#"{"platform":"x","brand":"b","text":"hi"}"#;
    let Ok(Decoded::Event(event)) = with(payload.as_bytes(), &headers, &DecodeOptions::default())
    else {
        panic!("no event")
    };
    assert_eq!(event.id.as_str(), "from-header");
    assert_eq!(event.created_at_ms, 1_731_000_001_000);
    assert_eq!((event.kind, event.channel), (Kind::Edited, Channel::Dm));
    let whole = with(EVENT.as_bytes(), &headers, &DecodeOptions::default()).unwrap();
    assert_eq!(whole, json(EVENT).unwrap());
}

#[test]
fn a_structured_cloud_event_carries_the_event_as_its_data() {
    let payload = r#"{"specversion":"1.0","id":"ce-1","source":"/s","type":"com.example.live.created",
        "time":"2024-11-07T17:20:01Z","data":{"platform":"x","brand":"b","text":"hi"}}"#;
    let headers: [(&str, &[u8]); 1] = [(
        "content-type",
        b"application/cloudevents+json; charset=UTF-8",
    )];
    let Ok(Decoded::Event(event)) = with(payload.as_bytes(), &headers, &DecodeOptions::default())
    else {
        panic!("no event")
    };
    assert_eq!((event.id.as_str(), event.channel), ("ce-1", Channel::Live));
    assert_eq!(event.created_at_ms, 1_731_000_001_000);
}

#[test]
fn a_registry_s_prefix_is_taken_off() {
    let prefixed = [b"\0\0\0\0\x07", EVENT.as_bytes()].concat();
    let decoded = with(&prefixed, &[], &DecodeOptions::default()).unwrap();
    assert_eq!(decoded, json(EVENT).unwrap());
    assert_eq!(reason(b"\0\0\0"), RejectionReason::InvalidPrefix);

    fn body(bytes: &[u8]) -> Result<Fields<'static>, Rejection> {
        assert_eq!(bytes, b"body");
        Ok(Fields {
            id: Some("e1".into()),
            kind: Some("deleted".into()),
            ..Default::default()
        })
    }
    let options = DecodeOptions {
        default_format: Format::Protobuf,
        ..Default::default()
    };
    for prefix in [
        &b""[..],
        b"\0\0\0\0\x07\0",
        b"\0\0\0\0\x07\x02\0",
        b"\0\0\0\0\x07\x04\x02\x80\x01",
    ] {
        let payload = [prefix, b"body"].concat();
        let record = Incoming {
            payload: Some(&payload),
            ..Default::default()
        };
        assert!(decode(record, &(), &options, body).is_ok(), "{prefix:?}");
    }
    for prefix in [
        &b"\0\0\0\0\x07"[..],
        b"\0\0\0\0\x07\x7e",
        b"\0\0\0\0\x07\x01",
        b"\0\0\0\0\x07\xff",
    ] {
        let record = Incoming {
            payload: Some(prefix),
            ..Default::default()
        };
        let rejection = decode(record, &(), &options, body).unwrap_err();
        assert_eq!(
            rejection.reason,
            RejectionReason::InvalidPrefix,
            "{prefix:?}"
        );
    }
}

#[test]
fn neither_text_nor_author_shows_in_a_debug_line() {
    let shown = format!("{:?}", json(EVENT).unwrap());
    assert!(
        !shown.contains("how much") && !shown.contains("Noor"),
        "{shown}"
    );
}

#[test]
fn an_event_that_is_written_is_the_same_event_when_it_is_read() {
    let first = event(EVENT);
    let written = serde_json::to_string(&first).unwrap();
    assert_eq!(event(&written), first);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(payload in proptest::collection::vec(any::<u8>(), 0..300), key: Vec<u8>) {
        for content_type in ["application/json", "application/cloudevents+json", "application/protobuf"] {
            let headers: [(&str, &[u8]); 2] = [("content-type", content_type.as_bytes()), ("ce_time", &key)];
            let record = Incoming { payload: Some(&payload), key: Some(&key), timestamp_ms: None };
            drop(decode(record, &headers, &DecodeOptions::default(), no_protobuf));
        }
    }

    #[test]
    fn no_broken_event_makes_it_panic(at in 0..EVENT.len(), byte: u8, cut in 0..EVENT.len()) {
        let mut payload = EVENT.as_bytes().to_vec();
        payload[at] = byte;
        drop(with(&payload, &[], &DecodeOptions::default()));
        payload.truncate(cut);
        drop(with(&payload, &[], &DecodeOptions::default()));
    }
}
