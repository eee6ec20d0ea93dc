//! How the real client behaves, against librdkafka's own mock cluster.
//!
//! This shows the client's side: calls in the right order, errors sorted rightly, nothing that
//! hangs. It proves no exactly-once, for the mock cluster shows aborted records to every reader
//! and stores no transactional offsets.

#[path = "mock_cluster/support.rs"]
mod support;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use rdkafka::{
    Message,
    message::Headers as _,
    types::{RDKafkaApiKey as Api, RDKafkaRespErr as Code},
};
use support::*;
use tidegate_kafka::{
    Batch, FailureKind, Polled, Transport,
    client::KafkaTransport,
    settings::{Delivery, KafkaSettings},
};

#[test]
fn records_flow_through_a_lane_and_keep_their_order_by_key() {
    let broker = broker(&[("in", 3), ("out", 3)]);
    feed(&broker, 900, 7);
    let transport = connect(&broker, "a");
    let handle = transport.handle();
    let mut lane = lane(transport);

    run_until_committed(&mut [&mut lane], 900);

    let mut by_key: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
    let records = output(&broker, 3, 900);
    for (record, number) in records.iter().zip(numbers(&records)) {
        by_key
            .entry(record.key().unwrap().to_vec())
            .or_default()
            .push(number);
    }
    assert_eq!(by_key.len(), 7);
    assert!(by_key.values().all(|numbers| numbers.is_sorted()));
    let mut all: Vec<_> = by_key.into_values().flatten().collect();
    all.sort_unstable();
    assert_eq!(all, (0..900).collect::<Vec<_>>());
    assert!(handle.status().is_ready());
    assert_eq!(handle.status().assigned, 3);
}

#[test]
fn what_is_null_empty_repeated_or_binary_survives() {
    let broker = broker(&[("in", 1), ("out", 1)]);
    feed_odd(&broker);
    run_until_committed(&mut [&mut lane(connect(&broker, "a"))], 2);

    let records = output(&broker, 1, 2);
    let tombstone = records.iter().find(|r| r.key().is_some()).unwrap();
    assert_eq!(tombstone.key(), Some(&b"gone"[..]));
    assert_eq!(tombstone.payload(), None);
    let headers: Vec<_> = tombstone
        .headers()
        .unwrap()
        .iter()
        .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
        .collect();
    let expected = [
        ("twice", Some(&b"1"[..])),
        ("twice", Some(b"2")),
        ("null", None),
        ("empty", Some(b"")),
        ("binary", Some(&[0, 255, 10])),
    ]
    .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)));
    assert_eq!(headers, expected);

    let keyless = records.iter().find(|r| r.key().is_none()).unwrap();
    assert_eq!(keyless.payload(), Some(&b""[..]));
    assert!(keyless.headers().is_none());
}

#[test]
fn a_header_name_that_is_not_text_stops_nothing() {
    let broker = broker(&[("in", 1), ("out", 1)]);
    feed_with_header_name(&broker, &[b'n', 0xff]);
    let mut transport = connect(&broker, "a");
    join(&mut transport);

    let batch = read(&mut transport, 1);

    let headers: Vec<_> = batch.get(0).headers.iter().collect();
    assert_eq!(headers, [("\u{fffd}", Some(&b"v"[..]))]);
}

#[test]
fn a_commit_does_not_wait_for_a_hundred_milliseconds() {
    let broker = broker(&[("in", 1), ("out", 1)]);
    let mut transport = connect(&broker, "a");
    join(&mut transport);

    // The crate's own flush rounds every commit up to 100 ms, so that none is ever faster.
    let fastest = (1..=20)
        .map(|offset| {
            transport.begin().unwrap();
            transport.send(&outbox(50)).unwrap();
            let started = Instant::now();
            transport.commit(&next(0, offset)).unwrap();
            started.elapsed()
        })
        .min()
        .unwrap();

    assert!(fastest < Duration::from_millis(90), "{fastest:?}");
}

