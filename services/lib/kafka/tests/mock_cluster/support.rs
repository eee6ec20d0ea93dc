//! What the tests against the embedded broker share.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::{
    ffi::CString,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList, bindings as sys,
    consumer::{BaseConsumer, Consumer},
    message::{Header, OwnedHeaders, OwnedMessage},
    producer::{BaseProducer, BaseRecord, Producer},
    types::{RDKafkaApiKey as Api, RDKafkaRespErr as Code},
};
use tidegate_kafka::{
    Assignment, Batch, Failure, Lane, LaneSettings, NextOffset, Outbox, Polled, Processor, Step,
    TopicPartition, Transport,
    client::{KafkaTransport, embedded::EmbeddedBroker},
    settings::{KafkaSettings, RawSettings},
};

/// No test waits longer than this for anything; none needs nearly as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) fn broker(topics: &[(&str, i32)]) -> EmbeddedBroker {
    // `RUST_LOG=debug` shows what the clients do.
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init()
        .ok();
    let broker = EmbeddedBroker::start(1).unwrap();
    for (topic, partitions) in topics {
        broker.create_topic(topic, *partitions, 1).unwrap();
    }
    broker
}

/// Settings for a lane that reads `in`; heartbeats are quick so that tests are. `KAFKA_DEBUG=cgrp`,
/// with `RUST_LOG=debug`, shows what the client thinks.
pub(crate) fn settings(broker: &EmbeddedBroker, instance: &str) -> KafkaSettings {
    KafkaSettings {
        // The mock cluster makes every rebalance last as long.
        session_timeout_ms: 6_000,
        client: std::env::var("KAFKA_DEBUG")
            .ok()
            .map(|d| ("debug", d))
            .into_iter()
            .collect(),
        consumer: RawSettings::from_iter([("heartbeat.interval.ms", "200")]),
        ..KafkaSettings::new(
            broker.bootstrap_servers(),
            "group",
            ["in"],
            "test",
            instance,
        )
    }
}

pub(crate) fn connect(broker: &EmbeddedBroker, instance: &str) -> KafkaTransport {
    KafkaTransport::connect(&settings(broker, instance), 0).unwrap()
}

/// Polls until `wanted` accepts what happened.
pub(crate) fn poll_until(
    transport: &mut KafkaTransport,
    batch: &mut Batch,
    mut wanted: impl FnMut(&Polled) -> bool,
) -> Polled {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let polled = transport.poll(batch, Duration::from_millis(50)).unwrap();
        if wanted(&polled) {
            return polled;
        }
    }
    panic!("nothing of that kind happened");
}

/// Waits for the group and the producer.
pub(crate) fn join(transport: &mut KafkaTransport) -> Vec<Assignment> {
    let assigned = poll_until(transport, &mut Batch::default(), |polled| {
        matches!(polled, Polled::Assigned(_))
    });
    match assigned {
        Polled::Assigned(assignments) => assignments,
        other => panic!("{other:?}"),
    }
}

/// Reads `count` records.
pub(crate) fn read(transport: &mut KafkaTransport, count: usize) -> Batch {
    let mut batch = Batch::default();
    let mut left = count;
    while left > 0 {
        poll_until(transport, &mut batch, |polled| *polled == Polled::Record);
        left -= 1;
    }
    batch
}

/// An outbox for `out` with `count` records.
pub(crate) fn outbox(count: usize) -> Outbox {
    let mut outbox = Outbox::new(vec!["out".into()]);
    for index in 0..count {
        let key = format!("key-{index}");
        outbox.push(
            0,
            Some(key.as_bytes()),
            [],
            Some(|bytes: &mut Vec<u8>| {
                bytes.extend_from_slice(format!("value-{index}").as_bytes());
            }),
        );
    }
    outbox
}

pub(crate) fn next(partition: i32, offset: i64) -> [(TopicPartition, NextOffset); 1] {
    let partition = TopicPartition {
        topic: Arc::from("in"),
        partition,
    };
    [(partition, NextOffset::reported(offset))]
}

/// One whole transaction with one record.
pub(crate) fn transaction(transport: &mut KafkaTransport, offset: i64) -> Result<(), Failure> {
    transport.begin()?;
    transport.send(&outbox(1))?;
    transport.commit(&next(0, offset))
}

/// Makes one transaction fail by `error` in answer to `request`, and returns how it failed.
pub(crate) fn failing(request: Api, error: Code) -> (KafkaTransport, Failure, EmbeddedBroker) {
    let broker = broker(&[("in", 1), ("out", 1)]);
    let mut transport = connect(&broker, "a");
    join(&mut transport);
    transaction(&mut transport, 1).unwrap();
    broker.fail_requests(request, &[error]).unwrap();
    let failure = transaction(&mut transport, 2).unwrap_err();
    (transport, failure, broker)
}

