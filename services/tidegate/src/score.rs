//! `tidegate score`: JSON lines of texts in, a line of scores and decision out for each.

use std::{
    io::{BufRead, BufWriter, Write},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_chassis::exit::Exit;
use tidegate_classifier::{Classifier, ClassifierSettings, Mode, Tier, score_readings};
use tidegate_core::{
    Author, BrandId, Channel, Event, EventId, Kind, LabelSet, Policy, Scores, Source, Text,
    names::Set, normalize, route::Route, routes, verdict::Reason,
};
use tidegate_moderator::{language::judge, policy_file};

/// Lines that are scored together.
const BATCH: usize = 1_024;
/// The longest line that is read whole; a longer one is an error of its own.
const MAX_LINE_BYTES: usize = 4 << 20;

/// What to score with.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which models score: screen, deep or cascade (default: cascade where there is a deep model)
    #[arg(long)]
    model: Option<Mode>,
    /// The folder that holds the models
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// A policy file instead of the shipped policy
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Score this one text and explain, instead of reading stdin
    #[arg(long)]
    text: Option<String>,
    /// The channel of --text: comment, dm or live
    #[arg(long, default_value = "comment", requires = "text")]
    channel: Channel,
}

/// One input line.
#[derive(Deserialize)]
struct Line {
    id: String,
    text: String,
    lang: Option<String>,
    channel: Option<Channel>,
    platform: Option<String>,
    brand: Option<String>,
}

/// One output line.
#[derive(Serialize)]
struct Answer<'a> {
    id: &'a str,
    scores: Scores,
    labels: LabelSet,
    tier: &'static str,
    action: &'static str,
    routes: Set<Route>,
    reasons: &'a [Reason<'a>],
}

/// Scores stdin or `--text`.
///
/// # Errors
/// The models or the policy can't be used, or stdout is gone.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let policy = match &args.policy {
        Some(file) => policy_file::read(file)?,
        None => Policy::default_policy(),
    };
    let folder = crate::models::folder(args.models.as_deref())?;
    let mode = args.model.unwrap_or_else(|| Mode::best(&folder));
    let mut classifier = Classifier::load(&ClassifierSettings::new(&folder, mode))?;
    match &args.text {
        Some(text) => explain(&mut classifier, &policy, text, args.channel)?,
        None => {
            let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
            lines(&mut classifier, &policy, input, output)?;
        }
    }
    Ok(Exit::Clean)
}

fn event(line: Line) -> Event<'static> {
    Event {
        id: EventId::from(line.id),
        kind: Kind::Created,
        platform: line.platform.unwrap_or_default().into(),
        brand: BrandId::from(line.brand.unwrap_or_default()),
        channel: line.channel.unwrap_or(Channel::Comment),
        conversation_id: None,
        parent_id: None,
        post_id: None,
        author: Author::default(),
        text: line.text.into(),
        lang: line.lang.map(Into::into),
        created_at_ms: 0,
        recorded_at_ms: None,
        context: Vec::new(),
    }
}

/// A message on `channel` of which nothing else is known.
pub(crate) fn event_on(channel: Channel) -> Event<'static> {
    event(Line {
        id: String::new(),
        text: String::new(),
        lang: None,
        channel: Some(channel),
        platform: None,
        brand: None,
    })
}

/// Scores JSON lines: one line out for each line in, in the same order.
fn lines(
    classifier: &mut Classifier,
    policy: &Policy,
    mut input: impl BufRead,
    output: impl Write,
) -> anyhow::Result<()> {
    let mut output = BufWriter::with_capacity(1 << 20, output);
    let mut batch: Vec<Result<Event<'static>, serde_json::Value>> = Vec::with_capacity(BATCH);
    let (mut bytes, mut number) = (Vec::new(), 0_u64);
    loop {
        bytes.clear();
        let read = read_line(&mut input, &mut bytes)?;
        if read > 0 {
            number += 1;
            batch.push(parse(&bytes, number));
        }
        if batch.len() == BATCH || read == 0 {
            answer(classifier, policy, &batch, &mut output)?;
            batch.clear();
        }
        if read == 0 {
            return Ok(output.flush()?);
        }
    }
}

/// Reads one line, of which no more than the limit is kept; returns the bytes that were read.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<usize> {
    let mut read = 0;
    loop {
        let available = input.fill_buf()?;
        if available.is_empty() {
            return Ok(read);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        let room = (MAX_LINE_BYTES + 1).saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        read += used;
        if end.is_some() {
            return Ok(read);
        }
    }
}

fn parse(line: &[u8], number: u64) -> Result<Event<'static>, serde_json::Value> {
    if line.len() > MAX_LINE_BYTES {
        let error = format!("longer than {MAX_LINE_BYTES} bytes");
        return Err(json!({ "line": number, "error": error }));
    }
    serde_json::from_slice::<Line>(line)
        .map(event)
        // A wrong value would be quoted, and it may be somebody's text: its place is enough.
        .map_err(|error| {
            let what = match error.classify() {
                serde_json::error::Category::Data => {
                    "needs \"id\" and \"text\" as strings; lang, channel (comment, dm, live), \
                     platform and brand are optional strings"
                }
                serde_json::error::Category::Eof => "JSON that ends too early",
                _ => "not JSON",
            };
            json!({ "line": number, "error": format!("{what} (column {})", error.column()) })
        })
}