#[test]
fn an_empty_transaction_and_one_without_offsets_are_committed_too() {
    let broker = broker(&[("in", 1), ("out", 1)]);
    let mut transport = connect(&broker, "a");
    join(&mut transport);

    transport.begin().unwrap();
    transport.commit(&next(0, 5)).unwrap();
    transport.begin().unwrap();
    transport.send(&outbox(1)).unwrap();
    transport.commit(&[]).unwrap();

    transaction(&mut transport, 6).unwrap();
}

#[test]
fn after_an_abortable_error_the_transaction_is_aborted_and_the_next_one_works() {
    for (request, error) in [
        (Api::Produce, Code::RD_KAFKA_RESP_ERR_INVALID_RECORD),
        (
            Api::TxnOffsetCommit,
            Code::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
        ),
        (
            Api::TxnOffsetCommit,
            Code::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
        ),
        (
            Api::AddPartitionsToTxn,
            Code::RD_KAFKA_RESP_ERR_OPERATION_NOT_ATTEMPTED,
        ),
        (Api::EndTxn, Code::RD_KAFKA_RESP_ERR_UNKNOWN),
    ] {
        let (mut transport, failure, _broker) = failing(request, error);
        assert_eq!(failure.kind, FailureKind::Abort, "{request:?}: {failure}");
        transport.abort().unwrap();
        // A record that was refused leaves a gap in its partition's sequence, which costs the
        // next transaction too; its abort closes the gap.
        while let Err(failure) = transaction(&mut transport, 2) {
            assert_eq!(failure.kind, FailureKind::Abort, "{request:?}: {failure}");
            assert_eq!(request, Api::Produce, "{failure}");
            transport.abort().unwrap();
        }
    }
}

#[test]
fn what_a_retry_repairs_is_repaired_without_being_noticed() {
    for (request, error) in [
        (
            Api::Produce,
            Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        ),
        (
            Api::AddPartitionsToTxn,
            Code::RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS,
        ),
        (
            Api::TxnOffsetCommit,
            Code::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        ),
        (
            Api::EndTxn,
            Code::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
        ),
    ] {
        let broker = broker(&[("in", 1), ("out", 1)]);
        let mut transport = connect(&broker, "a");
        join(&mut transport);
        broker.fail_requests(request, &[error, error]).unwrap();
        transaction(&mut transport, 1).unwrap();
    }
}

#[test]
fn missing_rights_end_the_process_with_advice() {
    for (request, error, advice) in [
        (
            Api::AddPartitionsToTxn,
            Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
            "output topics",
        ),
        (
            Api::EndTxn,
            Code::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            "transactional-id prefix",
        ),
        (
            Api::TxnOffsetCommit,
            Code::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
            "consumer group",
        ),
        (
            Api::Produce,
            Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
            "output topics",
        ),
    ] {
        let (_transport, failure, _broker) = failing(request, error);
        assert_eq!(failure.kind, FailureKind::Stop, "{request:?}: {failure}");
        assert!(failure.to_string().contains(advice), "{failure}");
    }
}

#[test]
fn a_fenced_producer_is_rebuilt_and_everything_is_assigned_again() {
    let broker = broker(&[("in", 2), ("out", 1)]);
    feed(&broker, 10, 10);
    let mut transport = connect(&broker, "a");
    let before = join(&mut transport);
    transaction(&mut transport, 1).unwrap();

    // What a broker answers once another process has taken the transactional id. (The mock
    // cluster itself gives that process another identity, and fences nobody.)
    broker
        .fail_requests(
            Api::EndTxn,
            &[Code::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH],
        )
        .unwrap();
    let failure = transaction(&mut transport, 2).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Rebuild, "{failure}");
    assert_eq!(transport.begin().unwrap_err().kind, FailureKind::Rebuild);

    transport.rebuild().unwrap();
    let mut batch = Batch::default();
    let first = poll_until(&mut transport, &mut batch, |polled| *polled != Polled::Idle);
    let Polled::Revoked { partitions, lost } = first else {
        panic!("{first:?}");
    };
    assert!(lost);
    transport.release(&partitions).unwrap();
    let mut again = join(&mut transport);
    let mut before = before;
    before.sort_by(|a, b| a.partition.cmp(&b.partition));
    again.sort_by(|a, b| a.partition.cmp(&b.partition));
    assert_eq!(again, before);
    read(&mut transport, 10);
    transaction(&mut transport, 2).unwrap();
}

