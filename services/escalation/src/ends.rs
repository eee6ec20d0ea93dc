//! The two ends towards Kafka as parts of the process: their settings, metrics and threads.

pub mod metrics;
mod settings;

use std::{io, thread::JoinHandle, time::Duration};

use tidegate_chassis::{health::Liveness, shutdown::Shutdown};
use tokio::runtime::Handle;

pub use settings::{EndsSettings, IntakeSection, OutboxSection, Topics};

use crate::{Store, intake::Intake, outbox::Publisher};

/// A thread that was silent for this long is taken for hung: longer than its longest bounded call.
const HUNG_AFTER: Duration = Duration::from_secs(60);

/// The threads that read and publish.
pub struct Ends {
    threads: Vec<JoinHandle<()>>,
}

impl Ends {
    /// Starts both; neither, if no brokers are named.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(
        settings: &EndsSettings,
        store: &Store,
        runtime: &Handle,
        liveness: &Liveness,
        shutdown: &Shutdown,
    ) -> io::Result<Self> {
        let mut threads = Vec::new();
        if settings.kafka.brokers.is_empty() {
            tracing::warn!(
                "kafka.brokers is not set: no escalations come in, and no decisions go out"
            );
            return Ok(Self { threads });
        }
        let intake = Intake {
            store: store.clone(),
            runtime: runtime.clone(),
            kafka: settings.reading(),
            topics: settings.topics.clone(),
            section: settings.intake.clone(),
            sampling: settings.sampling.clone(),
            shutdown: shutdown.clone(),
        };
        let publisher = Publisher {
            store: store.clone(),
            runtime: runtime.clone(),
            kafka: settings.publishing(),
            topic: settings.topics.resolutions.clone(),
            encoding: settings.outbox.format,
            owner: format!("{:032x}", rand::random::<u128>()),
            shutdown: shutdown.clone(),
        };
        let beat = liveness.heartbeat("intake", HUNG_AFTER);
        threads.push(
            std::thread::Builder::new()
                .name("intake".to_owned())
                .spawn(move || {
                    intake.run(&beat);
                    beat.finish();
                })?,
        );
        let beat = liveness.heartbeat("outbox", HUNG_AFTER);
        threads.push(
            std::thread::Builder::new()
                .name("outbox".to_owned())
                .spawn(move || {
                    publisher.run(&beat);
                    beat.finish();
                })?,
        );
        Ok(Self { threads })
    }

    /// Waits for the threads, which end once the end was asked for. Blocks.
    pub fn join(self) {
        for thread in self.threads {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!(
                    name,
                    "a thread panicked; nothing is lost, restart the process"
                );
            }
        }
    }
}
