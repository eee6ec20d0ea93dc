//! Exactly once, on a real broker: what a reader of committed records sees when lanes come, go and
//! are killed.

use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
    util::Timeout,
};
use tidegate_kafka::settings::{Delivery, GroupProtocol};
use tidegate_tests::{
    Event, Flow, Isolation, Part, RealKafka, Suite, Topics, Worker, work_if_asked,
};

fn main() -> ExitCode {
    if let Some(status) = work_if_asked() {
        return status;
    }
    let kafka = Part::new(|| RealKafka::start(1));
    let status = Suite::default()
        .case(
            "a_reader_of_committed_records_never_sees_an_aborted_transaction",
            &kafka,
            aborted_is_unseen,
        )
        .case(
            "each_record_comes_out_once_and_in_order_of_its_key",
            &kafka,
            undisturbed,
        )
        .case(
            "a_commit_does_not_wait_for_a_tenth_of_a_second_that_it_does_not_need",
            &kafka,
            no_commit_tax,
        )
        .case(
            "a_lane_killed_in_mid_transaction_leaves_no_trace_in_the_output",
            &kafka,
            killed,
        )
        .case(
            "a_lane_that_was_replaced_while_it_slept_can_not_commit",
            &kafka,
            fenced,
        )
        .case(
            "a_lane_that_slept_longer_than_its_session_starts_over_at_what_others_committed",
            &kafka,
            slept,
        )
        .case(
            "lanes_may_come_and_go_while_records_flow",
            &kafka,
            rebalanced_classic,
        )
        .case(
            "lanes_may_come_and_go_with_the_groups_new_protocol",
            &kafka,
            rebalanced_consumer,
        )
        .case(
            "a_lane_with_a_fixed_place_comes_back_to_its_partitions_and_nobody_elses_move",
            &kafka,
            static_membership,
        )
        .case(
            "without_transactions_a_killed_lane_repeats_records_but_loses_none",
            &kafka,
            at_least_once,
        )
        .run();
    drop(kafka);
    status
}

/// The ground that everything else here stands on, with no code of ours in it.
fn aborted_is_unseen(kafka: &RealKafka) -> anyhow::Result<()> {
    let topic = kafka.create_topic("aborts", 1)?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .set("transactional.id", kafka.name("aborts"))
        .create()?;
    producer.init_transactions(Timeout::Never)?;
    for (value, commit) in [("kept", true), ("dropped", false), ("kept too", true)] {
        producer.begin_transaction()?;
        let record = BaseRecord::to(&topic).key("k").payload(value);
        producer.send(record).map_err(|(error, _)| error)?;
        producer.flush(Duration::from_secs(10))?;
        if commit {
            producer.commit_transaction(Timeout::Never)?;
        } else {
            producer.abort_transaction(Timeout::Never)?;
        }
    }
    let values = |isolation| -> anyhow::Result<Vec<String>> {
        let seen = kafka.read_all(&topic, isolation)?;
        Ok(seen
            .into_iter()
            .map(|record| String::from_utf8_lossy(&record.value).into_owned())
            .collect())
    };
    assert_eq!(values(Isolation::Committed)?, ["kept", "kept too"]);
    assert_eq!(
        values(Isolation::Uncommitted)?,
        ["kept", "dropped", "kept too"]
    );
    Ok(())
}

fn undisturbed(kafka: &RealKafka) -> anyhow::Result<()> {
    let mut flow = Flow::new(kafka)?;
    flow.feed(20_000)?;
    let mut job = flow.job("a");
    job.lanes = 2;
    job.slowness_ms = 0;
    let worker = Worker::start(&job)?;
    flow.check()?;
    let events = worker.stop()?;
    assert_eq!(committed(&events), 20_000);
    assert_eq!(flow.undone()?, 0);
    Ok(())
}

/// The client library's own flush would make every commit that waits for an acknowledgement last
/// at least 100 ms. A slow machine makes some slow; only that tax makes them all.
fn no_commit_tax(kafka: &RealKafka) -> anyhow::Result<()> {
    let mut flow = Flow::new(kafka)?;
    flow.feed(4_000)?;
    let mut job = flow.job("a");
    job.commit_interval_ms = 20;
    job.slowness_ms = 10;
    let worker = Worker::start(&job)?;
    flow.check()?;
    let fastest = worker
        .stop()?
        .iter()
        .filter_map(|event| match event {
            Event::Committed(_, micros) => Some(*micros),
            _ => None,
        })
        .min();
    assert!(
        fastest < Some(100_000),
        "the fastest commit took {fastest:?} us"
    );
    Ok(())
}

fn killed(kafka: &RealKafka) -> anyhow::Result<()> {
    let mut flow = Flow::new(kafka)?;
    flow.feed(20_000)?;
    for _ in 0..3 {
        let mut worker = Worker::start(&flow.job("a"))?;
        worker.wait_for_open_transaction()?;
        worker.kill()?;
    }
    let worker = Worker::start(&flow.job("a"))?;
    flow.check()?;
    worker.stop()?;
    assert!(
        flow.undone()? > 0,
        "no kill came in the middle of a transaction"
    );
    Ok(())
}

