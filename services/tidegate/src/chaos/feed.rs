//! Feeds the events, as many as are allowed so far, so that production goes on through all that is
//! done to the consumers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Context as _;
use rdkafka::{
    ClientConfig,
    error::RDKafkaErrorCode,
    producer::{DefaultProducerContext, Producer as _, ThreadedProducer},
};

use tidegate_moderator::tally::now_ms;

use crate::demo::stream::Stream;

/// Where the feeder stands; shared with it.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<Counters>);

#[derive(Default)]
struct Counters {
    allowed: AtomicU64,
    fed: AtomicU64,
    over: AtomicBool,
}

impl Progress {
    /// Lets the feeder go on up to `events` in all.
    pub(crate) fn allow(&self, events: u64) {
        self.0.allowed.fetch_max(events, Ordering::Relaxed);
    }

    /// How many events may be fed so far.
    #[must_use]
    pub(crate) fn allowed(&self) -> u64 {
        self.0.allowed.load(Ordering::Relaxed)
    }

    /// How many events were handed to the client.
    #[must_use]
    pub(crate) fn fed(&self) -> u64 {
        self.0.fed.load(Ordering::Relaxed)
    }

    /// Makes the feeder end early.
    pub(crate) fn give_up(&self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

/// A running feeder; dropping it ends it.
pub(crate) struct Feeder {
    progress: Progress,
    thread: Option<thread::JoinHandle<anyhow::Result<()>>>,
}

impl Feeder {
    /// Starts to feed `events` events of the stream of `seed` to `comments`, or DMs to `dms` if
    /// there is such a topic.
    ///
    /// # Errors
    /// The client can't be made.
    pub(crate) fn start(
        brokers: &str,
        events: u64,
        seed: u64,
        comments: String,
        dms: Option<String>,
    ) -> anyhow::Result<Self> {
        let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5")
            .create()
            .context("make the feeder's client")?;
        let progress = Progress::default();
        let shared = progress.clone();
        let feed = move || {
            let mut stream = Stream::new(seed);
            for number in 0..events {
                while shared.0.allowed.load(Ordering::Relaxed) <= number {
                    if shared.0.over.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    thread::sleep(Duration::from_millis(5));
                }
                let fed = stream.next(now_ms());
                let topic = dms.as_deref().filter(|_| fed.is_dm).unwrap_or(&comments);
                let mut record = fed.record(topic);
                while let Err((error, back)) = producer.send(record) {
                    if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                        return Err(error).context("feed an event");
                    }
                    // A broker is away: the client sends the rest when it is back.
                    thread::sleep(Duration::from_millis(20));
                    record = back;
                }
                shared.0.fed.store(number + 1, Ordering::Relaxed);
            }
            producer
                .flush(Duration::from_secs(60))
                .context("feed the last events")
        };
        let thread = thread::Builder::new()
            .name("feeder".to_owned())
            .spawn(feed)?;
        Ok(Self {
            progress,
            thread: Some(thread),
        })
    }

    /// Where it stands.
    #[must_use]
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Waits until everything that may be fed is fed and acknowledged.
    ///
    /// # Errors
    /// Something could not be fed.
    pub(crate) fn join(mut self) -> anyhow::Result<()> {
        match self.thread.take().map(thread::JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => anyhow::bail!("the feeder panicked"),
            None => Ok(()),
        }
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.progress.give_up();
    }
}
