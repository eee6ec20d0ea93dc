//! The deep model by itself, and the cascade on two cores: what the thorough reading costs.

use std::{
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use tidegate_classifier::{
    Classifier, ClassifierSettings, Mode, manifest::Manifest, score_readings, tokens::Tokenizer,
};
use tidegate_core::normalize;

use super::{Bench, events::Events, progress, report::Row, usage};

const SECTION: &str = "deep and cascade";
/// Texts that a lane hands on together.
const BATCH: usize = 1_024;
/// Texts of one length that are scored again and again.
const SAME_LENGTH: usize = 256;

/// Texts of 16 and of 32 tokens, and how many a core should score a second.
const DEEP: [(usize, f64); 2] = [(16, 800.0), (32, 400.0)];
/// Texts that two cores should score a second as a cascade.
const CASCADE: f64 = 15_000.0;

/// Measures them; nothing where there is no deep model.
pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    if Mode::best(&bench.settings.model.folder) != Mode::Cascade {
        progress("there is no deep model: no rows for it");
        return Ok(Vec::new());
    }
    progress("deep: 16 and 32 tokens, then the cascade on two cores …");
    let mut rows = Vec::new();
    for (tokens, goal) in DEEP {
        rows.push(deep(bench, tokens, goal)?);
    }
    rows.push(two_cores(bench)?);
    Ok(rows)
}

fn classifier(bench: &Bench, mode: Mode) -> anyhow::Result<Classifier> {
    let settings = ClassifierSettings {
        // Each text costs what it costs the first time.
        cache_capacity: 0,
        ..ClassifierSettings::new(&bench.settings.model.folder, mode)
    };
    Ok(Classifier::load(&settings)?)
}

/// What a thread did.
#[derive(Default)]
struct Done {
    texts: usize,
    cpu: Duration,
    wall: Duration,
}

/// Scores batches of `texts` until `duration` of processor time has gone; the first only warms up.
fn score(
    classifier: &mut Classifier,
    duration: Duration,
    mut texts: impl FnMut() -> Vec<String>,
) -> anyhow::Result<Done> {
    let (mut done, mut out) = (Done::default(), Vec::new());
    for round in 0.. {
        let texts = texts();
        let (cpu, wall) = (usage::thread_cpu_time(), Instant::now());
        let read: Vec<_> = texts.iter().map(|text| normalize(text)).collect();
        score_readings(read.iter(), &mut out, |texts, out| {
            classifier.classify(texts, out)
        })?;
        if round == 0 {
            classifier.take_stats();
            continue;
        }
        done.texts += texts.len();
        done.cpu += usage::thread_cpu_time() - cpu;
        done.wall += wall.elapsed();
        if done.cpu >= duration {
            break;
        }
    }
    Ok(done)
}

/// One core, texts of exactly `tokens` tokens, with those at start and end.
fn deep(bench: &Bench, tokens: usize, goal: f64) -> anyhow::Result<Row> {
    let folder = bench.settings.model.folder.join("deep");
    let part = Manifest::read(&folder.join("manifest.toml"))?.tokenizer;
    let json = std::fs::read(folder.join(&part.file)).context("read the tokenizer")?;
    let mut tokenizer = Tokenizer::new(&json, &part)?;
    let room = tokens - (part.max_tokens - part.width());
    let mut events = Events::new(&bench.messages, 21);
    let texts: Vec<String> = (0..SAME_LENGTH)
        .map(|_| of_length(&mut events, &mut tokenizer, room))
        .collect();
    let mut classifier = classifier(bench, Mode::Deep)?;
    let done = score(&mut classifier, bench.duration / 10, || texts.clone())?;
    let rate = done.texts as f64 / done.cpu.as_secs_f64();
    let row = Row::new(SECTION, format!("deep, {tokens} tokens, one core"))
        .with("per CPU second", rate)
        .with("per second", done.texts as f64 / done.wall.as_secs_f64());
    Ok(row.at_least("per CPU second", rate, goal))
}

/// Words of the stream until exactly `room` tokens are full.
fn of_length(events: &mut Events, tokenizer: &mut Tokenizer, room: usize) -> String {
    let mut text = String::new();
    loop {
        for word in events.short_text().split_whitespace() {
            let longer = format!("{text} {word}").trim_start().to_owned();
            let mut ids = Vec::new();
            tokenizer.encode(&longer, &mut ids);
            match ids.len().cmp(&room) {
                std::cmp::Ordering::Less => text = longer,
                std::cmp::Ordering::Equal => return longer,
                std::cmp::Ordering::Greater => {}
            }
        }
    }
}

/// Two lanes' worth of scoring at once, on texts of which no two are equal.
fn two_cores(bench: &Bench) -> anyhow::Result<Row> {
    let start = Arc::new(Barrier::new(2));
    let threads = [31, 32].map(|seed| {
        let (mut classifier, start) = (classifier(bench, Mode::Cascade), start.clone());
        let (duration, messages) = (bench.duration / 10, bench.messages.clone());
        thread::spawn(move || {
            let mut events = Events::new(&messages, seed);
            start.wait();
            let classifier = classifier.as_mut().map_err(|error| anyhow!("{error:#}"))?;
            let texts = || (0..BATCH).map(|_| events.short_text()).collect();
            let done = score(classifier, duration, texts)?;
            anyhow::Ok((done, classifier.take_stats()))
        })
    });
    let (mut per_cpu, mut per_second, mut shares) = (0.0, 0.0, Vec::new());
    for thread in threads {
        let (done, stats) = thread
            .join()
            .map_err(|_| anyhow!("a thread that scores panicked"))??;
        per_cpu += done.texts as f64 / done.cpu.as_secs_f64();
        per_second += done.texts as f64 / done.wall.as_secs_f64();
        shares.push(stats.deep_share());
    }
    let share = shares.iter().sum::<f64>() / shares.len() as f64;
    let row = Row::new(SECTION, "cascade, two cores")
        .with("per CPU second", per_cpu)
        .with("per second", per_second)
        .with("deep %", share * 100.0);
    Ok(row.at_least("per second of two cores", per_cpu, CASCADE))
}
