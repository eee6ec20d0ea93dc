//! Kafka to Kafka on one lane: bare passthrough beside the whole pipeline.

use std::time::Duration;

use tidegate_kafka::{LaneSettings, settings::Delivery};

use super::{
    Bench,
    cluster::Cluster,
    progress,
    report::{Row, median},
    run::{Done, Passthrough, Running},
    stages,
};

const SECTION: &str = "kafka, one lane";
const STAGES: [&str; 4] = ["read", "process", "send", "commit"];

/// What a lane does with the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    /// Writes them again, in transactions.
    Passthrough,
    /// The pipeline, in transactions.
    ExactlyOnce,
    /// The pipeline, without.
    AtLeastOnce,
}

impl Variant {
    const ALL: [Self; 3] = [Self::Passthrough, Self::ExactlyOnce, Self::AtLeastOnce];

    fn name(self) -> &'static str {
        match self {
            Self::Passthrough => "passthrough, exactly once",
            Self::ExactlyOnce => "pipeline, exactly once",
            Self::AtLeastOnce => "pipeline, at least once",
        }
    }
}

fn run(
    bench: &Bench,
    cluster: &Cluster,
    input: &str,
    variant: Variant,
    lane: LaneSettings,
) -> anyhow::Result<Done> {
    let mut kafka = cluster.settings("run", &[input]);
    if variant == Variant::AtLeastOnce {
        kafka.delivery = Delivery::AtLeastOnce;
    }
    let topics = bench.settings.topics.names();
    cluster.make_outputs(topics)?;
    let topics = topics.map(str::to_owned).to_vec();
    let running = match variant {
        Variant::Passthrough => {
            Running::start(cluster, &kafka, lane, topics, Passthrough, bench.records)?
        }
        Variant::ExactlyOnce | Variant::AtLeastOnce => {
            let pipeline = stages::pipeline(bench)?;
            Running::start(cluster, &kafka, lane, topics, pipeline, bench.records)?
        }
    };
    let done = running.join()?;
    anyhow::ensure!(
        done.aborts() == 0,
        "{} transactions were undone: nothing was measured",
        done.aborts()
    );
    progress(&format!("{}: {:.0} records/s", variant.name(), done.rate()));
    Ok(done)
}

/// The pipeline, exactly once, with these settings of the lane.
pub(super) fn pipeline(
    bench: &Bench,
    cluster: &Cluster,
    input: &str,
    lane: LaneSettings,
) -> anyhow::Result<Done> {
    run(bench, cluster, input, Variant::ExactlyOnce, lane)
}

/// Records per second of the pipeline, exactly once, as the settings are by default.
pub(super) fn pipeline_rate(bench: &Bench, cluster: &Cluster, input: &str) -> anyhow::Result<f64> {
    progress("the pipeline's rate …");
    Ok(pipeline(bench, cluster, input, bench.settings.lane())?.rate())
}

/// Lets a fresh broker compile its code, which takes more of the machine than the work itself.
pub(super) fn warm_up(bench: &Bench, cluster: &Cluster, input: &str) -> anyhow::Result<()> {
    progress("warming up; what follows to the next line does not count …");
    for variant in Variant::ALL {
        run(bench, cluster, input, variant, bench.settings.lane())?;
    }
    Ok(())
}

/// Runs the variants in turn; gives their rows, and the pipeline's records per second.
pub(super) fn compare(
    bench: &Bench,
    cluster: &Cluster,
    input: &str,
) -> anyhow::Result<(Vec<Row>, f64)> {
    let mut runs: [Vec<Done>; 3] = Default::default();
    for round in 1..=bench.rounds {
        progress(&format!("kafka: round {round} of {} …", bench.rounds));
        for (variant, runs) in Variant::ALL.into_iter().zip(&mut runs) {
            let lane = bench.settings.lane();
            runs.push(run(bench, cluster, input, variant, lane)?);
        }
    }
    let [passthrough, exactly, at_least] =
        [0, 1, 2].map(|at| median(runs[at].iter().map(Done::rate)).unwrap_or(f64::NAN));
    let ratio = exactly / passthrough;
    let cost = 100.0 * (1.0 - exactly / at_least);
    let rows = Variant::ALL.into_iter().zip(&runs).map(|(variant, runs)| {
        let row = row(variant.name(), runs);
        match variant {
            Variant::Passthrough => row,
            Variant::ExactlyOnce => {
                row.with("of passthrough", ratio)
                    .at_least("of passthrough", ratio, 0.5)
            }
            Variant::AtLeastOnce => {
                let row = row.with("of passthrough", at_least / passthrough);
                row.at_most("% lost to exactly once", cost, 10.0)
            }
        }
    });
    let cost_by_cpu = cpu_cost(&runs[1], &runs[2]);
    let mut rows: Vec<_> = rows.collect();
    rows.push(
        Row::new("cost of exactly once", "pipeline")
            .with("% of records/s", cost)
            .with("% of CPU, both sides", cost_by_cpu),
    );
    rows.extend(Variant::ALL.into_iter().zip(&runs).map(|(variant, runs)| {
        let row = Row::new("lane, wall µs each", variant.name());
        STAGES
            .into_iter()
            .enumerate()
            .fold(row, |row, (at, stage)| {
                row.with(stage, median(runs.iter().map(|done| done.stages()[at])))
            })
    }));
    Ok((rows, exactly))
}

/// How much more CPU, of client and brokers together, a record takes exactly once, in percent.
fn cpu_cost(exactly: &[Done], at_least: &[Done]) -> Option<f64> {
    let all = |runs: &[Done]| {
        median(runs.iter().filter_map(|done| {
            let [client, brokers] = done.cpu();
            Some(client? + brokers?)
        }))
    };
    Some(100.0 * (all(exactly)? / all(at_least)? - 1.0))
}

fn row(name: &str, runs: &[Done]) -> Row {
    let rates: Vec<_> = runs.iter().map(Done::rate).collect();
    let least = rates.iter().copied().reduce(f64::min);
    let most = rates.iter().copied().reduce(f64::max);
    let cpu = |at: usize| median(runs.iter().filter_map(|done| done.cpu()[at]));
    let written = |at: usize| median(runs.iter().map(|done| done.written()[at]));
    let mut commits: Vec<f64> = runs
        .iter()
        .flat_map(|done| done.commits.iter().map(Duration::as_secs_f64))
        .collect();
    commits.sort_by(f64::total_cmp);
    let mean = commits.iter().sum::<f64>() * 1e3 / commits.len() as f64;
    let p99 = commits.get(commits.len().saturating_sub(1) * 99 / 100);
    Row::new(SECTION, name)
        .with("records/s", median(rates))
        .with("least", least)
        .with("most", most)
        .with("client µs", cpu(0))
        .with("broker µs", cpu(1))
        .with("commit ms", mean)
        .with("p99", p99.map(|seconds| seconds * 1e3))
        .with("out each", written(0))
        .with("bytes each", written(1))
}
