//! Working cases: list, watch, take, give back, decide.

use std::time::Duration;

use tidegate_chassis::exit::Exit;
use tidegate_proto::{
    escalation::v1::{
        AddNoteRequest, AssignCaseRequest, Case, ClaimCaseRequest, DecideAppealRequest,
        GetCaseRequest, HeartbeatCaseRequest, HoldCaseRequest, ListCasesRequest, OpenAppealRequest,
        Outcome, ReleaseCaseRequest, ResolveCaseRequest, WatchCasesRequest,
    },
    events::v1::Label,
};

use super::{
    client::{Client, call, request_id},
    full,
    show::{CASE_HEAD, case_page, case_row, lower, plain},
    time::{length, now_ms, proto, relative, timestamp},
};

#[derive(clap::Args)]
pub(super) struct List {
    /// Only these: `state = OPEN AND queue = "conduct" AND label:HATE`
    #[arg(long, default_value = "", value_name = "FILTER")]
    filter: String,
    /// rank, create_time, due_time or update_time, each with an optional " desc"
    #[arg(long, default_value = "", value_name = "FIELD")]
    order_by: String,
    /// At most this many
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

#[derive(clap::Args)]
pub(super) struct Watch {
    /// Only these, as for `list`
    #[arg(long, default_value = "", value_name = "FILTER")]
    filter: String,
    /// Go on after a break: the token of the last JSON line
    #[arg(long, default_value = "", value_name = "TOKEN")]
    resume: String,
}

#[derive(clap::Args)]
pub(super) struct Name {
    /// The case
    case: String,
}

#[derive(clap::Args)]
pub(super) struct Claim {
    /// The case; the next one when absent
    #[arg(default_value = "", hide_default_value = true)]
    case: String,
    /// The queues to take the next one from; all that you may work when absent
    #[arg(long = "queue", value_name = "QUEUE")]
    queues: Vec<String>,
    /// Wait this long for a case to come, at most 60s
    #[arg(long, value_parser = length, value_name = "TIME")]
    wait: Option<Duration>,
}

#[derive(clap::Args)]
pub(super) struct Release {
    /// The case
    case: String,
    /// Do not offer it to me again
    #[arg(long)]
    skip: bool,
    /// Why
    #[arg(long, default_value = "")]
    reason: String,
}

#[derive(clap::Args)]
pub(super) struct Hold {
    /// The case
    case: String,
    /// When it returns, from now: 2h, 1d
    #[arg(long = "for", value_parser = length, value_name = "TIME")]
    long: Duration,
    /// Why
    #[arg(long)]
    reason: String,
    /// Refuse if the case has changed since it had this etag
    #[arg(long, default_value = "")]
    etag: String,
}

#[derive(clap::Args)]
pub(super) struct Assign {
    /// The case
    case: String,
    /// The agent; anyone when absent
    #[arg(long, default_value = "")]
    agent: String,
    /// The queue; as it is when absent
    #[arg(long, default_value = "")]
    queue: String,
    /// Why
    #[arg(long, default_value = "")]
    reason: String,
    /// Refuse if the case has changed since it had this etag
    #[arg(long, default_value = "")]
    etag: String,
}

#[derive(clap::Args)]
pub(super) struct Resolve {
    /// The case
    case: String,
    /// allow, hide, delete, ban, refund, replied, handed_over or no_action
    #[arg(value_parser = outcome)]
    outcome: Outcome,
    /// A label that fits, such as hate; give each one that does
    #[arg(long = "label", value_parser = label)]
    labels: Vec<Label>,
    /// Why
    #[arg(long, default_value = "")]
    comment: String,
    /// Refuse if the case has changed since it had this etag
    #[arg(long, default_value = "")]
    etag: String,
}

#[derive(clap::Args)]
pub(super) struct Note {
    /// The case
    case: String,
    /// The remark
    text: String,
}

#[derive(clap::Subcommand)]
pub(super) enum Appeal {
    /// Enter an objection
    Open {
        /// The case
        case: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Let the decision stand
    Uphold {
        /// The case
        case: String,
        /// Why
        #[arg(long, default_value = "")]
        comment: String,
    },
    /// Decide otherwise
    Overturn {
        /// The case
        case: String,
        /// The new decision
        #[arg(value_parser = outcome)]
        outcome: Outcome,
        /// A label that fits; give each one that does
        #[arg(long = "label", value_parser = label)]
        labels: Vec<Label>,
        /// Why
        #[arg(long, default_value = "")]
        comment: String,
    },
}

fn outcome(text: &str) -> Result<Outcome, String> {
    Outcome::from_str_name(&format!("OUTCOME_{}", text.to_uppercase()))
        .filter(|outcome| *outcome != Outcome::Unspecified)
        .ok_or_else(|| {
            "one of allow, hide, delete, ban, refund, replied, handed_over, no_action".to_owned()
        })
}

fn label(text: &str) -> Result<Label, String> {
    Label::from_str_name(&format!("LABEL_{}", text.to_uppercase()))
        .filter(|label| *label != Label::Unspecified)
        .ok_or_else(|| {
            "one of spam, hate, abuse, purchase_intent, support, risk, collab, question, \
             negative, positive"
                .to_owned()
        })
}

fn numbers(labels: &[Label]) -> Vec<i32> {
    labels.iter().map(|label| *label as i32).collect()
}

fn one(client: &Client, case: Option<Case>) -> anyhow::Result<Exit> {
    let case = case.unwrap_or_default();
    client.print.one("Case", &case, case_page)?;
    Ok(Exit::Clean)
}

pub(super) async fn list(client: &Client, args: &List) -> anyhow::Result<Exit> {
    let mut cases = Vec::new();
    let mut token = String::new();
    while cases.len() < args.limit {
        let request = ListCasesRequest {
            page_size: i32::try_from((args.limit - cases.len()).min(500))?,
            page_token: token,
            filter: args.filter.clone(),
            order_by: args.order_by.clone(),
        };
        let api = client.cases();
        let page = call(&api, &request, |mut api, request| async move {
            api.list_cases(request).await
        })
        .await?;
        cases.extend(page.cases);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    client.print.all("Case", &cases, CASE_HEAD, case_row)?;
    if !token.is_empty() {
        client.print.say("… more: --limit shows them")?;
    }
    Ok(Exit::Clean)
}

pub(super) async fn watch(client: &Client, args: &Watch) -> anyhow::Result<Exit> {
    let mut resume = args.resume.clone();
    client.print.say("watching; Ctrl-C ends it")?;
    loop {
        let request = WatchCasesRequest {
            filter: args.filter.clone(),
            resume_token: resume.clone(),
        };
        let api = client.cases();
        let mut changes = call(&api, &request, |mut api, request| async move {
            api.watch_cases(request).await
        })
        .await?;
        loop {
            match changes.message().await {
                Ok(Some(change)) => {
                    resume.clone_from(&change.resume_token);
                    if change.case.is_none() {
                        continue;
                    }
                    client.print.one("WatchCasesResponse", &change, |change| {
                        let case = change.case.clone().unwrap_or_default();
                        if change.left {
                            return format!(
                                "{:<36}  (no longer fits)",
                                super::show::last(&case.name)
                            );
                        }
                        let [name, state, queue, priority, due, _, brand, why] = case_row(&case);
                        plain(&format!(
                            "{name:<36}  {state:<13}  {queue:<12}  {priority:<7}  due {due:<9}  \
                             {brand}  {why}"
                        ))
                    })?;
                }
                // The service ends streams now and then; the token goes on where this one was.
                Ok(None) => break,
                Err(status) if status.code() == tonic::Code::Unavailable => break,
                Err(status) => return Err(status.into()),
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

pub(super) async fn show(client: &Client, args: &Name) -> anyhow::Result<Exit> {
    let request = GetCaseRequest {
        name: full("cases", &args.case),
    };
    let api = client.cases();
    let answer = call(&api, &request, |mut api, request| async move {
        api.get_case(request).await
    })
    .await?;
    one(client, answer.case)
}

pub(super) async fn claim(client: &Client, args: &Claim) -> anyhow::Result<Exit> {
    let request = ClaimCaseRequest {
        name: full("cases", &args.case),
        queues: args
            .queues
            .iter()
            .map(|name| full("queues", name))
            .collect(),
        wait: args.wait.map(proto),
        request_id: request_id(),
    };
    let api = client.cases();
    let answer = call(&api, &request, |mut api, request| async move {
        api.claim_case(request).await
    })
    .await?;
    match answer.case {
        None => {
            client
                .print
                .say("no case waits for you; --wait 60s waits for one")?;
            Ok(Exit::Clean)
        }
        case => one(client, case),
    }
}

pub(super) async fn heartbeat(client: &Client, args: &Name) -> anyhow::Result<Exit> {
    let request = HeartbeatCaseRequest {
        name: full("cases", &args.case),
    };
    let api = client.cases();
    let answer = call(&api, &request, |mut api, request| async move {
        api.heartbeat_case(request).await
    })
    .await?;
    let lease = answer.lease.unwrap_or_default();
    client.print.one("Lease", &lease, |lease| {
        let ends = relative(lease.expire_time.as_ref(), now_ms());
        format!("the lease ends {ends}")
    })?;
    Ok(Exit::Clean)
}

pub(super) async fn release(client: &Client, args: &Release) -> anyhow::Result<Exit> {
    let request = ReleaseCaseRequest {
        name: full("cases", &args.case),
        skip: args.skip,
        reason: args.reason.clone(),
        request_id: request_id(),
    };
    let api = client.cases();
    let answer = call(&api, &request, |mut api, request| async move {
        api.release_case(request).await
    })
    .await?;
    one(client, answer.case)
}

pub(super) async fn hold(client: &Client, args: &Hold) -> anyhow::Result<Exit> {
    let long = i64::try_from(args.long.as_millis())?;
    let request = HoldCaseRequest {
        name: full("cases", &args.case),
        reason: args.reason.clone(),
        return_time: Some(timestamp(now_ms().saturating_add(long))),
        etag: args.etag.clone(),
        request_id: request_id(),
    };
    let api = client.cases();
    let answer = call(&api, &request, |mut api, request| async move {
        api.hold_case(request).await
    })
    .await?;
    one(client, answer.case)
}

pub(super) async fn assign(client: &Client, args: &Assign) -> anyhow::Result<Exit> {
    let request = AssignCaseRequest {
        name: full("cases", &args.case),
        agent: full("agents", &args.agent),
        queue: full("queues", &args.queue),
        reason: args.reason.clone(),
        etag: args.etag.clone(),
        request_id: request_id(),
    };
    let api = client.cases();
    let answer = call(&api, &request, |mut api, request| async move {
        api.assign_case(request).await
    })
    .await?;
    one(client, answer.case)
}

pub(super) async fn resolve(client: &Client, args: &Resolve) -> anyhow::Result<Exit> {
    let request = ResolveCaseRequest {
        name: full("cases", &args.case),
        outcome: args.outcome.into(),
        labels: numbers(&args.labels),
        comment: args.comment.clone(),
        etag: args.etag.clone(),
        request_id: request_id(),
    };
    let api = client.cases();
    let answer = call(&api, &request, |mut api, request| async move {
        api.resolve_case(request).await
    })
    .await?;
    let case = answer.case.unwrap_or_default();
    client.print.one("Case", &case, |case| {
        let state = lower(case.state().as_str_name(), "CASE_STATE_");
        format!("{} is {state}", case.name)
    })?;
    Ok(Exit::Clean)
}

pub(super) async fn note(client: &Client, args: &Note) -> anyhow::Result<Exit> {
    let request = AddNoteRequest {
        name: full("cases", &args.case),
        text: args.text.clone(),
        request_id: request_id(),
    };
    let api = client.cases();
    let answer = call(&api, &request, |mut api, request| async move {
        api.add_note(request).await
    })
    .await?;
    one(client, answer.case)
}

pub(super) async fn appeal(client: &Client, args: &Appeal) -> anyhow::Result<Exit> {
    let api = client.cases();
    let decide = match args {
        Appeal::Open { case, reason } => {
            let request = OpenAppealRequest {
                name: full("cases", case),
                reason: reason.clone(),
                request_id: request_id(),
            };
            let answer = call(&api, &request, |mut api, request| async move {
                api.open_appeal(request).await
            })
            .await?;
            return one(client, answer.case);
        }
        Appeal::Uphold { case, comment } => DecideAppealRequest {
            name: full("cases", case),
            comment: comment.clone(),
            request_id: request_id(),
            ..DecideAppealRequest::default()
        },
        Appeal::Overturn {
            case,
            outcome,
            labels,
            comment,
        } => DecideAppealRequest {
            name: full("cases", case),
            overturn: true,
            outcome: (*outcome).into(),
            labels: numbers(labels),
            comment: comment.clone(),
            etag: String::new(),
            request_id: request_id(),
        },
    };
    let answer = call(&api, &decide, |mut api, request| async move {
        api.decide_appeal(request).await
    })
    .await?;
    one(client, answer.case)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_and_labels_are_typed_in_lower_case() {
        assert_eq!(outcome("handed_over"), Ok(Outcome::HandedOver));
        assert_eq!(label("purchase_intent"), Ok(Label::PurchaseIntent));
        assert!(outcome("unspecified").unwrap_err().contains("no_action"));
        assert!(label("rude").unwrap_err().contains("hate"));
    }
}
