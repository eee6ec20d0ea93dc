//! `tidegate demo`: the main job on an embedded broker, with a live picture of it.

mod cases;
mod counts;
mod feed;
mod read;
mod screen;
pub(crate) mod stream;

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tidegate_chassis::{exit::Exit, logs, shutdown::Shutdown};
use tidegate_kafka::{
    admin::{Admin, TopicSpec},
    client::embedded::EmbeddedBroker,
    reader::begin_at_end,
    settings::KafkaSettings,
};
use tidegate_moderator::{
    lanes::{Lanes, Vitals},
    pipeline::Watch,
    policy_file::PolicyInForce,
    service::Service,
    settings::Settings,
    tally::now_ms,
};

use self::{cases::Cases, counts::Counts};
use crate::topics::PATIENCE;

/// Without progress for this long the demo gives up and says so.
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// How the demo runs.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// End after this many events (otherwise Ctrl-C ends it)
    #[arg(long, value_name = "N")]
    events: Option<u64>,
    /// Feed at most this many events per second
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// Use this cluster instead of an embedded broker; topics named `demo.…` are created if
    /// missing, and no others are touched
    #[arg(long, value_name = "HOST:PORT")]
    brokers: Option<String>,
    /// Print the summary as one JSON object, as the last line of the output
    #[arg(long)]
    json: bool,
    /// Seed of the stream of events
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Which models score: screen, deep or cascade; auto is a cascade where there is a deep model
    #[arg(long, default_value = "auto")]
    model: String,
    /// The folder that holds the models
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// A policy file instead of the shipped policy
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

/// Counts that the feeder, the lanes, the reader and the picture share.
#[derive(Clone)]
struct Board(Arc<Mutex<Counts>>);

impl Board {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the demo.
///
/// # Errors
/// Something that it needs is missing, or the run stands still.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    logs::init(&logs::LogSettings {
        filter: std::env::var("RUST_LOG").unwrap_or_else(|_| "error".to_owned()),
        ..logs::LogSettings::default()
    })?;
    let shutdown = Shutdown::on_signals().context("listen for Ctrl-C")?;
    eprintln!("loading models (the first time, ONNX Runtime is fetched) …");
    let mut settings = Settings::default();
    settings.model.mode = args.model.clone();
    settings.model.folder = crate::models::folder(args.models.as_deref())?;
    settings.policy.file = args.policy.clone();

    let (embedded, brokers) = match &args.brokers {
        Some(brokers) => (None, brokers.clone()),
        None => {
            let broker = EmbeddedBroker::start(1).context("start the embedded broker")?;
            let address = broker.bootstrap_servers().to_owned();
            (Some(broker), address)
        }
    };
    // A run of its own: another demo on the same cluster may have left records behind.
    let run = format!("demo-{}-{}", std::process::id(), now_ms());
    settings.kafka = KafkaSettings::new(&brokers, "", Vec::<String>::new(), "", &run);
    if embedded.is_none() {
        settings.topics.add_prefix(DEMO);
    }
    let topics = topics(&settings);
    // For the tools around the lanes, which belong to neither service.
    let mut around = settings.clone();
    around.fill_in(Service::Comments);
    match &embedded {
        Some(broker) => {
            for (name, partitions) in &topics {
                broker
                    .create_topic(name, *partitions, 1)
                    .context("create a topic")?;
            }
        }
        None => {
            let specs: Vec<_> = topics
                .iter()
                .map(|(name, n)| TopicSpec::new(name.clone(), *n))
                .collect();
            Admin::connect(&around.kafka, PATIENCE)?.create_missing(&specs)?;
        }
    }

    let board = Board(Arc::new(Mutex::new(Counts::new())));
    let reader = read::start(&around, board.clone(), shutdown.clone())?;
    let policy = PolicyInForce::load(settings.policy.file.as_deref())?;
    let vitals = Vitals::default();
    let lanes = [Service::Comments, Service::Dms]
        .map(|service| {
            let mut settings = settings.clone();
            settings.kafka.group_id = format!("tidegate-{run}-{}", service.name());
            settings.kafka.topics = vec![input(&settings, service)];
            settings.fill_in(service);
            // Only what this run feeds is read.
            begin_at_end(&settings.kafka, PATIENCE)?;
            Ok(Lanes::start(
                &settings,
                service,
                &policy,
                &vitals,
                Some(watch(&board)),
            )?)
        })
        .into_iter()
        .collect::<anyhow::Result<Vec<_>>>()?;
    let cases = Cases::start(&around, &run, &resolutions(&settings), board.clone())?;
    wait_until_ready(&lanes, &vitals, &shutdown)?;
    *board.lock() = Counts::new();
    let feeder = feed::start(&settings, args, board.clone(), shutdown.clone())?;
    let header = match &args.brokers {
        Some(brokers) => format!("on {brokers}"),
        None => "on an embedded broker".to_owned(),
    };
    let outcome = show(args, &board, &lanes, &shutdown, &header);

    shutdown.request("the demo is over");
    feeder
        .join()
        .map_err(|_| anyhow::anyhow!("the feeder panicked"))??;
    for lanes in &lanes {
        lanes.stop();
    }
    for lanes in lanes {
        lanes.join()?;
    }
    // The reader ends once it has read what the lanes committed last.
    reader
        .join()
        .map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    // The time that the last cases take is not the lanes'.
    let mut summary = board.lock().summary();
    let cases = cases.finish();
    outcome?;
    cases?;
    summary.cases = board.lock().summary().cases;
    if args.json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        println!(
            "{} events in {:.1} s: {} verdicts + {} dead letters, {}; {} cases, {} decided",
            summary.consumed,
            summary.seconds,
            summary.verdicts,
            summary.dead_letters,
            if summary.balanced {
                "balanced"
            } else {
                "NOT balanced"
            },
            summary.cases.opened,
            summary.cases.resolved
        );
    }
    Ok(if summary.balanced {
        Exit::Clean
    } else {
        Exit::Software
    })
}