#[test]
fn an_abort_with_queued_records_ends() {
    let broker = broker(&[("in", 1), ("out", 1)]);
    let mut transport = connect(&broker, "a");
    join(&mut transport);
    broker
        .set_round_trip_time(Duration::from_millis(700))
        .unwrap();

    transport.begin().unwrap();
    transport.send(&outbox(5_000)).unwrap();
    let started = Instant::now();
    while let Err(failure) = transport.abort() {
        assert_eq!(failure.kind, FailureKind::Retry, "{failure}");
        assert!(started.elapsed() < PATIENCE, "{failure}");
    }

    broker.set_round_trip_time(Duration::ZERO).unwrap();
    transaction(&mut transport, 1).unwrap();
}

#[test]
fn an_aborted_batch_is_read_again_even_if_nothing_was_ever_committed() {
    let broker = broker(&[("in", 1), ("out", 1)]);
    feed(&broker, 20, 1);
    let mut transport = connect(&broker, "a");
    let assigned = join(&mut transport);
    assert_eq!(assigned[0].committed, None);
    let partition = assigned[0].partition.clone();

    let first = read(&mut transport, 12);
    transport.begin().unwrap();
    transport.send(&outbox(3)).unwrap();
    transport.abort().unwrap();
    transport.rewind(&[(partition.clone(), None)]).unwrap();
    let again = read(&mut transport, 20);

    assert_eq!(first.get(0).offset, again.get(0).offset);
    let offsets: Vec<_> = again.records().map(|record| record.offset.0).collect();
    assert_eq!(offsets, (0..20).collect::<Vec<_>>());

    transport
        .rewind(&[(partition, Some(again.get(4).offset.next()))])
        .unwrap();
    assert_eq!(read(&mut transport, 1).get(0).offset.0, 5);
}

#[test]
fn a_commit_goes_on_where_it_was_after_an_outage() {
    let broker = broker(&[("in", 1), ("out", 1)]);
    let settings = KafkaSettings {
        // Longer than the outage.
        session_timeout_ms: 60_000,
        ..settings(&broker, "a")
    };
    let mut transport = KafkaTransport::connect(&settings, 0).unwrap();
    join(&mut transport);
    transport.begin().unwrap();
    transport.send(&outbox(10)).unwrap();
    broker.set_up(false).unwrap();

    let failure = transport.commit(&next(0, 1)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Retry, "{failure}");
    assert!(
        failure.to_string().contains(broker.bootstrap_servers()),
        "{failure}"
    );

    broker.set_up(true).unwrap();
    let started = Instant::now();
    while let Err(failure) = transport.commit(&next(0, 1)) {
        assert_eq!(failure.kind, FailureKind::Retry, "{failure}");
        assert!(started.elapsed() < PATIENCE, "{failure}");
    }
    transaction(&mut transport, 2).unwrap();
    assert_eq!(output(&broker, 1, 11).len(), 11);
}

#[test]
fn who_is_out_of_the_group_can_not_commit() {
    let broker = broker(&[("in", 1), ("out", 1)]);
    let mut transport = connect(&broker, "a");
    join(&mut transport);
    broker
        .fail_requests(Api::Heartbeat, &[Code::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID])
        .unwrap();

    // The mock cluster accepts offsets from anyone, so it is the lane's own check that refuses.
    let started = Instant::now();
    let failure = (1..)
        .find_map(|offset| {
            assert!(started.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(20));
            transaction(&mut transport, offset).err()
        })
        .unwrap();
    assert_eq!(failure.kind, FailureKind::Abort, "{failure}");
    assert!(
        failure.to_string().contains("no longer a member"),
        "{failure}"
    );
    transport.abort().unwrap();

    let mut batch = Batch::default();
    let polled = poll_until(&mut transport, &mut batch, |polled| *polled != Polled::Idle);
    let Polled::Revoked { partitions, lost } = polled else {
        panic!("{polled:?}");
    };
    assert!(lost);
    transport.release(&partitions).unwrap();
    join(&mut transport);
    transaction(&mut transport, 1).unwrap();
}

