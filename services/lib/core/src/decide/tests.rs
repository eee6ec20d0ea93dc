//! Which verdict follows from which scores, and where it goes.

use super::*;
use crate::{
    event::{Author, Channel},
    ids::{BrandId, EventId},
    normalize::normalize,
    route::{Escalation, Route, routes, write_routed_json},
    verdict::Priority,
};

const SOURCE: Source<'_> = Source {
    topic: "comments.v1",
    partition: 0,
    offset: 9,
};
const CREATED_MS: i64 = 1_731_000_000_000;
const HOUR_MS: i64 = 3_600_000;

fn event(channel: Channel, text: &'static str) -> Event<'static> {
    Event {
        id: EventId::from("e1"),
        kind: Kind::Created,
        platform: "instagram".into(),
        brand: BrandId::from("northlight"),
        channel,
        conversation_id: Some("c1".into()),
        parent_id: None,
        post_id: None,
        author: Author::default(),
        text: text.into(),
        lang: None,
        created_at_ms: CREATED_MS,
        recorded_at_ms: Some(CREATED_MS),
        context: vec![],
    }
}

fn scored(labels: &[(Label, f32)]) -> Scored<'static> {
    let mut row = [0.01; Label::COUNT];
    for (label, score) in labels {
        row[label.index()] = *score;
    }
    let scores = Scores::new(row).unwrap();
    Scored {
        scores,
        tier: Tier::Deep,
        windows: 1,
        model_version: "deep-1",
        is_language_shown: true,
    }
}

/// Queue, priority and hours until due.
type Due = (String, Priority, f64);

/// What is concluded, in short: action, review, codes and routes.
fn outcome(
    channel: Channel,
    text: &'static str,
    labels: &[(Label, f32)],
) -> (Action, Option<Due>, Vec<String>, Vec<Route>) {
    let (event, policy, scored) = (
        event(channel, text),
        Policy::default_policy(),
        scored(labels),
    );
    let verdict = decide(&event, &normalize(text), Some(&scored), &policy, SOURCE);
    let review = verdict.review.map(|review| {
        let hours = (review.due_at_ms - CREATED_MS) as f64 / HOUR_MS as f64;
        (review.queue.to_owned(), review.priority, hours)
    });
    let codes = verdict
        .reasons
        .iter()
        .map(|reason| reason.code.to_owned())
        .collect();
    (
        verdict.action,
        review,
        codes,
        routes(&verdict).iter().collect(),
    )
}

#[test]
fn praise_is_left_alone() {
    let (action, review, codes, routes) =
        outcome(Channel::Comment, "love it", &[(Label::Positive, 0.97)]);
    assert_eq!((action, review), (Action::Allow, None));
    assert!(codes.is_empty() && routes.is_empty());
}

#[test]
fn spam_is_hidden_without_asking_anyone() {
    let (action, review, codes, routes) = outcome(Channel::Comment, "x", &[(Label::Spam, 0.97)]);
    assert_eq!((action, review), (Action::Hide, None));
    assert_eq!(codes, ["spam"]);
    assert_eq!(routes, [Route::Spam]);
}

/// As in a language in which nobody has shown how good the model is.
fn in_unproven_language<'a>(
    event: &'a Event<'_>,
    policy: &'a Policy,
    labels: &[(Label, f32)],
) -> Verdict<'a> {
    let scored = Scored {
        is_language_shown: false,
        ..scored(labels)
    };
    decide(
        event,
        &normalize(&event.text),
        Some(&scored),
        policy,
        SOURCE,
    )
}

fn codes<'a>(verdict: &Verdict<'a>) -> Vec<&'a str> {
    verdict.reasons.iter().map(|reason| reason.code).collect()
}

#[test]
fn scores_hide_nothing_in_a_language_in_which_they_were_not_shown_to_be_good() {
    let (event, policy) = (event(Channel::Comment, "x"), Policy::default_policy());
    let verdict = in_unproven_language(&event, &policy, &[(Label::Spam, 0.97)]);
    assert_eq!(verdict.action, Action::Review);
    assert_eq!(verdict.review.unwrap().queue, "spam");
    assert_eq!(codes(&verdict), ["spam", "language_not_shown"]);
    assert_eq!(
        routes(&verdict).iter().count(),
        2,
        "spam, and a person sees it"
    );
    let verdict = in_unproven_language(&event, &policy, &[(Label::Hate, 0.97)]);
    assert_eq!(verdict.action, Action::Review);
    let review = verdict.review.unwrap();
    assert_eq!(
        (review.queue, review.priority),
        ("conduct", Priority::Urgent)
    );
}

#[test]
fn what_hides_nothing_is_the_same_in_every_language() {
    let (event, policy) = (event(Channel::Comment, "x"), Policy::default_policy());
    let verdict = in_unproven_language(&event, &policy, &[(Label::Risk, 0.97)]);
    assert_eq!(
        (verdict.action, codes(&verdict)),
        (Action::Review, vec!["risk"])
    );
    let verdict = in_unproven_language(&event, &policy, &[(Label::Positive, 0.97)]);
    assert_eq!((verdict.action, codes(&verdict)), (Action::Allow, vec![]));
}

