//! The quick reader takes what is usual, and takes it as the thorough one does.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::decode::json::{Shape, read as read_any, read_thoroughly};

const USUAL: &str = r#"{"id":"e1","kind":"created","platform":"x","brand":"b","channel":"dm",
    "conversation_id":"c","parent_id":null,"post_id":"p", "text":"tiēm 😀 …","lang":"en",
    "author":{"id":"u","name":"Noor","followers":1200,"is_creator":true,"since":2019},
    "created_at":1731000000000,"context":{"order_id":"A1","n":7,"gift":false,"no":null},"v":1}"#;

#[test]
fn a_usual_event_is_read_without_help() {
    let fields = read(USUAL).unwrap();
    assert!(Ok(&fields) == read_thoroughly(USUAL.as_bytes(), Shape::Event).as_ref());
    assert_eq!(fields.context.len(), 3);
}

#[test]
fn what_is_unusual_is_left_to_the_thorough_reader() {
    for text in [
        r#"{"text":"a\u0062c"}"#,
        "{\"text\":\"a\nb\"}",
        r#"{"x":{"deep":1}}"#,
        r#"{"x":[1]}"#,
        r#"{"context":{"price":1.5}}"#,
        r#"{"created_at":-1}"#,
        r#"{"created_at":01}"#,
        r#"{"created_at":9223372036854775807}"#,
        r#"{"id":7}"#,
        r#"{"id":"e"}x"#,
        r#"{"id":"e",}"#,
        r#"{"id":"e""#,
        r#"{"id" "e"}"#,
        "[]",
        "",
    ] {
        assert!(read(text).is_none(), "{text}");
    }
}

#[test]
fn a_special_character_is_found_wherever_it_is() {
    for special_byte in [b'"', b'\\', 0, 0x1f] {
        for at in 0..40 {
            let mut bytes = [b'!', 0x7f, 0x80, 0xff, b'#', b'[', b']', b' '].repeat(5);
            bytes[at] = special_byte;
            assert_eq!(special(&bytes), Some(at));
            bytes[39] = b'"';
            assert_eq!(special(&bytes), Some(at));
        }
    }
    assert_eq!(special(&[0x80; 20]), None);
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "\"[a-z é😀]{0,12}\"",
        1 => "\"(created|edited|deleted|dm|live|[\"\\\\/bntu0-9{}\u{0}-\u{20}]{0,6})\"",
        1 => any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap_or_default()),
        2 => "(0|[1-9][0-9]{0,20}|-?[0-9]{1,3}(\\.[0-9])?([eE][+-]?[0-9])?)",
        1 => "null|true|false|nul|truee|2024-11-07T17:20:00Z|\"2024-11-07T17:20:00Z\"",
    ]
}

fn object(names: &'static [&'static str], value: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let name = proptest::sample::select(names);
    let field =
        (name, "[ \n]?", value).prop_map(|(name, gap, v)| format!("\"{name}\"{gap}:{gap}{v}"));
    vec(field, 0..7)
        .prop_map(|fields| format!("{{{}}}", fields.join(", ")))
        .boxed()
}

fn event() -> impl Strategy<Value = String> {
    let inner = object(
        &["id", "name", "followers", "is_creator", "order_id", "é"],
        scalar().boxed(),
    );
    let value =
        prop_oneof![3 => scalar(), 1 => inner.clone(), 1 => inner.prop_map(|o| format!("[{o}]"))];
    object(
        &[
            "id",
            "kind",
            "text",
            "created_at",
            "author",
            "author",
            "context",
            "context",
            "lang",
            "other",
        ],
        value.boxed(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn both_readers_agree_about_every_payload(
        mut payload in event().prop_map(String::into_bytes),
        at in any::<prop::sample::Index>(),
        byte in proptest::option::weighted(0.3, any::<u8>()),
        cut in proptest::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        if let Some(byte) = byte {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        if let Some(cut) = cut {
            payload.truncate(cut.index(payload.len()));
        }
        // Fields show nothing of themselves, so that no log line can.
        prop_assert!(
            read_any(&payload, Shape::Event) == read_thoroughly(&payload, Shape::Event)
        );
    }
}
