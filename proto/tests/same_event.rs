//! JSON and Protobuf are two writings of one event.

use proptest::prelude::*;
use tidegate_core::{
    Author, BrandId, Channel, DecodeOptions, Decoded, Event, EventId, Incoming, Kind, Policy,
    Rejection, RejectionReason, Source, decide, decode, decode::Format, normalize,
    route::Escalation,
};
use tidegate_proto::{
    decode_event, encode_escalation, encode_event, encode_routed, encode_verdict, events::v1,
};

fn protobuf(payload: &[u8]) -> Result<Decoded<'_>, Rejection> {
    read(payload, Format::Protobuf)
}

fn read(payload: &[u8], default_format: Format) -> Result<Decoded<'_>, Rejection> {
    let options = DecodeOptions {
        default_format,
        ..Default::default()
    };
    let record = Incoming {
        payload: Some(payload),
        key: None,
        timestamp_ms: Some(1_731_000_000_000),
    };
    decode(record, &(), &options, decode_event)
}

fn name() -> impl Strategy<Value = String> {
    "[a-z0-9_ é😀\"\\\\]{0,12}"
}

prop_compose! {
    fn event()(
        id in name(),
        kind in prop_oneof![Just(Kind::Created), Just(Kind::Edited)],
        channel in prop_oneof![Just(Channel::Comment), Just(Channel::Dm), Just(Channel::Live)],
        [platform, brand] in [name(), name()],
        [conversation_id, parent_id, post_id, author_id, author_name, lang] in
            proptest::array::uniform6(proptest::option::of(name())),
        (followers, is_creator) in any::<(Option<u64>, bool)>(),
        text in any::<String>(),
        created_at_ms in 100_000_000_000..4_000_000_000_000_i64,
        context in proptest::collection::btree_map(name(), any::<String>(), 0..5),
    ) -> Event<'static> {
        Event {
            id: EventId::from(id),
            kind,
            platform: platform.into(),
            brand: BrandId::from(brand),
            channel,
            conversation_id: conversation_id.map(Into::into),
            parent_id: parent_id.map(Into::into),
            post_id: post_id.map(Into::into),
            author: Author {
                id: author_id.map(Into::into),
                name: author_name.map(Into::into),
                followers,
                is_creator,
            },
            text: text.into(),
            lang: lang.map(Into::into),
            created_at_ms,
            recorded_at_ms: Some(1_731_000_000_000),
            context: context.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
        }
    }
}

proptest! {
    #[test]
    fn an_event_is_the_same_from_json_and_from_protobuf(event in event()) {
        let json = serde_json::to_vec(&event).unwrap();
        let mut bytes = Vec::new();
        encode_event(&event, &mut bytes);
        prop_assert_eq!(read(&json, Format::Json), Ok(Decoded::Event(event.clone())));
        prop_assert_eq!(protobuf(&bytes), Ok(Decoded::Event(event)));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        drop(protobuf(&bytes));
    }

    #[test]
    fn an_event_that_is_cut_is_truncated_or_lacks_a_field(event in event(), cut in 0.0..1.0) {
        let mut bytes = Vec::new();
        encode_event(&event, &mut bytes);
        bytes.truncate((bytes.len() as f64 * cut) as usize);
        if let Err(rejection) = protobuf(&bytes) {
            prop_assert!(
                matches!(
                    rejection.reason,
                    RejectionReason::TruncatedProtobuf
                        | RejectionReason::MissingField
                        | RejectionReason::Empty
                ),
                "{}", rejection
            );
        }
    }
}

#[test]
fn kinds_and_channels_of_a_later_version_are_unknown_and_none_is_none() {
    let reason = |event: &v1::Event| {
        protobuf(&prost::Message::encode_to_vec(event))
            .map(|_| ())
            .unwrap_err()
            .reason
    };
    let event = v1::Event {
        id: Some("e1".into()),
        kind: 99,
        ..Default::default()
    };
    assert_eq!(reason(&event), RejectionReason::UnknownKind);
    let event = v1::Event {
        kind: 0,
        channel: 99,
        ..event
    };
    assert_eq!(reason(&event), RejectionReason::UnknownChannel);
    let event = v1::Event {
        channel: 0,
        ..event
    };
    assert_eq!(reason(&event), RejectionReason::MissingField);
    let deleted = v1::Event {
        kind: v1::EventKind::Deleted.into(),
        ..event
    };
    let bytes = prost::Message::encode_to_vec(&deleted);
    assert!(matches!(protobuf(&bytes), Ok(Decoded::Withdrawal(_))));
}

#[test]
fn a_verdict_its_routed_event_and_its_escalation_say_the_same() {
    let event = Event {
        id: EventId::from("e1"),
        kind: Kind::Created,
        platform: "x".into(),
        brand: BrandId::from("b"),
        channel: Channel::Comment,
        conversation_id: None,
        parent_id: None,
        post_id: None,
        author: Author::default(),
        text: "refund".into(),
        lang: None,
        created_at_ms: 5_500,
        recorded_at_ms: None,
        context: vec![],
    };
    let policy = Policy::default_policy();
    let source = Source {
        topic: "t",
        partition: 1,
        offset: 2,
    };
    let verdict = decide(&event, &normalize("refund"), None, &policy, source);
    let (mut plain, mut routed, mut escalation) = (vec![], vec![], vec![]);
    encode_verdict(&verdict, &mut plain);
    encode_routed(&event, &verdict, &mut routed);
    encode_escalation(&Escalation::new(Some(&event), &verdict), &mut escalation);

    let plain = <v1::Verdict as prost::Message>::decode(&plain[..]).unwrap();
    assert_eq!(plain.id, verdict.id.to_string());
    assert_eq!(plain.action(), v1::Action::Review);
    assert_eq!(plain.reasons[0].code, verdict.reasons[0].code);
    assert_eq!(
        plain.review.as_ref().unwrap().due_at.unwrap().seconds,
        5 + 2 * 3600
    );
    let routed = <v1::RoutedEvent as prost::Message>::decode(&routed[..]).unwrap();
    let escalation = <v1::Escalation as prost::Message>::decode(&escalation[..]).unwrap();
    assert_eq!(routed.verdict.as_ref(), Some(&plain));
    assert_eq!(escalation.verdict, Some(plain));
    assert_eq!(escalation.event.unwrap().text(), "refund");
}
