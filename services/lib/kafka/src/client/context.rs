//! What the client library calls back: rebalances, errors, log lines, statistics, tokens.
//!
//! Nothing here ever sees a record's content, except a delivery report, of which only the topic
//! and the error code are kept.

use std::{
    collections::VecDeque,
    error::Error,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rdkafka::{
    ClientContext, Message, TopicPartitionList,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol},
    error::{KafkaError, RDKafkaErrorCode as Code},
    producer::{DeliveryResult, ProducerContext},
    types::RDKafkaRespErr,
};

use super::{errors, oauth, status::Shared};

/// A change of the assignment that waits for this lane's answer.
#[derive(Debug)]
pub(crate) struct Rebalance {
    pub(crate) assign: bool,
    pub(crate) partitions: TopicPartitionList,
    pub(crate) lost: bool,
}

/// Callbacks of the consumer.
#[derive(Debug)]
pub(crate) struct ConsumerEvents {
    pub(crate) shared: Arc<Shared>,
    pub(crate) token_file: Option<PathBuf>,
    rebalances: Mutex<VecDeque<Rebalance>>,
    /// Whether a rebalance was answered since closing began.
    gave_up: AtomicBool,
}

impl ConsumerEvents {
    pub(crate) fn new(shared: Arc<Shared>, token_file: Option<PathBuf>) -> Self {
        Self {
            shared,
            token_file,
            rebalances: Mutex::default(),
            gave_up: AtomicBool::new(false),
        }
    }

    pub(crate) fn take_rebalances(&self) -> VecDeque<Rebalance> {
        std::mem::take(
            &mut *self
                .rebalances
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

impl ClientContext for ConsumerEvents {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.shared.statistics(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        note_error(&self.shared, &error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        oauth::token(self.token_file.as_deref())
    }
}

impl ConsumerContext for ConsumerEvents {
    /// Takes note only. The client waits in its rebalance until it is told to assign or unassign,
    /// which it takes from any later call as well as from here, and meanwhile it delivers nothing:
    /// so the lane can first finish its transaction on its own stack.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let assign = event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.shared.is_closing() {
            // No lane will answer any more, and without an answer closing never ends. A client that
            // closes takes any answer as giving up every partition: nobody waits for a revocation
            // that was queued behind one already answered. Answering that too races with the end of
            // the group, which drops calls without a reply, so that they never return. Assignments
            // are never queued like that.
            let first = !self.gave_up.swap(true, Ordering::Relaxed);
            if (first || assign)
                && let Err(error) = answer(consumer, assign, partitions)
            {
                tracing::warn!(%error, "a rebalance could not be answered while closing");
            }
            return;
        }
        let rebalance = Rebalance {
            assign,
            partitions: partitions.clone(),
            lost: !assign && consumer.assignment_lost(),
        };
        self.rebalances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(rebalance);
    }
}

/// Tells the group that its change of the assignment is accepted.
pub(crate) fn answer(
    consumer: &BaseConsumer<ConsumerEvents>,
    assign: bool,
    partitions: &TopicPartitionList,
) -> Result<(), KafkaError> {
    let cooperative = matches!(
        consumer.rebalance_protocol(),
        RebalanceProtocol::Cooperative
    );
    match (assign, cooperative) {
        (true, true) => consumer.incremental_assign(partitions),
        (true, false) => consumer.assign(partitions),
        (false, true) => consumer.incremental_unassign(partitions),
        (false, false) => consumer.unassign(),
    }
}

/// Callbacks of the producer.
#[derive(Debug)]
pub(crate) struct ProducerEvents {
    pub(crate) shared: Arc<Shared>,
    pub(crate) token_file: Option<PathBuf>,
    failed: AtomicBool,
    first_failure: Mutex<Option<DeliveryFailure>>,
}

/// A record that was queued but could not be written.
#[derive(Clone, Debug)]
pub(crate) struct DeliveryFailure {
    pub(crate) topic: String,
    /// Of its value.
    pub(crate) bytes: usize,
    pub(crate) code: Code,
}

impl ProducerEvents {
    pub(crate) fn new(shared: Arc<Shared>, token_file: Option<PathBuf>) -> Self {
        Self {
            shared,
            token_file,
            failed: AtomicBool::new(false),
            first_failure: Mutex::default(),
        }
    }

    /// Whether a record of the open transaction could not be written.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(crate) fn failure(&self) -> Option<DeliveryFailure> {
        self.first_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn forget_failure(&self) {
        *self
            .first_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
        self.failed.store(false, Ordering::Release);
    }
}

impl ClientContext for ProducerEvents {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        note_error(&self.shared, &error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        oauth::token(self.token_file.as_deref())
    }
}

impl ProducerContext for ProducerEvents {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, record)) = result else { return };
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        if matches!(code, Code::PurgeQueue | Code::PurgeInflight) {
            // Thrown away by an abort, which is not a failure.
            return;
        }
        let mut first = self
            .first_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            *first = Some(DeliveryFailure {
                topic: record.topic().to_owned(),
                bytes: record.payload_len(),
                code,
            });
            tracing::warn!(topic = record.topic(), %code, "a record could not be written");
        }
        self.failed.store(true, Ordering::Release);
    }
}

fn note_error(shared: &Shared, error: &KafkaError, reason: &str) {
    let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
    if code == Code::AllBrokersDown {
        shared.set_connected(false);
    }
    let text = match errors::advice(code) {
        Some(advice) => format!("{reason}: {advice}"),
        None => reason.to_owned(),
    };
    tracing::debug!(target: "librdkafka", %code, "{text}");
    if errors::is_authentication(code) {
        shared.refused(text.clone());
    }
    shared.error(text);
}

fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => tracing::error!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}