/// Copies every record, headers and all, to the outbox's first topic.
#[derive(Default)]
pub(crate) struct Copy {
    pub(crate) committed: usize,
    pub(crate) aborted: usize,
}

impl Processor for Copy {
    fn process(&mut self, batch: &Batch, outbox: &mut Outbox) {
        for record in batch.records() {
            outbox.push(
                0,
                record.key,
                record.headers.iter(),
                record
                    .payload
                    .map(|payload| move |bytes: &mut Vec<u8>| bytes.extend_from_slice(payload)),
            );
        }
    }

    fn committed(&mut self) {
        self.committed += 1;
    }

    fn aborted(&mut self) {
        self.aborted += 1;
    }
}

pub(crate) fn lane(transport: KafkaTransport) -> Lane<KafkaTransport, Copy> {
    Lane::new(
        transport,
        Copy::default(),
        vec!["out".into()],
        LaneSettings::default(),
    )
}

/// Turns the lanes by turns until they have committed `records` records in all.
pub(crate) fn run_until_committed(lanes: &mut [&mut Lane<KafkaTransport, Copy>], records: usize) {
    let until = Instant::now() + PATIENCE;
    let mut done = 0;
    while done < records {
        assert!(
            Instant::now() < until,
            "{done} of {records} records were committed"
        );
        for lane in &mut *lanes {
            if let Step::Committed { records, .. } = lane.step().unwrap() {
                done += records;
            }
        }
    }
}

fn client(broker: &EmbeddedBroker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap_servers());
    config
}

/// Writes `count` records to `in`, spread over `keys` keys; the values count up.
pub(crate) fn feed(broker: &EmbeddedBroker, count: usize, keys: usize) {
    let producer: BaseProducer = client(broker).set("linger.ms", "0").create().unwrap();
    for index in 0..count {
        let (key, value) = (format!("key-{}", index % keys), index.to_string());
        let record = BaseRecord::to("in").key(&key).payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// One record with everything that Kafka allows to be absent, empty, repeated or binary.
pub(crate) fn feed_odd(broker: &EmbeddedBroker) {
    let producer: BaseProducer = client(broker).create().unwrap();
    let headers = OwnedHeaders::new()
        .insert(Header {
            key: "twice",
            value: Some("1"),
        })
        .insert(Header {
            key: "twice",
            value: Some("2"),
        })
        .insert(Header::<&str> {
            key: "null",
            value: None,
        })
        .insert(Header {
            key: "empty",
            value: Some(""),
        })
        .insert(Header {
            key: "binary",
            value: Some(&[0_u8, 255, 10][..]),
        });
    let tombstone = BaseRecord::<str, str>::to("in")
        .key("gone")
        .headers(headers);
    producer
        .send(tombstone)
        .map_err(|(error, _)| error)
        .unwrap();
    let keyless = BaseRecord::<str, str>::to("in").payload("");
    producer.send(keyless).map_err(|(error, _)| error).unwrap();
    producer.flush(PATIENCE).unwrap();
}

/// A record whose header's name is not UTF-8, which only the C interface can write.
pub(crate) fn feed_with_header_name(broker: &EmbeddedBroker, name: &[u8]) {
    let producer: BaseProducer = client(broker).create().unwrap();
    let topic = CString::new("in").unwrap();
    // SAFETY: the topic, headers and payload outlive the call, which copies the payload and takes
    // the headers over.
    unsafe {
        let headers = sys::rd_kafka_headers_new(1);
        sys::rd_kafka_header_add(
            headers,
            name.as_ptr().cast(),
            name.len().cast_signed(),
            b"v".as_ptr().cast(),
            1,
        );
        let error = sys::rd_kafka_producev(
            producer.client().native_ptr(),
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TOPIC,
            topic.as_ptr(),
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS,
            sys::RD_KAFKA_MSG_F_COPY,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE,
            b"x".as_ptr(),
            1_usize,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS,
            headers,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_END,
        );
        assert_eq!(error, sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
    }
    producer.flush(PATIENCE).unwrap();
}

/// The first `count` records of `out`.
pub(crate) fn output(broker: &EmbeddedBroker, partitions: i32, count: usize) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = client(broker).set("group.id", "output").create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset("out", partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&list).unwrap();
    let until = Instant::now() + PATIENCE;
    let mut records = Vec::new();
    while records.len() < count {
        assert!(
            Instant::now() < until,
            "{} of {count} records came",
            records.len()
        );
        if let Some(record) = consumer.poll(Duration::from_millis(100)) {
            records.push(record.unwrap().detach());
        }
    }
    records
}

/// The values of `records` as numbers.
pub(crate) fn numbers(records: &[OwnedMessage]) -> Vec<usize> {
    records
        .iter()
        .map(|record| {
            std::str::from_utf8(record.payload().unwrap())
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect()
}