fn answer(
    classifier: &mut Classifier,
    policy: &Policy,
    batch: &[Result<Event<'static>, serde_json::Value>],
    output: &mut impl Write,
) -> anyhow::Result<()> {
    let events: Vec<_> = batch.iter().flatten().collect();
    let texts: Vec<Text<'_>> = events.iter().map(|event| normalize(&event.text)).collect();
    let mut scored = Vec::new();
    score_readings(texts.iter(), &mut scored, |texts, out| {
        classifier.classify(texts, out)
    })?;
    let shown = [Tier::Screen, Tier::Deep].map(|tier| languages(classifier, tier));
    let mut judged = events.iter().zip(&texts).zip(&scored);
    for item in batch {
        match item {
            Ok(_) => {
                let Some(((event, text), scored)) = judged.next() else {
                    break;
                };
                let shown = &shown[usize::from(scored.tier == Tier::Deep)];
                let scored = scored.by_model("");
                let verdict = judge(event, text, Some(scored), shown, policy, SOURCE);
                let answer = Answer {
                    id: event.id.as_str(),
                    scores: scored.scores,
                    labels: verdict.labels,
                    tier: scored.tier.as_str(),
                    action: verdict.action.as_str(),
                    routes: routes(&verdict),
                    reasons: &verdict.reasons,
                };
                serde_json::to_writer(&mut *output, &answer)?;
            }
            Err(error) => serde_json::to_writer(&mut *output, error)?,
        }
        output.write_all(b"\n")?;
    }
    Ok(())
}

/// The languages that the model of `tier` was shown in.
fn languages(classifier: &Classifier, tier: Tier) -> Vec<String> {
    classifier
        .model(tier)
        .map_or_else(Vec::new, |model| model.languages)
}

fn explain(
    classifier: &mut Classifier,
    policy: &Policy,
    text: &str,
    channel: Channel,
) -> anyhow::Result<()> {
    let event = Event {
        text: text.into(),
        ..event_on(channel)
    };
    let text = normalize(&event.text);
    let mut scored = Vec::new();
    score_readings([&text].into_iter(), &mut scored, |texts, out| {
        classifier.classify(texts, out)
    })?;
    let shown = languages(classifier, scored[0].tier);
    let scored = scored[0].by_model("");
    let verdict = judge(&event, &text, Some(scored), &shown, policy, SOURCE);
    let thresholds = policy.thresholds(&event);
    if text.scored() != event.text {
        println!("read as   {}", text.scored());
    }
    if let Some(undisguised) = text.undisguised() {
        println!("also as   {undisguised}");
    }
    for (label, score) in scored.scores.iter() {
        let bar = "█".repeat((score.get() * 30.0).round() as usize);
        let mark = if verdict.labels.contains(label) {
            "◀ reached"
        } else {
            ""
        };
        let threshold = thresholds[label.index()].get();
        println!(
            "{:<16} {:>6.4}  {bar:<30}  of {threshold:.2} {mark}",
            label.as_str(),
            score.get()
        );
    }
    println!("action    {} (scored by {})", verdict.action, scored.tier);
    for reason in &verdict.reasons {
        match (reason.score, reason.threshold) {
            (Some(score), Some(threshold)) => {
                println!(
                    "because   {}: {:.4} of {:.2}",
                    reason.code,
                    score.get(),
                    threshold.get()
                );
            }
            _ => println!("because   {}", reason.code),
        }
    }
    for route in routes(&verdict).iter() {
        println!("goes to   {route}");
    }
    if let Some(review) = &verdict.review {
        let minutes = (review.due_at_ms - event.event_time_ms()) / 60_000;
        println!(
            "queue     {}, {} priority, due in {minutes} min",
            review.queue, review.priority
        );
    }
    Ok(())
}

/// There is no record behind a line.
const SOURCE: Source<'static> = Source {
    topic: "",
    partition: 0,
    offset: 0,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_says_where_and_never_what_it_said() {
        for (bad, column) in [
            (&b"not json"[..], true),
            (b"{\"id\":\"1\"}", true),
            (b"{\"id\":\"1\",\"text\":4711}", true),
            (b"{\"id\":\"1\",\"text\":\"secret", true),
            (b"\xff\xfe", true),
            (b"", true),
        ] {
            let error = parse(bad, 7).expect_err("it is bad").to_string();
            assert!(error.contains("\"line\":7"), "{error}");
            assert_eq!(error.contains("column"), column, "{error}");
            assert!(
                !error.contains("4711") && !error.contains("secret"),
                "{error}"
            );
        }
    }

    #[test]
    fn an_endless_line_is_cut_and_the_next_one_is_read() {
        let mut input = vec![b'x'; MAX_LINE_BYTES * 2];
        input.extend_from_slice(b"\n{}\n");
        let (mut input, mut line) = (&input[..], Vec::new());
        read_line(&mut input, &mut line).unwrap();
        assert!(
            parse(&line, 1)
                .unwrap_err()
                .to_string()
                .contains("longer than")
        );
        line.clear();
        read_line(&mut input, &mut line).unwrap();
        assert_eq!(line, b"{}");
    }
}
