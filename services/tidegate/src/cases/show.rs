//! What is printed: tables and pages for people, JSON lines for machines.

use std::io::{self, Write as _};

use anyhow::Context as _;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions, prost::Message};
use tidegate_proto::escalation::v1::{Agent, AuditEntry, Case, DESCRIPTORS, Decision, Queue};

use super::time::{millis, now_ms, relative, short};

/// Prints answers.
pub(super) struct Printer {
    /// The contract's types, where JSON is wanted.
    types: Option<DescriptorPool>,
}

impl Printer {
    pub(super) fn new(json: bool) -> anyhow::Result<Self> {
        let types = json
            .then(|| DescriptorPool::decode(DESCRIPTORS).context("the contract's types"))
            .transpose()?;
        Ok(Self { types })
    }

    /// Prints one message: as a JSON line, or as `text` says it.
    pub(super) fn one<M: Message>(
        &self,
        kind: &str,
        message: &M,
        text: impl FnOnce(&M) -> String,
    ) -> anyhow::Result<()> {
        match &self.types {
            Some(types) => line(&json(types, kind, message)?),
            None => line(text(message).trim_end()),
        }
    }

    /// Prints a list: a JSON line each, or a table with a head.
    pub(super) fn all<M: Message, const N: usize>(
        &self,
        kind: &str,
        messages: &[M],
        head: [&str; N],
        row: impl Fn(&M) -> [String; N],
    ) -> anyhow::Result<()> {
        match &self.types {
            Some(types) => messages
                .iter()
                .try_for_each(|message| line(&json(types, kind, message)?)),
            None => line(table(head, messages.iter().map(row)).trim_end()),
        }
    }

    /// Prints words that are for people alone.
    pub(super) fn say(&self, text: &str) -> anyhow::Result<()> {
        match self.types {
            Some(_) => Ok(()),
            None => line(text),
        }
    }
}

fn line(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // Whoever reads has enough (`| head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            std::process::exit(0);
        }
        done => Ok(done?),
    }
}

/// Protobuf's own JSON, with the field names of the contract.
fn json<M: Message>(types: &DescriptorPool, kind: &str, message: &M) -> anyhow::Result<String> {
    let name = format!("tidegate.escalation.v1.{kind}");
    let kind = types
        .get_message_by_name(&name)
        .with_context(|| format!("the contract has no {name}"))?;
    let message = DynamicMessage::decode(kind, message.encode_to_vec().as_slice())?;
    let mut out = serde_json::Serializer::new(Vec::new());
    let options = SerializeOptions::new().use_proto_field_name(true);
    message.serialize_with_options(&mut out, &options)?;
    Ok(String::from_utf8(out.into_inner())?)
}

fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows.map(|row| row.map(|cell| plain(&cell).replace('\n', " "))));
    let mut widths = [0; N];
    for cells in &lines {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for cells in &lines {
        let padded = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        out.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// Text from outside without what would steer the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => '\n',
            '\t' => ' ',
            // Control characters, and those that change the direction of writing.
            c if c.is_control() => '\u{fffd}',
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// `CASE_STATE_ON_HOLD` as `on_hold`.
pub(super) fn lower(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

pub(super) fn last(name: &str) -> String {
    name.rsplit('/').next().unwrap_or(name).to_owned()
}

/// The head of [`case_row`].
pub(super) const CASE_HEAD: [&str; 8] = [
    "CASE", "STATE", "QUEUE", "PRIORITY", "DUE", "OPENED", "BRAND", "WHY",
];

/// A case in one line, without what was written.
pub(super) fn case_row(case: &Case) -> [String; 8] {
    let now = now_ms();
    let why = case.verdict.iter().flat_map(|verdict| &verdict.reasons);
    [
        last(&case.name),
        lower(case.state().as_str_name(), "CASE_STATE_"),
        last(&case.queue),
        lower(case.priority().as_str_name(), "PRIORITY_"),
        relative(case.due_time.as_ref(), now),
        relative(case.create_time.as_ref(), now),
        case.event
            .as_ref()
            .map_or_else(String::new, |event| event.brand.clone()),
        why.take(3)
            .map(|reason| reason.code.clone())
            .collect::<Vec<_>>()
            .join(", "),
    ]
}

/// A case whole.
pub(super) fn case_page(case: &Case) -> String {
    let now = now_ms();
    let mut rows: Vec<(&str, String)> = Vec::new();
    let [name, state, queue, priority, due, opened, _, why] = case_row(case);
    rows.push(("case", name));
    rows.push(("etag", case.etag.clone()));
    let taken = case.lease.as_ref().map_or_else(String::new, |lease| {
        format!(
            " by {}, {}",
            last(&lease.agent),
            relative(lease.expire_time.as_ref(), now)
        )
    });
    rows.push(("state", format!("{state}{taken}")));
    rows.push(("queue", format!("{queue}, {priority}")));
    let late = if case.breached { ", overdue" } else { "" };
    rows.push(("due", format!("{due}{late}; opened {opened}")));
    if !case.assigned_to.is_empty() {
        rows.push(("reserved", last(&case.assigned_to)));
    }
    if let Some(hold) = &case.hold {
        let until = relative(hold.return_time.as_ref(), now);
        rows.push(("on hold", format!("{} ({until})", hold.reason)));
    }
    if let Some(event) = &case.event {
        let conversation = event.conversation_id.as_deref().unwrap_or("-");
        rows.push((
            "message",
            format!(
                "{} · {} · {} · {} · conversation {conversation} · edited {} times",
                event.event_id,
                event.platform,
                event.brand,
                lower(event.channel().as_str_name(), "CHANNEL_"),
                event.edits
            ),
        ));
        if let Some(author) = &event.author {
            rows.push((
                "author",
                format!(
                    "{} ({}), {} followers",
                    author.name(),
                    author.id(),
                    author.followers()
                ),
            ));
        }
        for (key, value) in &event.context {
            rows.push(("context", format!("{key} = {value}")));
        }
        rows.push(("text", event.text().to_owned()));
    }
    if let Some(verdict) = &case.verdict {
        rows.push((
            "machine",
            format!(
                "{}: {why}; model {}, policy {}",
                lower(verdict.action().as_str_name(), "ACTION_"),
                verdict.model_version(),
                verdict.policy_version
            ),
        ));
    }
    for note in &case.notes {
        rows.push(("note", format!("{}: {}", last(&note.agent), note.text)));
    }
    for one in &case.decisions {
        rows.push(("decided", decision(one)));
    }
    if let Some(appeal) = &case.appeal {
        let state = lower(appeal.state().as_str_name(), "APPEAL_STATE_");
        rows.push(("appeal", format!("{state}: {}", appeal.reason)));
        rows.extend(appeal.decision.iter().map(|one| ("", decision(one))));
    }
    if !case.grouped_event_ids.is_empty() {
        let count = case.grouped_event_ids.len();
        rows.push(("also for", format!("{count} more messages of a flood")));
    }
    rows.into_iter()
        .map(|(name, value)| {
            format!(
                "{name:<9} {}\n",
                plain(&value).replace('\n', "\n          ")
            )
        })
        .collect()
}

fn decision(one: &Decision) -> String {
    let labels: Vec<_> = one
        .labels()
        .map(|label| lower(label.as_str_name(), "LABEL_"))
        .collect();
    format!(
        "{} by {} [{}] {}",
        lower(one.outcome().as_str_name(), "OUTCOME_"),
        last(&one.agent),
        labels.join(", "),
        one.comment
    )
}

/// The head of [`queue_row`].
pub(super) const QUEUE_HEAD: [&str; 8] = [
    "QUEUE",
    "WAITING",
    "CLAIMED",
    "ON HOLD",
    "OVERDUE",
    "OLDEST",
    "LEASE",
    "ON BREACH",
];

/// A queue in one line.
pub(super) fn queue_row(queue: &Queue) -> [String; 8] {
    let oldest = queue.oldest_open_time.as_ref().map_or_else(
        || "-".to_owned(),
        |time| short((now_ms() - millis(time)).max(0).unsigned_abs() / 1_000),
    );
    let lease = queue.lease.as_ref().map_or(600, |lease| lease.seconds);
    [
        last(&queue.name),
        queue.open_count.to_string(),
        queue.claimed_count.to_string(),
        queue.held_count.to_string(),
        queue.breached_count.to_string(),
        oldest,
        short(lease.unsigned_abs()),
        match last(&queue.breach_queue) {
            queue if queue.is_empty() => "stays, urgent".to_owned(),
            queue => format!("goes to {queue}"),
        },
    ]
}

/// The head of [`agent_row`].
pub(super) const AGENT_HEAD: [&str; 6] =
    ["AGENT", "ROLE", "QUEUES", "LANGUAGES", "PSEUDONYM", "STATE"];

/// An agent in one line.
pub(super) fn agent_row(agent: &Agent) -> [String; 6] {
    let queues: Vec<_> = agent
        .queues
        .iter()
        .map(|queue| match last(queue).as_str() {
            "-" => "all".to_owned(),
            name => name.to_owned(),
        })
        .collect();
    [
        last(&agent.name),
        lower(agent.role().as_str_name(), "ROLE_"),
        queues.join(","),
        if agent.languages.is_empty() {
            "all".to_owned()
        } else {
            agent.languages.join(",")
        },
        agent.pseudonym.clone(),
        if agent.disabled { "disabled" } else { "active" }.to_owned(),
    ]
}

/// The head of [`entry_row`].
pub(super) const ENTRY_HEAD: [&str; 6] = ["NUMBER", "WHEN", "WHO", "WHAT", "TO WHAT", "WHY"];

/// An audit entry in one line.
pub(super) fn entry_row(entry: &AuditEntry) -> [String; 6] {
    [
        entry.sequence.to_string(),
        relative(entry.time.as_ref(), now_ms()),
        last(&entry.actor),
        entry.action.clone(),
        entry.resource.clone(),
        if entry.erased {
            "(erased)".to_owned()
        } else {
            entry.reason.clone()
        },
    ]
}

#[cfg(test)]
mod tests {
    use tidegate_proto::escalation::v1::CaseState;

    use super::*;

    fn case() -> Case {
        let mut case = Case {
            name: "cases/abc".to_owned(),
            queue: "queues/conduct".to_owned(),
            event: Some(tidegate_proto::escalation::v1::CaseEvent {
                text: Some("line one\n\u{1b}[2Jline two\u{202e}".to_owned()),
                ..Default::default()
            }),
            ..Case::default()
        };
        case.set_state(CaseState::OnHold);
        case
    }

    #[test]
    fn what_was_written_can_not_steer_the_terminal() {
        let page = case_page(&case());
        assert!(
            page.contains("line one\n          \u{fffd}[2Jline two\u{fffd}"),
            "{page}"
        );
    }

    #[test]
    fn a_list_shows_names_without_their_prefix_and_no_text() {
        let table = table(CASE_HEAD, [case_row(&case())].into_iter());
        let row = table.lines().nth(1).unwrap();
        assert!(row.starts_with("abc   on_hold  conduct"), "{row}");
        assert!(!table.contains("line one"));
    }

    #[test]
    fn json_has_the_names_of_the_contract() {
        let types = DescriptorPool::decode(DESCRIPTORS).unwrap();
        let json = json(&types, "Case", &case()).unwrap();
        assert!(json.contains(r#""state":"CASE_STATE_ON_HOLD""#), "{json}");
        assert!(!json.contains('\n'));
    }
}
