//! What is written by hand is what serde would write.

use std::borrow::Cow;

use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, to_string};

use super::*;
use crate::{
    event::{Channel, Kind},
    ids::{BrandId, EventId, OutputId, Source},
    labels::{Label, Scores, Threshold},
    normalize::TextFlag,
    verdict::{Action, Priority, Review, Tier},
};

/// Texts with everything that must be escaped, and with what need not be.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,20}",
        "[\u{0}-\u{2f}\\\\\u{7f}é😀\u{2028}]{0,8}",
        any::<String>(),
    ]
}

fn some_of<T: Copy + std::fmt::Debug + 'static>(
    all: &'static [T],
) -> impl Strategy<Value = Vec<T>> {
    proptest::sample::subsequence(all, 0..=all.len())
}

fn one_of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(all)
}

/// Mostly what is no round number.
fn fraction() -> impl Strategy<Value = f32> {
    prop_oneof![
        0.0_f32..=1.0,
        (0_u16..=10_000).prop_map(|n| f32::from(n) / 10_000.0)
    ]
}

prop_compose! {
    fn event()(
        names in vec(text(), 9),
        present in vec(any::<bool>(), 6),
        kind in one_of(Kind::ALL),
        channel in one_of(Channel::ALL),
        followers in option::of(any::<u64>()),
        is_creator in any::<bool>(),
        created_at_ms in any::<i64>(),
        context in vec((text(), text()), 0..3),
    ) -> Event<'static> {
        let name = |at: usize| Cow::Owned(names[at].clone());
        let maybe = |at: usize| present[at].then(|| name(at));
        Event {
            id: EventId(name(6)),
            kind,
            platform: name(7),
            brand: BrandId(name(8)),
            channel,
            conversation_id: maybe(0),
            parent_id: maybe(1),
            post_id: maybe(2),
            author: Author { id: maybe(3), name: maybe(4), followers, is_creator },
            text: name(0),
            lang: maybe(5),
            created_at_ms,
            recorded_at_ms: Some(0),
            context: context.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
        }
    }
}

/// What a verdict borrows.
#[derive(Debug)]
struct Parts {
    names: Vec<String>,
    present: Vec<bool>,
    numbers: [i64; 3],
    scores: [f32; Label::COUNT],
    labels: Vec<Label>,
    flags: Vec<TextFlag>,
    action: Action,
    priority: Priority,
    tier: Tier,
}

prop_compose! {
    fn parts()(
        names in vec(text(), 6),
        present in vec(any::<bool>(), 9),
        numbers in any::<[i64; 3]>(),
        scores in proptest::array::uniform10(fraction()),
        labels in some_of(Label::ALL),
        flags in some_of(TextFlag::ALL),
        action in one_of(Action::ALL),
        priority in one_of(Priority::ALL),
        tier in one_of(Tier::ALL),
    ) -> Parts {
        Parts { names, present, numbers, scores, labels, flags, action, priority, tier }
    }
}

impl Parts {
    fn verdict(&self) -> Verdict<'_> {
        let scores = Scores::new(self.scores).unwrap();
        let name = |at: usize| self.names[at].as_str();
        let maybe = |at: usize| self.present[at].then(|| name(at));
        let source = Source {
            topic: name(4),
            partition: self.numbers[0] as i32,
            offset: self.numbers[1],
        };
        let reasons = self.labels.iter().map(|label| Reason {
            code: name(5),
            label: self.present[5].then_some(*label),
            score: self.present[6].then(|| scores[*label]),
            threshold: self.present[7].then(|| Threshold::new(scores[*label].get()).unwrap()),
        });
        Verdict {
            id: OutputId::new(source, name(5)),
            event_id: name(0),
            kind: Kind::Edited,
            brand: maybe(0),
            platform: maybe(1),
            channel: self.present[2].then_some(Channel::Live),
            conversation_id: maybe(2),
            event_time_ms: self.present[3].then_some(self.numbers[2]),
            action: self.action,
            withdrawn: self.present[4],
            labels: self.labels.iter().copied().collect(),
            scores: self.present[5].then_some(scores),
            reasons: reasons.collect(),
            text_flags: self.flags.iter().copied().collect(),
            clock_ahead: self.present[6],
            review: self.present[7].then(|| Review {
                queue: name(3),
                priority: self.priority,
                due_at_ms: self.numbers[0],
            }),
            tier: self.tier,
            windows: self.numbers[0] as u32,
            model_version: maybe(3),
            policy_version: name(5),
            source,
        }
    }
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = b"before".to_vec();
    write(&mut out);
    String::from_utf8(out.split_off("before".len())).unwrap()
}

proptest! {
    #[test]
    fn verdicts_are_written_as_serde_writes_them(parts in parts()) {
        let verdict = parts.verdict();
        prop_assert_eq!(written(|out| write_verdict(&verdict, out)), to_string(&verdict).unwrap());
    }

    #[test]
    fn escalations_are_written_as_serde_writes_them(
        parts in parts(),
        event in option::of(event()),
    ) {
        let verdict = parts.verdict();
        let escalation = Escalation::new(event.as_ref(), &verdict);
        let json = written(|out| write_escalation(&escalation, out));
        prop_assert_eq!(json, to_string(&escalation).unwrap());
    }

    #[test]
    fn a_routed_event_has_its_own_fields_with_the_verdict_beside_them(
        parts in parts(),
        event in event(),
    ) {
        let verdict = parts.verdict();
        let json = written(|out| write_routed(&event, &verdict, out));
        let mut expected = to_string(&event).unwrap();
        expected.pop();
        expected += &format!(",\"verdict\":{}}}", to_string(&verdict).unwrap());
        prop_assert_eq!(&json, &expected);
        prop_assert!(serde_json::from_str::<Value>(&json).is_ok());
    }
}
