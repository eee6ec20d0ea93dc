//! `tidegate chaos`: kills consumers at random on a real Kafka, and proves that nothing is lost.

mod books;
mod cluster;
mod consumer;
mod director;
mod feed;
mod plan;
mod report;

use std::path::PathBuf;

use anyhow::Context as _;
use rdkafka::Message as _;
use tidegate_chassis::{exit::Exit, shutdown::Shutdown};
use tidegate_moderator::{service::Service, settings::Topics};
use tidegate_tests::{Isolation, StartError};

use self::{
    books::{Books, Source},
    cluster::Cluster,
    consumer::Recipe,
    director::{Director, Outcome},
    feed::Feeder,
    report::Report,
};

/// Partitions of each topic; more than consumers, so that each has some.
const PARTITIONS: i32 = 6;

/// How the chaos runs.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many events are fed while consumers die
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    events: u64,
    /// How often a consumer is killed or put to sleep; clean departures, consumers that come and
    /// go, and broker restarts come on top
    #[arg(long, value_name = "K", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..))]
    kills: u32,
    /// Seed of the events and of what is done to whom; timing differs from run to run
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How many consumers run at a time
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=6))]
    consumers: u32,
    /// How many brokers the local Kafka has: 3, or 1 that is never restarted
    #[arg(long, default_value = "3", value_parser = ["1", "3"], conflicts_with = "brokers")]
    brokers_count: String,
    /// Use this cluster instead of a local one; it gets topics of fresh names, which stay
    #[arg(long, value_name = "HOST:PORT")]
    brokers: Option<String>,
    /// Moderate DMs too: every other consumer is a DM consumer
    #[arg(long)]
    dms: bool,
    /// The folder that holds the models
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Give each consumer this setting too (may be repeated), such as model.mode=cascade; with
    /// kafka.delivery=at_least_once one can watch the proof fail
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// Print the result as one JSON object, as the last line of the output
    #[arg(long)]
    json: bool,
}

/// An input topic and who reads it.
pub(crate) struct Input {
    /// Its consumers.
    pub(crate) service: Service,
    /// Its name.
    pub(crate) topic: String,
    /// The group that reads it.
    pub(crate) group: String,
}

/// Runs it. Clean only if nothing was lost, doubled or out of order, and transactions were really
/// interrupted.
///
/// # Errors
/// The run could not be brought to an end.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let shutdown = Shutdown::on_signals().context("listen for Ctrl-C")?;
    let logs = tempfile::Builder::new()
        .prefix("tidegate-chaos-")
        .tempdir()?;
    let models = crate::models::folder(args.models.as_deref())?;
    if args.brokers.is_none() {
        eprintln!("starting Kafka (the first time, its jars are fetched) …");
    }
    let count = args.brokers_count.parse().unwrap_or(1);
    let cluster = match Cluster::start(args.brokers.as_deref(), count) {
        Ok(cluster) => cluster,
        Err(StartError::Missing(what)) => {
            eprintln!("tidegate: {what}; or name a cluster with --brokers HOST:PORT");
            return Ok(Exit::Unavailable);
        }
        Err(StartError::Failed(error)) => return Err(error),
    };
    let run = Run::new(args, models, logs.path().to_owned());
    let report = run.whole(args, &cluster, &shutdown);
    if !report.as_ref().is_ok_and(Report::is_good) {
        // Kept: it is needed to find the cause.
        eprintln!("logs of the consumers: {}", logs.keep().display());
    }
    let report = report?;
    if args.json {
        eprint!("{report}");
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    Ok(if report.is_good() {
        Exit::Clean
    } else {
        Exit::Software
    })
}

/// The names of one run, which no other run uses.
struct Run {
    inputs: Vec<Input>,
    outputs: Topics,
    recipe: Recipe,
    session_ms: u64,
    transaction_ms: u64,
}

