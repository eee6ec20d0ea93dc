//! Exactly once, on a cluster of three brokers one of which dies and comes back.

use std::process::ExitCode;

use tidegate_tests::{Event, Flow, Part, RealKafka, Suite, Worker, work_if_asked};

fn main() -> ExitCode {
    if let Some(status) = work_if_asked() {
        return status;
    }
    let kafka = Part::new(|| RealKafka::start_own(3, &[]));
    let status = Suite::default()
        .in_turn()
        .case(
            "a_broker_that_is_killed_and_comes_back_costs_nothing_but_time",
            &kafka,
            broker_killed,
        )
        .case(
            "a_broker_that_is_restarted_in_good_order_costs_nothing_but_time",
            &kafka,
            broker_restarted,
        )
        .case(
            "a_lane_and_a_broker_killed_together_leave_no_trace_in_the_output",
            &kafka,
            both_killed,
        )
        .run();
    drop(kafka);
    status
}

fn broker_killed(kafka: &RealKafka) -> anyhow::Result<()> {
    let mut flow = Flow::new(kafka)?;
    flow.feed(10_000)?;
    let mut job = flow.job("a");
    job.lanes = 2;
    // Longer than a change of leaders takes, so that most transactions outlive it.
    job.kafka.transaction_timeout_ms = 60_000;
    let mut worker = Worker::start(&job)?;
    worker.wait_for_open_transaction()?;
    kafka.kill_broker(2)?;
    // Two of three are enough to go on.
    flow.feed(2_000)?;
    flow.check()?;
    kafka.start_broker(2)?;
    flow.feed(2_000)?;
    flow.check()?;
    worker.stop()?;
    Ok(())
}

fn broker_restarted(kafka: &RealKafka) -> anyhow::Result<()> {
    let mut flow = Flow::new(kafka)?;
    flow.feed(10_000)?;
    let mut job = flow.job("a");
    job.kafka.transaction_timeout_ms = 30_000;
    let mut worker = Worker::start(&job)?;
    for number in [1, 2] {
        worker.wait_for_open_transaction()?;
        kafka.restart_broker(number)?;
        flow.feed(3_000)?;
    }
    flow.check()?;
    worker.stop()?;
    Ok(())
}

fn both_killed(kafka: &RealKafka) -> anyhow::Result<()> {
    let mut flow = Flow::new(kafka)?;
    flow.feed(10_000)?;
    let mut worker = Worker::start(&flow.job("a"))?;
    worker.wait_for_open_transaction()?;
    worker.kill()?;
    kafka.kill_broker(3)?;
    let mut worker = Worker::start(&flow.job("a"))?;
    worker.wait_for("commit", |event| matches!(event, Event::Committed(..)))?;
    kafka.start_broker(3)?;
    flow.check()?;
    worker.stop()?;
    Ok(())
}
