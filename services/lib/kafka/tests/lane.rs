//! What a lane does, call by call, against a transport that follows a script.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use tidegate_kafka::{
    Assignment, Batch, Clock, Ended, Failure, FailureKind, Lane, LaneSettings, NextOffset,
    Observer, Outbox, Polled, Processor, RecordOffset, Step, StopFlag, TopicPartition, Transport,
    sim::SimClock,
};

const MS: Duration = Duration::from_millis(1);

fn tp(partition: i32) -> TopicPartition {
    TopicPartition {
        topic: "in".into(),
        partition,
    }
}

/// What a poll brings; nothing is left when the script is over.
enum Event {
    Assign(&'static [i32]),
    Record(i32, i64),
    Revoke(&'static [i32]),
    Lose(&'static [i32]),
}

use Event::{Assign, Lose, Record, Revoke};

#[derive(Default)]
struct Script {
    events: VecDeque<Event>,
    /// Calls that fail, in this order.
    failures: VecDeque<(&'static str, FailureKind)>,
    /// Everything that the lane called or told, except polls.
    calls: Vec<String>,
    /// How long a commit takes.
    commit_takes: Duration,
    /// Whether a commit can be started, and records read before it is asked for again.
    commits_aside: bool,
    /// How often such a commit is said to be under way still.
    commits_long: u32,
    clock: SimClock,
}

#[derive(Clone, Default)]
struct Scripted(Rc<RefCell<Script>>);

impl Scripted {
    fn new(events: impl IntoIterator<Item = Event>) -> Self {
        let scripted = Self::default();
        scripted.then(events);
        scripted
    }

    fn then(&self, events: impl IntoIterator<Item = Event>) {
        self.0.borrow_mut().events.extend(events);
    }

    fn failing(self, failures: &[(&'static str, FailureKind)]) -> Self {
        self.0.borrow_mut().failures.extend(failures);
        self
    }

    fn call(&self, name: &'static str, details: &str) -> Result<(), Failure> {
        let mut script = self.0.borrow_mut();
        let failure = script.failures.front().filter(|(call, _)| *call == name);
        let kind = failure.map(|(_, kind)| *kind);
        let outcome = kind.map_or(String::new(), |kind| format!(" -> {kind:?}"));
        script.calls.push(format!("{name}{details}{outcome}"));
        match kind {
            None => Ok(()),
            Some(kind) => {
                script.failures.pop_front();
                Err(Failure {
                    kind,
                    action: name,
                    reason: "scripted".to_owned(),
                })
            }
        }
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut().calls)
    }

    fn clock(&self) -> SimClock {
        self.0.borrow().clock.clone()
    }
}

impl Transport for Scripted {
    fn poll(&mut self, batch: &mut Batch, timeout: Duration) -> Result<Polled, Failure> {
        let mut script = self.0.borrow_mut();
        if let Some(("poll", _)) = script.failures.front() {
            drop(script);
            return self.call("poll", "").map(|()| Polled::Idle);
        }
        let partitions = |numbers: &[i32]| numbers.iter().map(|n| tp(*n)).collect::<Vec<_>>();
        Ok(match script.events.pop_front() {
            None => {
                script.clock.sleep(timeout);
                Polled::Idle
            }
            Some(Record(partition, offset)) => {
                let (topic, offset) = (Arc::from("in"), RecordOffset(offset));
                batch.push(&topic, partition, offset, None, None, Some(b"x"), []);
                Polled::Record
            }
            Some(Assign(numbers)) => Polled::Assigned(
                partitions(numbers)
                    .into_iter()
                    .map(|partition| Assignment {
                        partition,
                        committed: None,
                    })
                    .collect(),
            ),
            Some(Revoke(numbers)) => Polled::Revoked {
                partitions: partitions(numbers),
                lost: false,
            },
            Some(Lose(numbers)) => Polled::Revoked {
                partitions: partitions(numbers),
                lost: true,
            },
        })
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), Failure> {
        self.call("release", &numbers(partitions.iter()))
    }

    fn begin(&mut self) -> Result<(), Failure> {
        self.call("begin", "")
    }

    fn send(&mut self, outbox: &Outbox) -> Result<(), Failure> {
        self.call("send", &format!(" {}", outbox.len()))
    }

    fn start_commit(&mut self, _offsets: &[(TopicPartition, NextOffset)]) -> bool {
        let is_aside = self.0.borrow().commits_aside;
        is_aside && self.call("start commit", "").is_ok()
    }

    fn has_committed(&mut self, timeout: Duration) -> bool {
        let mut script = self.0.borrow_mut();
        let Some(left) = script.commits_long.checked_sub(1) else {
            return true;
        };
        script.commits_long = left;
        script.clock.sleep(timeout);
        false
    }

    fn commit(&mut self, offsets: &[(TopicPartition, NextOffset)]) -> Result<(), Failure> {
        let takes = self.0.borrow().commit_takes;
        self.clock().sleep(takes);
        let offsets: Vec<_> = offsets
            .iter()
            .map(|(tp, next)| format!("{}@{}", tp.partition, next.get()))
            .collect();
        self.call("commit", &format!(" {}", offsets.join(",")))
    }

    fn abort(&mut self) -> Result<(), Failure> {
        self.call("abort", "")
    }

    fn rewind(&mut self, to: &[(TopicPartition, Option<NextOffset>)]) -> Result<(), Failure> {
        let to: Vec<_> = to
            .iter()
            .map(|(tp, next)| format!("{}@{:?}", tp.partition, next.map(NextOffset::get)))
            .collect();
        self.call("rewind", &format!(" {}", to.join(",")))
    }

    fn rebuild(&mut self) -> Result<(), Failure> {
        self.call("rebuild", "")
    }

    fn leave(&mut self, _timeout: Duration) -> bool {
        self.call("leave", "").is_ok()
    }
}

fn numbers<'a>(partitions: impl Iterator<Item = &'a TopicPartition>) -> String {
    let numbers: Vec<_> = partitions.map(|tp| tp.partition.to_string()).collect();
    format!(" {}", numbers.join(","))
}

/// One output for each record; tells the script when it is told how things went.
struct Echo(Scripted);

impl Processor for Echo {
    fn process(&mut self, batch: &Batch, outbox: &mut Outbox) {
        if self.0.0.borrow().commits_aside {
            let call = format!("process {}", batch.len());
            self.0.0.borrow_mut().calls.push(call);
        }
        for _ in batch.records() {
            outbox.push(0, None, [], Some(|out: &mut Vec<u8>| out.push(b'x')));
        }
    }

    fn committed(&mut self) {
        self.0.0.borrow_mut().calls.push("committed".to_owned());
    }

    fn aborted(&mut self) {
        self.0.0.borrow_mut().calls.push("aborted".to_owned());
    }
}

fn lane(scripted: &Scripted) -> Lane<Scripted, Echo> {
    let settings = LaneSettings {
        batch_records: 3,
        commit_records: 6,
        ..LaneSettings::default()
    };
    let echo = Echo(scripted.clone());
    Lane::new(scripted.clone(), echo, vec!["out".to_owned()], settings).with_clock(scripted.clock())
}

/// Steps until the clock shows `until`.
fn work_until(lane: &mut Lane<Scripted, Echo>, scripted: &Scripted, until: Duration) -> Vec<Step> {
    let mut steps = Vec::new();
    while scripted.clock().now() < until {
        steps.push(lane.step().unwrap());
    }
    steps
}

fn run(lane: &mut Lane<Scripted, Echo>) -> Result<Ended, Failure> {
    let stop = StopFlag::default();
    stop.set();
    lane.run(&stop)
}

#[test]
fn no_transaction_is_opened_while_nothing_arrives() {
    let scripted = Scripted::new([Assign(&[0])]);
    work_until(&mut lane(&scripted), &scripted, 1_000 * MS);
    assert!(scripted.calls().is_empty());
}

#[test]
fn a_lone_record_is_committed_one_interval_after_it_came() {
    let scripted = Scripted::new([Assign(&[0]), Record(0, 4)]);
    let mut lane = lane(&scripted);
    work_until(&mut lane, &scripted, 100 * MS);
    assert_eq!(scripted.calls(), ["begin", "send 1"]);
    let steps = work_until(&mut lane, &scripted, 150 * MS);
    assert_eq!(scripted.calls(), ["commit 0@5", "committed"]);
    let committed = Step::Committed {
        records: 1,
        since_begin: 100 * MS,
        duration: Duration::ZERO,
    };
    assert_eq!(steps[0], committed);
}

#[test]
fn under_load_a_commit_is_done_four_fifths_of_an_interval_after_the_previous_began() {
    let scripted = Scripted::new([Assign(&[0]), Record(0, 0)]);
    scripted.0.borrow_mut().commit_takes = 10 * MS;
    let mut lane = lane(&scripted);
    // The first commit lasts from 100 to 110 ms; the next record is there when it ends. After one
    // commit of 10 ms the next is expected to take 30 at most.
    work_until(&mut lane, &scripted, 110 * MS);
    scripted.then([Record(0, 1)]);
    work_until(&mut lane, &scripted, 150 * MS);
    scripted.calls();
    let steps = work_until(&mut lane, &scripted, 151 * MS);
    let committed = Step::Committed {
        records: 1,
        since_begin: 50 * MS,
        duration: 10 * MS,
    };
    assert_eq!(steps, [committed]);
}

#[test]
fn however_much_commits_vary_half_of_the_interval_is_kept_for_them_at_most() {
    let scripted = Scripted::new([Assign(&[0]), Record(0, 0)]);
    let mut lane = lane(&scripted);
    // Commits last from 100 to 105, 165 to 225 and 237 to 242 ms: 11 usually, and 65 at most.
    for (offset, takes, until) in [(1, 5, 105), (2, 60, 225), (3, 5, 237)] {
        scripted.0.borrow_mut().commit_takes = takes * MS;
        work_until(&mut lane, &scripted, until * MS);
        scripted.then([Record(0, offset)]);
    }
    work_until(&mut lane, &scripted, 266 * MS);
    assert_eq!(scripted.calls().last().unwrap(), "send 1");
    work_until(&mut lane, &scripted, 268 * MS);
    assert_eq!(scripted.calls(), ["commit 0@4", "committed"]);
}

#[test]
fn a_commit_slower_than_the_interval_makes_larger_transactions_and_not_more() {
    let scripted = Scripted::new([Assign(&[0]), Record(0, 0)]);
    scripted.0.borrow_mut().commit_takes = 300 * MS;
    let mut lane = lane(&scripted);
    // The first commit lasts from 100 to 400 ms; the next transaction is open for 100 ms.
    work_until(&mut lane, &scripted, 400 * MS);
    scripted.then([Record(0, 1)]);
    let steps = work_until(&mut lane, &scripted, 800 * MS);
    let committed = Step::Committed {
        records: 1,
        since_begin: 400 * MS,
        duration: 300 * MS,
    };
    assert_eq!(steps.last(), Some(&committed));
}

#[test]
fn what_was_read_during_a_slow_commit_does_not_hurry_the_next() {
    let scripted = Scripted::new([Assign(&[0]), Record(0, 0)]);
    scripted.0.borrow_mut().commit_takes = 80 * MS;
    scripted.0.borrow_mut().commits_aside = true;
    let mut lane = lane(&scripted);
    // The first commit lasts from 100 to 180 ms, and a record comes when it begins. The next is
    // due earlier by the interval, but the transaction stays open for another 80 ms.
    work_until(&mut lane, &scripted, 99 * MS);
    scripted.then([Record(0, 1)]);
    work_until(&mut lane, &scripted, 181 * MS);
    let steps = work_until(&mut lane, &scripted, 340 * MS);
    let committed = Step::Committed {
        records: 1,
        since_begin: 240 * MS,
        duration: 80 * MS,
    };
    assert_eq!(steps.last(), Some(&committed));
}

#[test]
fn one_slow_commit_delays_the_next_little() {
    let scripted = Scripted::new([Assign(&[0]), Record(0, 0)]);
    scripted.0.borrow_mut().commit_takes = 10 * MS;
    let mut lane = lane(&scripted);
    // Commits last from 100 to 110, 150 to 160 and, a slow one, 205 to 295 ms. They usually take 20 now.
    for (offset, at) in [(1, 110), (2, 160)] {
        work_until(&mut lane, &scripted, at * MS);
        scripted.then([Record(0, offset)]);
    }
    scripted.0.borrow_mut().commit_takes = 90 * MS;
    work_until(&mut lane, &scripted, 295 * MS);
    scripted.then([Record(0, 3)]);
    work_until(&mut lane, &scripted, 314 * MS);
    assert_eq!(scripted.calls().last().unwrap(), "send 1");
    work_until(&mut lane, &scripted, 316 * MS);
    assert_eq!(scripted.calls(), ["commit 0@4", "committed"]);
}

#[test]
fn enough_records_are_committed_at_once() {
    let scripted = Scripted::new(
        [Assign(&[0])]
            .into_iter()
            .chain((0..6).map(|n| Record(0, n))),
    );
    work_until(&mut lane(&scripted), &scripted, MS);
    let expected = ["begin", "send 3", "send 3", "commit 0@6", "committed"];
    assert_eq!(scripted.calls(), expected);
}

#[test]
fn a_call_that_asks_for_it_is_made_again_later_and_later() {
    let failures = [("commit", FailureKind::Retry); 4];
    let scripted = Scripted::new([Assign(&[0]), Record(0, 0)]).failing(&failures);
    let mut lane = lane(&scripted);
    work_until(&mut lane, &scripted, 101 * MS);
    // After 10, 20, 40 and 80 ms.
    work_until(&mut lane, &scripted, 249 * MS);
    assert_eq!(
        scripted.calls()[2..],
        [
            "commit 0@1 -> Retry",
            "commit 0@1 -> Retry",
            "commit 0@1 -> Retry",
            "commit 0@1 -> Retry"
        ]
    );
    work_until(&mut lane, &scripted, 251 * MS);
    assert_eq!(scripted.calls(), ["commit 0@1", "committed"]);
}

#[test]
fn what_must_be_aborted_is_aborted_rewound_and_done_again() {
    let scripted = Scripted::new([Assign(&[0, 1]), Record(0, 4), Record(1, 8)])
        .failing(&[("commit", FailureKind::Abort)]);
    let mut lane = lane(&scripted);
    work_until(&mut lane, &scripted, 105 * MS);
    scripted.then([Record(0, 4), Record(1, 8)]);
    work_until(&mut lane, &scripted, 300 * MS);
    assert_eq!(
        scripted.calls(),
        [
            "begin",
            "send 2",
            "commit 0@5,1@9 -> Abort",
            "aborted",
            "abort",
            "rewind 0@None,1@None",
            "begin",
            "send 2",
            "commit 0@5,1@9",
            "committed"
        ]
    );
}

#[test]
fn aborts_in_a_row_are_slowed_down_and_a_commit_forgives_them() {
    let scripted = Scripted::new([Assign(&[0])]).failing(&[("commit", FailureKind::Abort); 5]);
    let mut lane = lane(&scripted);
    let mut waits = Vec::new();
    for _ in 0..6 {
        scripted.then([Record(0, 0), Record(0, 1), Record(0, 2)]);
        scripted.then([Record(0, 3), Record(0, 4), Record(0, 5)]);
        let before = scripted.clock().now();
        while !scripted.calls().iter().any(|c| c.starts_with("commit")) {
            lane.step().unwrap();
        }
        waits.push((scripted.clock().now() - before).as_millis());
    }
    assert_eq!(waits, [0, 10, 20, 40, 80, 160]);

    scripted.0.borrow_mut().failures = [("commit", FailureKind::Abort)].into();
    let before = scripted.clock().now();
    for _ in 0..2 {
        scripted.then((6..12).map(|n| Record(0, n)));
        while !scripted.calls().iter().any(|c| c.starts_with("commit")) {
            lane.step().unwrap();
        }
    }
    assert_eq!(scripted.clock().now() - before, 10 * MS);
}

#[test]
fn a_broken_producer_is_replaced_and_nothing_is_read_before_the_new_assignment() {
    let failures = [
        ("commit", FailureKind::Rebuild),
        ("rebuild", FailureKind::Retry),
        ("rebuild", FailureKind::Rebuild),
    ];
    let scripted = Scripted::new([Assign(&[0]), Record(0, 0)]).failing(&failures);
    let mut lane = lane(&scripted);
    work_until(&mut lane, &scripted, 140 * MS);
    scripted.then([Lose(&[0]), Assign(&[0]), Record(0, 0)]);
    work_until(&mut lane, &scripted, 300 * MS);
    assert_eq!(
        scripted.calls()[2..],
        [
            "commit 0@1 -> Rebuild",
            "aborted",
            "rebuild -> Retry",
            "rebuild -> Rebuild",
            "rebuild",
            "release 0",
            "begin",
            "send 1",
            "commit 0@1",
            "committed"
        ]
    );
}

#[test]
fn an_abort_that_fails_leads_to_a_new_producer() {
    let failures = [("send", FailureKind::Abort), ("abort", FailureKind::Abort)];
    let scripted = Scripted::new([Assign(&[0]), Record(0, 0)]).failing(&failures);
    work_until(&mut lane(&scripted), &scripted, 50 * MS);
    assert_eq!(
        scripted.calls(),
        [
            "begin",
            "send 1 -> Abort",
            "aborted",
            "abort -> Abort",
            "rebuild"
        ]
    );
}

#[test]
fn before_partitions_are_given_back_the_open_batch_is_committed() {
    let scripted = Scripted::new([Assign(&[0, 1]), Record(0, 0), Record(1, 0), Revoke(&[0])]);
    work_until(&mut lane(&scripted), &scripted, MS);
    let expected = [
        "begin",
        "send 2",
        "commit 0@1,1@1",
        "committed",
        "release 0",
    ];
    assert_eq!(scripted.calls(), expected);
}

#[test]
fn when_that_commit_fails_only_what_is_kept_is_rewound() {
    let scripted = Scripted::new([Assign(&[0, 1]), Record(0, 0), Record(1, 0), Revoke(&[0])])
        .failing(&[("commit", FailureKind::Abort)]);
    work_until(&mut lane(&scripted), &scripted, MS);
    assert_eq!(
        scripted.calls()[2..],
        [
            "commit 0@1,1@1 -> Abort",
            "aborted",
            "abort",
            "rewind 1@None",
            "release 0"
        ]
    );
}

/// A lane that has read two batches, which are a transaction, and is given more.
fn committing(more: impl IntoIterator<Item = Event>) -> (Scripted, Lane<Scripted, Echo>) {
    let scripted = Scripted::new([Assign(&[0, 1])]);
    scripted.0.borrow_mut().commits_aside = true;
    scripted.then((0..6).map(|offset| Record(0, offset)));
    scripted.then(more);
    let lane = lane(&scripted);
    (scripted, lane)
}

/// What a lane does once its first commit has been started.
fn from_the_start_of_the_commit(scripted: &Scripted) -> Vec<String> {
    let calls = scripted.calls();
    let start = calls.iter().position(|call| call == "start commit");
    calls[start.unwrap()..].to_vec()
}

#[test]
fn while_a_commit_is_under_way_the_next_batch_is_read_and_processed_but_not_sent() {
    let (scripted, mut lane) = committing((6..9).map(|offset| Record(0, offset)));
    work_until(&mut lane, &scripted, MS);
    assert_eq!(
        from_the_start_of_the_commit(&scripted),
        [
            "start commit",
            "process 3",
            "commit 0@6",
            "committed",
            "begin",
            "send 3"
        ]
    );
    run(&mut lane).unwrap();
    let expected = ["start commit", "commit 0@9", "committed", "leave"];
    assert_eq!(scripted.calls(), expected);
}

#[test]
fn while_a_commit_takes_long_a_transaction_of_batches_is_processed_and_then_sent_at_once() {
    let (scripted, mut lane) = committing((6..13).map(|offset| Record(0, offset)));
    scripted.0.borrow_mut().commits_long = 10;
    work_until(&mut lane, &scripted, MS);
    assert_eq!(
        from_the_start_of_the_commit(&scripted)[..8],
        [
            "start commit",
            "process 3",
            "process 3",
            "commit 0@6",
            "committed",
            "begin",
            "send 6",
            "start commit"
        ]
    );
}

#[test]
fn a_commit_is_asked_for_its_outcome_after_an_interval_at_the_latest() {
    let (scripted, mut lane) = committing([Record(0, 6)]);
    scripted.0.borrow_mut().commits_long = u32::MAX;
    work_until(&mut lane, &scripted, 90 * MS);
    assert_eq!(from_the_start_of_the_commit(&scripted), ["start commit"]);
    work_until(&mut lane, &scripted, 102 * MS);
    assert_eq!(scripted.calls()[..2], ["commit 0@6", "committed"]);
}

#[test]
fn what_was_read_during_a_commit_that_fails_is_read_again_too() {
    let (scripted, mut lane) = committing((6..9).map(|offset| Record(0, offset)));
    let scripted = scripted.failing(&[("commit", FailureKind::Abort)]);
    work_until(&mut lane, &scripted, MS);
    assert_eq!(
        from_the_start_of_the_commit(&scripted)[2..],
        ["commit 0@6 -> Abort", "aborted", "abort", "rewind 0@None"]
    );
}

#[test]
fn partitions_that_are_taken_during_a_commit_are_given_back_after_what_was_read_of_them() {
    let (scripted, mut lane) = committing([Record(0, 6), Record(1, 0), Revoke(&[0])]);
    work_until(&mut lane, &scripted, MS);
    assert_eq!(
        from_the_start_of_the_commit(&scripted),
        [
            "start commit",
            "commit 0@6",
            "committed",
            "begin",
            "process 2",
            "send 2",
            "start commit",
            "commit 0@7,1@1",
            "committed",
            "release 0"
        ]
    );
}

#[test]
fn partitions_that_are_lost_during_a_commit_undo_it() {
    let (scripted, mut lane) = committing([Record(0, 6), Record(1, 0), Lose(&[0])]);
    work_until(&mut lane, &scripted, MS);
    assert_eq!(
        from_the_start_of_the_commit(&scripted),
        [
            "start commit",
            "aborted",
            "abort",
            "rewind 1@None",
            "release 0"
        ]
    );
}

#[test]
fn a_lane_that_is_stopped_during_a_commit_also_commits_what_it_has_read_since() {
    let (scripted, mut lane) = committing([Record(0, 6)]);
    while scripted.0.borrow().calls.last().map(String::as_str) != Some("start commit") {
        lane.step().unwrap();
    }
    assert_eq!(run(&mut lane).unwrap(), Ended::Committed);
    assert_eq!(
        from_the_start_of_the_commit(&scripted),
        [
            "start commit",
            "commit 0@6",
            "committed",
            "begin",
            "process 1",
            "send 1",
            "start commit",
            "commit 0@7",
            "committed",
            "leave"
        ]
    );
}

#[test]
fn partitions_that_nothing_was_read_of_are_given_back_at_once() {
    let scripted = Scripted::new([Assign(&[0]), Revoke(&[0])]);
    work_until(&mut lane(&scripted), &scripted, MS);
    assert_eq!(scripted.calls(), ["release 0"]);
}

#[test]
fn of_lost_partitions_nothing_is_published_and_nothing_committed() {
    let scripted = Scripted::new([Assign(&[0, 1]), Record(0, 0), Record(1, 0), Lose(&[0])]);
    let mut lane = lane(&scripted);
    work_until(&mut lane, &scripted, MS);
    assert_eq!(scripted.calls(), ["aborted", "rewind 1@None", "release 0"]);

    scripted.then([Record(1, 0), Record(1, 1), Record(1, 2), Lose(&[1])]);
    work_until(&mut lane, &scripted, 150 * MS);
    let expected = ["begin", "send 3", "aborted", "abort", "release 1"];
    assert_eq!(scripted.calls(), expected);
}

#[test]
fn a_record_out_of_turn_is_never_published() {
    let scripted = Scripted::new([Assign(&[0]), Record(0, 5), Record(0, 5)]);
    work_until(&mut lane(&scripted), &scripted, 5 * MS);
    assert_eq!(scripted.calls(), ["aborted", "rewind 0@None"]);
}

#[test]
fn a_lane_that_is_stopped_commits_what_it_has_and_leaves() {
    let scripted = Scripted::new([Assign(&[0]), Record(0, 0)]);
    let mut lane = lane(&scripted);
    work_until(&mut lane, &scripted, 2 * MS);
    scripted.then([Record(0, 1)]);
    assert_eq!(run(&mut lane).unwrap(), Ended::Committed);
    assert_eq!(
        scripted.calls(),
        ["begin", "send 1", "commit 0@1", "committed", "leave"]
    );
    assert_eq!(lane.step().unwrap(), Step::Stopped(Ended::Committed));
}

#[test]
fn a_lane_that_is_stopped_does_not_begin_anew_what_it_had_to_abort() {
    let scripted = Scripted::new([Assign(&[0]), Record(0, 0)]);
    let mut lane = lane(&scripted);
    work_until(&mut lane, &scripted, 50 * MS);
    scripted.0.borrow_mut().failures = [("commit", FailureKind::Abort)].into();
    assert_eq!(run(&mut lane).unwrap(), Ended::Undone);
    let calls = scripted.calls();
    assert_eq!(calls[2..4], ["commit 0@1 -> Abort", "aborted"]);
    assert_eq!(calls.last().unwrap(), "leave");
    assert_eq!(calls.iter().filter(|c| *c == "begin").count(), 1);
}

#[test]
fn a_lane_that_is_stopped_in_an_outage_leaves_at_its_deadline() {
    let scripted = Scripted::new([Assign(&[0]), Record(0, 0)])
        .failing(&[("commit", FailureKind::Retry); 1_000]);
    let mut lane = lane(&scripted);
    work_until(&mut lane, &scripted, 1_000 * MS);
    assert_eq!(run(&mut lane).unwrap(), Ended::Undone);
    let after = scripted.clock().now();
    assert!((10_999 * MS..11_200 * MS).contains(&after), "{after:?}");
}

#[test]
fn a_failure_that_nobody_can_repair_ends_the_lane_without_an_open_transaction() {
    let scripted =
        Scripted::new([Assign(&[0]), Record(0, 0)]).failing(&[("commit", FailureKind::Stop)]);
    let failure = lane(&scripted).run(&StopFlag::default()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Stop);
    assert_eq!(
        scripted.calls()[2..],
        ["commit 0@1 -> Stop", "abort", "leave"]
    );
}

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn tell(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }
}

impl Observer for Told {
    fn heartbeat(&mut self) {
        self.tell("heartbeat");
    }

    fn committed(&mut self, records: usize, _since_begin: Duration, commit: Duration) {
        self.tell(format!("committed {records} in {commit:?}"));
    }

    fn aborted(&mut self, reason: &str) {
        self.tell(format!("aborted: {reason}"));
    }

    fn rebuilt(&mut self, reason: &str) {
        self.tell(format!("rebuilt: {reason}"));
    }

    fn assigned(&mut self, partitions: usize, total: usize) {
        self.tell(format!("assigned {partitions} of {total}"));
    }

    fn revoked(&mut self, partitions: usize, total: usize, lost: bool) {
        self.tell(format!("revoked {partitions}, has {total}, lost {lost}"));
    }
}

#[test]
fn an_observer_hears_everything_and_a_heartbeat_while_the_lane_waits_for_a_broker() {
    let told = Told::default();
    let failures = [
        ("commit", FailureKind::Retry),
        ("commit", FailureKind::Abort),
        ("commit", FailureKind::Rebuild),
    ];
    let scripted = Scripted::new([Assign(&[0, 1]), Record(0, 0)]).failing(&failures);
    let mut lane = lane(&scripted).with_observer(told.clone());
    work_until(&mut lane, &scripted, 130 * MS);
    scripted.then([Record(0, 0)]);
    work_until(&mut lane, &scripted, 400 * MS);
    scripted.then([Lose(&[0, 1]), Assign(&[0]), Record(0, 0), Revoke(&[0])]);
    work_until(&mut lane, &scripted, 500 * MS);
    let mut heard = told.0.lock().unwrap().clone();
    let heartbeats = heard.extract_if(.., |what| what == "heartbeat").count();
    assert!(heartbeats > 10);
    assert_eq!(
        heard,
        [
            "assigned 2 of 2",
            "aborted: commit: scripted",
            "aborted: commit: scripted",
            "rebuilt: commit: scripted",
            "revoked 2, has 0, lost true",
            "assigned 1 of 1",
            "committed 1 in 0ns",
            "revoked 1, has 0, lost false",
        ]
    );
}
