//! Resolutions out: what people decided, published exactly once.
//!
//! The number of the last published resolution is committed in the Kafka transaction that publishes
//! it. Whoever publishes next asks Kafka for it first, so a process that dies between Kafka's commit
//! and the database's note of it publishes nothing twice.

mod write;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tidegate_chassis::{health::Heartbeat, shutdown::Shutdown};
use tidegate_kafka::{
    FailureKind, Outbox as Records,
    client::{ConnectError, NumberedWriter, Published},
    settings::KafkaSettings,
    transport::Failure,
};
use tidegate_proto::escalation::v1::Resolution;
use tokio::runtime::Handle;

pub use write::{json, protobuf};

use crate::{Store, StoreError, ends::metrics};

/// How long the right to publish lasts unless it is renewed, in milliseconds.
const LEASE_MS: i64 = 10_000;
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(3);
/// How often the database is looked at when nothing wakes the publisher.
const LOOK: Duration = Duration::from_millis(250);
/// How long an open transaction may still take once the end was asked for.
const FINISH: Duration = Duration::from_secs(3);
/// How many resolutions one transaction holds.
const BATCH: usize = 500;

/// How resolutions are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// JSON.
    #[default]
    Json,
    /// `tidegate.escalation.v1.Resolution`.
    Protobuf,
}

/// The publishing end.
pub struct Publisher {
    /// Where resolutions wait.
    pub store: Store,
    /// Runs what the store does.
    pub runtime: Handle,
    /// How to reach the cluster; its group keeps the number, its instance is the same in every
    /// process.
    pub kafka: KafkaSettings,
    /// The topic.
    pub topic: String,
    /// How they are written.
    pub encoding: Encoding,
    /// Who this process is.
    pub owner: String,
    /// Says when to end.
    pub shutdown: Shutdown,
}

/// Why publishing stopped.
enum Stopped {
    Store(StoreError),
    Kafka(Failure),
    Settings(ConnectError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Kafka(failure)
    }
}

impl Publisher {
    /// Publishes until the end is asked for. What goes wrong is logged and tried again: people go
    /// on working meanwhile.
    pub fn run(self, heartbeat: &Heartbeat) {
        while !self.shutdown.is_requested() {
            heartbeat.beat();
            let mut lease = Lease::new(&self);
            if !lease.holds() {
                if self.shutdown.wait_for(Duration::from_secs(1)) {
                    return;
                }
                continue;
            }
            let pause = match self.publish(&mut lease, heartbeat) {
                Err(Stopped::Kafka(failure)) if failure.kind == FailureKind::Stop => {
                    metrics::refused("outbox");
                    tracing::error!(%failure, "decisions cannot be published; trying again");
                    Duration::from_secs(10)
                }
                Err(Stopped::Kafka(failure)) => {
                    tracing::warn!(%failure, "publishing begins anew");
                    Duration::from_millis(500)
                }
                Err(Stopped::Settings(error)) => {
                    tracing::error!(%error, "decisions cannot be published; trying again");
                    Duration::from_secs(10)
                }
                Err(Stopped::Store(error)) => {
                    tracing::warn!(%error, "decisions cannot be read");
                    Duration::from_secs(1)
                }
                // The end was asked for, or another process publishes now.
                Ok(()) => Duration::from_millis(100),
            };
            let until = Instant::now() + pause;
            while Instant::now() < until && !self.shutdown.wait_for(Duration::from_millis(500)) {
                heartbeat.beat();
                lease.holds();
            }
            if self.shutdown.is_requested() {
                lease.give_up();
            }
        }
    }

