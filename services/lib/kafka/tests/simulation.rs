//! Exactly-once, in a simulated cluster in which everything goes wrong: thousands of runs, each
//! decided by its seed. A failing run names its seed, and `Scenario::new(seed)` repeats it.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::{ops::Range, sync::Arc};

use tidegate_kafka::{
    Batch, Outbox, Processor, RecordOffset, TopicPartition,
    sim::{Faults, Flaws, Input, Outcome, Scenario, SimRecord, Source, Stats, Violation},
};

/// One record to "out" for each record, and one to "side" for every third.
struct Copy;

impl Processor for Copy {
    fn process(&mut self, batch: &Batch, outbox: &mut Outbox) {
        for record in batch.records() {
            let source = format!("{}/{}/{}", record.topic, record.partition, record.offset.0);
            let headers = [("source", Some(source.as_bytes()))];
            let payload = record.payload.unwrap_or_default();
            let write = |out: &mut Vec<u8>| out.extend_from_slice(payload);
            outbox.push(0, record.key, headers, Some(write));
            if goes_aside(record.offset) {
                outbox.push_copy(1, outbox.len() - 1);
            }
        }
    }

    fn committed(&mut self) {}

    fn aborted(&mut self) {}
}

fn goes_aside(offset: RecordOffset) -> bool {
    offset.0 % 3 == 0
}

fn source(record: &SimRecord) -> Option<Source> {
    let text = std::str::from_utf8(record.header("source")?).ok()?;
    let mut parts = text.split('/');
    let partition = TopicPartition {
        topic: Arc::from(parts.next()?),
        partition: parts.next()?.parse().ok()?,
    };
    Some((partition, RecordOffset(parts.next()?.parse().ok()?)))
}

/// The source of a record in "out" alone.
fn main_source(record: &SimRecord) -> Option<Source> {
    (&*record.partition.topic == "out").then(|| source(record))?
}

fn scenario(seed: u64) -> Scenario {
    let input = |n: u64| Input::new(format!("key-{}", n % 7), format!("value-{n}"));
    Scenario::new(seed)
        .input("in", 3, (0..40).map(input))
        .input("also-in", 1, (40..50).map(input))
        .output("out", 2)
        .output("side", 1)
        .lanes(2 + usize::try_from(seed % 2).unwrap())
}

fn run(scenario: Scenario) -> Outcome {
    scenario
        .run(|_| Copy)
        .unwrap_or_else(|stuck| panic!("{stuck}"))
}

#[test]
fn without_faults_every_record_is_copied_once() {
    let outcome = run(scenario(1).faults(Faults::none()));
    assert_eq!(outcome.outputs("out").count(), 50);
    outcome.check_exactly_once(main_source).unwrap();
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let (one, two) = (run(scenario(11)), run(scenario(11)));
    assert_eq!(one.outputs, two.outputs);
    assert_eq!(one.stats, two.stats);
}

fn check_seeds(seeds: Range<u64>) {
    let mut total = Stats::default();
    for seed in seeds {
        let outcome = run(scenario(seed));
        if let Err(violation) = outcome.check_exactly_once(main_source) {
            panic!("{violation}; {:?}", outcome.stats);
        }
        let expected = outcome.inputs.iter().filter(|i| goes_aside(i.offset));
        assert_eq!(
            outcome.outputs("side").count(),
            expected.count(),
            "seed {seed}: side output comes with its main output"
        );
        total += outcome.stats;
    }
    println!("{total:?}");
    let Stats {
        committed,
        aborted,
        rebuilt,
        crashed,
        frozen,
        evicted,
        fenced,
        timed_out,
        stale,
        lost_answers,
        unstable,
    } = total;
    let every_kind = [
        committed,
        aborted,
        rebuilt,
        crashed,
        frozen,
        evicted,
        fenced,
        timed_out,
        stale,
        lost_answers,
        unstable,
    ];
    assert!(
        every_kind.iter().all(|times| *times > 0),
        "a run without faults proves nothing: {total:?}"
    );
}

#[test]
fn every_record_is_copied_once_whatever_goes_wrong_first_half() {
    check_seeds(0..2_000);
}

#[test]
fn every_record_is_copied_once_whatever_goes_wrong_second_half() {
    check_seeds(2_000..4_000);
}

/// The first violation among some seeds of a cluster that breaks a rule.
fn violation(flaws: Flaws) -> Violation {
    (0..400)
        .filter_map(|seed| scenario(seed).flaws(flaws).run(|_| Copy).ok())
        .find_map(|outcome| outcome.check_exactly_once(main_source).err())
        .unwrap_or_else(|| panic!("nobody noticed: {flaws:?}"))
}

#[test]
fn offsets_committed_outside_the_transaction_are_noticed() {
    let found = violation(Flaws {
        offsets_outside_transaction: true,
        ..Flaws::default()
    });
    assert!(matches!(found, Violation::Lost { .. }), "{found}");
}

#[test]
fn reading_on_after_an_abort_is_noticed() {
    let found = violation(Flaws {
        no_rewind: true,
        ..Flaws::default()
    });
    assert!(matches!(found, Violation::Lost { .. }), "{found}");
}

#[test]
fn a_stale_member_that_commits_is_noticed() {
    let found = violation(Flaws {
        stale_members_commit: true,
        ..Flaws::default()
    });
    assert!(matches!(found, Violation::Doubled { .. }), "{found}");
}

#[test]
fn taking_over_while_offsets_are_pending_is_noticed() {
    let found = violation(Flaws {
        pending_offsets_ignored: true,
        ..Flaws::default()
    });
    assert!(matches!(found, Violation::Doubled { .. }), "{found}");
}

#[test]
fn resuming_from_memory_after_a_lost_answer_is_noticed() {
    let found = violation(Flaws {
        resume_from_memory: true,
        ..Flaws::default()
    });
    assert!(matches!(found, Violation::Doubled { .. }), "{found}");
}

#[test]
fn a_predecessor_that_is_not_fenced_is_noticed() {
    let found = violation(Flaws {
        no_fencing: true,
        ..Flaws::default()
    });
    assert!(matches!(found, Violation::Doubled { .. }), "{found}");
}

#[test]
fn reading_what_is_not_committed_is_noticed() {
    let found = violation(Flaws {
        read_uncommitted: true,
        ..Flaws::default()
    });
    assert!(matches!(found, Violation::Phantom { .. }), "{found}");
}
