//! One thread without Kafka: what each stage costs, and all of them together.
//!
//! Rates are for each second of the thread's own CPU time, so that a machine with other work to do
//! gives the same numbers; the wall clock's rate stands beside them.

use std::{
    hint::black_box,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tidegate_moderator::tally::now_ms;

use anyhow::{Context as _, bail};
use tidegate_classifier::{
    Classifier, ClassifierSettings, Mode, Scored, manifest::Manifest, runtime, tokens::Tokenizer,
};
use tidegate_core::{
    DecodeOptions, Decoded, Event, Incoming, Policy, Rejection, RejectionReason, Source, Text,
    Tier, decide, decode, normalize, routes,
};
use tidegate_kafka::{Batch, Outbox, Processor as _, RecordOffset};
use tidegate_moderator::{
    lanes::LastCommitted,
    metrics::LaneMetrics,
    pipeline::{ClassifierScorer, Pipeline, PipelineSettings},
    policy_file::PolicyInForce,
    service::Service,
    settings::Settings,
};

use super::{
    Bench,
    events::{self, Events, Messages, Prepared},
    machine::Machine,
    progress,
    report::Row,
    usage,
};

const SECTION: &str = "core, one thread";
/// Items that are prepared, and then measured, at a time.
const ROUND: usize = 16 * BATCH;
/// Items that a lane hands on together.
const BATCH: usize = 1_024;

/// Adds up the time of what is measured, and leaves out what is prepared in between.
#[derive(Default)]
struct Meter {
    items: u64,
    cpu: Duration,
    wall: Duration,
}

impl Meter {
    fn time(&mut self, items: usize, work: impl FnOnce()) {
        let (cpu, wall) = (usage::thread_cpu_time(), Instant::now());
        work();
        self.cpu += usage::thread_cpu_time() - cpu;
        self.wall += wall.elapsed();
        self.items += items as u64;
    }

    fn row(&self, name: &str) -> Row {
        let rate = |time: Duration| self.items as f64 / time.as_secs_f64();
        let micros = self.cpu.as_secs_f64() * 1e6 / self.items as f64;
        Row::new(SECTION, name)
            .with("per CPU second", rate(self.cpu))
            .with("per second", rate(self.wall))
            .with("CPU µs each", micros)
    }

    fn rate(&self) -> f64 {
        self.items as f64 / self.cpu.as_secs_f64()
    }
}

/// Runs rounds until their measured part has lasted; the first one only warms up.
fn rounds(
    bench: &Bench,
    mut round: impl FnMut(&mut Meter) -> anyhow::Result<()>,
) -> anyhow::Result<Meter> {
    round(&mut Meter::default())?;
    let mut meter = Meter::default();
    while meter.cpu < bench.duration / 10 {
        round(&mut meter)?;
    }
    Ok(meter)
}

/// Names the versions of model and runtime.
pub(super) fn name_versions(bench: &Bench, machine: &mut Machine) -> anyhow::Result<()> {
    let runtime = runtime::ensure().context("find ONNX Runtime")?;
    machine.onnx_runtime = Some(runtime.version);
    let manifest = screen(bench)?;
    machine.model = Some(format!("{}-{}", manifest.name, manifest.version));
    Ok(())
}

fn screen(bench: &Bench) -> anyhow::Result<Manifest> {
    let file = bench.settings.model.folder.join("screen/manifest.toml");
    Ok(Manifest::read(&file)?)
}

/// Measures each stage, then the pipeline.
pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    progress("core: decode, normalize, tokenize, score, decide, pipeline …");
    Ok(vec![
        decoding(bench)?,
        normalizing(bench)?,
        tokenizing(bench)?,
        scoring(bench)?,
        deciding(bench)?,
        piping(bench)?,
    ])
}

fn no_protobuf(_: &[u8]) -> Result<tidegate_core::decode::Fields<'static>, Rejection> {
    Err(Rejection::new(
        RejectionReason::InvalidProtobuf,
        "not in this bench",
    ))
}

fn decoded<'a>(payload: &'a [u8], key: &'a str) -> Result<Decoded<'a>, Rejection> {
    let incoming = Incoming {
        payload: Some(payload),
        key: Some(key.as_bytes()),
        timestamp_ms: None,
    };
    decode(incoming, &(), &DecodeOptions::default(), no_protobuf)
}

