//! `tidegate kafka`: a real cluster for a person, by the script that the tests use too.

use std::process::Command;

use anyhow::Context;
use tidegate_chassis::exit::Exit;

/// The script itself, so that the binary works without a checkout.
const SCRIPT: &str = include_str!("../../../deploy/kafka/local-kafka");

/// What to do; `tidegate kafka up --help` tells more.
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
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let status = Command::new("python3")
        .args(["-c", SCRIPT])
        .args(&args.arguments)
        .status()
        .context("start python3: install Python 3.9 or later")?;
    Ok(if status.success() {
        Exit::Clean
    } else {
        Exit::Unavailable
    })
}
