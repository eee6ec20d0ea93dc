//! `tidegate topics`: the topics that Tidegate reads and writes.

use std::time::Duration;

use tidegate_chassis::{
    exit::Exit,
    settings::{SettingsArgs, load},
};
use tidegate_kafka::admin::{Admin, TopicSpec};
use tidegate_moderator::{service::Service, settings::Settings};

/// What to do with the topics.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Create those that are missing; the others are left as they are
    Create(Create),
    /// List them with partitions and replicas, and say which are missing
    List(Cluster),
}

#[derive(clap::Args)]
struct Create {
    #[command(flatten)]
    cluster: Cluster,
    /// Partitions of new topics of events and of verdicts: the most lanes that can share the work
    #[arg(long, default_value_t = 12)]
    partitions: i32,
    /// Partitions of the other new topics; a third of those of verdicts when absent. Each makes
    /// every commit longer, and they hold a tenth of what verdicts do
    #[arg(long)]
    route_partitions: Option<i32>,
    /// Replicas of each new topic; the cluster's default when absent
    #[arg(long)]
    replicas: Option<i32>,
    /// Days that dead letters are kept
    #[arg(long, default_value_t = 14)]
    dead_letter_days: u32,
}

/// Which cluster: as in a consumer's settings.
#[derive(clap::Args)]
pub(crate) struct Cluster {
    #[command(flatten)]
    settings: SettingsArgs,
    /// The cluster's address, over the settings
    #[arg(long, value_name = "HOST:PORT")]
    brokers: Option<String>,
}

impl Cluster {
    /// The settings of a consumer on this cluster.
    ///
    /// # Errors
    /// Every mistake in them.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        let mut args = self.settings.clone();
        if let Some(brokers) = &self.brokers {
            args.set.push(format!("kafka.brokers={brokers}"));
        }
        let mut settings: Settings = load(&args.sources())?;
        settings.fill_in(Service::Comments);
        Ok(settings)
    }
}

/// Creates or lists.
///
/// # Errors
/// The cluster can't be reached or refuses.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.command {
        Command::Create(create) => self::create(create),
        Command::List(cluster) => list(cluster),
    }
}

fn create(args: &Create) -> anyhow::Result<Exit> {
    let settings = args.cluster.settings()?;
    let of_routes = args
        .route_partitions
        .unwrap_or_else(|| route_partitions(args.partitions));
    let specs: Vec<_> = names(&settings)
        .into_iter()
        .map(|name| {
            let partitions = match is_route(&settings, &name) {
                true => of_routes,
                false => args.partitions,
            };
            let mut spec = TopicSpec::new(&name, partitions);
            spec.replicas = args.replicas.unwrap_or(-1);
            // A result holds its event, and a dead letter all that came.
            spec.config.insert(
                "max.message.bytes".to_owned(),
                MAX_MESSAGE_BYTES.to_string(),
            );
            if name == settings.topics.dead_letters {
                let ms = u64::from(args.dead_letter_days) * 24 * 60 * 60 * 1000;
                spec.config
                    .insert("retention.ms".to_owned(), ms.to_string());
            }
            spec
        })
        .collect();
    let created = Admin::connect(&settings.kafka, PATIENCE)?.create_missing(&specs)?;
    for spec in &specs {
        let what = if created.contains(&spec.name) {
            "created"
        } else {
            "exists "
        };
        println!("{what} {}", spec.name);
    }
    Ok(Exit::Clean)
}

fn list(cluster: &Cluster) -> anyhow::Result<Exit> {
    let settings = cluster.settings()?;
    let described = Admin::connect(&settings.kafka, PATIENCE)?.describe()?;
    let mut missing = false;
    for name in names(&settings) {
        match described.topics.iter().find(|topic| topic.name == name) {
            Some(topic) => {
                let replicas = topic
                    .partitions
                    .first()
                    .map_or(0, |partition| partition.replicas);
                println!(
                    "{name:<34} {:>4} partitions, {replicas} replica(s)",
                    topic.partitions.len()
                );
            }
            None => {
                missing = true;
                println!("{name:<34} missing: `tidegate topics create` makes it");
            }
        }
    }
    Ok(if missing {
        Exit::Unavailable
    } else {
        Exit::Clean
    })
}

/// How many partitions the topics of routes, resolutions and dead letters have beside so many of
/// verdicts. For each partition that a transaction writes to, the broker takes a request of its own,
/// asks the coordinator about it and writes a marker, one after the other on a producer's connection.
#[must_use]
pub(crate) fn route_partitions(of_verdicts: i32) -> i32 {
    (of_verdicts / 3).max(1)
}

/// Whether a topic holds neither events nor verdicts.
fn is_route(settings: &Settings, name: &str) -> bool {
    let [_, routes @ ..] = settings.topics.names();
    routes.contains(&name) || name == resolutions()
}

/// Every topic that the consumers and the escalation service read or write.
#[must_use]
pub(crate) fn names(settings: &Settings) -> Vec<String> {
    let mut names: Vec<String> = [Service::Comments, Service::Dms]
        .map(|s| s.default_topic().to_owned())
        .to_vec();
    names.extend(
        settings
            .kafka
            .topics
            .iter()
            .filter(|t| !names.contains(t))
            .cloned()
            .collect::<Vec<_>>(),
    );
    names.extend(settings.topics.names().map(str::to_owned));
    names.push(resolutions());
    names
}

/// The topic that the escalation service writes, unless it is told otherwise.
#[must_use]
pub(crate) fn resolutions() -> String {
    tidegate_escalation::ends::Topics::default().resolutions
}

/// The largest batch that a new topic takes, in bytes after compression.
const MAX_MESSAGE_BYTES: u32 = 16 << 20;

/// How long the cluster may take to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_have_a_third_of_the_partitions_and_at_least_one() {
        assert_eq!([1, 2, 3, 6, 12].map(route_partitions), [1, 1, 1, 2, 4]);
    }

    #[test]
    fn events_and_verdicts_have_all_partitions_and_nothing_else_has() {
        let mut settings = Settings::default();
        settings.fill_in(Service::Comments);
        let wide: Vec<_> = names(&settings)
            .into_iter()
            .filter(|name| !is_route(&settings, name))
            .collect();
        assert_eq!(wide, ["comments.v1", "dms.v1", "moderation.verdicts.v1"]);
    }
}
