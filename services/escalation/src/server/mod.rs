//! The gRPC server: TLS, the steps that every call passes, health, reflection, and an end in time.
//!
//! Outermost first: observe (traces, metrics), shed load, limit, deadline, gate (identity, role,
//! the caller's limits), services.

pub(crate) mod deadline;
mod gate;
mod observe;
pub mod settings;
mod step;
mod tls;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tidegate_chassis::{health::Readiness, shutdown::Shutdown};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::{limit::GlobalConcurrencyLimitLayer, load_shed::LoadShedLayer};

use self::{
    deadline::Deadlines,
    gate::Gate,
    observe::Observe,
    settings::{LimitsSection, ServerSection, TlsSection, WatchSection},
    step::StepLayer,
    tls::Tls,
};
use crate::{
    Store,
    auth::Authenticator,
    limits::Limits,
    service::{self, Context, SERVICES, scoring::ScorerHandle},
    store::Clock,
};

/// Why there is no server, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("server.listen {address} cannot be used: {source}")]
    Listen {
        /// The address from the settings.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A certificate or key cannot be read.
    #[error("{key} cannot be read from {}: {source}", file.display())]
    File {
        /// The setting.
        key: &'static str,
        /// The file.
        file: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Certificate and key do not make a TLS server.
    #[error("tls.certificate, tls.key or tls.client_ca cannot be used: {0}")]
    Tls(String),
    /// The contract's descriptors cannot be served.
    #[error("server reflection cannot be offered: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The server failed.
    #[error("the gRPC server failed: {0}")]
    Failed(#[source] tonic::transport::Error),
}

/// What a server is made of.
pub struct Serve {
    /// The cases.
    pub store: Store,
    /// What time it is.
    pub clock: Clock,
    /// Who may call.
    pub callers: Authenticator,
    /// What gives scores, if there are models.
    pub scorer: Option<ScorerHandle>,
    /// The section `[server]`.
    pub server: ServerSection,
    /// The section `[tls]`.
    pub tls: TlsSection,
    /// The section `[limits]`.
    pub limits: LimitsSection,
    /// The section `[watch]`.
    pub watch: WatchSection,
    /// How long the end may take.
    pub end_within: Duration,
}

/// Takes the address. Do this early, so that one that is taken is the first thing to fail.
///
/// # Errors
/// The address is in use, or not this machine's.
pub async fn bind(server: &ServerSection) -> Result<TcpListener, ServeError> {
    let address = server.listen;
    TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen { address, source })
}

impl Serve {
    /// Serves until `shutdown`, then ends: no longer ready, then no new calls, then streams end,
    /// then whatever is left is cut off.
    ///
    /// # Errors
    /// TLS cannot be set up, or the server failed.
    pub async fn run(
        self,
        listener: TcpListener,
        readiness: &Readiness,
        shutdown: &Shutdown,
    ) -> Result<(), ServeError> {
        let stop = CancellationToken::new();
        let limits = Limits::new(&self.limits);
        let context = Context {
            store: self.store.clone(),
            clock: self.clock.clone(),
            callers: self.callers.clone(),
            limits: limits.clone(),
            watch: self.watch.clone(),
            scorer: self.scorer.clone(),
            stop: stop.clone(),
        };
        let (health, health_service) = tonic_health::server::health_reporter();
        let routes = service::routes(&context, &self.limits).add_service(health_service);
        let routes = self.with_reflection(routes)?;
        let layers = tower::ServiceBuilder::new()
            .layer(StepLayer(Arc::new(Observe)))
            .layer(LoadShedLayer::new())
            .layer(GlobalConcurrencyLimitLayer::new(self.limits.in_flight))
            .layer(StepLayer(Arc::new(Deadlines {
                most: self.server.deadline,
            })))
            .layer(StepLayer(Arc::new(Gate {
                callers: self.callers.clone(),
                limits,
            })))
            .into_inner();
        let server = &self.server;
        let builder = Server::builder()
            .http2_keepalive_interval(Some(server.keepalive))
            .http2_keepalive_timeout(Some(server.keepalive_timeout))
            .max_connection_age(server.connection_age)
            .max_connection_age_grace(server.connection_grace)
            .max_concurrent_streams(self.limits.streams_per_connection)
            .http2_max_header_list_size(16 * 1024);
        let tls = Tls::new(&self.tls)?;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let reporting = tokio::spawn(report(health.clone(), readiness.clone()));
        let leave_wait = server.leave_wait;
        let leaving = async {
            shutdown.requested().await;
            reporting.abort();
            set_all(&health, ServingStatus::NotServing).await;
            // Those who send work here have this long to notice.
            tokio::time::sleep(leave_wait).await;
            stop.cancel();
        };
        let router = builder.layer(layers).add_routes(routes);
        let served = async {
            match tls {
                None => router.serve_with_incoming_shutdown(incoming, leaving).await,
                Some((tls, reload)) => {
                    let connections = tls.accept(incoming);
                    let served = router.serve_with_incoming_shutdown(connections, leaving);
                    tokio::select! {
                        served = served => served,
                        never = reload.run() => match never {},
                    }
                }
            }
        };
        let end = async {
            shutdown.requested().await;
            // A connection whose peer is dead would be waited for without end.
            tokio::time::sleep(self.end_within).await;
        };
        tokio::select! {
            served = served => served.map_err(ServeError::Failed),
            () = end => {
                tracing::warn!("connections were cut off: their calls took too long to end");
                Ok(())
            }
        }
    }

    fn with_reflection(&self, routes: Routes) -> Result<Routes, ServeError> {
        if !self.server.reflection {
            return Ok(routes);
        }
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(tidegate_proto::escalation::v1::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // What the details of an error are.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        // Many stock clients still ask by the older name.
        Ok(routes
            .add_service(builder().build_v1()?)
            .add_service(builder().build_v1alpha()?))
    }
}

/// Tells health what readiness says, until it is aborted.
async fn report(health: HealthReporter, readiness: Readiness) {
    let mut told = None;
    loop {
        let ready = readiness.is_ready();
        if told != Some(ready) {
            let status = if ready {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            };
            set_all(&health, status).await;
            told = Some(ready);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn set_all(health: &HealthReporter, status: ServingStatus) {
    for name in SERVICES.iter().chain(&[""]) {
        health.set_service_status(*name, status).await;
    }
}
