//! The comment consumer: comments and live chat in, verdicts out.

use clap::Parser;
use tidegate_chassis::{exit::Exit, process};
use tidegate_moderator::service::{self, Args, Service};

/// The comment consumer: comments and live chat in, verdicts out.
#[derive(Parser)]
#[command(name = "tidegate-comments", version)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn main() -> Exit {
    process::end(|| {
        Ok(service::main(
            Service::Comments,
            &process::arguments::<Cli>()?.args,
        ))
    })
}