fn fenced(kafka: &RealKafka) -> anyhow::Result<()> {
    let mut flow = Flow::new(kafka)?;
    flow.feed(20_000)?;
    let mut zombie = Worker::start(&flow.job("a"))?;
    zombie.wait_for_open_transaction()?;
    zombie.pause()?;
    // The same name, and so the same transactional id: this one takes over at once.
    let mut successor = Worker::start(&flow.job("a"))?;
    successor.wait_for("commit", |event| matches!(event, Event::Committed(..)))?;
    zombie.events();
    zombie.resume()?;
    let refused = zombie.wait_for("end of what it had open", |event| {
        matches!(
            event,
            Event::Aborted(_) | Event::Rebuilt(_) | Event::Failed(_) | Event::Committed(..)
        )
    })?;
    assert!(
        !matches!(refused, Event::Committed(..)),
        "the zombie committed what its successor had already done: {zombie}"
    );
    zombie.kill()?;
    flow.check()?;
    successor.stop()?;
    assert!(flow.undone()? > 0);
    Ok(())
}

fn slept(kafka: &RealKafka) -> anyhow::Result<()> {
    let mut flow = Flow::new(kafka)?;
    flow.feed(20_000)?;
    let mut job = flow.job("sleeper");
    job.kafka.session_timeout_ms = 2_000;
    let mut sleeper = Worker::start(&job)?;
    sleeper.wait_for_open_transaction()?;
    let mut other = Worker::start(&flow.job("other"))?;
    sleeper.pause()?;
    // All six partitions: the group has given the sleeper up.
    other.wait_for("takeover", |event| *event == Event::Assigned(6))?;
    sleeper.resume()?;
    flow.feed(5_000)?;
    flow.check()?;
    let events = sleeper.stop()?;
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::Aborted(_) | Event::Rebuilt(_))),
        "the sleeper's transaction was not undone: {events:?}"
    );
    other.stop()?;
    Ok(())
}

fn rebalanced_classic(kafka: &RealKafka) -> anyhow::Result<()> {
    rebalanced(kafka, GroupProtocol::Classic)
}

fn rebalanced_consumer(kafka: &RealKafka) -> anyhow::Result<()> {
    rebalanced(kafka, GroupProtocol::Consumer)
}

fn rebalanced(kafka: &RealKafka, protocol: GroupProtocol) -> anyhow::Result<()> {
    let mut flow = Flow::new(kafka)?;
    flow.feed(10_000)?;
    let start = |flow: &Flow<'_>, instance| {
        let mut job = flow.job(instance);
        job.kafka.group_protocol = protocol;
        Worker::start(&job)
    };
    let given = |event: &Event| matches!(event, Event::Assigned(1..));
    let mut first = start(&flow, "first")?;
    first.wait_for("partitions", given)?;
    let mut second = start(&flow, "second")?;
    second.wait_for("partitions", given)?;
    flow.feed(5_000)?;
    let mut third = start(&flow, "third")?;
    third.wait_for("partitions", given)?;
    first.stop()?;
    flow.feed(5_000)?;
    second.stop()?;
    flow.check()?;
    third.stop()?;
    Ok(())
}

fn static_membership(kafka: &RealKafka) -> anyhow::Result<()> {
    let mut flow = Flow::new(kafka)?;
    flow.feed(10_000)?;
    let start = |flow: &Flow<'_>, instance| {
        let mut job = flow.job(instance);
        job.kafka.static_membership = true;
        // Long, so that only its name can bring a lane back.
        job.kafka.session_timeout_ms = 40_000;
        Worker::start(&job)
    };
    let half = |event: &Event| matches!(event, Event::Assigned(3) | Event::Revoked(3));
    let mut stays = start(&flow, "stays")?;
    let mut leaves = start(&flow, "leaves")?;
    leaves.wait_for("half of the partitions", half)?;
    stays.wait_for("the other half", half)?;
    flow.feed(5_000)?;
    leaves.wait_for_open_transaction()?;
    let seen = stays.events().len();
    leaves.kill()?;
    let begin = Instant::now();
    let mut back = start(&flow, "leaves")?;
    back.wait_for("its partitions", |event| *event == Event::Assigned(3))?;
    assert!(
        begin.elapsed() < Duration::from_secs(30),
        "it waited for its predecessor's session to end"
    );
    flow.feed(5_000)?;
    flow.check()?;
    let moved = |event: &Event| matches!(event, Event::Assigned(_) | Event::Revoked(_));
    let others: Vec<_> = stays.events()[seen..].iter().filter(|e| moved(e)).collect();
    assert!(
        others.is_empty(),
        "the other lane's partitions moved: {others:?}"
    );
    back.stop()?;
    stays.stop()?;
    Ok(())
}

fn at_least_once(kafka: &RealKafka) -> anyhow::Result<()> {
    let mut flow = Flow::new(kafka)?;
    flow.feed(10_000)?;
    let mut job = flow.job("a");
    job.kafka.delivery = Delivery::AtLeastOnce;
    job.kafka.session_timeout_ms = 2_000;
    let mut worker = Worker::start(&job)?;
    worker.wait_for_open_transaction()?;
    worker.kill()?;
    let worker = Worker::start(&job)?;
    let mut audit = flow.audit()?;
    for _ in 0..50 {
        if audit.lost == 0 {
            break;
        }
        thread::sleep(Duration::from_millis(200));
        audit = flow.audit()?;
    }
    worker.stop()?;
    assert_eq!((audit.lost, audit.unexpected), (0, 0), "{audit}");
    assert!(
        audit.duplicated > 0,
        "the kill came too late to show anything: {audit}"
    );
    Ok(())
}

fn committed(events: &[Event]) -> usize {
    let records = events.iter().map(|event| match event {
        Event::Committed(records, _) => *records,
        _ => 0,
    });
    records.sum()
}
