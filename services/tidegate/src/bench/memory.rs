//! Memory of a consumer process that is never short of work.

use std::{
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rdkafka::{
    Offset, TopicPartitionList,
    config::ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};

use super::{
    Bench,
    cluster::{Cluster, Feed, PARTITIONS, unique},
    events::Events,
    progress,
    report::{Row, median},
    usage,
};

/// Events that wait to be read, at least and at most, while the load is full.
const BACKLOG: std::ops::Range<u64> = 20_000..60_000;
/// How long the consumer may take to begin, and to go on.
const STALLED_AFTER: Duration = Duration::from_secs(60);
/// How long the cluster may take to say how far the consumer is.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The most memory that is allowed, in MiB.
const MOST: f64 = 300.0;
/// The slope that counts as flat, in MiB a minute; a short run can't tell it.
const FLAT: f64 = 1.0;
const LONG_ENOUGH: Duration = Duration::from_secs(300);
const MIB: f64 = (1 << 20) as f64;

/// A consumer process, ended when it is dropped.
struct Consumer(Child);

impl Drop for Consumer {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing else to be done about it.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Runs a consumer for the bench's seconds, and looks at it each second.
pub(super) fn measure(bench: &Bench, cluster: &Cluster) -> anyhow::Result<Row> {
    let seconds = bench.duration.as_secs();
    progress(&format!(
        "memory: a consumer under full load for {seconds} s …"
    ));
    let input = unique("bench-memory");
    cluster.make(&[&input], PARTITIONS)?;
    cluster.make_outputs(bench.settings.topics.names())?;
    let group = unique("bench-memory");
    let feed = Feed::new(cluster, &input)?;
    let mut load = Load {
        feed: &feed,
        events: Events::new(&bench.messages, 9),
        progress: committed_of(cluster, &group)?,
        input: &input,
        sent: 0,
        done: 0,
    };
    load.top_up()?;
    let consumer = start(bench, cluster, &input, &group)?;
    let begin = Instant::now();
    while load.done == 0 {
        load.top_up()?;
        anyhow::ensure!(
            begin.elapsed() < STALLED_AFTER,
            "the consumer does not begin"
        );
        thread::sleep(Duration::from_millis(100));
    }
    sample(consumer, load, bench.duration)
}

fn sample(mut consumer: Consumer, mut load: Load<'_>, duration: Duration) -> anyhow::Result<Row> {
    let pid = consumer.0.id();
    let (begin, first, cpu) = (Instant::now(), load.done, usage::cpu_time(pid));
    let mut samples: Vec<(f64, f64)> = Vec::new();
    let (mut short_of_work, mut since) = (0, begin);
    while begin.elapsed() < duration {
        if let Some(status) = consumer.0.try_wait()? {
            bail!("the consumer ended: {status}");
        }
        let before = load.done;
        // Several times a second, so that it is never short of work.
        for _ in 0..10 {
            short_of_work += u32::from(load.top_up()?);
            thread::sleep(Duration::from_millis(100));
        }
        if load.done > before {
            since = Instant::now();
        }
        anyhow::ensure!(since.elapsed() < STALLED_AFTER, "the consumer stands still");
        if let Some(bytes) = usage::resident_bytes(pid) {
            samples.push((begin.elapsed().as_secs_f64(), bytes as f64 / MIB));
        }
    }
    let lasted = begin.elapsed().as_secs_f64();
    let used = cpu.and_then(|before| Some((usage::cpu_time(pid)? - before).as_secs_f64()));
    let records = (load.done - first) as f64;
    let sizes = || samples.iter().map(|(_, size)| *size);
    let max = sizes().reduce(f64::max);
    // What is filled at the start (caches, queues) is no growth.
    let slope = slope(&samples[samples.len() / 3..]).map(|slope| slope * 60.0);
    let is_flat = duration < LONG_ENOUGH || slope.is_some_and(|slope| slope <= FLAT);
    let goal = format!("max ≤ {MOST}, and slope ≤ {FLAT} over 5 minutes or more");
    let row = Row::new("memory, MiB", "tidegate run comments, mixed texts")
        .with("start", sizes().next())
        .with("p50", median(sizes()))
        .with("max", max)
        .with("slope/min", slope)
        .with("seconds", lasted)
        .with("records/s", records / lasted)
        .with("CPU µs", used.map(|used| used * 1e6 / records))
        .with("short of work", f64::from(short_of_work));
    Ok(row.goal(goal, max.is_some_and(|max| max <= MOST) && is_flat))
}

/// Keeps a backlog before a consumer.
struct Load<'a> {
    feed: &'a Feed,
    events: Events<'a>,
    progress: BaseConsumer,
    input: &'a str,
    sent: u64,
    done: u64,
}

impl Load<'_> {
    /// Fills the backlog up; says whether the consumer had nothing left to read.
    fn top_up(&mut self) -> anyhow::Result<bool> {
        self.done = self.committed();
        let waiting = self.sent.saturating_sub(self.done);
        if waiting < BACKLOG.start || self.sent == 0 {
            for _ in waiting..BACKLOG.end {
                self.feed.send(&self.events.mixed())?;
                self.sent += 1;
            }
        }
        self.feed.serve();
        Ok(waiting == 0)
    }

    /// Records that the group has committed; as many as before while the cluster can't say. The
    /// input was written outside of transactions, so that offsets count records alone.
    fn committed(&self) -> u64 {
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition(self.input, partition);
        }
        // A group that is new has no coordinator for a moment.
        let answer = self.progress.committed_offsets(list, ANSWER_WITHIN);
        let Ok(list) = answer else {
            return self.done;
        };
        let offsets = list
            .elements()
            .into_iter()
            .map(|element| match element.offset() {
                Offset::Offset(offset) => offset.unsigned_abs(),
                _ => 0,
            });
        offsets.sum::<u64>().max(self.done)
    }
}

fn committed_of(cluster: &Cluster, group: &str) -> anyhow::Result<BaseConsumer> {
    ClientConfig::new()
        .set("bootstrap.servers", cluster.brokers())
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .create()
        .context("make a consumer")
}

/// The consumer as its own binary runs it.
fn start(bench: &Bench, cluster: &Cluster, input: &str, group: &str) -> anyhow::Result<Consumer> {
    let settings = [
        format!("kafka.brokers={}", cluster.brokers()),
        format!("kafka.topics={input}"),
        format!("kafka.group_id={group}"),
        format!("kafka.transactional_id_prefix={group}"),
        "kafka.instance=bench".to_owned(),
        format!("model.folder={}", bench.settings.model.folder.display()),
        format!("model.mode={}", bench.settings.model.mode),
        "admin.listen=127.0.0.1:0".to_owned(),
        "log.filter=warn".to_owned(),
    ];
    let mut command = Command::new(std::env::current_exe().context("find this program")?);
    command.args(["run", "comments"]);
    for setting in settings {
        command.args(["--set", &setting]);
    }
    // Its warnings are for whoever watches; its standard output is not part of the table.
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    Ok(Consumer(child.context("start the consumer")?))
}

/// The slope of a straight line through the points (least squares); `None` of fewer than two.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let over = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y));
    let under = points.iter().map(|(x, _)| (x - mean_x).powi(2));
    let under = under.sum::<f64>();
    (under > 0.0).then(|| over.sum::<f64>() / under)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_of_a_line_is_found_and_of_one_point_there_is_none() {
        let points = [(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)];
        assert_eq!(slope(&points), Some(2.0));
        assert_eq!(slope(&points[..1]), None);
        assert_eq!(slope(&[]), None);
    }
}
