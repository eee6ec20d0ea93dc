//! The lanes of one consumer: each a thread with its own client, classifier and pipeline.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use tidegate_chassis::{
    health::{Liveness, Readiness, ReadyHandle},
    shutdown::Shutdown,
};
use tidegate_classifier::{Classifier, LoadError};
use tidegate_kafka::{
    Lane, TopicPartition,
    client::{ClientHandle, ConnectError, KafkaTransport},
    clock::StopFlag,
    lane::Ended,
    transport::Failure,
};

use crate::{
    metrics::{self, LaneMetrics},
    observer::LaneObserver,
    pipeline::{ClassifierScorer, Pipeline, PipelineSettings, Watch},
    policy_file::PolicyInForce,
    service::Service,
    settings::Settings,
};

/// A lane that was silent for this long is taken for hung: longer than its longest bounded call.
const HUNG_AFTER: Duration = Duration::from_secs(60);

/// When each partition's last committed record was written, in milliseconds since the Unix epoch.
pub type LastCommitted = Arc<Mutex<BTreeMap<TopicPartition, i64>>>;

/// Why lanes can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The models can't be used.
    #[error("load models: {0}")]
    Models(#[from] LoadError),
    /// The clients can't be made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The system refuses a thread.
    #[error("start a lane's thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// What lanes report to; a process has one.
#[derive(Clone, Default)]
pub struct Vitals {
    /// Ready when every lane is.
    pub readiness: Readiness,
    /// Live while every lane turns.
    pub liveness: Liveness,
}

/// Lanes that run.
pub struct Lanes {
    stop: StopFlag,
    threads: Vec<JoinHandle<Result<Ended, Failure>>>,
    clients: Vec<(ClientHandle, ReadyHandle, LastCommitted)>,
}

impl Lanes {
    /// Loads the models, makes the clients and starts the threads. Returns when every lane runs,
    /// which is before its group has answered.
    ///
    /// # Errors
    /// A model can't be used, or the settings are refused; a broker that is away is no error.
    pub fn start(
        settings: &Settings,
        service: Service,
        policy: &PolicyInForce,
        vitals: &Vitals,
        watch: Option<Watch>,
    ) -> Result<Self, StartError> {
        let mut lanes = Self {
            stop: StopFlag::default(),
            threads: Vec::new(),
            clients: Vec::new(),
        };
        for number in 0..settings.lane.count {
            if let Err(error) = lanes.add(settings, service, policy, vitals, watch.clone(), number)
            {
                lanes.stop();
                // The lanes that did start end by themselves; the error is what matters.
                return Err(error);
            }
        }
        Ok(lanes)
    }

    fn add(
        &mut self,
        settings: &Settings,
        service: Service,
        policy: &PolicyInForce,
        vitals: &Vitals,
        watch: Option<Watch>,
        number: usize,
    ) -> Result<(), StartError> {
        let name = format!("{}-{number}", service.name());
        let ready = vitals.readiness.part(format!("lane {name}"));
        let classifier = Classifier::load(&settings.classifier())?;
        for model in classifier.models() {
            metrics::model_in_use(&model.name, &model.version, &model.sha256);
        }
        let transport = KafkaTransport::connect(&settings.kafka, number)?;
        let client = transport.handle();
        let lane_metrics = Arc::new(Mutex::new(LaneMetrics::new(&name)));
        let last = LastCommitted::default();
        let pipeline = Pipeline::new(
            PipelineSettings::new(settings, service),
            ClassifierScorer::from(classifier),
            policy.clone(),
            lane_metrics.clone(),
            last.clone(),
            watch,
        );
        let topics = settings.topics.names().map(str::to_owned).to_vec();
        let (stop, lane_settings) = (self.stop.clone(), settings.lane());
        let liveness = vitals.liveness.clone();
        let thread = thread::Builder::new().name(name.clone()).spawn(move || {
            let heartbeat = liveness.heartbeat(format!("lane {name}"), HUNG_AFTER);
            let observer = LaneObserver::new(lane_metrics, Some(heartbeat));
            Lane::new(transport, pipeline, topics, lane_settings)
                .with_observer(observer)
                .run(&stop)
        })?;
        self.threads.push(thread);
        self.clients.push((client, ready, last));
        Ok(())
    }

    /// Asks every lane to finish what is open and to leave.
    pub fn stop(&self) {
        self.stop.set();
    }

    /// Whether any lane has ended.
    #[must_use]
    pub fn any_ended(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Waits for all lanes to end, which they do once asked to.
    ///
    /// # Errors
    /// The first lane that failed; a lane that panicked is a failure too.
    pub fn join(self) -> Result<(), LaneError> {
        let mut result = Ok(());
        for thread in self.threads {
            let ended = match thread.join() {
                Ok(Ok(ended)) => {
                    tracing::info!(?ended, "lane ended");
                    Ok(())
                }
                Ok(Err(failure)) => Err(LaneError::Failed(failure)),
                Err(_) => Err(LaneError::Panicked),
            };
            result = result.and(ended);
        }
        result
    }

    /// Tells metrics and readiness how the clients are doing. Called about once a second.
    pub fn report(&self) {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        for (client, ready, last) in &self.clients {
            let status = client.status();
            match (status.is_ready(), status.producer_ready, status.last_error) {
                (true, ..) => ready.ready(),
                (_, true, None) => ready.not_ready("waiting for the consumer group"),
                (_, false, None) => ready.not_ready("waiting for the producer"),
                (.., Some((error, _))) => ready.not_ready(error),
            }
            let last = last.lock().unwrap_or_else(PoisonError::into_inner);
            for (partition, behind) in client.lag().partitions {
                let Some(behind) = behind else { continue };
                // Each transaction leaves a marker that counts as a record behind the last one.
                let age = match last.get(&partition) {
                    Some(&at) if behind > 1 => {
                        now.saturating_sub(Duration::from_millis(at.max(0).unsigned_abs()))
                    }
                    _ => Duration::ZERO,
                };
                metrics::lag(&partition, behind, age);
            }
        }
    }

    /// Runs until `shutdown`, or until a lane ends by itself; then stops the others.
    ///
    /// # Errors
    /// The first lane that failed.
    pub fn run(self, shutdown: &Shutdown) -> Result<(), LaneError> {
        while !shutdown.wait_for(Duration::from_secs(1)) && !self.any_ended() {
            self.report();
        }
        self.stop();
        self.join()
    }
}

/// How a lane ended that was not to.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// Nothing that this process does will help.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// A defect; the log has its place.
    #[error("a lane panicked: its last transaction is undone, and another lane takes over")]
    Panicked,
}