#[test]
fn two_lanes_share_the_partitions_and_both_go_on() {
    let broker = broker(&[("in", 4), ("out", 4)]);
    feed(&broker, 400, 40);
    // At least once, because the mock cluster stores no transaction's offsets; the answer to a
    // revocation is the same, so here too nothing is written twice.
    let connect = |instance| {
        let settings = KafkaSettings {
            delivery: Delivery::AtLeastOnce,
            ..settings(&broker, instance)
        };
        KafkaTransport::connect(&settings, 0).unwrap()
    };
    let one = connect("a");
    let first = one.handle();
    let mut one = lane(one);
    run_until_committed(&mut [&mut one], 400);
    assert_eq!(first.status().assigned, 4);

    let two = connect("b");
    let second = two.handle();
    let mut two = lane(two);

    let started = Instant::now();
    while (first.status().assigned, second.status().assigned) != (2, 2) {
        assert!(started.elapsed() < PATIENCE);
        one.step().unwrap();
        two.step().unwrap();
    }

    feed(&broker, 400, 40);
    run_until_committed(&mut [&mut one, &mut two], 400);
    let mut numbers = numbers(&output(&broker, 4, 800));
    numbers.sort_unstable();
    assert_eq!(numbers, (0..800).map(|i| i / 2).collect::<Vec<_>>());
}

/// The client forgets to look again for the group's coordinator when it got an answer of this kind,
/// or when the coordinator left the cluster; the call then lasts for ever, whatever its time limit.
#[test]
fn offsets_that_hang_in_the_client_cost_a_new_producer_and_not_the_lane() {
    let broker = broker(&[("in", 1), ("out", 1)]);
    let settings = KafkaSettings {
        transaction_timeout_ms: 2_000,
        ..settings(&broker, "a")
    };
    let mut transport = KafkaTransport::connect(&settings, 0).unwrap();
    join(&mut transport);
    broker
        .fail_requests(
            Api::FindCoordinator,
            &[Code::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE],
        )
        .unwrap();

    transport.begin().unwrap();
    transport.send(&outbox(1)).unwrap();
    let started = Instant::now();
    let failure = loop {
        assert!(started.elapsed() < PATIENCE, "the commit hangs");
        match transport.commit(&next(0, 1)) {
            Err(failure) if failure.kind == FailureKind::Retry => {}
            other => break other.unwrap_err(),
        }
    };
    assert_eq!(failure.kind, FailureKind::Rebuild, "{failure}");

    while let Err(failure) = transport.rebuild() {
        assert_eq!(failure.kind, FailureKind::Retry, "{failure}");
        assert!(started.elapsed() < PATIENCE, "{failure}");
    }
    transaction(&mut transport, 1).unwrap();
}

