//! A real server on a loopback port over SQLite in a temporary folder, and callers of every role.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use prost_types::Timestamp;
use tempfile::TempDir;
use tidegate_chassis::{
    health::{Readiness, ReadyHandle},
    shutdown::Shutdown,
};
use tidegate_escalation::{
    Store, StoreSettings,
    auth::{Authenticator, settings::AuthSection, token},
    server::{
        self, Serve, ServeError,
        settings::{LimitsSection, ServerSection, TlsSection, WatchSection},
    },
    service::scoring::ScorerHandle,
    store::{Arrived, Clock, system_clock},
};
use tidegate_proto::{
    escalation::v1::{
        Agent, Case, CaseEvent, CaseSource, CaseVerdict, ClaimCaseRequest, Queue, Role,
        RotateTokenRequest, UpdateAgentRequest, UpdateQueueRequest,
        agent_service_client::AgentServiceClient, audit_service_client::AuditServiceClient,
        case_service_client::CaseServiceClient, privacy_service_client::PrivacyServiceClient,
        queue_service_client::QueueServiceClient, scoring_service_client::ScoringServiceClient,
    },
    events::v1::{Action, Author, Channel as WrittenIn, Label, Priority},
};
use tokio::task::JoinHandle;
use tonic::{
    Code, Request, Status,
    metadata::AsciiMetadataValue,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

/// What a world is made with.
#[derive(Default)]
pub struct Making {
    pub server: ServerSection,
    pub tls: TlsSection,
    pub auth: AuthSection,
    pub limits: LimitsSection,
    pub watch: WatchSection,
    pub scorer: Option<ScorerHandle>,
}

/// A running service.
pub struct World {
    pub address: SocketAddr,
    pub store: Store,
    pub shutdown: Shutdown,
    pub ready: ReadyHandle,
    pub folder: TempDir,
    bootstrap: String,
    ahead_ms: Arc<AtomicI64>,
    serving: Option<JoinHandle<Result<(), ServeError>>>,
}

/// Sends a token with each call.
#[derive(Clone)]
pub struct Bearer(Option<AsciiMetadataValue>);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}

pub type Called = InterceptedService<Channel, Bearer>;

/// Someone who calls.
#[derive(Clone)]
pub struct Client {
    pub channel: Channel,
    pub bearer: Bearer,
    pub cases: CaseServiceClient<Called>,
    pub queues: QueueServiceClient<Called>,
    pub agents: AgentServiceClient<Called>,
    pub audit: AuditServiceClient<Called>,
    // Of the two test programs that share this, one does without.
    #[allow(dead_code)]
    pub privacy: PrivacyServiceClient<Called>,
    pub scoring: ScoringServiceClient<Called>,
}

impl Client {
    pub fn new(channel: Channel, token: Option<&str>) -> Self {
        let bearer = Bearer(token.map(|token| format!("Bearer {token}").parse().unwrap()));
        let called = || InterceptedService::new(channel.clone(), bearer.clone());
        Self {
            cases: CaseServiceClient::new(called()),
            queues: QueueServiceClient::new(called()),
            agents: AgentServiceClient::new(called()),
            audit: AuditServiceClient::new(called()),
            privacy: PrivacyServiceClient::new(called()),
            scoring: ScoringServiceClient::new(called()),
            channel,
            bearer,
        }
    }

    /// Takes the next case of any queue.
    pub async fn claim(&mut self) -> Result<Option<Case>, Status> {
        let answer = self.cases.claim_case(ClaimCaseRequest::default()).await?;
        Ok(answer.into_inner().case)
    }
}