fn decoding(bench: &Bench) -> anyhow::Result<Row> {
    let mut events = Events::new(&bench.messages, 1);
    let meter = rounds(bench, |meter| {
        let payloads: Vec<_> = (0..ROUND).map(|_| events.short()).collect();
        let mut read = 0;
        meter.time(ROUND, || {
            for payload in &payloads {
                read += usize::from(black_box(decoded(&payload.payload, &payload.key)).is_ok());
            }
        });
        anyhow::ensure!(
            read == ROUND,
            "{} of {ROUND} events were rejected",
            ROUND - read
        );
        Ok(())
    })?;
    let row = meter.row("decode JSON, 400 B");
    Ok(row.at_least("per CPU second", meter.rate(), 1e6))
}

fn texts(events: &mut Events<'_>) -> Vec<String> {
    (0..ROUND).map(|_| events.short_text()).collect()
}

fn normalizing(bench: &Bench) -> anyhow::Result<Row> {
    let mut events = Events::new(&bench.messages, 2);
    let meter = rounds(bench, |meter| {
        let texts = texts(&mut events);
        meter.time(ROUND, || {
            for text in &texts {
                black_box(normalize(text).scored().len());
            }
        });
        Ok(())
    })?;
    Ok(meter.row("normalize, 85 B"))
}

fn tokenizing(bench: &Bench) -> anyhow::Result<Row> {
    let part = screen(bench)?.tokenizer;
    let json = std::fs::read(bench.settings.model.folder.join("screen").join(&part.file))
        .context("read the tokenizer")?;
    let mut tokenizer = Tokenizer::new(&json, &part)?;
    let (mut events, mut ids) = (Events::new(&bench.messages, 3), Vec::new());
    let (mut tokens, mut count) = (0, 0);
    let meter = rounds(bench, |meter| {
        let texts = texts(&mut events);
        meter.time(ROUND, || {
            for text in &texts {
                ids.clear();
                tokenizer.encode(text, &mut ids);
                tokens += ids.len();
            }
        });
        count += ROUND;
        Ok(())
    })?;
    let row = meter
        .row("tokenize, 85 B")
        .with("tokens each", tokens as f64 / count as f64);
    Ok(row.at_least("per CPU second", meter.rate(), 5e5))
}

fn classifier(settings: &Settings) -> anyhow::Result<Classifier> {
    let settings = ClassifierSettings {
        cache_capacity: 0,
        ..ClassifierSettings::new(&settings.model.folder, Mode::Screen)
    };
    Ok(Classifier::load(&settings)?)
}

/// The messages, sorted by what the pipeline makes of them.
pub(super) fn messages(settings: &Settings) -> anyhow::Result<Messages> {
    let mut classifier = classifier(settings)?;
    let policy = Policy::default_policy();
    let mut result = Ok(());
    let messages = Messages::sort(|all| {
        let texts: Vec<_> = all.iter().map(|[.., text]| normalize(text)).collect();
        let words: Vec<_> = texts.iter().map(Text::scored).collect();
        let mut scored = Vec::new();
        result = classifier.classify(&words, &mut scored);
        let leads = all
            .iter()
            .zip(&texts)
            .zip(&scored)
            .map(|((message, text), scored)| {
                let payload = events::bare(*message).to_string();
                let event = match decoded(payload.as_bytes(), "") {
                    Ok(Decoded::Event(event)) => event,
                    _ => return true,
                };
                let (scored, source) = (judged(scored), source(0));
                let verdict = decide(&event, text, Some(&scored), &policy, source);
                !routes(&verdict).is_empty()
            });
        leads.collect()
    });
    result?;
    Ok(messages)
}

fn scoring(bench: &Bench) -> anyhow::Result<Row> {
    let mut classifier = classifier(&bench.settings)?;
    let (mut events, mut out) = (Events::new(&bench.messages, 4), Vec::new());
    let meter = rounds(bench, |meter| {
        let texts = texts(&mut events);
        let normal: Vec<_> = texts.iter().map(|text| normalize(text)).collect();
        let scored: Vec<_> = normal.iter().map(Text::scored).collect();
        let mut result = Ok(());
        meter.time(ROUND, || {
            for batch in scored.chunks(BATCH) {
                if let Err(error) = classifier.classify(batch, &mut out) {
                    result = Err(error);
                }
            }
        });
        Ok(result?)
    })?;
    let row = meter.row("text to scores, screen, no cache");
    Ok(row.at_least("per CPU second", meter.rate(), 2.5e5))
}

