//! `tidegate cases`: the review queue on the command line, over gRPC.

mod admin;
mod client;
mod show;
mod time;
mod work;

use std::path::PathBuf;

use tidegate_chassis::exit::Exit;

use self::client::Client;

/// What to do with the review queue.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    to: To,
    #[command(subcommand)]
    command: Command,
}

/// Where the service is, and who calls.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct To {
    /// The service's address; https:// for TLS
    #[arg(
        long,
        global = true,
        env = "TIDEGATE_SERVER",
        default_value = "http://127.0.0.1:50051",
        value_name = "URL"
    )]
    server: String,
    /// A file that holds the token
    #[arg(long, global = true, env = "TIDEGATE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Who signed the server's certificate (PEM); those that this machine trusts when absent
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The client's certificate (PEM), where the server asks for one
    #[arg(long, global = true, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The client's private key (PEM)
    #[arg(long, global = true, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Print JSON, one object a line, with the contract's names
    #[arg(long, global = true)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List cases, the most pressing first
    List(work::List),
    /// Show cases as they change, until Ctrl-C
    Watch(work::Watch),
    /// Show one case whole
    Show(work::Name),
    /// Take the next case, or the named one
    Claim(work::Claim),
    /// Renew the lease on a case
    Heartbeat(work::Name),
    /// Give a case back
    Release(work::Release),
    /// Put a case aside
    Hold(work::Hold),
    /// Reserve a case for an agent, or move it to another queue
    Assign(work::Assign),
    /// Decide a case
    Resolve(work::Resolve),
    /// Add a remark to a case
    Note(work::Note),
    /// Enter or decide an objection against a decision
    #[command(subcommand)]
    Appeal(work::Appeal),
    /// List the queues, or change one
    Queues(admin::Queues),
    /// List the agents, change one, or give one a new token
    Agents(admin::Agents),
    /// The record of everything that was done
    #[command(subcommand)]
    Audit(admin::Audit),
    /// What is held about a person, and its erasure
    #[command(subcommand)]
    Privacy(admin::Privacy),
}

/// Calls the service.
///
/// # Errors
/// The service can't be reached or refuses; the message says what to do.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(async {
        let client = Client::connect(&args.to)?;
        match &args.command {
            Command::List(args) => work::list(&client, args).await,
            Command::Watch(args) => work::watch(&client, args).await,
            Command::Show(args) => work::show(&client, args).await,
            Command::Claim(args) => work::claim(&client, args).await,
            Command::Heartbeat(args) => work::heartbeat(&client, args).await,
            Command::Release(args) => work::release(&client, args).await,
            Command::Hold(args) => work::hold(&client, args).await,
            Command::Assign(args) => work::assign(&client, args).await,
            Command::Resolve(args) => work::resolve(&client, args).await,
            Command::Note(args) => work::note(&client, args).await,
            Command::Appeal(args) => work::appeal(&client, args).await,
            Command::Queues(args) => admin::queues(&client, args).await,
            Command::Agents(args) => admin::agents(&client, args).await,
            Command::Audit(args) => admin::audit(&client, args).await,
            Command::Privacy(args) => admin::privacy(&client, args).await,
        }
    });
    match done {
        Ok(exit) => Ok(exit),
        Err(error) => match error.downcast_ref::<tonic::Status>() {
            Some(status) => {
                let (exit, said) = client::explain(status, &args.to.server);
                eprintln!("tidegate: {said}");
                Ok(exit)
            }
            None => Err(error),
        },
    }
}

/// `kind/NAME`, whether the prefix was typed or not.
fn full(kind: &str, name: &str) -> String {
    if name.is_empty() || name.starts_with(&format!("{kind}/")) {
        name.to_owned()
    } else {
        format!("{kind}/{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_typed_with_or_without_its_prefix() {
        assert_eq!(full("queues", "conduct"), "queues/conduct");
        assert_eq!(full("queues", "queues/conduct"), "queues/conduct");
        assert_eq!(full("agents", ""), "");
    }
}
