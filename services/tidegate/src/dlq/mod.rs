//! `tidegate dlq`: what could not be read as an event, and the way back once the cause is mended.

mod letter;
mod read;
mod redrive;

use tidegate_chassis::exit::Exit;

use crate::topics::Cluster;

/// What to do with the dead letters.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List them: where they came from and why, never what they say
    List(List),
    /// Show one whole, its bytes included
    Show(Show),
    /// Send them to their topics of origin once more, exactly once
    Redrive(Redrive),
}

/// Which dead letters.
#[derive(clap::Args)]
struct List {
    #[command(flatten)]
    cluster: Cluster,
    /// Only those with this reason
    #[arg(long)]
    reason: Option<String>,
    /// At most this many of the newest
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Show {
    #[command(flatten)]
    cluster: Cluster,
    /// Which one: PARTITION:OFFSET, as the list shows it
    #[arg(value_name = "PARTITION:OFFSET", value_parser = letter::position)]
    at: (i32, i64),
}

#[derive(clap::Args)]
struct Redrive {
    #[command(flatten)]
    cluster: Cluster,
    /// Only those with this reason. Each reason has its own progress: what was sent once is not
    /// sent again by a later call with the same reason
    #[arg(long)]
    reason: Option<String>,
    /// Send those that were redriven N - 1 times before: a letter that comes back is sent again
    /// only on demand
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    attempt: u32,
    /// Only count what would be sent
    #[arg(long)]
    dry_run: bool,
}

/// Lists, shows or redrives.
///
/// # Errors
/// The cluster can't be reached or refuses.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.command {
        Command::List(list) => read::list(list),
        Command::Show(show) => read::show(show),
        Command::Redrive(redrive) => redrive::redrive(redrive),
    }
}
