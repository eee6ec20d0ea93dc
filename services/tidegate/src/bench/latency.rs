//! From an event's time to the moment when a reader of committed records has its verdict.

use std::{
    thread,
    time::{Duration, Instant},
};
use tidegate_moderator::tally::now_ms;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};
use tidegate_kafka::{LaneSettings, reader::reader};

use super::{
    Bench,
    cluster::{Cluster, Feed, PARTITIONS, PATIENCE, unique},
    events::{Events, Messages, Prepared},
    progress,
    report::Row,
    run::Running,
    stages, throughput,
};

/// One partition of so many is read: a transaction shows all of its partitions at once, and a reader of
/// them all would take a third of the machine from what is measured.
const SAMPLE: i32 = 3;
/// The start of a run that is not counted: a broker that has just begun compiles itself for as long.
const WARM_UP: Duration = Duration::from_secs(20);
/// Different events that are fed in turn, more than lanes remember.
const POOL: usize = 150_000;
/// Commit intervals of the curve, in milliseconds.
const INTERVALS: [u64; 8] = [5, 10, 20, 50, 100, 200, 500, 1_000];

/// What one run at a steady rate showed.
struct Seen {
    /// In milliseconds.
    latency: Histogram<u64>,
    /// Events fed per second.
    fed: f64,
}

/// The pipeline as the settings are by default, at half of `rate`.
pub(super) fn at_half_load(bench: &Bench, cluster: &Cluster, rate: f64) -> anyhow::Result<Row> {
    let lane = bench.settings.lane();
    let interval = lane.commit_interval.as_secs_f64() * 1e3;
    progress(&format!("latency at {:.0} events/s …", rate / 2.0));
    let mut pool = Pool::new(&bench.messages);
    let seen = steady(bench, cluster, lane, &mut pool, rate / 2.0, bench.duration)?;
    let p99 = seen.quantile(0.99);
    let row = seen.row(Row::new("latency, half load", "pipeline, exactly once"));
    Ok(row.at_most("p99 ms", p99, interval + 20.0))
}

/// Throughput, and latency at half of it, for each commit interval.
pub(super) fn curve(bench: &Bench, cluster: &Cluster, input: &str) -> anyhow::Result<Vec<Row>> {
    let duration = (bench.duration / 8).max(Duration::from_secs(5));
    let mut pool = Pool::new(&bench.messages);
    let mut rows = Vec::new();
    for interval in INTERVALS {
        progress(&format!("curve: commits every {interval} ms …"));
        let lane = LaneSettings {
            commit_interval: Duration::from_millis(interval),
            batch_linger: Duration::from_millis(interval.min(5)),
            // So that the interval alone says when.
            commit_records: usize::MAX,
            ..bench.settings.lane()
        };
        let done = throughput::pipeline(bench, cluster, input, lane.clone())?;
        let rate = done.rate();
        let seen = steady(bench, cluster, lane, &mut pool, rate / 2.0, duration)?;
        let [client, brokers] = done.cpu();
        let row = Row::new("commit interval", format!("{interval} ms"))
            .with("records/s", rate)
            .with("client µs", client)
            .with("broker µs", brokers);
        rows.push(seen.row(row));
    }
    Ok(rows)
}

impl Seen {
    fn quantile(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64
    }

    fn row(&self, row: Row) -> Row {
        row.with("fed/s", self.fed)
            .with("p50 ms", self.quantile(0.5))
            .with("p99 ms", self.quantile(0.99))
            .with("p99.9 ms", self.quantile(0.999))
            .with("max ms", self.latency.max() as f64)
            .with("verdicts", self.latency.len() as f64)
    }
}

/// Events that are made before the clock runs, and fed in turn under new ids.
struct Pool {
    events: Vec<Prepared>,
    next: usize,
    count: u64,
}

impl Pool {
    fn new(messages: &Messages) -> Self {
        let mut source = Events::new(messages, 8);
        let events = (0..POOL).map(|_| source.short()).collect();
        Self {
            events,
            next: 0,
            count: 0,
        }
    }

    fn next(&mut self) -> &Prepared {
        self.count += 1;
        self.next = (self.next + 1) % self.events.len();
        let event = &mut self.events[self.next];
        event.stamp(self.count, now_ms());
        event
    }
}

