//! The life of a case, sentence by sentence. Whole stories are in the conformance suite; here are
//! the rules that a store can't show apart.

use proptest::prelude::*;
use tidegate_proto::{
    escalation::v1::{CaseEvent, CaseVerdict, Decision},
    events::v1::{Author, Priority},
};

use super::*;
use crate::caller::Granted;

const NOW: i64 = 1_000_000;

fn caller(name: &str) -> Caller {
    Caller {
        agent: format!("agents/{name}"),
        role: Role::Agent,
        queues: Granted::All,
        languages: Vec::new(),
        pseudonym: String::new(),
    }
}

fn case() -> Case {
    let arrived = Case {
        queue: "queues/q".to_owned(),
        due_time: Some(timestamp(NOW + DAY)),
        event: Some(CaseEvent {
            event_id: "e".to_owned(),
            text: Some("text".to_owned()),
            author: Some(Author::default()),
            ..CaseEvent::default()
        }),
        verdict: Some(CaseVerdict::default()),
        ..Case::default()
    };
    open(arrived, &QueueSettings::default(), NOW)
}

fn all_acts() -> Vec<Act> {
    let text = || "words".to_owned();
    vec![
        Act::Claim,
        Act::Heartbeat,
        Act::Release {
            skip: true,
            reason: text(),
        },
        Act::Hold {
            reason: text(),
            return_ms: NOW + DAY,
        },
        Act::Assign {
            agent: String::new(),
            queue: "queues/r".to_owned(),
            reason: text(),
        },
        Act::Note { text: text() },
        Act::Resolve {
            outcome: Outcome::Ban,
            labels: vec![Label::Hate, Label::Hate],
            comment: text(),
        },
        Act::OpenAppeal { reason: text() },
        Act::DecideAppeal {
            overturn: true,
            outcome: Outcome::Allow,
            labels: Vec::new(),
            comment: text(),
        },
    ]
}

#[test]
fn names_of_cases_keep_messages_apart() {
    assert_eq!(case_name("a", "b", "c"), case_name("a", "b", "c"));
    let names = [
        case_name("a", "b", "c"),
        case_name("ab", "", "c"),
        case_name("a", "", "bc"),
        case_name("", "ab", "c"),
    ];
    for (at, name) in names.iter().enumerate() {
        assert!(!names[..at].contains(name));
    }
}

#[test]
fn a_language_is_the_first_part_of_its_tag() {
    for (tag, primary) in [("pt-BR", "pt"), ("EN", "en"), ("zh_Hant", "zh"), ("", "")] {
        assert_eq!(language(Some(tag)), primary);
    }
    assert_eq!(language(None), "");
}

#[test]
fn labels_are_kept_once_and_in_order() {
    let mut case = case();
    let queue = QueueSettings::default();
    apply(&mut case, &Act::Claim, &caller("a"), &queue, NOW).unwrap();
    let act = Act::Resolve {
        outcome: Outcome::Hide,
        labels: vec![Label::Risk, Label::Hate, Label::Risk],
        comment: String::new(),
    };
    apply(&mut case, &act, &caller("a"), &queue, NOW).unwrap();
    assert_eq!(
        case.decisions[0].labels,
        [Label::Hate as i32, Label::Risk as i32]
    );
}

#[test]
fn what_an_edit_makes_graver_stays_grave() {
    let mut case = case();
    case.set_priority(Priority::Urgent);
    let mut milder = case.clone();
    milder.set_priority(Priority::Low);
    milder.due_time = Some(timestamp(NOW + 9 * DAY));
    milder.verdict = Some(CaseVerdict {
        verdict_id: "v2".to_owned(),
        ..CaseVerdict::default()
    });
    let due = case.due_time;
    let edited = edit(&mut case, &milder, &QueueSettings::default(), NOW);
    assert_eq!(edited, Edited::Updated);
    assert_eq!(case.priority(), Priority::Urgent);
    assert_eq!(case.due_time, due);
}

#[test]
fn the_summary_of_a_case_holds_nothing_that_was_written() {
    let mut case = case();
    case.notes.push(Note {
        text: "secret".to_owned(),
        ..Note::default()
    });
    case.decisions.push(Decision {
        comment: "secret".to_owned(),
        ..Decision::default()
    });
    case.hold = Some(Hold {
        reason: "secret".to_owned(),
        ..Hold::default()
    });
    let text = case.event.as_mut().and_then(|event| event.text.as_mut());
    *text.unwrap() = "secret".to_owned();
    assert!(!summary(&case).to_string().contains("secret"));
}

proptest! {
    /// Whatever is done in whatever order, what must hold of a case holds.
    #[test]
    fn a_case_never_contradicts_itself(
        steps in prop::collection::vec((0..9_usize, 0..3_usize, 0..2 * DAY), 1..40),
        second_review: bool,
    ) {
        let queue = QueueSettings { second_review, ..QueueSettings::default() };
        let mut case = case();
        case.set_priority(Priority::High);
        let mut now = NOW;
        let mut published = 0;
        for (act, who, later) in steps {
            // Most steps follow each other closely, within a lease.
            now += if later % 4 == 0 { later } else { later % 60_000 };
            let who = caller(["a", "b", "c"][who]);
            let act = &all_acts()[act];
            let before = case.clone();
            let mut after = case.clone();
            match apply(&mut after, act, &who, &queue, now) {
                Ok(effects) => {
                    case = after;
                    published += usize::from(effects.resolution.is_some());
                    let quiet = effects.action.is_empty();
                    prop_assert_eq!(quiet, case.etag == before.etag);
                }
                Err(_) => continue,
            }
            let state = case.state();
            prop_assert_eq!(case.lease.is_some(), state == CaseState::Claimed);
            prop_assert_eq!(case.hold.is_some(), state == CaseState::OnHold);
            prop_assert_eq!(case.close_time.is_some(), state == CaseState::Resolved);
            prop_assert!(case.appeal.is_none() || state == CaseState::Resolved);
            if state == CaseState::SecondReview {
                prop_assert!(second_review && case.decisions.len() == 1);
            }
            prop_assert!(case.decisions.len() <= 2);
            if let [first, second] = case.decisions.as_slice() {
                prop_assert_ne!(&first.agent, &second.agent);
            }
            let overturned = case.appeal.as_ref().is_some_and(|one| one.decision.is_some());
            let expected = usize::from(state == CaseState::Resolved) + usize::from(overturned);
            prop_assert_eq!(published, expected, "each decision is published once");
        }
    }
}
