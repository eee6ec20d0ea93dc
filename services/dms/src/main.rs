//! The DM consumer: direct messages in, verdicts out; a DM is never hidden.

use clap::Parser;
use tidegate_chassis::{exit::Exit, process};
use tidegate_moderator::service::{self, Args, Service};

/// The DM consumer: direct messages in, verdicts out; a DM is never hidden.
#[derive(Parser)]
#[command(name = "tidegate-dms", version)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn main() -> Exit {
    process::end(|| {
        Ok(service::main(
            Service::Dms,
            &process::arguments::<Cli>()?.args,
        ))
    })
}
