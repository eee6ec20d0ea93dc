//! A real Apache Kafka for tests, started by `deploy/kafka/local-kafka`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, ensure};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use serde::Deserialize;
use tempfile::TempDir;

/// The environment variable that names a cluster to use instead of a fresh one.
const GIVEN: &str = "TIDEGATE_TEST_KAFKA";
/// The environment variable that leaves a cluster's directory where it is, to be looked at.
const KEEP: &str = "TIDEGATE_TEST_KEEP";
/// The exit status of `local-kafka` for "this machine lacks something".
const MISSING: i32 = 3;
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Why a real part could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The machine lacks what the part needs; the text says what, and how to get it.
    #[error("{0}")]
    Missing(String),
    /// It has all it needs, and still it did not start.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

/// A door of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// User and password (PLAIN, SCRAM), not encrypted.
    Sasl,
    /// Encrypted.
    Tls,
    /// Both.
    SaslTls,
}

/// A running cluster. Dropping it ends its brokers; so does the end of this process, however it
/// comes.
#[derive(Debug)]
pub struct RealKafka {
    bootstrap: String,
    owned: Option<Owned>,
}

#[derive(Debug)]
struct Owned {
    about: About,
    dir: TempDir,
}

/// What `local-kafka up --json` answers.
#[derive(Debug, Deserialize)]
struct About {
    bootstrap: String,
    sasl_bootstrap: Option<String>,
    tls_bootstrap: Option<String>,
    sasl_tls_bootstrap: Option<String>,
    ca: Option<PathBuf>,
}

impl RealKafka {
    /// The user that [`start_secure`](Self::start_secure) makes, and its password.
    pub const USER: (&str, &str) = ("alice", "alice-secret");

    /// A cluster of one or three brokers, or the one that `TIDEGATE_TEST_KAFKA` names.
    ///
    /// # Errors
    /// [`StartError::Missing`] when Java, Maven or Kafka's jars can't be had here.
    pub fn start(brokers: u8) -> Result<Self, StartError> {
        match std::env::var(GIVEN) {
            Ok(bootstrap) => {
                let given = Self {
                    bootstrap,
                    owned: None,
                };
                given.wait_for_brokers(1)?;
                Ok(given)
            }
            Err(_) => Self::start_own(brokers, &[]),
        }
    }

    /// One broker with every listener, access rules, and the user [`USER`](Self::USER), who may do
    /// nothing until [`allow`](Self::allow) is called. The plain listener may do all.
    ///
    /// # Errors
    /// As for [`start`](Self::start); also missing when `TIDEGATE_TEST_KAFKA` names a cluster,
    /// whose access rules are not ours to change.
    pub fn start_secure() -> Result<Self, StartError> {
        if std::env::var_os(GIVEN).is_some() {
            return Err(not_ours());
        }
        let user = format!("{}:{}", Self::USER.0, Self::USER.1);
        Self::start_own(1, &["--sasl", "--tls", "--acls", "--user", &user])
    }