fn deciding(bench: &Bench) -> anyhow::Result<Row> {
    let mut classifier = classifier(&bench.settings)?;
    let policy = Policy::default_policy();
    let (mut events, mut scored, mut out) =
        (Events::new(&bench.messages, 5), Vec::new(), Vec::new());
    let (mut bytes, mut count) = (0, 0);
    let meter = rounds(bench, |meter| {
        let prepared: Vec<_> = (0..BATCH).map(|_| events.short()).collect();
        let events = prepared
            .iter()
            .map(event)
            .collect::<anyhow::Result<Vec<_>>>()?;
        let texts: Vec<_> = events.iter().map(|event| normalize(&event.text)).collect();
        let words: Vec<_> = texts.iter().map(Text::scored).collect();
        classifier.classify(&words, &mut scored)?;
        out.clear();
        meter.time(BATCH, || {
            for (((event, text), scored), offset) in events.iter().zip(&texts).zip(&scored).zip(0..)
            {
                let scored = judged(scored);
                let verdict = decide(event, text, Some(&scored), &policy, source(offset));
                verdict.write_json(&mut out);
            }
        });
        bytes += out.len();
        count += BATCH;
        Ok(())
    })?;
    let row = meter.row("decide and write verdict");
    Ok(row.with("bytes each", bytes as f64 / count as f64))
}

fn source(offset: i64) -> Source<'static> {
    Source {
        topic: "comments.v1",
        partition: 3,
        offset,
    }
}

fn event(prepared: &Prepared) -> anyhow::Result<Event<'_>> {
    match decoded(&prepared.payload, &prepared.key) {
        Ok(Decoded::Event(event)) => Ok(event),
        Ok(Decoded::Withdrawal(_)) => bail!("an event was read as a withdrawal"),
        Err(rejection) => bail!("an event was rejected: {}", rejection.reason.as_str()),
    }
}

fn judged(scored: &Scored) -> tidegate_core::Scored<'static> {
    tidegate_core::Scored {
        scores: scored.scores,
        tier: Tier::Screen,
        windows: u32::from(scored.windows),
        model_version: "screen-2026.01.01",
        is_language_shown: true,
    }
}

/// A pipeline as a lane has it, with nobody who scrapes its metrics.
pub(super) fn pipeline(bench: &Bench) -> anyhow::Result<Pipeline<ClassifierScorer>> {
    let classifier = Classifier::load(&bench.settings.classifier())?;
    Ok(Pipeline::new(
        PipelineSettings::new(&bench.settings, Service::Comments),
        ClassifierScorer::from(classifier),
        PolicyInForce::load(None)?,
        Arc::new(Mutex::new(LaneMetrics::new("bench"))),
        LastCommitted::default(),
        None,
    ))
}

fn piping(bench: &Bench) -> anyhow::Result<Row> {
    let mut pipeline = pipeline(bench)?;
    let topics = bench.settings.topics.names().map(str::to_owned).to_vec();
    let (mut events, mut outbox) = (Events::new(&bench.messages, 6), Outbox::new(topics));
    let (topic, mut batch): (Arc<str>, _) = ("comments.v1".into(), Batch::default());
    let (mut records, mut written, mut bytes) = (0, 0, 0);
    let meter = rounds(bench, |meter| {
        batch.clear();
        for offset in (records..).take(BATCH) {
            let event = events.short();
            batch.push(
                &topic,
                (offset % 6) as i32,
                RecordOffset(offset / 6),
                Some(now_ms()),
                Some(event.key.as_bytes()),
                Some(&event.payload),
                [],
            );
        }
        records += BATCH as i64;
        outbox.clear();
        meter.time(BATCH, || pipeline.process(&batch, &mut outbox));
        pipeline.sealed();
        pipeline.committed();
        written += outbox.len();
        bytes += outbox
            .records()
            .map(|r| r.payload.map_or(0, <[u8]>::len))
            .sum::<usize>();
        Ok(())
    })?;
    let each = |total: usize| total as f64 / records as f64;
    let row = meter.row("whole pipeline, records to outbox");
    Ok(row
        .with("bytes each", each(bytes))
        .with("records out each", each(written)))
}
