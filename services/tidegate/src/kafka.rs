//! `tidegate kafka`: a real cluster for a person, by the script that the tests use too.

use std::{env, fs, path::PathBuf, process::Command};

use anyhow::Context;
use tidegate_chassis::exit::Exit;

/// The script itself, so that the binary works without a checkout.
const SCRIPT: &str = include_str!("../../../deploy/kafka/local-kafka");

/// What to do; `tidegate kafka --help` tells more.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// `up`, `down`, `status`, `stop-broker N`, … and their options
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        default_value = "--help"
    )]
    arguments: Vec<String>,
}

/// Hands the arguments to the script. Needs Python 3, Java and Maven, and says so when they lack.
///
/// # Errors
/// The script can't be laid down or started.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let status = Command::new("python3")
        .arg(lay_down()?)
        .args(&args.arguments)
        .status()
        .context("start python3: install Python 3.9 or later")?;
    Ok(if status.success() {
        Exit::Clean
    } else {
        Exit::Unavailable
    })
}

/// Writes the script into the user's cache: it runs parts of itself in the background later.
fn lay_down() -> anyhow::Result<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))
        .unwrap_or_else(env::temp_dir);
    let folder = cache.join("tidegate");
    let script = folder.join("local-kafka");
    // Written aside and moved, so that another process never reads half of it.
    let fresh = folder.join(format!("local-kafka.{}", std::process::id()));
    let written = fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&fresh, SCRIPT))
        .and_then(|()| fs::rename(&fresh, &script));
    written.with_context(|| format!("write {}", script.display()))?;
    Ok(script)
}
