//! The sections `[server]`, `[tls]`, `[limits]` and `[watch]`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use tidegate_chassis::settings::{Mistakes, Validate, duration};

/// The section `[server]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerSection {
    /// The address to listen on; port 0 takes any free one.
    pub listen: SocketAddr,
    /// How long a call may take when its caller does not say. The wait of ClaimCase comes on top.
    #[serde(with = "duration")]
    pub deadline: Duration,
    /// Whether callers may ask for the contract (server reflection).
    pub reflection: bool,
    /// How often a quiet connection is asked for a sign of life.
    #[serde(with = "duration")]
    pub keepalive: Duration,
    /// How long the answer to that may take.
    #[serde(with = "duration")]
    pub keepalive_timeout: Duration,
    /// How old a connection may get: clients then connect anew, perhaps to another pod.
    #[serde(with = "duration")]
    pub connection_age: Duration,
    /// How long calls on such a connection may still take.
    #[serde(with = "duration")]
    pub connection_grace: Duration,
    /// At the end: how long calls are still taken after readiness was withdrawn, so that load
    /// balancers notice.
    #[serde(with = "duration")]
    pub leave_wait: Duration,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 50051)),
            deadline: Duration::from_secs(30),
            reflection: true,
            keepalive: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            connection_age: Duration::from_secs(600),
            connection_grace: Duration::from_secs(30),
            leave_wait: Duration::from_secs(2),
        }
    }
}

impl Validate for ServerSection {
    fn validate(&self, mistakes: &mut Mistakes) {
        let mut at_least = |key: &str, value: Duration, least: Duration| {
            let message = format!("must be at least {}", humantime(least));
            mistakes.require(value >= least, key, message);
        };
        let second = Duration::from_secs(1);
        at_least("deadline", self.deadline, Duration::from_millis(100));
        at_least("keepalive", self.keepalive, second);
        at_least("keepalive_timeout", self.keepalive_timeout, second);
        at_least("connection_age", self.connection_age, second);
        at_least("connection_grace", self.connection_grace, second);
    }
}

fn humantime(duration: Duration) -> String {
    match duration.as_millis() {
        millis if millis.is_multiple_of(1000) => format!("{}s", millis / 1000),
        millis => format!("{millis}ms"),
    }
}

/// The section `[tls]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsSection {
    /// The server's certificate with its chain (PEM).
    pub certificate: Option<PathBuf>,
    /// Its private key (PEM).
    pub key: Option<PathBuf>,
    /// Who signs clients' certificates (PEM); without it none is asked for.
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is refused.
    pub client_required: bool,
    /// Whether calls may come without TLS from other machines, because something in front of this
    /// process encrypts. Tokens then travel in the clear up to it.
    pub plaintext_allowed: bool,
    /// How often the files are looked at for a newer certificate; open connections keep theirs.
    #[serde(with = "duration")]
    pub check_every: Duration,
}

impl Default for TlsSection {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            client_ca: None,
            client_required: false,
            plaintext_allowed: false,
            check_every: Duration::from_secs(10),
        }
    }
}

impl TlsSection {
    /// Whether there is TLS.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.certificate.is_some()
    }

    /// Looks at the section together with the address that is listened on.
    pub(crate) fn validate(&self, listen: SocketAddr, mistakes: &mut Mistakes) {
        mistakes.require(
            self.check_every >= Duration::from_millis(10),
            "check_every",
            "must be at least 10ms",
        );
        let both = "is required: tls.certificate and tls.key go together";
        mistakes.require(self.key.is_none() || self.is_on(), "certificate", both);
        mistakes.require(self.key.is_some() || !self.is_on(), "key", both);
        mistakes.require(
            self.client_ca.is_none() || self.is_on(),
            "client_ca",
            "needs tls.certificate and tls.key",
        );
        mistakes.require(
            self.client_ca.is_some() || !self.client_required,
            "client_required",
            "needs tls.client_ca",
        );
        for (key, file) in [
            ("certificate", &self.certificate),
            ("key", &self.key),
            ("client_ca", &self.client_ca),
        ] {
            if let Some(file) = file
                && let Err(error) = std::fs::File::open(file)
            {
                mistakes.add(key, format!("{} cannot be read: {error}", file.display()));
            }
        }
        mistakes.require(
            self.is_on() || self.plaintext_allowed || listen.ip().is_loopback(),
            "certificate",
            format!(
                "is required to listen on {listen}: tokens would travel in the clear \
                 (tls.plaintext_allowed = true if something in front encrypts)"
            ),
        );
    }
}

/// The section `[limits]`: what one caller, and all together, may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitsSection {
    /// Calls a second of one caller, in the long run.
    pub calls_per_second: u32,
    /// Calls that one caller may make at once after a pause.
    pub burst: u32,
    /// Calls of one caller at the same time.
    pub in_flight_per_caller: usize,
    /// Calls of all callers at the same time.
    pub in_flight: usize,
    /// Open watch streams of one caller.
    pub streams_per_caller: usize,
    /// Open watch streams of all callers.
    pub streams: usize,
    /// The size of a request, in bytes.
    pub message_bytes: usize,
    /// Streams of one connection, calls included.
    pub streams_per_connection: u32,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            calls_per_second: 200,
            burst: 400,
            in_flight_per_caller: 32,
            in_flight: 1024,
            streams_per_caller: 8,
            streams: 512,
            message_bytes: 1 << 20,
            streams_per_connection: 256,
        }
    }
}

impl Validate for LimitsSection {
    fn validate(&self, mistakes: &mut Mistakes) {
        mistakes.in_range("calls_per_second", self.calls_per_second, 1..=1_000_000);
        mistakes.in_range("burst", self.burst, 1..=1_000_000);
        mistakes.in_range(
            "in_flight_per_caller",
            self.in_flight_per_caller,
            1..=100_000,
        );
        mistakes.in_range("in_flight", self.in_flight, 1..=100_000);
        mistakes.in_range("streams_per_caller", self.streams_per_caller, 1..=100_000);
        mistakes.in_range("streams", self.streams, 1..=100_000);
        mistakes.in_range("message_bytes", self.message_bytes, 65_536..=64 << 20);
        mistakes.in_range(
            "streams_per_connection",
            self.streams_per_connection,
            1..=65_536,
        );
    }
}

/// The section `[watch]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WatchSection {
    /// A quiet stream carries a sign of life this often.
    #[serde(with = "duration")]
    pub sign_of_life: Duration,
    /// How often the store is asked for what other processes changed.
    #[serde(with = "duration")]
    pub poll: Duration,
}

impl Default for WatchSection {
    fn default() -> Self {
        Self {
            sign_of_life: Duration::from_secs(15),
            poll: Duration::from_millis(500),
        }
    }
}

impl Validate for WatchSection {
    fn validate(&self, mistakes: &mut Mistakes) {
        let sensible = Duration::from_millis(10)..=Duration::from_secs(300);
        for (key, value) in [("sign_of_life", self.sign_of_life), ("poll", self.poll)] {
            mistakes.require(sensible.contains(&value), key, "must be from 10ms to 5m");
        }
    }
}
