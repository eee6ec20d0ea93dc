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
    report::{Row, median},
    run::Running,
    stages, throughput, usage,
};

/// One partition of so many is read: a transaction shows all of its partitions at once, and a reader of
/// them all would take a third of the machine from what is measured.
const SAMPLE: i32 = 6;
/// The start of the first run, at full load: a broker that has just begun compiles itself for as long…
const FIRST_WARM_UP: Duration = Duration::from_secs(120);
/// …and of the runs that follow.
const WARM_UP: Duration = Duration::from_secs(20);
/// The end of the warm-up, in which it is seen how many events a second the lane keeps up with.
const FULL_LOAD: Duration = Duration::from_secs(15);
/// From full to steady load; not counted.
const SETTLE: Duration = Duration::from_secs(5);
/// At full load the events of a commit interval wait, at so many a second…
const WAITING_PER_SECOND: f64 = 200_000.0;
/// …and at least so many.
const WAITING: u64 = 20_000;
/// What falls due in so long is fed to one partition, as a client does whose records have no keys: a
/// request to the broker for each partition would cost more than what is measured.
const SLICE: Duration = Duration::from_millis(5);
/// The most that is fed in a slice.
const SLICE_EVENTS: u64 = 2_000;
/// Different events that are fed in turn, more than lanes remember.
const POOL: usize = 150_000;
/// Commit intervals of the curve, in milliseconds.
const INTERVALS: [u64; 8] = [5, 10, 20, 50, 100, 200, 500, 1_000];

/// Events per second of a run.
#[derive(Clone, Copy)]
enum Load {
    /// Half of what the lane keeps up with, with its feeder and its reader on the same machine.
    Half,
    /// So many.
    Steady(f64),
}

/// What one run showed.
struct Seen {
    /// In milliseconds.
    latency: Histogram<u64>,
    /// The 99th percentile of each second.
    seconds: Vec<f64>,
    /// Events per second that the lane keeps up with.
    most: f64,
    /// Events fed per second.
    fed: f64,
    /// Share of the machine's CPU time, in percent.
    busy: Option<f64>,
}

/// The pipeline as the settings are by default: at half of what it keeps up with, and at half of
/// `rate`, its throughput when nothing is fed or read beside it.
pub(super) fn at_half_load(
    bench: &Bench,
    cluster: &Cluster,
    rate: f64,
) -> anyhow::Result<[Row; 2]> {
    let lane = bench.settings.lane();
    let goal = lane.commit_interval.as_secs_f64() * 1e3 + 20.0;
    let mut pool = Pool::new(&bench.messages);
    let mut seen = |name, load, warm_up| {
        progress(&format!("latency, {name} …"));
        let times = [warm_up, bench.duration];
        let seen = run(bench, cluster, lane.clone(), &mut pool, load, times)?;
        let p99 = seen.quantile(0.99);
        Ok::<_, anyhow::Error>((seen.row(Row::new("latency", name)), p99))
    };
    let (half, p99) = seen("half load", Load::Half, FIRST_WARM_UP)?;
    let (beside, _) = seen("half of throughput", Load::Steady(rate / 2.0), WARM_UP)?;
    Ok([half.at_most("p99 ms", p99, goal), beside])
}

