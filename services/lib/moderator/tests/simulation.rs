//! The real pipeline in a simulated cluster where everything goes wrong: each record becomes
//! exactly one verdict or one dead letter, and what the lanes counted is what readers see.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use std::sync::{Arc, Mutex};

use common::{WordScorer, pipeline, topics};
use serde_json::{Value, json};
use tidegate_kafka::{
    RecordOffset, TopicPartition,
    sim::{Faults, Input, Outcome, Scenario, SimRecord, Source},
};
use tidegate_moderator::{dead_letter, service::Service};

const WORDS: [&str; 6] = [
    "hello",
    "spam here",
    "hate here",
    "purchase_intent",
    "risk",
    "support",
];

fn input(n: usize) -> Input {
    let key = format!("conversation-{}", n % 9);
    if n.is_multiple_of(11) {
        return Input::new(key, "broken");
    }
    let event = json!({
        "id": format!("e{n}"), "kind": "created", "platform": "x", "brand": "northlight",
        "channel": "comment", "conversation_id": key, "author": {"id": "u1"},
        "text": format!("{} {n}", WORDS[n % WORDS.len()]), "created_at": 1_790_000_000_000_i64,
    });
    Input::new(key, event.to_string())
}

/// Where the record of a verdict or dead letter came from; `None` for the routes.
fn source(record: &SimRecord) -> Option<Source> {
    let topic = &*record.partition.topic;
    let of = |topic: &str, partition, offset| {
        (
            TopicPartition {
                topic: topic.into(),
                partition,
            },
            RecordOffset(offset),
        )
    };
    if topic == "moderation.dead-letters.v1" {
        let header = |name| std::str::from_utf8(record.header(name)?).ok();
        let number = |name| header(name)?.parse::<i64>().ok();
        let partition = i32::try_from(number(dead_letter::PARTITION)?).ok()?;
        return Some(of(
            header(dead_letter::TOPIC)?,
            partition,
            number(dead_letter::OFFSET)?,
        ));
    }
    if topic != "moderation.verdicts.v1" {
        return None;
    }
    let verdict: Value = serde_json::from_slice(record.payload.as_deref()?).ok()?;
    let source = &verdict["source"];
    let partition = i32::try_from(source["partition"].as_i64()?).ok()?;
    Some(of(
        source["topic"].as_str()?,
        partition,
        source["offset"].as_i64()?,
    ))
}

fn run(seed: u64, faults: Faults) -> (Outcome, u64) {
    let counted = Arc::new(Mutex::new(0));
    let mut scenario = Scenario::new(seed)
        .input("comments.v1", 3, (0..60).map(input))
        .faults(faults);
    for topic in topics() {
        scenario = scenario.output(&topic, 2);
    }
    let outcome = scenario
        .lanes(2)
        .run(|_| {
            let counted = counted.clone();
            let watch = move |tally: &tidegate_moderator::tally::Tally| {
                let results = tally.verdicts().map(|(.., n)| n).sum::<u64>()
                    + tally.dead_letters().map(|(_, n)| n).sum::<u64>();
                assert_eq!(
                    tally.consumed_total(),
                    results,
                    "consumed = verdicts + dead letters"
                );
                *counted.lock().unwrap() += results;
            };
            pipeline(
                Service::Comments,
                WordScorer::default(),
                Some(Arc::new(watch)),
            )
        })
        .unwrap_or_else(|stuck| panic!("{stuck}"));
    let counted = *counted.lock().unwrap();
    (outcome, counted)
}

fn check(seed: u64, outcome: &Outcome) {
    outcome
        .check_exactly_once(source)
        .unwrap_or_else(|violation| {
            panic!("seed {seed}: {violation:?}");
        });
    // Nothing is a repeat here, so every route is taken as often as its word occurs.
    let routed = |topic: &str| outcome.outputs(topic).count();
    let wrote = |word: usize| {
        (0..60)
            .filter(|n| n % 11 != 0 && n % WORDS.len() == word)
            .count()
    };
    assert_eq!(routed("moderation.spam.v1"), wrote(1), "seed {seed}: spam");
    assert_eq!(routed("moderation.hate.v1"), wrote(2), "seed {seed}: hate");
    assert_eq!(
        routed("engagement.purchase-intent.v1"),
        wrote(3),
        "seed {seed}: purchase intent"
    );
    assert_eq!(
        routed("moderation.dead-letters.v1"),
        6,
        "seed {seed}: dead letters"
    );
}

#[test]
fn without_faults_the_lanes_count_what_readers_see() {
    let (outcome, counted) = run(1, Faults::none());
    check(1, &outcome);
    assert_eq!(counted, 60);
}

#[test]
fn whatever_goes_wrong_each_record_becomes_one_verdict_or_one_dead_letter() {
    let (mut aborted, mut crashed) = (0, 0);
    for seed in 0..300 {
        let (outcome, _) = run(seed, Faults::many());
        check(seed, &outcome);
        aborted += outcome.stats.aborted;
        crashed += outcome.stats.crashed;
    }
    assert!(
        aborted > 100 && crashed > 100,
        "{aborted} aborted, {crashed} crashed"
    );
}
