//! A broker inside this process, for demonstrations and tests of the client's own behaviour.
//!
//! It is librdkafka's mock cluster, and proves no exactly-once: it shows aborted records to every
//! reader and stores no transactional offsets. Each partition keeps its last 5 MiB, so feed it no
//! faster than it is read.

use std::{
    sync::mpsc::{self, Receiver, Sender},
    thread::JoinHandle,
    time::Duration,
};

use rdkafka::{
    error::KafkaError,
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};

/// The mock cluster that an [`EmbeddedBroker`] owns.
pub type Cluster = MockCluster<'static, DefaultProducerContext>;

type Task = Box<dyn FnOnce(&Cluster) + Send>;

/// Why the embedded broker did not do something.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// It could not be started.
    #[error("the embedded broker can't be started: {0}")]
    Start(String),
    /// It refused.
    #[error("the embedded broker refused: {0}")]
    Refused(#[from] KafkaError),
    /// Its thread is gone.
    #[error("the embedded broker has ended")]
    Ended,
}

/// Owns a mock cluster on a thread of its own; the cluster itself can't leave its thread.
pub struct EmbeddedBroker {
    tasks: Option<Sender<Task>>,
    thread: Option<JoinHandle<()>>,
    bootstrap_servers: String,
}

impl EmbeddedBroker {
    /// Starts a cluster of `brokers` brokers on free local ports.
    ///
    /// # Errors
    /// The client library can't start it.
    pub fn start(brokers: i32) -> Result<Self, EmbeddedError> {
        let (tasks, inbox) = mpsc::channel::<Task>();
        let (started, start) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("embedded-broker".to_owned())
            .spawn(move || match MockCluster::new(brokers) {
                Ok(cluster) => {
                    started.send(Ok(cluster.bootstrap_servers())).ok();
                    serve(&cluster, &inbox);
                }
                Err(error) => {
                    started.send(Err(error)).ok();
                }
            })
            .map_err(|error| EmbeddedError::Start(error.to_string()))?;
        let bootstrap_servers = start
            .recv()
            .map_err(|_| EmbeddedError::Ended)?
            .map_err(|error| EmbeddedError::Start(error.to_string()))?;
        Ok(Self {
            tasks: Some(tasks),
            thread: Some(thread),
            bootstrap_servers,
        })
    }

    /// Where clients connect: `host:port`, separated by commas.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// The cluster refuses the name or the numbers.
    pub fn create_topic(
        &self,
        topic: &str,
        partitions: i32,
        replicas: i32,
    ) -> Result<(), EmbeddedError> {
        let topic = topic.to_owned();
        Ok(self.with(move |cluster| cluster.create_topic(&topic, partitions, replicas))??)
    }

    /// Makes the next requests of one kind fail, one for each error.
    ///
    /// # Errors
    /// The broker has ended.
    pub fn fail_requests(
        &self,
        kind: RDKafkaApiKey,
        errors: &[RDKafkaRespErr],
    ) -> Result<(), EmbeddedError> {
        let errors = errors.to_vec();
        self.with(move |cluster| cluster.request_errors(kind, &errors))
    }

    /// Answers every request this much later.
    ///
    /// # Errors
    /// The cluster refuses.
    pub fn set_round_trip_time(&self, delay: Duration) -> Result<(), EmbeddedError> {
        Ok(self.with(move |cluster| cluster.broker_round_trip_time(-1, delay))??)
    }

    /// Takes all brokers down, or brings them up again.
    ///
    /// # Errors
    /// The cluster refuses.
    pub fn set_up(&self, up: bool) -> Result<(), EmbeddedError> {
        Ok(self.with(move |cluster| {
            if up {
                cluster.broker_up(-1)
            } else {
                cluster.broker_down(-1)
            }
        })??)
    }

    /// Runs `task` on the cluster's thread and returns what it returns.
    ///
    /// # Errors
    /// The broker has ended.
    pub fn with<T: Send + 'static>(
        &self,
        task: impl FnOnce(&Cluster) -> T + Send + 'static,
    ) -> Result<T, EmbeddedError> {
        let (reply, answer) = mpsc::channel();
        let task: Task = Box::new(move |cluster| {
            reply.send(task(cluster)).ok();
        });
        self.tasks
            .as_ref()
            .and_then(|tasks| tasks.send(task).ok())
            .ok_or(EmbeddedError::Ended)?;
        answer.recv().map_err(|_| EmbeddedError::Ended)
    }
}

fn serve(cluster: &Cluster, inbox: &Receiver<Task>) {
    while let Ok(task) = inbox.recv() {
        task(cluster);
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.tasks = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the embedded broker's thread panicked");
        }
    }
}