/// Before the names of all topics on a cluster that is not the demo's own.
const DEMO: &str = "demo.";

/// The topic that `service` reads: with the prefix that the outputs have.
fn input(settings: &Settings, service: Service) -> String {
    let prefix = if settings.topics.verdicts.starts_with(DEMO) {
        DEMO
    } else {
        ""
    };
    format!("{prefix}{}", service.default_topic())
}

/// The topic that decisions go to: with the prefix that the other outputs have.
fn resolutions(settings: &Settings) -> String {
    let prefix = if settings.topics.verdicts.starts_with(DEMO) {
        DEMO
    } else {
        ""
    };
    format!("{prefix}{}", crate::topics::resolutions())
}

/// The topics of a run with their partitions.
fn topics(settings: &Settings) -> Vec<(String, i32)> {
    let inputs = [Service::Comments, Service::Dms].map(|service| input(settings, service));
    let outputs = settings.topics.names().map(str::to_owned);
    inputs
        .into_iter()
        .chain(outputs)
        .chain([resolutions(settings)])
        .map(|name| (name, 4))
        .collect()
}

/// What the lanes tell when a transaction is committed.
fn watch(board: &Board) -> Watch {
    let board = board.clone();
    Arc::new(move |tally| {
        let mut counts = board.lock();
        counts.consumed += tally.consumed_total();
        for (age, records) in tally.ages(now_ms()) {
            counts.latency(age, records);
        }
    })
}

fn wait_until_ready(lanes: &[Lanes], vitals: &Vitals, shutdown: &Shutdown) -> anyhow::Result<()> {
    let started = Instant::now();
    while !vitals.readiness.is_ready() {
        if shutdown.wait_for(Duration::from_millis(50)) {
            bail!("ended before it was ready");
        }
        lanes.iter().for_each(Lanes::report);
        if started.elapsed() > STALLED_AFTER {
            bail!(
                "not ready: {}",
                serde_json::to_string(&vitals.readiness.report())?
            );
        }
    }
    Ok(())
}

/// Draws until all events are through, Ctrl-C, or a standstill.
fn show(
    args: &Args,
    board: &Board,
    lanes: &[Lanes],
    shutdown: &Shutdown,
    header: &str,
) -> anyhow::Result<()> {
    let can_draw = !args.json && std::io::stdout().is_terminal();
    let every = Duration::from_millis(if can_draw { 250 } else { 2_000 });
    let (mut before, mut at, mut moved) = (0, Instant::now(), Instant::now());
    let mut drawn = 0;
    let mut next = Instant::now();
    loop {
        let ended = shutdown.wait_for(Duration::from_millis(50));
        let counts = board.lock();
        let done = args.events.is_some_and(|events| {
            counts.fed == events
                && counts.consumed == events
                && counts.verdicts + counts.dead_letters >= events
        });
        if Instant::now() >= next || done || ended {
            let rate = (counts.consumed - before) as f64 / at.elapsed().as_secs_f64().max(0.001);
            if counts.consumed != before {
                moved = Instant::now();
            }
            (before, at, next) = (counts.consumed, Instant::now(), Instant::now() + every);
            if can_draw {
                let picture = screen::picture(&counts, rate, header);
                print!("\x1b[{drawn}A{picture}");
                std::io::stdout().flush()?;
                drawn = picture.lines().count();
            } else {
                eprintln!("{}", screen::line(&counts, rate));
            }
        }
        if done || ended {
            return Ok(());
        }
        if lanes.iter().any(Lanes::any_ended) {
            bail!("a lane ended: RUST_LOG=warn shows why");
        }
        if moved.elapsed() > STALLED_AFTER {
            bail!(
                "nothing moved for {} s: RUST_LOG=warn shows why",
                STALLED_AFTER.as_secs()
            );
        }
    }
}

/// A thread of the demo.
type Part = thread::JoinHandle<anyhow::Result<()>>;
