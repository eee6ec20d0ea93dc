//! A consumer in a group that only shares partitions out: how far was read is kept elsewhere, with
//! what was made of it, so that both are stored or neither.

use std::{sync::Arc, time::Duration};

use rdkafka::consumer::Consumer as _;

use super::{ClientHandle, ConnectError, consumer::Source, errors, status::Shared};
use crate::{
    batch::Batch,
    offsets::{NextOffset, TopicPartition},
    settings::KafkaSettings,
    transport::{Failure, FailureKind, Polled},
};

/// How long one question about a partition's ends may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A consumer for one thread.
pub struct Reading {
    source: Source,
    shared: Arc<Shared>,
}

impl Reading {
    /// Makes the client and lets it connect in the background; no broker needs to be there yet.
    /// [`poll`](Self::poll) reports what the brokers refuse.
    ///
    /// # Errors
    /// The settings are wrong in themselves.
    pub fn connect(settings: &KafkaSettings) -> Result<Self, ConnectError> {
        let mistakes = settings.validate();
        if !mistakes.is_empty() {
            return Err(ConnectError::Settings(mistakes));
        }
        let shared = Arc::new(Shared::new());
        let source = Source::new(Arc::new(settings.clone()), 0, shared.clone())
            .map_err(ConnectError::Client)?;
        Ok(Self { source, shared })
    }

    /// A handle that shows how the client is doing; its producer is never ready, there is none.
    #[must_use]
    pub fn handle(&self) -> ClientHandle {
        ClientHandle {
            shared: self.shared.clone(),
        }
    }

    /// Waits up to `timeout` for the next thing to happen; a record is appended to `batch`. After
    /// [`Polled::Assigned`], say where to read with [`start_at`](Self::start_at) before the next
    /// poll; [`Polled::Revoked`] is answered with [`release`](Self::release).
    ///
    /// # Errors
    /// Reading is broken in a way that the client does not repair by itself.
    pub fn poll(&mut self, batch: &mut Batch, timeout: Duration) -> Result<Polled, Failure> {
        let polled = self.source.poll(batch, timeout, true)?;
        if !matches!(polled, Polled::Record)
            && let Some(reason) = self.shared.take_refused()
        {
            return Err(errors::failure(FailureKind::Stop, "connect", reason));
        }
        Ok(polled)
    }

    /// The first offset that a partition still holds, and the next one that will be written.
    ///
    /// # Errors
    /// The broker did not say in time.
    pub fn bounds(&self, partition: &TopicPartition) -> Result<(i64, i64), Failure> {
        self.source
            .client()?
            .fetch_watermarks(&partition.topic, partition.partition, PATIENCE)
            .map_err(|error| {
                errors::failure(FailureKind::Retry, "look at a partition", error.to_string())
            })
    }

    /// Reads on from these positions; records fetched ahead are dropped.
    ///
    /// # Errors
    /// The client could not move in time; it may be tried again.
    pub fn start_at(&mut self, positions: &[(TopicPartition, NextOffset)]) -> Result<(), Failure> {
        let to: Vec<_> = positions
            .iter()
            .map(|(partition, next)| (partition.clone(), Some(*next)))
            .collect();
        self.source.rewind(&to)?;
        self.shared.committed(positions);
        Ok(())
    }

    /// What was read up to `positions` is kept. Tells the group too, for tools that look at lag;
    /// nothing depends on it, so a failure is only logged.
    pub fn kept(&self, positions: &[(TopicPartition, NextOffset)]) {
        self.shared.committed(positions);
        if let Err(failure) = self.source.commit_async(positions) {
            tracing::debug!(%failure, "the group was not told how far was read");
        }
    }

    /// Keeps the membership alive while the caller waits for something else; nothing is delivered,
    /// and rebalances are kept for the next poll.
    pub fn wait(&mut self, duration: Duration) {
        self.source.serve_paused();
        std::thread::sleep(duration);
    }

    /// Answers [`Polled::Revoked`].
    pub fn release(&mut self, partitions: &[TopicPartition]) {
        self.source.release(partitions);
    }

    /// Leaves the group, so that others take over at once. Says whether that was done in time.
    pub fn leave(&mut self, timeout: Duration) -> bool {
        self.source.close(timeout)
    }
}
