//! The escalation service: escalations in from Kafka, cases to people over gRPC, decisions back.

use clap::{Parser, Subcommand};
use tidegate_chassis::{
    exit::{Exit, Failure},
    process,
};
use tidegate_escalation::{
    auth::token,
    run::{self, Args},
};

/// The escalation service: escalations in from Kafka, cases to people over gRPC, decisions back.
#[derive(Parser)]
#[command(name = "tidegate-escalation", version)]
struct Cli {
    #[command(flatten)]
    args: Args,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Print a new token, for auth.bootstrap_token
    Token,
}

fn main() -> Exit {
    process::end(|| {
        let cli = process::arguments::<Cli>()?;
        match cli.command {
            None => Ok(run::main(&cli.args)),
            Some(Command::Token) => {
                let token = token::generate().map_err(|error| Failure::from(error).print())?;
                println!("{token}");
                Ok(Exit::Clean)
            }
        }
    })
}