#[test]
fn a_policy_may_let_scores_hide_in_every_language_and_phrases_always_may() {
    let without: String = crate::policy::DEFAULT_POLICY
        .lines()
        .filter(|line| !line.starts_with("language_not_shown:"))
        .map(|line| format!("{line}\n"))
        .collect();
    let rule = "  - { id: own, phrases: [casino], action: hide, queue: spam }\n";
    let (bold, cautious) = (
        Policy::parse(&without).unwrap(),
        Policy::parse(&format!("{}{rule}", crate::policy::DEFAULT_POLICY)).unwrap(),
    );
    let event = event(Channel::Comment, "casino");
    let verdict = in_unproven_language(&event, &bold, &[(Label::Spam, 0.97)]);
    assert_eq!(verdict.action, Action::Hide);
    let verdict = in_unproven_language(&event, &cautious, &[]);
    assert_eq!(
        (verdict.action, codes(&verdict)),
        (Action::Hide, vec!["own"])
    );
}

#[test]
fn a_direct_message_is_never_hidden() {
    let (action, review, ..) = outcome(Channel::Dm, "x", &[(Label::Spam, 0.97)]);
    assert_eq!(action, Action::Review);
    assert_eq!(review, Some(("spam".to_owned(), Priority::Low, 24.0)));
    let (action, ..) = outcome(Channel::Dm, "x", &[(Label::Hate, 0.97)]);
    assert_eq!(action, Action::Review);
}

#[test]
fn hate_is_hidden_and_reviewed_at_once() {
    let (action, review, codes, routes) = outcome(Channel::Comment, "x", &[(Label::Hate, 0.9)]);
    assert_eq!(action, Action::HideAndReview);
    assert_eq!(review, Some(("conduct".to_owned(), Priority::Urgent, 0.0)));
    assert_eq!(codes, ["hate"]);
    assert_eq!(routes, [Route::Hate, Route::Escalation]);
}

#[test]
fn what_the_model_is_unsure_of_goes_to_a_person() {
    let (action, review, codes, _) = outcome(Channel::Comment, "x", &[(Label::Spam, 0.7)]);
    assert_eq!(
        (action, codes),
        (Action::Review, vec!["low_confidence".to_owned()])
    );
    assert_eq!(review, Some(("general".to_owned(), Priority::Normal, 2.0)));
}

#[test]
fn refunds_are_decided_by_a_person_on_every_channel() {
    for channel in Channel::ALL {
        let (action, review, codes, _) = outcome(*channel, "I want my money back", &[]);
        assert_eq!(
            (action, codes),
            (Action::Review, vec!["refund_or_dispute".to_owned()])
        );
        assert_eq!(review.unwrap().0, "care");
    }
}

#[test]
fn a_sure_buyer_with_a_question_is_answered_within_the_hour() {
    let buyer = [(Label::PurchaseIntent, 0.95), (Label::Question, 0.9)];
    let (action, review, codes, routes) = outcome(Channel::Dm, "how much", &buyer);
    assert_eq!(
        (action, codes),
        (Action::Review, vec!["hot_lead".to_owned()])
    );
    assert_eq!(review, Some(("sales".to_owned(), Priority::Normal, 1.0)));
    assert_eq!(routes, [Route::PurchaseIntent, Route::Escalation]);
    let (action, ..) = outcome(Channel::Dm, "nice", &[(Label::PurchaseIntent, 0.7)]);
    assert_eq!(action, Action::Allow);
}

#[test]
fn several_reasons_add_up_and_the_gravest_comes_first() {
    let labels = [
        (Label::Spam, 0.95),
        (Label::Collab, 0.9),
        (Label::Risk, 0.8),
    ];
    let (action, review, codes, _) = outcome(Channel::Comment, "x", &labels);
    assert_eq!(action, Action::HideAndReview);
    assert_eq!(codes, ["risk", "spam", "collab"]);
    assert_eq!(review, Some(("safety".to_owned(), Priority::Urgent, 0.5)));
}

#[test]
fn deep_dissatisfaction_reaches_a_person() {
    let (action, _, codes, _) = outcome(Channel::Comment, "x", &[(Label::Negative, 0.97)]);
    assert_eq!(
        (action, codes),
        (Action::Review, vec!["negative_floor".to_owned()])
    );
}

#[test]
fn a_message_that_could_not_be_scored_is_reviewed_and_its_rules_still_hold() {
    let (event, policy) = (event(Channel::Dm, "stop"), Policy::default_policy());
    let verdict = decide(&event, &normalize("stop"), None, &policy, SOURCE);
    let codes: Vec<_> = verdict.reasons.iter().map(|reason| reason.code).collect();
    assert_eq!(verdict.action, Action::Review);
    assert_eq!(codes, ["opt_out", "not_scored"]);
    assert_eq!((verdict.tier, verdict.scores), (Tier::None, None));
}

