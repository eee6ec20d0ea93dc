//! Running the queue: queues, agents, the audit trail, privacy.

use std::{
    fs,
    io::{BufRead as _, Write as _},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context as _;
use prost_types::FieldMask;
use tidegate_chassis::exit::Exit;
use tidegate_proto::escalation::v1::{
    Agent, EraseSubjectRequest, ExportAuditRequest, ExportSubjectRequest, ListAgentsRequest,
    ListAuditEntriesRequest, ListQueuesRequest, Queue, Role, RotateTokenRequest, Subject,
    UpdateAgentRequest, UpdateQueueRequest, VerifyAuditRequest,
};

use super::{
    client::{Client, call, request_id},
    full,
    show::{AGENT_HEAD, ENTRY_HEAD, QUEUE_HEAD, agent_row, case_page, entry_row, plain, queue_row},
    time::{length, now_ms, proto, relative},
};

#[derive(clap::Args)]
pub(super) struct Queues {
    #[command(subcommand)]
    command: Option<QueueCommand>,
}

#[derive(clap::Subcommand)]
enum QueueCommand {
    /// Make a queue, or change what is named here
    Set {
        /// The queue
        queue: String,
        /// How long a lease lasts without a heartbeat
        #[arg(long, value_parser = length, value_name = "TIME")]
        lease: Option<Duration>,
        /// How long before a deadline a warning is given
        #[arg(long, value_parser = length, value_name = "TIME")]
        warn_before: Option<Duration>,
        /// Where a case goes when its deadline passes; "" lets it stay
        #[arg(long, value_name = "QUEUE")]
        breach_queue: Option<String>,
        /// Whether grave decisions want a second person
        #[arg(long, value_name = "true|false")]
        second_review: Option<bool>,
        /// More cases a minute than this from one rule or author become one; 0: never
        #[arg(long, value_name = "N")]
        flood_limit: Option<u32>,
    },
}

#[derive(clap::Args)]
pub(super) struct Agents {
    #[command(subcommand)]
    command: Option<AgentCommand>,
}

#[derive(clap::Subcommand)]
enum AgentCommand {
    /// Make an agent, or change what is named here
    Set {
        /// The agent
        agent: String,
        /// viewer, agent, lead, admin or service
        #[arg(long, value_parser = role)]
        role: Option<Role>,
        /// A queue that it may work; `-` for all. Give each one
        #[arg(long = "queue", value_name = "QUEUE")]
        queues: Vec<String>,
        /// A language that it reads (en, pt, …); none given: all
        #[arg(long = "language", value_name = "LANG")]
        languages: Vec<String>,
        /// The name that published decisions carry
        #[arg(long)]
        pseudonym: Option<String>,
        /// Whether it may no longer call
        #[arg(long, value_name = "true|false")]
        disabled: Option<bool>,
    },
    /// Make a new token; earlier ones end. It is shown this once
    Token {
        /// The agent
        agent: String,
    },
}

#[derive(clap::Subcommand)]
pub(super) enum Audit {
    /// List entries, the newest first
    List {
        /// Only these: `resource = "cases/…"`, `actor = "agents/…"`, `action = "case.claim"`
        #[arg(long, default_value = "", value_name = "FILTER")]
        filter: String,
        /// At most this many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Write all entries as JSON lines, the oldest first
    Export {
        /// The first number wanted
        #[arg(long, default_value_t = 0, value_name = "N")]
        from: i64,
    },
    /// Recompute the chain of hashes, and say whether anything was changed or taken out
    Verify {
        /// A file that keeps the last hash between calls, best on another machine: what was known
        /// must still be there, and the new last hash is written to it
        #[arg(long, value_name = "FILE")]
        anchor: Option<PathBuf>,
    },
}

#[derive(clap::Subcommand)]
pub(super) enum Privacy {
    /// Show everything that is held about a person
    Export(Who),
    /// Erase a person's texts and names from the store
    Erase {
        #[command(flatten)]
        who: Who,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(clap::Args)]
pub(super) struct Who {
    /// The platform's name
    #[arg(long)]
    platform: String,
    /// The platform's id of the account
    #[arg(long)]
    author: String,
}

impl Who {
    fn subject(&self) -> Option<Subject> {
        Some(Subject {
            platform: self.platform.clone(),
            author_id: self.author.clone(),
        })
    }
}

fn role(text: &str) -> Result<Role, String> {
    Role::from_str_name(&format!("ROLE_{}", text.to_uppercase()))
        .filter(|role| *role != Role::Unspecified)
        .ok_or_else(|| "one of viewer, agent, lead, admin, service".to_owned())
}

pub(super) async fn queues(client: &Client, args: &Queues) -> anyhow::Result<Exit> {
    let api = client.queues();
    if let Some(QueueCommand::Set {
        queue,
        lease,
        warn_before,
        breach_queue,
        second_review,
        flood_limit,
    }) = &args.command
    {
        let mut changed = Queue {
            name: full("queues", queue),
            ..Queue::default()
        };
        let mut paths = Vec::new();
        let mut note = |path: &str, given: bool| {
            if given {
                paths.push(path.to_owned());
            }
        };
        changed.lease = lease.map(proto);
        note("lease", lease.is_some());
        changed.warn_before = warn_before.map(proto);
        note("warn_before", warn_before.is_some());
        changed.breach_queue = full("queues", breach_queue.as_deref().unwrap_or_default());
        note("breach_queue", breach_queue.is_some());
        changed.second_review = second_review.unwrap_or_default();
        note("second_review", second_review.is_some());
        changed.flood_limit = flood_limit.unwrap_or_default();
        note("flood_limit", flood_limit.is_some());
        anyhow::ensure!(!paths.is_empty(), "name at least one setting to change");
        let request = UpdateQueueRequest {
            queue: Some(changed),
            update_mask: Some(FieldMask { paths }),
            allow_missing: true,
            request_id: request_id(),
        };
        let answer = call(&api, &request, |mut api, request| async move {
            api.update_queue(request).await
        })
        .await?;
        let queue = answer.queue.unwrap_or_default();
        client.print.all("Queue", &[queue], QUEUE_HEAD, queue_row)?;
        return Ok(Exit::Clean);
    }
    let mut queues = Vec::new();
    let mut request = ListQueuesRequest {
        page_size: 500,
        page_token: String::new(),
    };
    loop {
        let page = call(&api, &request, |mut api, request| async move {
            api.list_queues(request).await
        })
        .await?;
        queues.extend(page.queues);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    client.print.all("Queue", &queues, QUEUE_HEAD, queue_row)?;
    Ok(Exit::Clean)
}

pub(super) async fn agents(client: &Client, args: &Agents) -> anyhow::Result<Exit> {
    let api = client.agents();
    match &args.command {
        Some(AgentCommand::Set {
            agent,
            role,
            queues,
            languages,
            pseudonym,
            disabled,
        }) => {
            let mut changed = Agent {
                name: full("agents", agent),
                queues: queues.iter().map(|name| full("queues", name)).collect(),
                languages: languages.clone(),
                pseudonym: pseudonym.clone().unwrap_or_default(),
                disabled: disabled.unwrap_or_default(),
                ..Agent::default()
            };
            changed.set_role(role.unwrap_or_default());
            let paths: Vec<_> = [
                ("role", role.is_some()),
                ("queues", !queues.is_empty()),
                ("languages", !languages.is_empty()),
                ("pseudonym", pseudonym.is_some()),
                ("disabled", disabled.is_some()),
            ]
            .into_iter()
            .filter(|(_, given)| *given)
            .map(|(path, _)| path.to_owned())
            .collect();
            anyhow::ensure!(!paths.is_empty(), "name at least one thing to change");
            let request = UpdateAgentRequest {
                agent: Some(changed),
                update_mask: Some(FieldMask { paths }),
                allow_missing: true,
                request_id: request_id(),
            };
            let answer = call(&api, &request, |mut api, request| async move {
                api.update_agent(request).await
            })
            .await?;
            let agent = answer.agent.unwrap_or_default();
            client.print.all("Agent", &[agent], AGENT_HEAD, agent_row)?;
        }
        Some(AgentCommand::Token { agent }) => {
            // Not made again when the answer is lost: the first new token would be unknown.
            let request = RotateTokenRequest {
                name: full("agents", agent),
            };
            let answer = api.clone().rotate_token(request).await?.into_inner();
            client.print.one("RotateTokenResponse", &answer, |answer| {
                answer.token.clone()
            })?;
        }
        None => {
            let mut agents = Vec::new();
            let mut request = ListAgentsRequest {
                page_size: 500,
                page_token: String::new(),
            };
            loop {
                let page = call(&api, &request, |mut api, request| async move {
                    api.list_agents(request).await
                })
                .await?;
                agents.extend(page.agents);
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token = page.next_page_token;
            }
            client.print.all("Agent", &agents, AGENT_HEAD, agent_row)?;
        }
    }
    Ok(Exit::Clean)
}

pub(super) async fn audit(client: &Client, args: &Audit) -> anyhow::Result<Exit> {
    let api = client.audit();
    match args {
        Audit::List { filter, limit } => {
            let mut entries = Vec::new();
            let mut token = String::new();
            while entries.len() < *limit {
                let request = ListAuditEntriesRequest {
                    page_size: i32::try_from((limit - entries.len()).min(500))?,
                    page_token: token,
                    filter: filter.clone(),
                };
                let page = call(&api, &request, |mut api, request| async move {
                    api.list_audit_entries(request).await
                })
                .await?;
                entries.extend(page.entries);
                token = page.next_page_token;
                if token.is_empty() {
                    break;
                }
            }
            client
                .print
                .all("AuditEntry", &entries, ENTRY_HEAD, entry_row)?;
            Ok(Exit::Clean)
        }
        Audit::Export { from } => {
            let request = ExportAuditRequest {
                from_sequence: *from,
            };
            let mut entries = api.clone().export_audit(request).await?.into_inner();
            let print = super::show::Printer::new(true)?;
            while let Some(next) = entries.message().await? {
                let entry = next.entry.unwrap_or_default();
                print.one("AuditEntry", &entry, |_| String::new())?;
            }
            Ok(Exit::Clean)
        }
        Audit::Verify { anchor } => verify(client, anchor.as_ref()).await,
    }
}

async fn verify(client: &Client, anchor: Option<&PathBuf>) -> anyhow::Result<Exit> {
    let known = match anchor.map(|file| (file, fs::read_to_string(file))) {
        Some((_, Ok(text))) => from_hex(text.trim()).context("the anchor holds no hash")?,
        Some((_, Err(error))) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Some((file, Err(error))) => {
            return Err(error).with_context(|| format!("read {}", file.display()));
        }
        None => Vec::new(),
    };
    let request = VerifyAuditRequest { known_hash: known };
    let api = client.audit();
    let answer = call(&api, &request, |mut api, request| async move {
        api.verify_audit(request).await
    })
    .await?;
    let head = to_hex(&answer.head_hash);
    client.print.one("VerifyAuditResponse", &answer, |answer| {
        if answer.intact {
            format!(
                "intact: {} entries, the last hash is {head}",
                answer.entries
            )
        } else {
            plain(&format!(
                "NOT intact: entry {}: {}",
                answer.broken_at, answer.problem
            ))
        }
    })?;
    if !answer.intact {
        return Ok(Exit::Software);
    }
    if let Some(file) = anchor {
        fs::write(file, format!("{head}\n"))
            .with_context(|| format!("write {}", file.display()))?;
    }
    Ok(Exit::Clean)
}

pub(super) async fn privacy(client: &Client, args: &Privacy) -> anyhow::Result<Exit> {
    let mut api = client.privacy();
    match args {
        Privacy::Export(who) => {
            let request = ExportSubjectRequest {
                subject: who.subject(),
            };
            let mut cases = api.export_subject(request).await?.into_inner();
            let mut count = 0;
            while let Some(next) = cases.message().await? {
                count += 1;
                client
                    .print
                    .one("Case", &next.case.unwrap_or_default(), |case| {
                        format!("{}\n", case_page(case))
                    })?;
            }
            client.print.say(&format!("{count} cases"))?;
        }
        Privacy::Erase { who, yes } => {
            if !yes && !confirmed(who)? {
                return Ok(Exit::Usage);
            }
            let request = EraseSubjectRequest {
                subject: who.subject(),
                request_id: request_id(),
            };
            let answer = call(&api, &request, |mut api, request| async move {
                api.erase_subject(request).await
            })
            .await?;
            let receipt = answer.receipt.unwrap_or_default();
            client.print.one("ErasureReceipt", &receipt, |receipt| {
                let mut text = format!(
                    "erased: {} cases, {} notes, {} audit payloads, {} unpublished decisions \
                     (audit entry {})\n",
                    receipt.cases,
                    receipt.notes,
                    receipt.audit_payloads,
                    receipt.outbox_records,
                    receipt.audit_sequence
                );
                for remains in &receipt.remains {
                    let until = match &remains.until {
                        Some(time) => format!("gone {}", relative(Some(time), now_ms())),
                        None => "kept without limit: delete the records there yourself".to_owned(),
                    };
                    text.push_str(&format!("remains in {}: {until}\n", remains.topic));
                }
                text
            })?;
        }
    }
    Ok(Exit::Clean)
}

fn confirmed(who: &Who) -> anyhow::Result<bool> {
    eprint!(
        "erase everything that {} wrote on {}? This can't be undone. Type yes: ",
        plain(&who.author),
        plain(&who.platform)
    );
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_survives_the_file_that_keeps_it() {
        let hash = [0, 1, 0xab, 0xff];
        assert_eq!(from_hex(&to_hex(&hash)).as_deref(), Some(&hash[..]));
        assert_eq!(from_hex("abc"), None);
        assert_eq!(from_hex("zz"), None);
    }

    #[test]
    fn roles_are_typed_in_lower_case() {
        assert_eq!(role("lead"), Ok(Role::Lead));
        assert!(role("boss").unwrap_err().contains("lead"));
    }
}