    fn publish(&self, lease: &mut Lease<'_>, heartbeat: &Heartbeat) -> Result<(), Stopped> {
        let mut writer = match NumberedWriter::connect(&self.kafka, &self.topic) {
            Ok(writer) => writer,
            Err(error) => {
                // Wrong settings, which were checked at the start: a file may have gone.
                return Err(Stopped::Settings(error));
            }
        };
        let client = writer.handle();
        let mut end_asked = None;
        let mut go_on = || {
            heartbeat.beat();
            metrics::connected("outbox", client.status().connected);
            if self.shutdown.is_requested() {
                // A transaction that is left open makes readers wait: it gets the time to end.
                let asked = *end_asked.get_or_insert_with(Instant::now);
                return asked.elapsed() < FINISH;
            }
            lease.holds()
        };
        let published = writer.start(&mut go_on)?;
        let mut after = self.begin(published)?;
        let mut newest = self.store.newest();
        while !self.shutdown.is_requested() && go_on() {
            let waiting = self.runtime.block_on(self.store.outbox(after, BATCH))?;
            metrics::waiting(waiting.len());
            let Some((last, _)) = waiting.last() else {
                writer.serve();
                // Timed out, or the store has closed: the next look tells.
                let change = async { tokio::time::timeout(LOOK, newest.changed()).await.ok() };
                self.runtime.block_on(change);
                continue;
            };
            let records = self.records(&waiting);
            writer.publish(&records, *last, self.store.id(), &mut go_on)?;
            after = *last;
            metrics::published(waiting.len());
            self.runtime.block_on(self.store.outbox_published(after))?;
        }
        Ok(())
    }

    /// The number after which this database's resolutions are not published yet.
    fn begin(&self, published: Option<Published>) -> Result<i64, Stopped> {
        let Some(published) = published else {
            return Ok(0);
        };
        if published.mark != self.store.id() {
            tracing::info!("another database published before: this one begins with its first");
            return Ok(0);
        }
        // A database that was restored from a backup has fewer numbers than it had; what it numbers
        // from now on is new.
        let newest = self.runtime.block_on(self.store.poll_newest())?;
        if newest < published.number {
            tracing::warn!(
                published = published.number,
                newest,
                "the database is older than what was published: was it restored from a backup?"
            );
        }
        let after = published.number.min(newest);
        self.runtime.block_on(self.store.outbox_published(after))?;
        Ok(after)
    }

    fn records(&self, waiting: &[(i64, Resolution)]) -> Records {
        let mut records = Records::new(vec![self.topic.clone()]);
        let content_type = match self.encoding {
            Encoding::Json => "application/json",
            Encoding::Protobuf => "application/x-protobuf",
        };
        for (_, resolution) in waiting {
            let key = resolution
                .conversation_id
                .as_ref()
                .unwrap_or(&resolution.event_id);
            records.push(
                0,
                Some(key.as_bytes()),
                [("content-type", Some(content_type.as_bytes()))],
                Some(|out: &mut Vec<u8>| match self.encoding {
                    Encoding::Json => json(resolution, out),
                    Encoding::Protobuf => protobuf(resolution, out),
                }),
            );
        }
        records
    }
}

/// The right to publish, which one process has at a time.
struct Lease<'a> {
    publisher: &'a Publisher,
    asked: Option<Instant>,
    until: Instant,
}

impl<'a> Lease<'a> {
    fn new(publisher: &'a Publisher) -> Self {
        Self {
            publisher,
            asked: None,
            until: Instant::now(),
        }
    }

    /// Whether this process may publish; asks the database now and then.
    fn holds(&mut self) -> bool {
        if self.asked.is_some_and(|asked| asked.elapsed() < RENEW) {
            return Instant::now() < self.until;
        }
        let now = Instant::now();
        self.asked = Some(now);
        match self.ask(LEASE_MS) {
            Ok(true) => self.until = now + Duration::from_millis(LEASE_MS.unsigned_abs()),
            Ok(false) => self.until = now,
            // As long as the last answer holds, nobody else may.
            Err(error) => tracing::debug!(%error, "the right to publish cannot be renewed"),
        }
        Instant::now() < self.until
    }

    /// Lets others publish at once.
    fn give_up(&mut self) {
        if Instant::now() < self.until {
            self.ask(0).ok();
        }
    }

    fn ask(&self, ms: i64) -> Result<bool, StoreError> {
        let Publisher {
            store,
            runtime,
            owner,
            ..
        } = self.publisher;
        runtime.block_on(store.outbox_lease(owner, ms))
    }
}
