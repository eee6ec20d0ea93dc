//! `tidegate bench`: speed, latency and memory on this machine, side by side in one run.

mod cascade;
mod cases;
mod cluster;
mod events;
mod latency;
mod machine;
mod memory;
mod report;
mod run;
mod stages;
mod throughput;
mod usage;

use std::{path::PathBuf, time::Duration};

use tidegate_chassis::{exit::Exit, logs};
use tidegate_classifier::Mode;
use tidegate_moderator::settings::Settings;

use self::{cluster::Cluster, events::Messages, machine::Machine, report::Report};

/// What to measure, and how long.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure only this part
    #[arg(long, value_enum, value_name = "PART")]
    only: Vec<Part>,
    /// Use this cluster instead of starting Kafka here; topics of its own are made in it
    #[arg(long, value_name = "HOST:PORT")]
    brokers: Option<String>,
    /// Events in the topic that lanes read in `kafka` and `curve`
    #[arg(long, value_name = "N", default_value_t = 2_000_000)]
    records: u64,
    /// Seconds that `latency` and `memory` last; each row of `core` takes a tenth of it
    #[arg(long, value_name = "S", default_value_t = 60)]
    seconds: u64,
    /// Cases in the store that `cases` measures
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    cases: usize,
    /// How often each variant of `kafka` runs, in turn with the others
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// The folder that holds the models
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
}

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// One thread without Kafka: each stage, and the whole pipeline
    Core,
    /// The deep model, and the cascade on two cores
    Cascade,
    /// Kafka to Kafka: passthrough and pipeline, exactly and at least once
    Kafka,
    /// Event to committed verdict at half of what the pipeline keeps up with
    Latency,
    /// Throughput and latency over commit intervals
    Curve,
    /// Memory of a consumer process under full load
    Memory,
    /// The review queue: its store's intake, agents at once and lists; from a record to a watcher
    Cases,
}

impl Part {
    /// Those that need a cluster.
    const ON_KAFKA: [Self; 5] = [
        Self::Cases,
        Self::Kafka,
        Self::Latency,
        Self::Curve,
        Self::Memory,
    ];
}

/// What all parts share.
struct Bench {
    settings: Settings,
    messages: Messages,
    records: u64,
    duration: Duration,
    rounds: usize,
}

/// Runs it.
///
/// # Errors
/// Kafka can't be started or reached, a model can't be used, or a run stands still.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    logs::init(&logs::LogSettings {
        filter: std::env::var("RUST_LOG").unwrap_or_else(|_| "error".to_owned()),
        ..logs::LogSettings::default()
    })?;
    let mut settings = Settings::default();
    settings.model.folder = crate::models::folder(args.models.as_deref())?;
    // What the rows about Kafka are about is not how long the deep model thinks.
    settings.model.mode = Mode::Screen.to_string();
    let bench = Bench {
        messages: stages::messages(&settings)?,
        settings,
        records: args.records.max(1),
        duration: Duration::from_secs(args.seconds.max(1)),
        rounds: args.rounds.max(1),
    };
    let wants = |part| args.only.is_empty() || args.only.contains(&part);
    let mut report = Report {
        machine: Machine::look(args.brokers.is_none()),
        rows: Vec::new(),
    };
    stages::name_versions(&bench, &mut report.machine)?;
    if wants(Part::Core) {
        report.rows.extend(stages::measure(&bench)?);
    }
    if wants(Part::Cascade) {
        report.rows.extend(cascade::measure(&bench)?);
    }
    if wants(Part::Cases) {
        report.rows.extend(cases::measure(args.cases.max(1))?);
    }
    let on_kafka = if Part::ON_KAFKA.iter().any(|part| wants(*part)) {
        Cluster::start(args.brokers.as_deref())
            .and_then(|cluster| with_kafka(&bench, &cluster, wants, &mut report))
    } else {
        Ok(())
    };
    report.machine.ended();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.table());
    }
    // What was measured before is not lost with it.
    on_kafka?;
    let missed = |row: &report::Row| row.goal.as_ref().is_some_and(|goal| !goal.met);
    if report.rows.iter().any(missed) {
        progress("some goals were missed; see the table");
    }
    Ok(Exit::Clean)
}

fn with_kafka(
    bench: &Bench,
    cluster: &Cluster,
    wants: impl Fn(Part) -> bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    if wants(Part::Cases) {
        report.rows.push(cases::path::measure(cluster)?);
    }
    let mut rate = None;
    if wants(Part::Kafka) || wants(Part::Latency) || wants(Part::Curve) {
        let input = cluster.preload(&bench.messages, bench.records)?;
        throughput::warm_up(bench, cluster, &input)?;
        if wants(Part::Kafka) {
            let (rows, measured) = throughput::compare(bench, cluster, &input)?;
            report.rows.extend(rows);
            rate = Some(measured);
        }
        if wants(Part::Latency) {
            let rate = match rate {
                Some(rate) => rate,
                None => throughput::pipeline_rate(bench, cluster, &input)?,
            };
            report
                .rows
                .extend(latency::at_half_load(bench, cluster, rate)?);
        }
        if wants(Part::Curve) {
            report.rows.extend(latency::curve(bench, cluster, &input)?);
        }
    }
    if wants(Part::Memory) {
        report.rows.push(memory::measure(bench, cluster)?);
    }
    Ok(())
}

/// Tells the person who waits what is being done.
fn progress(text: &str) {
    eprintln!("bench: {text}");
}
