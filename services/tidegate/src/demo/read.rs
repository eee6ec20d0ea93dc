//! Reads the results back, as any consumer of the topics would.

use std::{thread, time::Duration};

use anyhow::Context as _;
use rdkafka::{Message as _, consumer::Consumer as _};
use serde::Deserialize;
use tidegate_chassis::shutdown::Shutdown;
use tidegate_kafka::reader::{ends, reader};
use tidegate_moderator::settings::{Settings, Topics};

use crate::topics::PATIENCE;

use super::{
    Board, Part,
    counts::{Counts, Recent},
};

/// How long the topics must be silent after the end until the reader takes it that all was read.
const SILENCE: Duration = Duration::from_millis(1_500);

/// The part of a verdict that the demo shows.
#[derive(Deserialize)]
struct Verdict<'a> {
    event_id: &'a str,
    #[serde(default)]
    platform: Option<&'a str>,
    #[serde(default)]
    brand: Option<&'a str>,
    action: &'a str,
    #[serde(default)]
    tier: &'a str,
    #[serde(borrow)]
    reasons: Vec<Reason<'a>>,
}

#[derive(Deserialize)]
struct Reason<'a> {
    code: &'a str,
    #[serde(default)]
    score: Option<f32>,
}

/// Starts the reader at the present end of the topics.
pub(super) fn start(settings: &Settings, board: Board, shutdown: Shutdown) -> anyhow::Result<Part> {
    let mut kafka = settings.kafka.clone();
    kafka.group_id = "tidegate-demo".to_owned();
    let consumer = reader(&kafka)?;
    let topics = settings.topics.clone();
    let ends = ends(&consumer, &topics.names(), PATIENCE).context("look at the topics")?;
    consumer.assign(&ends).context("read the results")?;
    let read = move || -> anyhow::Result<()> {
        loop {
            let wait = if shutdown.is_requested() {
                SILENCE
            } else {
                Duration::from_millis(100)
            };
            match consumer.poll(wait) {
                Some(record) => {
                    let record = record.context("read the results")?;
                    let payload = record.payload().unwrap_or_default();
                    note(&mut board.lock(), &topics, record.topic(), payload);
                }
                None if shutdown.is_requested() => return Ok(()),
                None => {}
            }
        }
    };
    Ok(thread::Builder::new()
        .name("reader".to_owned())
        .spawn(read)?)
}

fn note(counts: &mut Counts, topics: &Topics, topic: &str, payload: &[u8]) {
    let routed = &mut counts.routed;
    match topic {
        _ if topic == topics.spam => routed.spam += 1,
        _ if topic == topics.hate => routed.hate += 1,
        _ if topic == topics.purchase_intent => routed.purchase_intent += 1,
        _ if topic == topics.escalations => routed.escalations += 1,
        _ if topic == topics.dead_letters => counts.dead_letters += 1,
        _ => {
            counts.verdicts += 1;
            let Ok(verdict) = serde_json::from_slice::<Verdict<'_>>(payload) else {
                return;
            };
            let scored_by = &mut counts.scored_by;
            *match verdict.tier {
                "screen" => &mut scored_by.screen,
                "deep" => &mut scored_by.deep,
                _ => &mut scored_by.none,
            } += 1;
            counts.hidden += u64::from(verdict.action.starts_with("hide"));
            if verdict.action != "allow" {
                counts.keep(shown(&verdict));
            }
        }
    }
}

fn shown(verdict: &Verdict<'_>) -> Recent {
    let reasons = verdict
        .reasons
        .iter()
        .take(3)
        .map(|reason| match reason.score {
            Some(score) => format!("{} {score:.2}", reason.code),
            None => reason.code.to_owned(),
        });
    Recent {
        action: verdict.action.to_owned(),
        reasons: reasons.collect::<Vec<_>>().join(", "),
        about: [Some(verdict.event_id), verdict.platform, verdict.brand]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" · "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_adds_to_its_own_count() {
        let (mut counts, topics) = (Counts::new(), Topics::default());
        for topic in topics.names() {
            note(&mut counts, &topics, topic, b"{}");
        }
        let routed = counts.routed;
        assert_eq!((counts.verdicts, counts.dead_letters), (1, 1));
        assert_eq!(
            [
                routed.spam,
                routed.hate,
                routed.purchase_intent,
                routed.escalations
            ],
            [1; 4]
        );
    }

    #[test]
    fn a_hiding_verdict_is_counted_and_shown_without_its_text() {
        let (mut counts, topics) = (Counts::new(), Topics::default());
        let verdict =
            br#"{"event_id":"e1","platform":"x","action":"hide","tier":"deep","text":"secret",
            "reasons":[{"code":"spam","score":0.91}]}"#;
        note(&mut counts, &topics, &topics.verdicts.clone(), verdict);
        assert_eq!((counts.hidden, counts.scored_by.deep), (1, 1));
        let recent = &counts.recent[0];
        assert_eq!(
            (recent.reasons.as_str(), recent.about.as_str()),
            ("spam 0.91", "e1 · x")
        );
    }
}