impl Run {
    fn new(args: &Args, models: PathBuf, logs: PathBuf) -> Self {
        let name = format!("chaos-{}-{}", std::process::id(), args.seed);
        let mut services = vec![Service::Comments];
        services.extend(args.dms.then_some(Service::Dms));
        let input = |service: Service| Input {
            service,
            topic: format!("{name}.{}", service.default_topic()),
            group: format!("{name}-{}", service.name()),
        };
        let mut outputs = Topics::default();
        for topic in [
            &mut outputs.verdicts,
            &mut outputs.spam,
            &mut outputs.hate,
            &mut outputs.purchase_intent,
            &mut outputs.escalations,
            &mut outputs.dead_letters,
        ] {
            *topic = format!("{name}.{topic}");
        }
        // The least that brokers allow by default; our own allow less.
        let session_ms = if args.brokers.is_some() { 6_000 } else { 3_000 };
        let transaction_ms = session_ms + 5_000;
        let mut settings = vec![
            format!("kafka.session_timeout_ms={session_ms}"),
            format!("kafka.transaction_timeout_ms={transaction_ms}"),
            format!("kafka.transactional_id_prefix={name}"),
            // Long, so that a kill finds a transaction open.
            "lane.commit_interval=400ms".to_owned(),
            format!("model.folder={}", models.display()),
            // What is counted here is records, and the screen hands them on fastest.
            "model.mode=screen".to_owned(),
            "admin.listen=127.0.0.1:0".to_owned(),
            "log.format=json".to_owned(),
            format!("topics.verdicts={}", outputs.verdicts),
            format!("topics.spam={}", outputs.spam),
            format!("topics.hate={}", outputs.hate),
            format!("topics.purchase_intent={}", outputs.purchase_intent),
            format!("topics.escalations={}", outputs.escalations),
            format!("topics.dead_letters={}", outputs.dead_letters),
        ];
        settings.extend(args.set.iter().cloned());
        let inputs = services.into_iter().map(input).collect();
        Self {
            inputs,
            outputs,
            recipe: Recipe { settings, logs },
            session_ms,
            transaction_ms,
        }
    }

    fn output_topics(&self) -> Vec<(String, i32)> {
        self.outputs
            .names()
            .map(|name| (name.to_owned(), PARTITIONS))
            .to_vec()
    }

    fn whole(
        mut self,
        args: &Args,
        cluster: &Cluster,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Report> {
        self.recipe
            .settings
            .push(format!("kafka.brokers={}", cluster.brokers()));
        let mut topics = self.output_topics();
        topics.extend(
            self.inputs
                .iter()
                .map(|input| (input.topic.clone(), PARTITIONS)),
        );
        cluster.create(&topics)?;
        let dms = self.inputs.get(1).map(|input| input.topic.clone());
        let comments = self.inputs[0].topic.clone();
        let feeder = Feeder::start(cluster.brokers(), args.events, args.seed, comments, dms)?;
        let mut director = Director::new(cluster, &self, args, feeder.progress(), shutdown)?;
        let outcome = director.run(feeder)?;
        drop(director);
        eprintln!("reading everything back …");
        self.audit(args, cluster, outcome)
    }

    /// Reads what is in the topics, and settles the books.
    fn audit(&self, args: &Args, cluster: &Cluster, outcome: Outcome) -> anyhow::Result<Report> {
        let mut books = Books::new(
            self.inputs
                .iter()
                .map(|input| input.topic.clone())
                .collect(),
        );
        for (topic, input) in self.inputs.iter().enumerate() {
            cluster.read(&input.topic, Isolation::Committed, |record| {
                let source = Source {
                    topic,
                    partition: record.partition(),
                    offset: record.offset(),
                };
                books.fed(record.key().unwrap_or_default(), source);
            })?;
        }
        let (mut committed, mut written) = (0, 0);
        let last = self.outputs.names().len() - 1;
        for (number, topic) in self.outputs.names().into_iter().enumerate() {
            committed += cluster.read(topic, Isolation::Committed, |record| {
                let key = record.key().unwrap_or_default();
                let payload = record.payload().unwrap_or_default();
                match number {
                    0 => books.verdict(key, payload),
                    _ if number == last => report::enter_dead_letter(&mut books, record),
                    route => books.routed(route - 1, key, payload),
                }
            })?;
            written += cluster.read(topic, Isolation::Uncommitted, |_| {})?;
        }
        let findings = books.audit();
        let examples = books.examples(10);
        Ok(Report {
            events: args.events,
            kills: args.kills,
            seed: args.seed,
            consumed: outcome.consumed,
            findings,
            aborted: written.saturating_sub(committed),
            aborted_transactions_seen: outcome.aborted,
            rebuilt_producers_seen: outcome.rebuilt,
            open_partitions: outcome.open,
            crashed: outcome.crashed,
            disturbances: outcome.disturbances,
            seconds: outcome.seconds,
            examples,
        })
    }
}
