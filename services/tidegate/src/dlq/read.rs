//! Reads the dead letters without taking them.

use std::time::Duration;

use anyhow::{Context as _, bail};
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::{BorrowedMessage, Headers as _},
};
use tidegate_chassis::exit::Exit;
use tidegate_moderator::settings::Settings;

use super::{List, Show, letter::Letter};
use crate::topics::PATIENCE;

pub(super) fn list(args: &List) -> anyhow::Result<Exit> {
    let settings = args.cluster.settings()?;
    let topic = &settings.topics.dead_letters;
    let consumer = reader(&settings)?;
    let mut letters = Vec::new();
    for (partition, (start, end)) in bounds(&consumer, topic)? {
        // The newest ones of each partition; more than asked for, as the filter may drop some.
        let span = if args.reason.is_some() {
            i64::MAX
        } else {
            args.limit as i64 * 2
        };
        let from = start.max(end.saturating_sub(span));
        read(&consumer, topic, partition, from, end, |record| {
            let letter = of(record);
            if args
                .reason
                .as_ref()
                .is_none_or(|reason| *reason == letter.reason)
            {
                letters.push(letter);
            }
        })?;
    }
    letters.sort_by_key(|letter| letter.timestamp_ms);
    let newest = &letters[letters.len().saturating_sub(args.limit)..];
    for letter in newest {
        if args.json {
            println!("{}", serde_json::to_string(letter)?);
        } else {
            println!("{}", letter.line());
        }
    }
    if !args.json {
        eprintln!("{} dead letter(s) shown", newest.len());
    }
    Ok(Exit::Clean)
}

pub(super) fn show(args: &Show) -> anyhow::Result<Exit> {
    let settings = args.cluster.settings()?;
    let topic = &settings.topics.dead_letters;
    let consumer = reader(&settings)?;
    let (partition, offset) = args.at;
    let mut found = false;
    read(&consumer, topic, partition, offset, offset + 1, |record| {
        found = true;
        for (name, value) in headers(record) {
            println!(
                "{name}: {}",
                String::from_utf8_lossy(value.unwrap_or_default())
            );
        }
        match record.key() {
            Some(key) => println!("key: {}", String::from_utf8_lossy(key)),
            None => println!("no key"),
        }
        match record.payload() {
            Some(payload) => println!("\n{}", payload.escape_ascii()),
            None => println!("\n(a tombstone: no payload)"),
        }
    })?;
    if !found {
        bail!("{topic} has no record at {partition}:{offset}: `tidegate dlq list` shows them");
    }
    Ok(Exit::Clean)
}

fn reader(settings: &Settings) -> anyhow::Result<BaseConsumer> {
    Ok(tidegate_kafka::reader::reader(&settings.kafka)?)
}

fn bounds(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<Vec<(i32, (i64, i64))>> {
    let metadata = consumer
        .fetch_metadata(Some(topic), PATIENCE)
        .context("reach the cluster: is kafka.brokers right, and is it up?")?;
    let partitions = metadata
        .topics()
        .first()
        .map_or(&[][..], |topic| topic.partitions());
    if partitions.is_empty() {
        bail!("there is no topic {topic}: `tidegate topics create` makes it");
    }
    let bounds = |partition| consumer.fetch_watermarks(topic, partition, PATIENCE);
    partitions
        .iter()
        .map(|p| Ok((p.id(), bounds(p.id())?)))
        .collect()
}

/// Hands every record of `partition` from `from` up to `end` to `each`. Ends early where only
/// control records are left.
fn read(
    consumer: &BaseConsumer,
    topic: &str,
    partition: i32,
    from: i64,
    end: i64,
    mut each: impl FnMut(&BorrowedMessage<'_>),
) -> anyhow::Result<()> {
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Offset(from))?;
    consumer.assign(&assignment)?;
    let mut next = from;
    while next < end {
        match consumer.poll(Duration::from_secs(2)) {
            Some(record) => {
                let record = record.context("read dead letters")?;
                next = record.offset() + 1;
                if record.offset() < end {
                    each(&record);
                }
            }
            None => break,
        }
    }
    Ok(())
}

fn of(record: &BorrowedMessage<'_>) -> Letter {
    let at = (record.partition(), record.offset());
    let bytes = record.payload().map_or(0, <[u8]>::len);
    Letter::new(at, record.timestamp().to_millis(), bytes, headers(record))
}

fn headers<'m>(
    record: &'m BorrowedMessage<'_>,
) -> impl Iterator<Item = (&'m str, Option<&'m [u8]>)> {
    record
        .headers()
        .into_iter()
        .flat_map(|headers| headers.iter())
        .map(|h| (h.key, h.value))
}