/// The client keeps a pause over a revocation: a partition that comes back later would never be
/// read again.
#[test]
fn a_partition_that_was_taken_during_a_slow_commit_is_read_when_it_comes_back() {
    let broker = broker(&[("in", 2), ("out", 1)]);
    feed(&broker, 100, 20);
    let mut one = connect(&broker, "a");
    assert_eq!(join(&mut one).len(), 2);
    let mut two = connect(&broker, "b");
    // The commit lasts until the other has joined; meanwhile the first one's partitions are paused.
    let busy = [Code::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS; 20];
    broker.fail_requests(Api::EndTxn, &busy).unwrap();
    one.begin().unwrap();
    one.send(&outbox(1)).unwrap();
    while let Err(failure) = one.commit(&next(0, 1)) {
        assert_eq!(failure.kind, FailureKind::Retry, "{failure}");
    }
    let mut batch = Batch::default();
    let taken = poll_until(&mut one, &mut batch, |polled| {
        two.poll(&mut Batch::default(), Duration::ZERO).unwrap();
        *polled != Polled::Idle
    });
    let Polled::Revoked { partitions, .. } = taken else {
        panic!("not taken during the commit: {taken:?}");
    };
    one.release(&partitions).unwrap();
    poll_until(&mut two, &mut batch, |polled| {
        one.poll(&mut Batch::default(), Duration::ZERO).unwrap();
        matches!(polled, Polled::Assigned(_))
    });
    assert!(two.leave(Duration::from_secs(30)));

    // Before that, the group may say that nothing changes: an assignment of nothing more.
    poll_until(&mut one, &mut batch, |polled| match polled {
        Polled::Assigned(back) => back.iter().any(|a| a.partition == partitions[0]),
        _ => false,
    });
    let started = Instant::now();
    let mut batch = Batch::default();
    while batch
        .records()
        .all(|record| record.partition != partitions[0].partition)
    {
        assert!(started.elapsed() < PATIENCE, "the partition is not read");
        one.poll(&mut batch, Duration::from_millis(50)).unwrap();
    }
}

#[test]
fn leaving_ends_even_while_a_revocation_waits_for_its_answer() {
    let broker = broker(&[("in", 2), ("out", 1)]);
    let mut one = connect(&broker, "a");
    join(&mut one);
    let mut two = connect(&broker, "b");
    let mut batch = Batch::default();
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < PATIENCE);
        two.poll(&mut batch, Duration::from_millis(20)).unwrap();
        let polled = one.poll(&mut batch, Duration::from_millis(20)).unwrap();
        if matches!(polled, Polled::Revoked { .. }) {
            break;
        }
    }

    assert!(one.leave(Duration::from_secs(30)));
    assert!(two.leave(Duration::from_secs(30)));
}

#[test]
fn a_lane_that_follows_another_begins_at_what_was_committed() {
    let broker = broker(&[("in", 1), ("out", 1)]);
    feed(&broker, 10, 1);
    // Only at-least-once: the mock cluster stores no transaction's offsets.
    let settings = KafkaSettings {
        delivery: Delivery::AtLeastOnce,
        ..settings(&broker, "a")
    };
    let mut transport = KafkaTransport::connect(&settings, 0).unwrap();
    join(&mut transport);
    read(&mut transport, 10);
    transaction(&mut transport, 7).unwrap();
    assert!(transport.leave(Duration::from_secs(30)));

    let mut follower = KafkaTransport::connect(&settings, 1).unwrap();
    let assigned = join(&mut follower);
    assert_eq!(
        assigned[0].committed.map(tidegate_kafka::NextOffset::get),
        Some(7)
    );
    assert_eq!(read(&mut follower, 1).get(0).offset.0, 7);
    assert_eq!(output(&broker, 1, 1).len(), 1);
}

#[test]
fn lag_is_known_soon_and_shrinks_with_commits() {
    let broker = broker(&[("in", 1), ("out", 1)]);
    feed(&broker, 30, 1);
    let mut transport = connect(&broker, "a");
    let handle = transport.handle();
    join(&mut transport);
    read(&mut transport, 30);
    for (position, behind) in [(10, 20), (30, 0)] {
        transaction(&mut transport, position).unwrap();
        poll_until(&mut transport, &mut Batch::default(), |_| {
            handle.lag().total() == Some(behind)
        });
    }
}

#[test]
fn a_broker_that_is_away_is_waited_for() {
    let settings = KafkaSettings::new("127.0.0.1:9", "group", ["in"], "test", "a");
    let mut transport = KafkaTransport::connect(&settings, 0).unwrap();
    let handle = transport.handle();
    let mut batch = Batch::default();

    poll_until(&mut transport, &mut batch, |polled| {
        assert_eq!(*polled, Polled::Idle);
        handle.status().last_error.is_some() && !handle.status().connected
    });

    assert!(!handle.status().is_ready());
    assert!(transport.leave(Duration::from_secs(30)));
}