/// Feeds a lane at a steady rate, and reads its verdicts as they become visible.
fn steady(
    bench: &Bench,
    cluster: &Cluster,
    lane: LaneSettings,
    pool: &mut Pool,
    rate: f64,
    duration: Duration,
) -> anyhow::Result<Seen> {
    let input = unique("bench-steady");
    let topics = bench.settings.topics.names();
    cluster.make(&[&input])?;
    cluster.make(&topics)?;
    let kafka = cluster.settings("steady", &[&input]);
    let topics = topics.map(str::to_owned).to_vec();
    let verdicts = topics[0].clone();
    let pipeline = stages::pipeline(bench)?;
    let running = Running::start(cluster, &kafka, lane, topics, pipeline, u64::MAX)?;
    running.assigned()?;
    let reader = at_the_end(cluster, &verdicts)?;
    let feed = Feed::new(cluster, &input)?;
    let begin = Instant::now();
    let count_from = now_ms() + i64::try_from(WARM_UP.as_millis())?;
    let until = begin + WARM_UP + duration;
    let seen = thread::scope(|scope| {
        let feeder = scope.spawn(|| keep_feeding(&feed, pool, rate, begin, until));
        let latency = read(&reader, count_from, until);
        let fed = feeder
            .join()
            .unwrap_or_else(|_| anyhow::bail!("the feeder panicked"))?;
        Ok::<_, anyhow::Error>(Seen {
            latency: latency?,
            fed,
        })
    })?;
    running.stop();
    running.join()?;
    anyhow::ensure!(!seen.latency.is_empty(), "no verdict was seen");
    Ok(seen)
}

/// Feeds until `until`; gives the events per second.
fn keep_feeding(
    feed: &Feed,
    pool: &mut Pool,
    rate: f64,
    begin: Instant,
    until: Instant,
) -> anyhow::Result<f64> {
    let mut sent = 0_u64;
    loop {
        let now = Instant::now();
        if now >= until {
            break;
        }
        let due = ((now - begin).as_secs_f64() * rate) as u64;
        while sent < due {
            feed.send(pool.next())?;
            sent += 1;
        }
        feed.serve();
        thread::sleep(Duration::from_millis(1));
    }
    let rate = sent as f64 / begin.elapsed().as_secs_f64();
    feed.finish()?;
    Ok(rate)
}

/// A reader of committed records at the present end of a topic.
fn at_the_end(cluster: &Cluster, topic: &str) -> anyhow::Result<BaseConsumer> {
    let reader = reader(&cluster.settings("reader", &[topic]))?;
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS / SAMPLE {
        let (_, end) = reader
            .fetch_watermarks(topic, partition, PATIENCE)
            .context("look at the verdicts' topic")?;
        partitions.add_partition_offset(topic, partition, Offset::Offset(end))?;
    }
    reader.assign(&partitions).context("read the verdicts")?;
    Ok(reader)
}

/// Reads verdicts until `until`, and counts those of events from `count_from` on, in milliseconds
/// since the Unix epoch.
fn read(reader: &BaseConsumer, count_from: i64, until: Instant) -> anyhow::Result<Histogram<u64>> {
    let mut latency = Histogram::new_with_max(3_600_000, 3)?;
    while Instant::now() < until {
        match reader.poll(Duration::from_millis(20)) {
            None => {}
            Some(record) => {
                let record = record.context("read the verdicts")?;
                let now = now_ms();
                if let Some(at) = event_time(record.payload().unwrap_or_default())
                    && at >= count_from
                {
                    latency.saturating_record(now.saturating_sub(at).max(0).unsigned_abs());
                }
            }
        }
    }
    Ok(latency)
}

/// An event's time in its verdict. The verdict is not parsed: the reader shares the cores.
fn event_time(verdict: &[u8]) -> Option<i64> {
    const NAME: &[u8] = b"\"event_time\":";
    let at = memchr::memmem::find(verdict, NAME)? + NAME.len();
    let digits = verdict[at..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    std::str::from_utf8(&verdict[at..at + digits.count()])
        .ok()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_time_is_found_in_its_verdict() {
        let verdict = br#"{"id":"1","event_time":1700000000123,"action":"allow"}"#;
        assert_eq!(event_time(verdict), Some(1_700_000_000_123));
        assert_eq!(event_time(b"{}"), None);
        assert_eq!(event_time(br#"{"event_time":"#), None);
    }

    #[test]
    fn a_pool_never_gives_the_same_event_twice() {
        let messages = Messages::sort(|all| all.iter().map(|_| false).collect());
        let mut pool = Pool {
            events: vec![Events::new(&messages, 1).short()],
            next: 0,
            count: 0,
        };
        let first = pool.next().payload.clone();
        assert_ne!(pool.next().payload, first);
    }
}
