//! `tidegate doctor`: looks at everything that a consumer needs, and says what to do about the rest.

use std::{path::PathBuf, process::Command};

use serde::Serialize;
use tidegate_chassis::exit::Exit;
use tidegate_classifier::{Classifier, ClassifierSettings, Mode, runtime};
use tidegate_kafka::admin::Admin;
use tidegate_moderator::policy_file;

use crate::topics::{Cluster, PATIENCE, names};

/// Where to look.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    cluster: Cluster,
    /// The folder that holds the models
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What was found about one thing.
#[derive(Serialize)]
struct Finding {
    what: &'static str,
    /// `well`, `wrong`, or `absent` for what only some tasks need.
    state: &'static str,
    /// What is there, or what to do.
    about: String,
}

/// Looks at each thing and prints a line for it.
///
/// # Errors
/// None: what is wrong is the answer.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut findings = Vec::new();
    let mut find = |what, result: anyhow::Result<String>| {
        let (state, about) = match result {
            Ok(about) => ("well", about),
            Err(error) => ("wrong", format!("{error:#}")),
        };
        findings.push(Finding { what, state, about });
    };
    let about = |found: runtime::RuntimeInfo| {
        format!("ONNX Runtime {} at {}", found.version, found.path.display())
    };
    find("runtime", runtime::ensure().map_err(Into::into).map(about));
    find("models", models(args));
    let settings = args.cluster.settings();
    match &settings {
        Ok(settings) => {
            find("settings", Ok(format!("for {}", settings.kafka.brokers)));
            let policy = settings
                .policy
                .file
                .as_deref()
                .map(policy_file::read)
                .transpose();
            find(
                "policy",
                policy.map_err(Into::into).map(|policy| match policy {
                    Some(policy) => format!("version {}", policy.version()),
                    None => "the shipped one".to_owned(),
                }),
            );
            for (what, found) in cluster(settings) {
                find(what, found);
            }
        }
        Err(error) => find("settings", Err(anyhow::anyhow!("{error:#}"))),
    }
    for (what, program, why) in [
        (
            "python",
            "python3",
            "fetches ONNX Runtime, starts a local Kafka",
        ),
        (
            "java",
            "java",
            "only for a local Kafka: install Java 17 or later",
        ),
        ("maven", "mvn", "only for a local Kafka: install Maven"),
    ] {
        let found = Command::new(program).arg("--version").output();
        let (state, about) = match found {
            Ok(output) if output.status.success() => ("well", first_line(&output.stdout)),
            _ => ("absent", why.to_owned()),
        };
        findings.push(Finding { what, state, about });
    }
    let all_well = findings.iter().all(|finding| finding.state != "wrong");
    if args.json {
        println!("{}", serde_json::to_string(&findings)?);
    } else {
        for Finding { what, state, about } in &findings {
            println!("{state:<7} {what:<9} {about}");
        }
    }
    Ok(if all_well {
        Exit::Clean
    } else {
        Exit::Unavailable
    })
}

fn models(args: &Args) -> anyhow::Result<String> {
    let folder = crate::models::folder(args.models.as_deref())?;
    let mode = if folder.join("deep").exists() {
        Mode::Cascade
    } else {
        Mode::Screen
    };
    let mut classifier = Classifier::load(&ClassifierSettings::new(&folder, mode))?;
    let texts = classifier.verify_golden()?;
    let models = classifier
        .models()
        .into_iter()
        .map(|m| format!("{} {}", m.name, m.version));
    Ok(format!(
        "{}; {texts} golden texts score as recorded",
        models.collect::<Vec<_>>().join(", ")
    ))
}

fn cluster(
    settings: &tidegate_moderator::settings::Settings,
) -> Vec<(&'static str, anyhow::Result<String>)> {
    let described = match Admin::connect(&settings.kafka, PATIENCE).and_then(|a| a.describe()) {
        Ok(described) => described,
        Err(error) => return vec![("brokers", Err(error.into()))],
    };
    let brokers = format!("{} answer", described.brokers.len());
    let missing: Vec<_> = names(settings)
        .into_iter()
        .filter(|name| described.topics.iter().all(|topic| topic.name != *name))
        .collect();
    let leaderless = described
        .topics
        .iter()
        .flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(move |partition| (topic, partition))
        })
        .find(|(_, partition)| partition.leader.is_none());
    let topics = match (missing.as_slice(), leaderless) {
        ([], None) => Ok("all there, each partition has a leader".to_owned()),
        ([], Some((topic, partition))) => Err(anyhow::anyhow!(
            "{}[{}] has no leader: look at the brokers",
            topic.name,
            partition.partition
        )),
        (missing, _) => Err(anyhow::anyhow!(
            "missing: {}; `tidegate topics create` makes them",
            missing.join(", ")
        )),
    };
    vec![("brokers", Ok(brokers)), ("topics", topics)]
}

fn first_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    // Colours that Maven prints even into a pipe.
    text.lines()
        .next()
        .unwrap_or_default()
        .replace("\x1b[1m", "")
        .replace("\x1b[m", "")
}
