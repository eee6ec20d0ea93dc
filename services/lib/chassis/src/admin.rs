//! The admin port, for operators and orchestrators:
//!
//! - `/metrics`: what Prometheus scrapes
//! - `/livez`: 200 while every loop turns, 503 when one hangs
//! - `/readyz`: 200 when every part is ready, 503 otherwise
//! - `/`: this list
//!
//! The probes answer in JSON with the parts that are not well; `?verbose` lists all of them. They
//! run on a thread of their own, so that they answer while the process is busy.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::build_info::{COMMIT, VERSION};
use crate::health::{Liveness, Readiness, Report};
use crate::metrics::Metrics;
use crate::settings::{Mistakes, Validate};

/// The section `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AdminSettings {
    /// The address to listen on; port 0 takes any free one.
    pub listen: SocketAddr,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 9000)),
        }
    }
}

impl Validate for AdminSettings {
    fn validate(&self, _: &mut Mistakes) {}
}

/// Why there can be no admin port.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Another process listens there.
    #[error("admin address {0} is in use: choose another with admin.listen")]
    InUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("admin address {address} cannot be used ({source}): choose another with admin.listen")]
    Unusable {
        /// The address from the settings.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system refuses the thread or its runtime.
    #[error("the admin thread cannot be started: {0}")]
    Thread(#[from] io::Error),
}

/// An admin port that is bound and does not answer yet.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

/// What the admin port shows.
#[derive(Clone)]
pub struct Shown {
    /// The process's name, such as `comments`.
    pub service: &'static str,
    /// What `/metrics` renders.
    pub metrics: Metrics,
    /// What `/readyz` reports.
    pub readiness: Readiness,
    /// What `/livez` reports.
    pub liveness: Liveness,
}

/// An admin port that answers until this is dropped.
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Takes the port. Do this before anything slow, so that a port that is taken is the first
    /// thing to fail.
    ///
    /// # Errors
    /// The port is in use, or the address is not this machine's, or not allowed.
    pub fn bind(settings: &AdminSettings) -> Result<Self, AdminError> {
        let wanted = settings.listen;
        let bound = TcpListener::bind(wanted).and_then(|listener| {
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        });
        bound.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => AdminError::InUse(wanted),
            _ => AdminError::Unusable {
                address: wanted,
                source,
            },
        })
    }

    /// The address that was bound, with the real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts to answer.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub fn spawn(self, shown: Shown) -> Result<AdminServer, AdminError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(self.listener)?
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let served = axum::serve(listener, router(shown)).into_future();
                    tokio::select! {
                        ended = served => if let Err(error) = ended {
                            tracing::error!(%error, "the admin port stopped answering");
                        },
                        _ = stopped => {}
                    }
                });
            })?;
        tracing::info!(address = %self.address, "admin port answers");
        Ok(AdminServer {
            address: self.address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl AdminServer {
    /// The address that answers.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        // Dropping the sender stops the thread.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the admin thread panicked");
        }
    }
}

fn router(shown: Shown) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(Arc::new(shown))
}

async fn index(State(shown): State<Arc<Shown>>) -> String {
    format!(
        "tidegate {} {VERSION} ({COMMIT})\n\n\
         /metrics  what Prometheus scrapes\n\
         /livez    200 while every loop turns; ?verbose lists them\n\
         /readyz   200 when every part is ready; ?verbose lists them\n",
        shown.service
    )
}

async fn metrics(State(shown): State<Arc<Shown>>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], shown.metrics.render()).into_response()
}

async fn livez(State(shown): State<Arc<Shown>>, query: RawQuery) -> Response {
    answer(shown.liveness.report(), &query)
}

async fn readyz(State(shown): State<Arc<Shown>>, query: RawQuery) -> Response {
    answer(shown.readiness.report(), &query)
}

fn answer(report: Report, RawQuery(query): &RawQuery) -> Response {
    let status = if report.ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let verbose = query.as_deref().is_some_and(|q| q.starts_with("verbose"));
    let shown = if verbose {
        report
    } else {
        report.only_failing()
    };
    match serde_json::to_string(&shown) {
        Ok(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
