//! What a policy says, and what is said of a wrong one.

use super::*;
use crate::{
    ids::{BrandId, EventId},
    normalize::normalize,
};

const BASE: &str = "
version: test
queues: [care]
deadlines: { comment: 2h, live: 15m, dm: 24h }
labels:
  spam: { threshold: 0.8, unsure_from: 0.6, action: hide, queue: care }
  hate: { threshold: 0.5, action: hide_and_review, queue: care }
  abuse: { threshold: 0.5, action: allow }
  purchase_intent: { threshold: 0.5, action: allow }
  support: { threshold: 0.5, action: allow }
  risk: { threshold: 0.5, action: allow }
  collab: { threshold: 0.5, action: allow }
  question: { threshold: 0.5, action: allow }
  negative: { threshold: 0.5, action: allow }
  positive: { threshold: 0.5, action: allow }
low_confidence: { action: review, queue: care }
not_scored: { action: review, queue: care }
";

fn with(more: &str) -> Policy {
    Policy::parse(&format!("{BASE}{more}")).unwrap_or_else(|errors| panic!("{errors}"))
}

fn event(channel: Channel, lang: &'static str) -> Event<'static> {
    Event {
        id: EventId::from("e"),
        kind: crate::Kind::Created,
        platform: "instagram".into(),
        brand: BrandId::from("northlight"),
        channel,
        conversation_id: None,
        parent_id: None,
        post_id: None,
        author: Default::default(),
        text: "".into(),
        lang: Some(lang.into()),
        created_at_ms: 0,
        recorded_at_ms: None,
        context: vec![],
    }
}

fn rules(policy: &Policy, channel: Channel, text: &str) -> Vec<String> {
    let (event, text) = (event(channel, "en-GB"), normalize(text));
    let rules = policy.rules_for(&event, &text, None);
    rules.map(|rule| rule.id.clone()).collect()
}

#[test]
fn what_stands_in_for_hiding_cannot_hide() {
    let more = "language_not_shown: { action: hide, queue: care }\n";
    let errors = Policy::parse(&format!("{BASE}{more}"))
        .unwrap_err()
        .to_string();
    assert!(errors.contains("can't hide"), "{errors}");
    assert!(with("").language_not_shown().is_none());
}

#[test]
fn the_shipped_policy_has_no_mistake() {
    let policy = Policy::parse(DEFAULT_POLICY).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(policy.version(), "default-3");
    assert_eq!(policy.rules.len(), 5);
}

#[test]
fn the_most_specific_override_wins_and_brand_counts_more_than_platform_than_channel() {
    let policy = with(
        "
overrides:
  - for: { brand: northlight }
    thresholds: { spam: 0.91 }
  - for: { platform: instagram, channel: dm }
    thresholds: { spam: 0.92, hate: 0.92 }
  - for: { channel: dm }
    thresholds: { spam: 0.93, hate: 0.93, abuse: 0.93 }
  - for: { brand: another }
    thresholds: { spam: 0.1, hate: 0.1, abuse: 0.1 }
",
    );
    let of = |channel| policy.thresholds(&event(channel, "en")).map(Threshold::get);
    assert_eq!(of(Channel::Dm)[..4], [0.91, 0.92, 0.93, 0.5]);
    assert_eq!(of(Channel::Comment)[..4], [0.91, 0.5, 0.5, 0.5]);
}

#[test]
fn every_mistake_is_reported_in_one_go_with_its_line() {
    let wrong = "version: 7
queues: [care, \"\"]
deadlines: { comment: 2 hours, dm: 24h }
labels:
  spam: { threshold: 1.2, action: hide, queue: care }
  hate: { threshold: 0.5, action: delete, queue: care }
  hatred: { threshold: 0.5, action: allow }
  abuse: { threshold: 0.5, unsure_from: 0.6, action: review }
overrides:
  - for: { channel: fax }
    thresholds: { spam: high, rudeness: 0.5 }
low_confidence: { action: review, queue: nowhere }
not_scored: { action: review, queue: care, priority: soon }
rules:
  - id: a
    phrases: [\"\", no, \"\u{200b}\"]
    action: allow
  - id: a
    when: spam >
    action: allow
  - id: b
    action: allow
    colour: red
    colour: blue
  - when: spam
    action: allow
";
    let PolicyErrors(mistakes) = Policy::parse(wrong).unwrap_err();
    let expected = [
        (1, "expected a text, found a number"),
        (2, "the text is empty"),
        (3, "`2 hours` is no duration"),
        (3, "key `live` is missing"),
        (5, "1.2 is not between 0 and 1"),
        (6, "unknown action `delete`"),
        (7, "unknown key `hatred`"),
        (8, "`unsure_from` must be below"),
        (8, "`queue` is missing"),
        (10, "unknown channel `fax`; known are comment, dm, live"),
        (11, "expected a number, found a text"),
        (11, "unknown label `rudeness`"),
        (12, "unknown queue `nowhere`"),
        (13, "unknown priority `soon`"),
        (16, "the text is empty"),
        (16, "nothing is left of this phrase"),
        (18, "a rule with the id `a` is already above"),
        (19, "compare with"),
        (21, "needs `phrases`, `whole` or `when`"),
        (23, "unknown key `colour`"),
        (24, "key `colour` is already on line 23"),
        (25, "key `id` is missing"),
    ];
    for (line, part) in expected {
        assert!(
            mistakes
                .iter()
                .any(|m| m.line == line && m.message.contains(part)),
            "line {line}: {part}\nin {}",
            PolicyErrors(mistakes.clone())
        );
    }
    assert!(mistakes.is_sorted_by_key(|mistake| mistake.line));
}

#[test]
fn what_is_no_yaml_is_reported_with_its_line() {
    let PolicyErrors(mistakes) = Policy::parse("version: a\n  b: [").unwrap_err();
    assert_eq!(mistakes.len(), 1);
    assert!(mistakes[0].line >= 2, "{mistakes:?}");
    assert!(Policy::parse("").is_err());
    assert!(Policy::parse("[]").is_err());
}

#[test]
fn phrases_are_found_at_word_boundaries_whatever_their_writing() {
    let policy = with(
        "
rules:
  - id: refund
    phrases: [refund, geld zurück, 返金]
    action: allow
",
    );
    for text in [
        "I want a REFUND!",
        "refund",
        "r.e.f.u.n.d",
        "r e f u n d now",
        "r3fund please",
        "reｆund",
        "rеfund",
        "GELD ZURUECK geld zuruck",
        "Geld zurück",
        "返金してください",
        "re\u{200b}fund",
    ] {
        assert_eq!(rules(&policy, Channel::Comment, text), ["refund"], "{text}");
    }
    for text in ["refundable?", "prerefund", "geld", "", "re fund"] {
        assert!(rules(&policy, Channel::Comment, text).is_empty(), "{text}");
    }
}

#[test]
fn a_whole_phrase_is_the_whole_message_but_for_signs() {
    let policy = Policy::default_policy();
    for text in [
        "STOP", "stop.", " Stop!! ", "S T O P", "Baja", "arrêter", "ARRET", "iptal", "berhenti",
        "abmelden",
    ] {
        assert_eq!(rules(&policy, Channel::Dm, text), ["opt_out"], "{text}");
    }
    for text in ["stop by the shop", "non-stop", "don't stop"] {
        assert!(rules(&policy, Channel::Dm, text).is_empty(), "{text}");
    }
    assert!(
        rules(&policy, Channel::Comment, "STOP").is_empty(),
        "only in direct messages"
    );
}

#[test]
fn agents_and_order_trouble_are_heard_in_direct_messages_of_eight_languages() {
    let policy = Policy::default_policy();
    for text in [
        "can I talk to a human?",
        "quiero hablar con una persona",
        "quero falar com um atendente",
        "je veux parler à un conseiller",
        "Ich möchte mit einem Mitarbeiter sprechen",
        "vorrei parlare con un operatore",
        "müşteri temsilcisi lütfen",
        "mau bicara dengan CS",
    ] {
        assert_eq!(
            rules(&policy, Channel::Dm, text),
            ["agent_request"],
            "{text}"
        );
    }
    for text in [
        "where is my order",
        "¿Dónde está mi pedido?",
        "cadê meu pedido",
        "où est ma commande ?",
        "Wo bleibt mein Paket",
        "dov'è il mio ordine",
        "Siparişim gelmedi",
        "pesanan belum sampai",
    ] {
        assert_eq!(
            rules(&policy, Channel::Dm, text),
            ["order_trouble"],
            "{text}"
        );
    }
}

#[test]
fn a_rule_holds_only_where_all_that_it_names_does() {
    let policy = with(
        "
rules:
  - id: all
    phrases: [hi]
    channels: [dm]
    langs: [en]
    platforms: [instagram]
    brands: [northlight]
    action: allow
  - id: elsewhere
    phrases: [hi]
    brands: [another]
    action: allow
  - id: by_score
    when: spam
    action: allow
",
    );
    assert_eq!(rules(&policy, Channel::Dm, "hi"), ["all"]);
    assert!(rules(&policy, Channel::Comment, "hi").is_empty());
    let (german, text) = (event(Channel::Dm, "de"), normalize("hi"));
    assert_eq!(policy.rules_for(&german, &text, None).count(), 0);
}
