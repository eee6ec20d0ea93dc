//! `tidegate validate`: every mistake of a policy, a settings file and the models, in one run.

use std::path::PathBuf;

use tidegate_chassis::{
    exit::Exit,
    settings::{Sources, load},
};
use tidegate_classifier::{Classifier, ClassifierSettings, Mode};
use tidegate_moderator::{policy_file, settings::Settings};

/// What to check; at least one.
#[derive(clap::Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Args {
    /// A policy file
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A settings file of a consumer
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A folder of models: each is loaded, and its golden file scored again
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
}

/// Checks everything and prints a line for each thing that is well, and every mistake of the rest.
///
/// # Errors
/// None: what is wrong is the answer.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut all_well = true;
    let mut tell = |what: &str, result: Result<String, String>| match result {
        Ok(about) => println!("ok    {what}: {about}"),
        Err(mistakes) => {
            all_well = false;
            println!("wrong {what}:\n{}", mistakes.trim_end());
        }
    };
    if let Some(file) = &args.policy {
        let policy = policy_file::read(file).map_err(|error| error.to_string());
        let about = policy.map(|policy| format!("version {}", policy.version()));
        tell(&format!("policy {}", file.display()), about);
    }
    if let Some(file) = &args.config {
        let settings = load::<Settings>(&Sources::none().file(file)).map_err(|e| e.to_string());
        tell(
            &format!("settings {}", file.display()),
            settings.map(|s| format!("{} lane(s)", s.lane.count)),
        );
    }
    if let Some(folder) = &args.models {
        for (name, mode) in [("screen", Mode::Screen), ("deep", Mode::Deep)] {
            if name == "screen" || folder.join(name).exists() {
                tell(
                    &format!("model {}", folder.join(name).display()),
                    model(folder, mode),
                );
            }
        }
    }
    Ok(if all_well { Exit::Clean } else { Exit::Config })
}

fn model(folder: &std::path::Path, mode: Mode) -> Result<String, String> {
    let mut classifier = Classifier::load(&ClassifierSettings::new(folder, mode))
        .map_err(|error| error.to_string())?;
    classifier
        .verify_golden()
        .map_err(|error| error.to_string())?;
    let about = classifier
        .models()
        .into_iter()
        .map(|model| format!("version {}", model.version));
    Ok(about.collect::<Vec<_>>().join(", "))
}
