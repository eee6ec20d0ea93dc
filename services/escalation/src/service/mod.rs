//! The services of the contract, over the store.

mod agents;
mod audit;
mod cases;
pub(crate) mod fault;
mod privacy;
mod queues;
mod read;
pub mod scoring;
mod watch;

use std::{pin::Pin, sync::Arc, time::Instant};

use tidegate_proto::escalation::v1::{
    agent_service_server::AgentServiceServer, audit_service_server::AuditServiceServer,
    case_service_server::CaseServiceServer, privacy_service_server::PrivacyServiceServer,
    queue_service_server::QueueServiceServer, scoring_service_server::ScoringServiceServer,
};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status, service::Routes};

use self::{fault::Fault, scoring::ScorerHandle};
use crate::{
    Caller, Store,
    auth::{Authenticator, Identity},
    limits::Limits,
    server::{
        deadline::Deadline,
        settings::{LimitsSection, WatchSection},
    },
    store::Clock,
};

/// What every service works with. Clones are the same.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) callers: Authenticator,
    pub(crate) limits: Limits,
    pub(crate) watch: WatchSection,
    pub(crate) scorer: Option<ScorerHandle>,
    /// Ends what waits and what streams.
    pub(crate) stop: CancellationToken,
}

/// A stream of answers.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The names of the services, for health.
pub(crate) const SERVICES: [&str; 6] = [
    "tidegate.escalation.v1.CaseService",
    "tidegate.escalation.v1.QueueService",
    "tidegate.escalation.v1.AgentService",
    "tidegate.escalation.v1.AuditService",
    "tidegate.escalation.v1.PrivacyService",
    "tidegate.escalation.v1.ScoringService",
];

/// All services.
pub(crate) fn routes(context: &Context, limits: &LimitsSection) -> Routes {
    macro_rules! all {
        ($($server:ident)*) => {{
            let mut routes = Routes::default();
            $(routes = routes.add_service(
                $server::new(context.clone()).max_decoding_message_size(limits.message_bytes),
            );)*
            routes
        }};
    }
    all!(CaseServiceServer QueueServiceServer AgentServiceServer AuditServiceServer
        PrivacyServiceServer ScoringServiceServer)
}

/// A request with what the layers before found out.
pub(crate) struct Asked<T> {
    pub(crate) identity: Identity,
    pub(crate) deadline: Option<Instant>,
    pub(crate) message: T,
}

impl<T> Asked<T> {
    /// Takes a request apart.
    pub(crate) fn of(request: Request<T>) -> Result<Self, Status> {
        let (_, mut extensions, message) = request.into_parts();
        // It is always there: a call without one does not come this far.
        let identity = extensions.remove::<Identity>().ok_or_else(|| {
            Fault::new(Code::Internal, "INTERNAL", "the call has no caller").into_status()
        })?;
        Ok(Self {
            identity,
            deadline: extensions.get::<Deadline>().map(|deadline| deadline.0),
            message,
        })
    }

    /// Who asks.
    pub(crate) fn caller(&self) -> &Arc<Caller> {
        &self.identity.caller
    }

    /// Who asks, and for what.
    pub(crate) fn into_parts(self) -> (Arc<Caller>, T) {
        (self.identity.caller, self.message)
    }
}
