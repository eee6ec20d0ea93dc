//! The command line of Tidegate.

mod bench;
mod cases;
mod chaos;
mod demo;
mod dlq;
mod doctor;
mod eval;
mod kafka;
mod models;
mod normalize;
mod score;
mod topics;
mod validate;

use clap::{Parser, Subcommand};
use tidegate_chassis::exit::Exit;
use tidegate_moderator::service::{self, Service};

/// Moderates comments and direct messages that stream off Apache Kafka.
#[derive(Parser)]
#[command(name = "tidegate", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the main job on an embedded broker (or --brokers) and watch it
    Demo(demo::Args),
    /// Score texts: JSON lines on stdin, or --text for one
    Score(score::Args),
    /// Measure the models' quality on labelled texts that they were not trained on
    Eval(eval::Args),
    /// Check a policy, a settings file and models, and list every mistake
    Validate(validate::Args),
    /// Look at this machine and the cluster, and say what is missing
    Doctor(doctor::Args),
    /// Create the topics that are missing, or list them
    Topics(topics::Args),
    /// Work the review queue, and run it
    Cases(cases::Args),
    /// List, show and redrive dead letters
    Dlq(dlq::Args),
    /// Measure speed, latency and memory on this machine
    Bench(bench::Args),
    /// Kill consumers at random and prove that nothing is lost or doubled
    Chaos(chaos::Args),
    /// Start a real Apache Kafka on this machine, from its jars
    Kafka(kafka::Args),
    /// Print JSON strings from stdin as the classifier reads them (for training)
    #[command(hide = true)]
    Normalize,
    /// Run a consumer or the escalation service in this process, as its own binary does
    #[command(subcommand)]
    Run(Run),
}

#[derive(Subcommand)]
enum Run {
    /// The comment consumer
    Comments(service::Args),
    /// The DM consumer
    Dms(service::Args),
    /// The escalation service
    Escalation(tidegate_escalation::run::Args),
}

fn main() -> Exit {
    let result = match Cli::parse_from(arguments()).command {
        Command::Run(Run::Comments(args)) => return service::main(Service::Comments, &args),
        Command::Run(Run::Dms(args)) => return service::main(Service::Dms, &args),
        Command::Run(Run::Escalation(args)) => return tidegate_escalation::run::main(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Normalize => normalize::run(),
        Command::Validate(args) => validate::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Topics(args) => topics::run(&args),
        Command::Cases(args) => cases::run(&args),
        Command::Dlq(args) => dlq::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Chaos(args) => chaos::run(&args),
        Command::Kafka(args) => kafka::run(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("tidegate: {error:#}");
        Exit::Software
    })
}

/// `cargo demo -- --events 5000` reaches this program as `demo -- --events 5000`: the dashes that
/// were meant for cargo are dropped.
fn arguments() -> impl Iterator<Item = std::ffi::OsString> {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|a| a == "demo") && arguments.get(2).is_some_and(|a| a == "--")
    {
        arguments.remove(2);
    }
    arguments.into_iter()
}