    /// A cluster of its own even where `TIDEGATE_TEST_KAFKA` is set, to be broken on purpose.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn start_own(brokers: u8, options: &[&str]) -> Result<Self, StartError> {
        let dir = TempDir::with_prefix("tidegate-kafka-").context("a directory for Kafka")?;
        let (brokers_text, parent) = (brokers.to_string(), std::process::id().to_string());
        let mut up = vec!["up", "--detach", "--json", "--heap", "384m"];
        up.extend(["--brokers", &brokers_text, "--die-with-parent", &parent]);
        up.extend(options);
        let said = run(dir.path(), &up)?;
        let about: About =
            serde_json::from_slice(&said.stdout).context("local-kafka gave no JSON")?;
        let kafka = Self {
            bootstrap: about.bootstrap.clone(),
            owned: Some(Owned { about, dir }),
        };
        kafka.wait_for_brokers(brokers.into())?;
        Ok(kafka)
    }

    /// The addresses of the plain listener.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The addresses of another listener.
    ///
    /// # Errors
    /// The cluster was not started by [`start_secure`](Self::start_secure).
    pub fn listener(&self, listener: Listener) -> Result<&str, StartError> {
        let about = &self.owned()?.about;
        let addresses = match listener {
            Listener::Sasl => &about.sasl_bootstrap,
            Listener::Tls => &about.tls_bootstrap,
            Listener::SaslTls => &about.sasl_tls_bootstrap,
        };
        addresses
            .as_deref()
            .ok_or_else(|| anyhow!("the cluster has no {listener:?} listener").into())
    }

    /// The certificate authority that signed the brokers' certificates (PEM).
    ///
    /// # Errors
    /// As for [`listener`](Self::listener).
    pub fn ca(&self) -> Result<&Path, StartError> {
        let ca = self.owned()?.about.ca.as_deref();
        ca.ok_or_else(|| anyhow!("the cluster has no TLS listener").into())
    }

    /// A certificate authority that signed nothing here (PEM).
    ///
    /// # Errors
    /// As for [`listener`](Self::listener).
    pub fn other_ca(&self) -> Result<PathBuf, StartError> {
        Ok(self.ca()?.with_file_name("other-ca.pem"))
    }

    /// Grants [`USER`](Self::USER) `operations` on a resource: the arguments of Kafka's `acls`
    /// tool that name it, such as `["--topic", "t"]`.
    ///
    /// # Errors
    /// The tool failed, or the cluster is not ours.
    pub fn allow(&self, operations: &[&str], resource: &[&str]) -> Result<(), StartError> {
        let principal = format!("User:{}", Self::USER.0);
        let mut command = vec!["tool", "acls", "--add", "--allow-principal", &principal];
        for operation in operations {
            command.extend(["--operation", operation]);
        }
        command.extend(resource);
        self.command(&command)
    }

    /// Ends broker `number` (from 1) as a crash does: SIGKILL.
    ///
    /// # Errors
    /// The broker is not running, or the cluster is not ours.
    pub fn kill_broker(&self, number: u8) -> Result<(), StartError> {
        self.command(&["kill-broker", &number.to_string()])
    }

    /// Ends broker `number` in good order: SIGTERM.
    ///
    /// # Errors
    /// As for [`kill_broker`](Self::kill_broker).
    pub fn stop_broker(&self, number: u8) -> Result<(), StartError> {
        self.command(&["stop-broker", &number.to_string()])
    }

    /// Starts broker `number` again and waits until it serves.
    ///
    /// # Errors
    /// It did not become ready, or the cluster is not ours.
    pub fn start_broker(&self, number: u8) -> Result<(), StartError> {
        self.command(&["start-broker", &number.to_string()])
    }

    /// Stops broker `number` in good order and starts it again. Of a cluster of one this can leave
    /// transactions open for good: Kafka skips the markers of partitions that have no leader
    /// (KAFKA-20734).
    ///
    /// # Errors
    /// As for [`stop_broker`](Self::stop_broker) and [`start_broker`](Self::start_broker).
    pub fn restart_broker(&self, number: u8) -> Result<(), StartError> {
        self.stop_broker(number)?;
        self.start_broker(number)
    }

    fn owned(&self) -> Result<&Owned, StartError> {
        self.owned.as_ref().ok_or_else(not_ours)
    }

    fn command(&self, arguments: &[&str]) -> Result<(), StartError> {
        run(self.owned()?.dir.path(), arguments).map(|_| ())
    }

    /// A log line says that a broker began to serve; this says that clients are served.
    fn wait_for_brokers(&self, wanted: usize) -> anyhow::Result<()> {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .create()?;
        let begin = Instant::now();
        loop {
            let answer = client.fetch_metadata(None, Duration::from_secs(2));
            let brokers = answer.as_ref().map_or(0, |found| found.brokers().len());
            if brokers >= wanted {
                return Ok(());
            }
            ensure!(
                begin.elapsed() < READY_WITHIN,
                "{brokers} of {wanted} brokers answer on {} after {READY_WITHIN:?}",
                self.bootstrap
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for RealKafka {
    fn drop(&mut self) {
        let Some(owned) = self.owned.take() else {
            return;
        };
        if let Err(error) = run(owned.dir.path(), &["down", "--kill"]) {
            eprintln!("a test cluster may still run: {error}");
        }
        if std::env::var_os(KEEP).is_some() {
            eprintln!("kept: {}", owned.dir.keep().display());
        }
    }
}

fn not_ours() -> StartError {
    StartError::Missing(format!(
        "{GIVEN} names a cluster that must not be broken; unset it to run this"
    ))
}

fn run(dir: &Path, arguments: &[&str]) -> Result<Output, StartError> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kafka/local-kafka");
    let (command, rest) = arguments.split_first().context("a command is needed")?;
    // A tool takes everything after its name for itself, so `--dir` stands before it.
    let output = Command::new("python3")
        .arg(&script)
        .arg(command)
        .arg("--dir")
        .arg(dir)
        .args(rest)
        .stdin(Stdio::null())
        .output();
    let output = output.map_err(|error| {
        StartError::Missing(format!(
            "python3, which starts Kafka, can't be run ({error})"
        ))
    })?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let reason = said.trim().lines().last().unwrap_or_default();
    let reason = reason.strip_prefix("local-kafka: ").unwrap_or(reason);
    Err(match output.status.code() {
        Some(MISSING) => StartError::Missing(reason.to_owned()),
        _ => anyhow!("local-kafka {command}: {reason}").into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_that_stands_alone_fetches_the_same_jars_as_the_pom_beside_it() {
        let dir = TempDir::new().unwrap();
        let printed = run(dir.path(), &["pom"]);
        let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kafka/pom.xml");
        match printed {
            Ok(printed) => assert_eq!(
                String::from_utf8(printed.stdout).unwrap(),
                std::fs::read_to_string(pom).unwrap()
            ),
            Err(StartError::Missing(reason)) => panic!("{reason}"),
            Err(error) => panic!("{error}"),
        }
    }
}