/// A UUID of its own.
pub fn id() -> String {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    format!(
        "00000000-0000-4000-8000-{:012x}",
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

impl World {
    pub async fn new() -> Self {
        Self::with(Making::default()).await
    }

    pub async fn with(mut making: Making) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ahead_ms = Arc::new(AtomicI64::new(0));
        let (machine, ahead) = (system_clock(), ahead_ms.clone());
        let clock: Clock = Arc::new(move || machine() + ahead.load(Ordering::SeqCst));
        let file = folder.path().join("cases.db");
        let settings = StoreSettings::new(format!("sqlite:{}", file.display()));
        let store = Store::open(&settings, clock.clone()).await.unwrap();
        let bootstrap = token::generate().unwrap();
        making.auth.bootstrap_token =
            Some(tidegate_chassis::settings::Secret::new(bootstrap.clone()));
        let callers = Authenticator::new(&making.auth, store.clone(), clock.clone()).unwrap();
        let server = ServerSection {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            leave_wait: Duration::from_millis(10),
            ..making.server
        };
        let listener = server::bind(&server).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = Serve {
            store: store.clone(),
            clock,
            callers,
            scorer: making.scorer,
            server,
            tls: making.tls,
            limits: making.limits,
            watch: making.watch,
            end_within: Duration::from_secs(3),
        };
        let shutdown = Shutdown::new();
        let readiness = Readiness::until(&shutdown);
        let ready = readiness.part("store");
        ready.ready();
        let stopping = shutdown.clone();
        let serving = tokio::spawn(async move { serve.run(listener, &readiness, &stopping).await });
        Self {
            address,
            store,
            shutdown,
            ready,
            folder,
            bootstrap,
            ahead_ms,
            serving: Some(serving),
        }
    }

    /// Moves the service's clock.
    pub fn later(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap();
        self.ahead_ms.fetch_add(by, Ordering::SeqCst);
    }

    pub async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }

    pub async fn with_token(&self, token: &str) -> Client {
        Client::new(self.channel().await, Some(token))
    }

    pub async fn nobody(&self) -> Client {
        Client::new(self.channel().await, None)
    }

    pub async fn bootstrap(&self) -> Client {
        self.with_token(&self.bootstrap).await
    }

    pub fn bootstrap_token(&self) -> &str {
        &self.bootstrap
    }

    /// Makes a queue.
    pub async fn queue(&self, name: &str) {
        self.queue_as(Queue {
            name: format!("queues/{name}"),
            ..Queue::default()
        })
        .await;
    }

    pub async fn queue_as(&self, queue: Queue) {
        let request = UpdateQueueRequest {
            queue: Some(queue),
            allow_missing: true,
            ..UpdateQueueRequest::default()
        };
        let mut admin = self.bootstrap().await;
        admin.queues.update_queue(request).await.unwrap();
    }

    /// Makes an agent of these queues, and gives its token.
    pub async fn token(&self, name: &str, role: Role, queues: &[&str]) -> String {
        let agent = Agent {
            name: format!("agents/{name}"),
            role: role.into(),
            queues: queues.iter().map(|q| format!("queues/{q}")).collect(),
            ..Agent::default()
        };
        let mut admin = self.bootstrap().await;
        let request = UpdateAgentRequest {
            agent: Some(agent),
            allow_missing: true,
            ..UpdateAgentRequest::default()
        };
        admin.agents.update_agent(request).await.unwrap();
        let name = format!("agents/{name}");
        let rotated = admin.agents.rotate_token(RotateTokenRequest { name }).await;
        rotated.unwrap().into_inner().token
    }

    /// Makes an agent of these queues, and a client of its own.
    pub async fn agent(&self, name: &str, role: Role, queues: &[&str]) -> Client {
        let token = self.token(name, role, queues).await;
        self.with_token(&token).await
    }

    /// Opens a case in `queue`, as the pipeline would.
    pub async fn open(&self, queue: &str, event_id: &str) {
        self.open_as(case(queue, event_id)).await;
    }

    pub async fn open_as(&self, case: Case) {
        let arrived = vec![Arrived::Open(Box::new(case))];
        self.store.intake(arrived, &[]).await.unwrap();
    }

    /// Asks for the end, and waits for it.
    pub async fn stop(mut self) -> Result<(), ServeError> {
        self.shutdown.request("test");
        self.serving.take().unwrap().await.unwrap()
    }
}

/// A case as the pipeline makes it.
pub fn case(queue: &str, event_id: &str) -> Case {
    let now = std::time::SystemTime::now();
    let time = |after: Duration| Some(Timestamp::from(now + after));
    Case {
        queue: format!("queues/{queue}"),
        source: CaseSource::Machine.into(),
        priority: Priority::Normal.into(),
        due_time: time(Duration::from_secs(3600)),
        event: Some(CaseEvent {
            event_id: event_id.to_owned(),
            brand: "acme".to_owned(),
            platform: "instagram".to_owned(),
            channel: WrittenIn::Comment.into(),
            author: Some(Author {
                id: Some("author-1".to_owned()),
                name: Some("Mara".to_owned()),
                followers: Some(10),
                is_creator: false,
            }),
            text: Some("you are all fools".to_owned()),
            lang: Some("en".to_owned()),
            event_time: time(Duration::ZERO),
            ..CaseEvent::default()
        }),
        verdict: Some(CaseVerdict {
            verdict_id: format!("v-{event_id}"),
            action: Action::HideAndReview.into(),
            labels: vec![Label::Abuse.into()],
            policy_version: "p1".to_owned(),
            ..CaseVerdict::default()
        }),
        ..Case::default()
    }
}

/// The code and the machine-readable reason of a refusal.
pub fn refusal<T>(answer: Result<T, Status>) -> (Code, String) {
    let status = match answer {
        Ok(_) => panic!("this was not refused"),
        Err(status) => status,
    };
    let info = status.get_error_details().error_info().cloned();
    let info = info.unwrap_or_else(|| panic!("{status:?} has no ErrorInfo"));
    assert_eq!(info.domain, "tidegate");
    (status.code(), info.reason)
}

/// Asserts how a call was refused.
#[macro_export]
macro_rules! refused {
    ($answer:expr, $code:ident, $reason:literal) => {
        assert_eq!(
            $crate::support::refusal($answer),
            (tonic::Code::$code, $reason.to_owned())
        )
    };
}