/// Throughput, and latency at half of what the lane keeps up with, for each commit interval.
pub(super) fn curve(bench: &Bench, cluster: &Cluster, input: &str) -> anyhow::Result<Vec<Row>> {
    let duration = (bench.duration / 8).max(Duration::from_secs(5));
    let mut pool = Pool::new(&bench.messages);
    let mut rows = Vec::new();
    for interval in INTERVALS {
        progress(&format!("curve: commits every {interval} ms …"));
        let lane = LaneSettings {
            commit_interval: Duration::from_millis(interval),
            // So that the interval alone says when.
            commit_records: usize::MAX,
            ..bench.settings.lane()
        };
        let done = throughput::pipeline(bench, cluster, input, lane.clone())?;
        let seen = run(
            bench,
            cluster,
            lane,
            &mut pool,
            Load::Half,
            [WARM_UP, duration],
        )?;
        let [client, brokers] = done.cpu();
        let row = Row::new("commit interval", format!("{interval} ms"))
            .with("records/s", done.rate())
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
        row.with("keeps up with", self.most)
            .with("fed/s", self.fed)
            .with("% busy", self.busy)
            .with("p50 ms", self.quantile(0.5))
            .with("p99 ms", self.quantile(0.99))
            .with("median second's", median(self.seconds.iter().copied()))
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

/// Feeds a lane, first as much as it takes and then steadily, and reads its verdicts as they become
/// visible.
fn run(
    bench: &Bench,
    cluster: &Cluster,
    lane: LaneSettings,
    pool: &mut Pool,
    load: Load,
    [warm_up, duration]: [Duration; 2],
) -> anyhow::Result<Seen> {
    let input = unique("bench-steady");
    let topics = bench.settings.topics.names();
    cluster.make(&[&input], PARTITIONS)?;
    cluster.make_outputs(topics)?;
    let kafka = cluster.settings("steady", &[&input]);
    let topics = topics.map(str::to_owned).to_vec();
    let verdicts = topics[0].clone();
    let pipeline = stages::pipeline(bench)?;
    let waiting = (lane.commit_interval.as_secs_f64() * WAITING_PER_SECOND) as u64;
    let running = Running::start(cluster, &kafka, lane, topics, pipeline, u64::MAX)?;
    running.assigned()?;
    let reader = at_the_end(cluster, &verdicts)?;
    let mut feeder = Feeder {
        feed: Feed::new(cluster, &input)?,
        pool,
        partition: 0,
        sent: 0,
        waiting: waiting.max(WAITING),
    };
    let warm = Instant::now() + warm_up;
    let until = warm + SETTLE + duration;
    let count_from = now_ms() + i64::try_from((warm_up + SETTLE).as_millis())?;
    let seen = thread::scope(|scope| {
        let feeder = scope.spawn(|| {
            feeder.as_much_as_is_taken(&running, warm - FULL_LOAD)?;
            let most = feeder.as_much_as_is_taken(&running, warm)?;
            let rate = match load {
                Load::Half => most / 2.0,
                Load::Steady(rate) => rate,
            };
            feeder.steadily(rate, warm + SETTLE)?;
            let before = usage::machine_time();
            let fed = feeder.steadily(rate, until)?;
            let busy = before.zip(usage::machine_time()).map(|(from, to)| {
                let [busy, all] = [0, 1].map(|at| (to[at] - from[at]).as_secs_f64());
                100.0 * busy / all
            });
            feeder.feed.finish()?;
            Ok((most, fed, busy))
        });
        let latency = read(&reader, count_from, until);
        let (most, fed, busy) = feeder
            .join()
            .unwrap_or_else(|_| anyhow::bail!("the feeder panicked"))?;
        let (latency, seconds) = latency?;
        Ok::<_, anyhow::Error>(Seen {
            latency,
            seconds,
            most,
            fed,
            busy,
        })
    })?;
    running.stop();
    running.join()?;
    anyhow::ensure!(!seen.latency.is_empty(), "no verdict was seen");
    Ok(seen)
}

/// Writes events to a topic, one slice of time after the other.
struct Feeder<'a> {
    feed: Feed,
    pool: &'a mut Pool,
    partition: i32,
    sent: u64,
    /// At full load.
    waiting: u64,
}

impl Feeder<'_> {
    /// Sends what is due by now to the next partition, and sleeps until the next slice.
    fn slice(&mut self, due: u64) -> anyhow::Result<()> {
        self.partition = (self.partition + 1) % PARTITIONS;
        while self.sent < due {
            let event = self.pool.next();
            self.feed
                .write(Some(self.partition), &event.key, &event.payload)?;
            self.sent += 1;
        }
        self.feed.serve();
        thread::sleep(SLICE);
        Ok(())
    }

    /// Feeds until `until`, and no faster than `running` works; gives its events per second.
    fn as_much_as_is_taken(&mut self, running: &Running, until: Instant) -> anyhow::Result<f64> {
        let done = || running.book.lock().records;
        let (begin, before) = (Instant::now(), done());
        while Instant::now() < until {
            self.slice((done() + self.waiting).min(self.sent + SLICE_EVENTS))?;
        }
        Ok((done() - before) as f64 / begin.elapsed().as_secs_f64())
    }

    /// Feeds `rate` events per second until `until`; gives what it came to.
    fn steadily(&mut self, rate: f64, until: Instant) -> anyhow::Result<f64> {
        let (begin, before) = (Instant::now(), self.sent);
        while Instant::now() < until {
            let due = (begin.elapsed().as_secs_f64() * rate) as u64;
            self.slice(before + due)?;
        }
        Ok((self.sent - before) as f64 / begin.elapsed().as_secs_f64())
    }
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
/// since the Unix epoch. Gives their latency in milliseconds, and the 99th percentile of each second.
fn read(
    reader: &BaseConsumer,
    count_from: i64,
    until: Instant,
) -> anyhow::Result<(Histogram<u64>, Vec<f64>)> {
    let mut latency = Histogram::new_with_max(3_600_000, 3)?;
    let (mut second, mut seconds) = (latency.clone(), Vec::new());
    let mut ends = count_from + 1_000;
    while Instant::now() < until {
        match reader.poll(Duration::from_millis(20)) {
            None => {}
            Some(record) => {
                let record = record.context("read the verdicts")?;
                let now = now_ms();
                if let Some(at) = event_time(record.payload().unwrap_or_default())
                    && at >= count_from
                {
                    if now >= ends {
                        seconds.push(second.value_at_quantile(0.99) as f64);
                        second.reset();
                        ends = now + 1_000;
                    }
                    let took = now.saturating_sub(at).max(0).unsigned_abs();
                    latency.saturating_record(took);
                    second.saturating_record(took);
                }
            }
        }
    }
    Ok((latency, seconds))
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
