//! Lanes in a process of their own, so that they can be killed and paused as a real one is.
//!
//! A scenario's binary is also its worker: it starts itself again with [`JOB`] set, and
//! [`work_if_asked`] at the top of its `main` does the work. The worker tells what its lanes do,
//! one line of JSON for each event, on its standard output; it stops in good order when its
//! standard input ends, which the death of the test also brings about. `RUST_LOG` says what it logs
//! on its standard error.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use tidegate_kafka::{
    Batch, Lane, LaneSettings, Observer, Outbox, Processor, StopFlag, client::KafkaTransport,
    settings::KafkaSettings,
};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// The environment variable that makes a scenario's binary a worker.
const JOB: &str = "TIDEGATE_TEST_WORKER";

/// What a worker does: copies every record of the input topics to one output topic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// How the lanes reach the cluster. No passwords: they are not handed on.
    pub kafka: KafkaSettings,
    /// Where the copies go.
    pub output: String,
    /// How many lanes, each on its own thread.
    pub lanes: usize,
    /// Milliseconds from one commit to the next.
    pub commit_interval_ms: u64,
    /// Milliseconds that the processor takes for each batch, so that a transaction lasts.
    pub slowness_ms: u64,
}

/// What a lane of a worker did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A batch of so many records was processed; its transaction is open.
    Processed(usize),
    /// So many records were committed; the commit took so many microseconds.
    Committed(usize, u64),
    /// The open transaction was undone, for this reason.
    Aborted(String),
    /// The producer was replaced, for this reason.
    Rebuilt(String),
    /// The lane now has so many partitions, some of them new.
    Assigned(usize),
    /// The lane now has so many partitions, after some were taken.
    Revoked(usize),
    /// The lane has ended: whether all that it read is committed.
    Ended(bool),
    /// The lane gave up.
    Failed(String),
}

/// A running worker; dropping it kills it.
pub struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    incoming: Receiver<Event>,
    events: Vec<Event>,
}

impl Worker {
    /// Starts a worker process.
    ///
    /// # Errors
    /// The process can't be started.
    pub fn start(job: &Job) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .env(JOB, serde_json::to_string(job)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start a worker")?;
        let output = child.stdout.take().context("the worker's output")?;
        let (sender, incoming) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            for event in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
                if sender.send(event).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            input: child.stdin.take(),
            child,
            incoming,
            events: Vec::new(),
        })
    }

    /// Everything that the lanes did so far.
    pub fn events(&mut self) -> &[Event] {
        self.events.extend(self.incoming.try_iter());
        &self.events
    }

    /// Waits until an event from now on satisfies `wanted`, and answers it.
    ///
    /// # Errors
    /// None came within a minute, or the worker ended.
    pub fn wait_for(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&Event) -> bool,
    ) -> anyhow::Result<Event> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.incoming.recv_timeout(left) {
                Ok(event) => {
                    self.events.push(event.clone());
                    if wanted(&event) {
                        return Ok(event);
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("no {what} within a minute: {self}"),
                Err(RecvTimeoutError::Disconnected) => bail!("no {what}, the worker ended: {self}"),
            }
        }
    }

    /// Waits until a transaction is open whose records have had time to reach the broker.
    ///
    /// # Errors
    /// As for [`wait_for`](Self::wait_for).
    pub fn wait_for_open_transaction(&mut self) -> anyhow::Result<()> {
        self.events();
        self.wait_for("commit", |event| matches!(event, Event::Committed(..)))?;
        self.wait_for("batch", |event| matches!(event, Event::Processed(_)))?;
        thread::sleep(Duration::from_millis(50));
        Ok(())
    }

    /// Ends the process as a crash does (SIGKILL).
    ///
    /// # Errors
    /// It can't be killed.
    pub fn kill(mut self) -> anyhow::Result<Vec<Event>> {
        self.child.kill()?;
        self.child.wait()?;
        self.events.extend(self.incoming.iter());
        Ok(std::mem::take(&mut self.events))
    }

    /// Stops the process in its tracks (SIGSTOP), as an overloaded or suspended machine does.
    ///
    /// # Errors
    /// The signal can't be sent.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal("-STOP")
    }

    /// Lets a paused process go on (SIGCONT).
    ///
    /// # Errors
    /// The signal can't be sent.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal("-CONT")
    }

    /// Asks the lanes to finish, and waits until the process has ended. Answers all events.
    ///
    /// # Errors
    /// It did not end in good order within a minute.
    pub fn stop(mut self) -> anyhow::Result<Vec<Event>> {
        drop(self.input.take());
        let deadline = Instant::now() + Duration::from_secs(60);
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(Instant::now() < deadline, "it does not stop: {self}");
            thread::sleep(Duration::from_millis(10));
        };
        self.events.extend(self.incoming.iter());
        ensure!(status.success(), "it ended with {status}: {self}");
        Ok(std::mem::take(&mut self.events))
    }

    fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let status = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()?;
        ensure!(status.success(), "kill {signal} failed");
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl std::fmt::Display for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let from = self.events.len().saturating_sub(8);
        write!(f, "the last of {} events: ", self.events.len())?;
        f.debug_list().entries(&self.events[from..]).finish()
    }
}

