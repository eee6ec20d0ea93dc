//! Sends dead letters to their topics of origin again: a lane like any other, so exactly once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use tidegate_chassis::{exit::Exit, shutdown::Shutdown};
use tidegate_kafka::{
    Batch, Lane, LaneSettings, Outbox, Processor, Record, client::KafkaTransport, clock::StopFlag,
};
use tidegate_moderator::dead_letter as header;

use super::Redrive;

/// What a redrive did so far, committed.
#[derive(Default)]
struct Progress {
    sent: AtomicU64,
    left: AtomicU64,
    unknown: AtomicU64,
}

struct Redriver {
    topics: Vec<String>,
    reason: Option<String>,
    attempt: u32,
    dry_run: bool,
    open: [u64; 3],
    /// Of the transaction that is being committed.
    sealed: [u64; 3],
    progress: Arc<Progress>,
}

enum Fate {
    Send { topic: usize },
    Leave,
    Unknown,
}

impl Redriver {
    fn fate(&self, record: &Record<'_>) -> Fate {
        let text = |name| {
            record
                .headers
                .get(name)
                .and_then(|v| std::str::from_utf8(v).ok())
        };
        let attempts = text(header::ATTEMPTS)
            .and_then(|n| n.parse().ok())
            .unwrap_or(0);
        let wanted = self
            .reason
            .as_deref()
            .is_none_or(|r| text(header::REASON) == Some(r));
        if !wanted || attempts + 1 != self.attempt {
            return Fate::Leave;
        }
        let origin = text(header::TOPIC);
        match self
            .topics
            .iter()
            .position(|topic| Some(topic.as_str()) == origin)
        {
            Some(topic) => Fate::Send { topic },
            None => Fate::Unknown,
        }
    }
}

impl Processor for Redriver {
    fn process(&mut self, batch: &Batch, outbox: &mut Outbox) {
        for record in batch.records() {
            match self.fate(&record) {
                Fate::Send { .. } if self.dry_run => self.open[0] += 1,
                Fate::Send { topic } => {
                    let attempts = self.attempt.to_string();
                    let own = record
                        .headers
                        .iter()
                        .filter(|(n, _)| !n.starts_with(header::PREFIX));
                    let again = [(header::ATTEMPTS, Some(attempts.as_bytes()))];
                    let write = record
                        .payload
                        .map(|p| |out: &mut Vec<u8>| out.extend_from_slice(p));
                    outbox.push(topic, record.key, own.chain(again), write);
                    self.open[0] += 1;
                }
                Fate::Leave => self.open[1] += 1,
                Fate::Unknown => self.open[2] += 1,
            }
        }
    }

    fn sealed(&mut self) {
        self.sealed = std::mem::take(&mut self.open);
    }

    fn committed(&mut self) {
        let progress = &self.progress;
        for (total, sealed) in [&progress.sent, &progress.left, &progress.unknown]
            .into_iter()
            .zip(&mut self.sealed)
        {
            total.fetch_add(std::mem::take(sealed), Ordering::Relaxed);
        }
    }

    fn aborted(&mut self) {
        (self.open, self.sealed) = ([0; 3], [0; 3]);
    }
}

pub(super) fn redrive(args: &Redrive) -> anyhow::Result<Exit> {
    let mut settings = args.cluster.settings()?;
    let origins = crate::topics::names(&settings);
    let origins: Vec<_> = origins
        .into_iter()
        .filter(|topic| !settings.topics.names().contains(&topic.as_str()))
        .collect();
    let reason = args.reason.as_deref().unwrap_or("all");
    let name = format!("tidegate-redrive-{reason}-{}", args.attempt);
    let kafka = &mut settings.kafka;
    kafka.group_id.clone_from(&name);
    kafka.transactional_id_prefix = name;
    kafka.topics = vec![settings.topics.dead_letters.clone()];
    if args.dry_run {
        // Under a group of its own, so that nothing counts as sent.
        kafka
            .group_id
            .push_str(&format!("-dry-run-{}", std::process::id()));
    }
    let progress = Arc::new(Progress::default());
    let redriver = Redriver {
        topics: origins.clone(),
        reason: args.reason.clone(),
        attempt: args.attempt,
        dry_run: args.dry_run,
        open: [0; 3],
        sealed: [0; 3],
        progress: progress.clone(),
    };
    let transport = KafkaTransport::connect(kafka, 0)?;
    let client = transport.handle();
    let (stop, shutdown) = (StopFlag::default(), Shutdown::on_signals()?);
    let asked = stop.clone();
    let lane = thread::Builder::new()
        .name("redrive".to_owned())
        .spawn(move || {
            Lane::new(transport, redriver, origins, LaneSettings::default()).run(&asked)
        })?;
    wait_until_idle(&progress, &client, &lane, &shutdown);
    stop.set();
    lane.join().map_err(|_| anyhow!("the lane panicked"))??;
    let [sent, left, unknown] =
        [&progress.sent, &progress.left, &progress.unknown].map(|n| n.load(Ordering::Relaxed));
    let sent_or_would = if args.dry_run {
        "would be sent"
    } else {
        "sent"
    };
    println!("{sent} {sent_or_would}, {left} left out, {unknown} of unknown origin left out");
    Ok(Exit::Clean)
}

/// Waits until the group has been joined and nothing more has come for a while.
fn wait_until_idle(
    progress: &Progress,
    client: &tidegate_kafka::client::ClientHandle,
    lane: &thread::JoinHandle<impl Sized>,
    shutdown: &Shutdown,
) {
    let count = || {
        [&progress.sent, &progress.left, &progress.unknown]
            .map(|n| n.load(Ordering::Relaxed))
            .iter()
            .sum::<u64>()
    };
    let (mut before, mut since) = (0, Instant::now());
    while !shutdown.wait_for(Duration::from_millis(200)) && !lane.is_finished() {
        let now = count();
        if now != before || client.status().assigned == 0 {
            (before, since) = (now, Instant::now());
            eprint!("\r{now} looked at");
        }
        if since.elapsed() > Duration::from_secs(3) {
            break;
        }
    }
    eprintln!();
}