#[test]
fn a_reason_says_what_scored_and_what_it_had_to_reach() {
    let (event, policy) = (event(Channel::Comment, "x"), Policy::default_policy());
    let scored = scored(&[(Label::Hate, 0.9)]);
    let verdict = decide(&event, &normalize("x"), Some(&scored), &policy, SOURCE);
    let reason = verdict.reasons[0];
    assert_eq!(reason.label, Some(Label::Hate));
    assert_eq!(reason.score.unwrap().get(), 0.9);
    assert_eq!(reason.threshold.unwrap().get(), 0.5);
}

#[test]
fn with_a_clock_ahead_the_deadline_runs_from_the_record() {
    let policy = Policy::default_policy();
    let mut event = event(Channel::Comment, "refund");
    event.created_at_ms += 10 * 24 * HOUR_MS;
    let verdict = decide(&event, &normalize("refund"), None, &policy, SOURCE);
    assert!(verdict.clock_ahead);
    assert_eq!(verdict.review.unwrap().due_at_ms, CREATED_MS + 2 * HOUR_MS);
}

#[test]
fn a_verdict_is_written_with_everything_that_explains_it() {
    let (event, policy) = (event(Channel::Comment, "x"), Policy::default_policy());
    let scored = scored(&[(Label::Hate, 0.912_345)]);
    let verdict = decide(
        &event,
        &normalize("fr\u{200b}ee"),
        Some(&scored),
        &policy,
        SOURCE,
    );
    let mut out = b"before".to_vec();
    verdict.write_json(&mut out);
    let written = std::str::from_utf8(&out)
        .unwrap()
        .strip_prefix("before")
        .unwrap();
    assert_eq!(
        written,
        concat!(
            r#"{"id":"ID","event_id":"e1","kind":"created","brand":"northlight","#,
            r#""platform":"instagram","channel":"comment","conversation_id":"c1","#,
            r#""event_time":1731000000000,"action":"hide_and_review","withdrawn":false,"#,
            r#""labels":["hate"],"scores":{"spam":0.01,"hate":0.9123,"abuse":0.01,"#,
            r#""purchase_intent":0.01,"support":0.01,"risk":0.01,"collab":0.01,"question":0.01,"#,
            r#""negative":0.01,"positive":0.01},"#,
            r#""reasons":[{"code":"hate","label":"hate","score":0.9123,"threshold":0.5}],"#,
            r#""text_flags":["invisible_characters"],"clock_ahead":false,"#,
            r#""review":{"queue":"conduct","priority":"urgent","due_at":1731000000000},"#,
            r#""tier":"deep","windows":1,"model_version":"deep-1","policy_version":"default-3","#,
            r#""source":{"topic":"comments.v1","partition":0,"offset":9}}"#
        )
        .replace("ID", &verdict.id.to_string())
    );
}

#[test]
fn a_routed_record_is_the_event_with_its_verdict_and_an_escalation_holds_both() {
    let (event, policy) = (event(Channel::Comment, "x"), Policy::default_policy());
    let scored = scored(&[(Label::Hate, 0.9)]);
    let verdict = decide(&event, &normalize("x"), Some(&scored), &policy, SOURCE);
    let mut out = Vec::new();
    write_routed_json(&event, &verdict, &mut out);
    let routed: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(
        (&routed["id"], &routed["verdict"]["event_id"]),
        (&"e1".into(), &"e1".into())
    );
    out.clear();
    Escalation::new(Some(&event), &verdict).write_json(&mut out);
    let escalation: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(escalation["withdrawn"], false);
    assert_eq!(escalation["event"]["text"], "x");
    assert_eq!(escalation["verdict"]["review"]["queue"], "conduct");
}

#[test]
fn a_withdrawal_is_one_verdict_that_closes_a_case_and_scores_nothing() {
    let policy = Policy::default_policy();
    let withdrawal = Withdrawal {
        id: EventId::from("e1"),
        is_tombstone: true,
        platform: None,
        brand: None,
        channel: None,
        conversation_id: None,
        at_ms: None,
    };
    let verdict = withdraw(&withdrawal, &policy, SOURCE);
    assert!(verdict.withdrawn && verdict.scores.is_none() && verdict.review.is_none());
    assert_eq!(
        (verdict.action, verdict.kind),
        (Action::Allow, Kind::Deleted)
    );
    assert_eq!(
        routes(&verdict).iter().collect::<Vec<_>>(),
        [Route::Escalation]
    );
    let mut out = Vec::new();
    Escalation::new(None, &verdict).write_json(&mut out);
    let escalation: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(escalation["withdrawn"], true);
    assert!(escalation.get("event").is_none());
}