/// Does a worker's work when this process was started as one; `None` in a test process.
#[must_use]
pub fn work_if_asked() -> Option<ExitCode> {
    let job = std::env::var(JOB).ok()?;
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::builder()
                .with_default_directive(LevelFilter::OFF.into())
                .from_env_lossy(),
        )
        .with_writer(std::io::stderr)
        .init();
    Some(match serde_json::from_str(&job) {
        Ok(job) => work(&job),
        Err(error) => {
            eprintln!("{JOB}: {error}");
            ExitCode::FAILURE
        }
    })
}

fn work(job: &Job) -> ExitCode {
    let stop = StopFlag::default();
    let on_end_of_input = stop.clone();
    thread::spawn(move || {
        std::io::stdin().read_to_end(&mut Vec::new()).ok();
        on_end_of_input.set();
    });
    let ended_well = thread::scope(|scope| {
        let lanes: Vec<_> = (0..job.lanes)
            .map(|number| {
                scope.spawn({
                    let stop = &stop;
                    move || run_lane(job, number, stop)
                })
            })
            .collect();
        lanes
            .into_iter()
            .all(|lane| lane.join().is_ok_and(|well| well))
    });
    if ended_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run_lane(job: &Job, number: usize, stop: &StopFlag) -> bool {
    let transport = match KafkaTransport::connect(&job.kafka, number) {
        Ok(transport) => transport,
        Err(error) => {
            tell(&Event::Failed(error.to_string()));
            return false;
        }
    };
    let settings = LaneSettings {
        batch_records: 200,
        commit_interval: Duration::from_millis(job.commit_interval_ms),
        ..LaneSettings::default()
    };
    let copy = Copy {
        slowness: Duration::from_millis(job.slowness_ms),
    };
    let mut lane =
        Lane::new(transport, copy, vec![job.output.clone()], settings).with_observer(Teller);
    match lane.run(stop) {
        Ok(ended) => {
            tell(&Event::Ended(ended == tidegate_kafka::Ended::Committed));
            true
        }
        Err(failure) => {
            tell(&Event::Failed(failure.to_string()));
            false
        }
    }
}

/// Publishes each record as it was read.
struct Copy {
    slowness: Duration,
}

impl Processor for Copy {
    fn process(&mut self, batch: &Batch, outbox: &mut Outbox) {
        for record in batch.records() {
            let value = record
                .payload
                .map(|payload| |out: &mut Vec<u8>| out.extend_from_slice(payload));
            outbox.push(0, record.key, record.headers.iter(), value);
        }
        thread::sleep(self.slowness);
        tell(&Event::Processed(batch.len()));
    }

    fn committed(&mut self) {}

    fn aborted(&mut self) {}
}

struct Teller;

impl Observer for Teller {
    fn committed(&mut self, records: usize, _since_begin: Duration, commit: Duration) {
        let micros = u64::try_from(commit.as_micros()).unwrap_or(u64::MAX);
        tell(&Event::Committed(records, micros));
    }

    fn aborted(&mut self, reason: &str) {
        tell(&Event::Aborted(reason.to_owned()));
    }

    fn rebuilt(&mut self, reason: &str) {
        tell(&Event::Rebuilt(reason.to_owned()));
    }

    fn assigned(&mut self, _partitions: usize, total: usize) {
        tell(&Event::Assigned(total));
    }

    fn revoked(&mut self, _partitions: usize, total: usize, _lost: bool) {
        tell(&Event::Revoked(total));
    }
}

fn tell(event: &Event) {
    // A test that is gone hears nothing more.
    if let Ok(line) = serde_json::to_string(event) {
        writeln!(std::io::stdout().lock(), "{line}").ok();
    }
}
