//! Topics, a database in a folder, the service as a process, and callers.

use std::{
    collections::HashMap,
    fs::File,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;
use tidegate_proto::escalation::v1::{
    Agent, Case, ListCasesRequest, Role, RotateTokenRequest, UpdateAgentRequest,
    agent_service_client::AgentServiceClient, audit_service_client::AuditServiceClient,
    case_service_client::CaseServiceClient,
};
use tidegate_tests::{Isolation, RealKafka, RealPostgres, Topics, program};
use tokio::runtime::Runtime;
use tonic::{
    Request, Status,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// The shape of a token is checked; nothing else is secret here.
const BOOTSTRAP: &str = "tg_0123456789012345678901234567890123456789abc";

/// Adds a token to each call.
#[derive(Clone)]
pub(crate) struct Bearer(String);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = format!("Bearer {}", self.0).parse();
        let value = value.map_err(|_| Status::internal("no token"))?;
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

pub(crate) type Cases = CaseServiceClient<InterceptedService<Channel, Bearer>>;

/// Everything that one case needs.
pub(crate) struct World<'k> {
    pub(crate) kafka: &'k RealKafka,
    pub(crate) escalations: String,
    pub(crate) spam: String,
    pub(crate) resolutions: String,
    pub(crate) runtime: Runtime,
    pub(crate) program: PathBuf,
    folder: TempDir,
    group: String,
    /// Of each process that may run: its port for calls and its port for the administration.
    ports: [(u16, u16); 2],
    database: AtomicU32,
    /// The database, if it is not SQLite in the folder.
    url: Option<String>,
}

impl<'k> World<'k> {
    pub(crate) fn new(kafka: &'k RealKafka) -> anyhow::Result<Self> {
        Ok(Self {
            kafka,
            escalations: kafka.create_topic("escalations", 3)?,
            spam: kafka.create_topic("spam", 3)?,
            resolutions: kafka.create_topic("resolutions", 3)?,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?,
            program: program()?,
            folder: TempDir::with_prefix("tidegate-escalation-")?,
            group: kafka.name("escalation"),
            ports: [(free_port()?, free_port()?), (free_port()?, free_port()?)],
            database: AtomicU32::new(0),
            url: None,
        })
    }

    /// As [`new`](Self::new), with the database of a server.
    pub(crate) fn on(kafka: &'k RealKafka, postgres: &RealPostgres) -> anyhow::Result<Self> {
        let url = Some(postgres.database()?);
        Ok(Self {
            url,
            ..Self::new(kafka)?
        })
    }

    /// The service begins anew with an empty database.
    pub(crate) fn use_another_database(&self) {
        self.database.fetch_add(1, Ordering::Relaxed);
    }

    /// Starts the service and waits until it serves.
    pub(crate) fn start(&self, more: &[&str]) -> anyhow::Result<Service> {
        self.start_at(0, more)
    }

    /// Starts one of several that share everything, at a place of its own.
    pub(crate) fn start_at(&self, place: usize, more: &[&str]) -> anyhow::Result<Service> {
        let (port, admin) = self.ports[place];
        let database = self.folder.path().join(format!(
            "cases-{}.db",
            self.database.load(Ordering::Relaxed)
        ));
        let file = format!("sqlite:{}", database.display());
        let log = self.folder.path().join("log");
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new(&self.program);
        command.args(["run", "escalation"]);
        for (key, value) in [
            ("store.url", self.url.clone().unwrap_or(file)),
            ("server.listen", format!("127.0.0.1:{port}")),
            ("server.leave_wait", "0s".to_owned()),
            ("admin.listen", format!("127.0.0.1:{admin}")),
            ("auth.bootstrap_token", BOOTSTRAP.to_owned()),
            ("limits.calls_per_second", "100000".to_owned()),
            ("limits.burst", "100000".to_owned()),
            ("kafka.brokers", self.kafka.bootstrap().to_owned()),
            ("kafka.group_id", self.group.clone()),
            ("kafka.transactional_id_prefix", self.group.clone()),
            ("kafka.session_timeout_ms", "6000".to_owned()),
            ("topics.escalations", self.escalations.clone()),
            ("topics.spam", self.spam.clone()),
            ("topics.resolutions", self.resolutions.clone()),
            ("log.filter", "info".to_owned()),
        ] {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        for setting in more {
            command.args(["--set", setting]);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start the service")?;
        let mut service = Service { child };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = service.child.try_wait()? {
                bail!("the service ended with {status}:\n{}", self.log());
            }
            ensure!(
                begin.elapsed() < PATIENCE,
                "the service does not listen:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(service)
    }

    /// The last lines that the service wrote.
    pub(crate) fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0].0)
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel_to(0)
    }

    fn channel_to(&self, place: usize) -> Channel {
        let _inside = self.runtime.enter();
        Endpoint::from_shared(format!("http://127.0.0.1:{}", self.ports[place].0))
            .expect("the address is one")
            .connect_timeout(Duration::from_secs(2))
            .timeout(Duration::from_secs(20))
            .connect_lazy()
    }

    /// Calls as an agent that is made if it is missing.
    pub(crate) fn agent(&self, name: &str, role: Role) -> anyhow::Result<(Cases, String)> {
        let admin = Bearer(BOOTSTRAP.to_owned());
        let mut agents = AgentServiceClient::with_interceptor(self.channel(), admin);
        let name = format!("agents/{name}");
        let mut agent = Agent {
            name: name.clone(),
            queues: vec!["queues/-".to_owned()],
            ..Agent::default()
        };
        agent.set_role(role);
        let token = self.runtime.block_on(async {
            agents
                .update_agent(UpdateAgentRequest {
                    agent: Some(agent),
                    allow_missing: true,
                    ..UpdateAgentRequest::default()
                })
                .await?;
            agents.rotate_token(RotateTokenRequest { name }).await
        })?;
        let token = token.into_inner().token;
        let bearer = Bearer(token.clone());
        let cases = CaseServiceClient::with_interceptor(self.channel(), bearer);
        Ok((cases, token))
    }

    /// Calls to a process of several with a token.
    pub(crate) fn calls_to(&self, place: usize, token: &str) -> Cases {
        let bearer = Bearer(token.to_owned());
        CaseServiceClient::with_interceptor(self.channel_to(place), bearer)
    }

    /// Calls as the bootstrap admin.
    pub(crate) fn admin(&self) -> Cases {
        CaseServiceClient::with_interceptor(self.channel(), Bearer(BOOTSTRAP.to_owned()))
    }

    pub(crate) fn audit(&self) -> AuditServiceClient<InterceptedService<Channel, Bearer>> {
        AuditServiceClient::with_interceptor(self.channel(), Bearer(BOOTSTRAP.to_owned()))
    }

    /// All cases that a filter finds.
    pub(crate) fn list(&self, filter: &str) -> anyhow::Result<Vec<Case>> {
        let mut cases = self.admin();
        let mut found = Vec::new();
        let mut token = String::new();
        loop {
            let page = self.runtime.block_on(cases.list_cases(ListCasesRequest {
                page_size: 500,
                page_token: token,
                filter: filter.to_owned(),
                order_by: "create_time".to_owned(),
            }))?;
            let page = page.into_inner();
            found.extend(page.cases);
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(found);
            }
        }
    }

    /// Waits until a filter finds this many cases.
    pub(crate) fn wait_for(&self, filter: &str, count: usize) -> anyhow::Result<Vec<Case>> {
        let begin = Instant::now();
        loop {
            let found = self.list(filter)?;
            if found.len() == count {
                return Ok(found);
            }
            ensure!(
                begin.elapsed() < PATIENCE,
                "{} cases for `{filter}`, not {count}:\n{}",
                found.len(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Writes escalations, keyed by conversation.
    pub(crate) fn escalate(&self, records: &[(String, String)]) -> anyhow::Result<()> {
        self.kafka.produce(
            &self.escalations,
            records
                .iter()
                .map(|(key, value)| (key.as_bytes(), value.as_bytes())),
        )
    }

    /// The published decisions as a reader of committed records sees them, once there are `count`.
    pub(crate) fn resolutions(&self, count: usize) -> anyhow::Result<Vec<serde_json::Value>> {
        let seen =
            self.kafka
                .read_until(&self.resolutions, Isolation::Committed, PATIENCE, |seen| {
                    seen.len() >= count
                })?;
        seen.iter()
            .map(|record| Ok(serde_json::from_slice(&record.value)?))
            .collect()
    }

    /// How often each message has a published decision.
    pub(crate) fn published(&self, count: usize) -> anyhow::Result<HashMap<String, usize>> {
        let mut published = HashMap::new();
        for resolution in self.resolutions(count)? {
            let id = resolution["event_id"].as_str().unwrap_or_default();
            *published.entry(id.to_owned()).or_default() += 1;
        }
        Ok(published)
    }

    /// What the service exports, as text.
    pub(crate) fn metrics(&self) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports[0].1))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }
}

/// A running service. Dropping it kills it.
pub(crate) struct Service {
    child: Child,
}

impl Service {
    /// Ends it as a crash does.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it in good order.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status()?;
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the service ended with {status}");
                return Ok(());
            }
            ensure!(begin.elapsed() < PATIENCE, "the service does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A UUID of its own.
pub(crate) fn request_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:08x}-0000-4000-8000-{number:012x}", std::process::id())
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// What the pipeline writes when it asks for a person: key and value.
pub(crate) fn escalation(id: &str, verdict: &str, text: &str) -> (String, String) {
    let conversation = format!(
        "talk-{}",
        id.len() * 7 + id.bytes().map(usize::from).sum::<usize>() % 40
    );
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64);
    let value = serde_json::json!({
        "withdrawn": false,
        "event": {
            "id": id, "kind": "created", "platform": "instagram", "brand": "acme",
            "channel": "comment", "conversation_id": conversation,
            "author": {"id": format!("author-of-{id}"), "name": "Ann", "followers": 12, "is_creator": false},
            "text": text, "lang": "en", "created_at": now,
        },
        "verdict": {
            "id": verdict, "event_id": id, "kind": "created", "brand": "acme",
            "platform": "instagram", "channel": "comment", "conversation_id": conversation,
            "event_time": now, "action": "hide_and_review", "withdrawn": false,
            "labels": ["hate"],
            "scores": {"spam": 0.0, "hate": 0.98, "abuse": 0.1, "purchase_intent": 0.0,
                "support": 0.0, "risk": 0.0, "collab": 0.0, "question": 0.0, "negative": 0.5,
                "positive": 0.0},
            "reasons": [{"code": "hate", "label": "hate", "score": 0.98, "threshold": 0.5}],
            "text_flags": [], "clock_ahead": false,
            "review": {"queue": "conduct", "priority": "high", "due_at": now + 3_600_000},
            "tier": "screen", "windows": 1, "model_version": "m1", "policy_version": "p1",
            "source": {"topic": "comments.v1", "partition": 0, "offset": 0},
        },
    });
    (conversation, value.to_string())
}

/// What the pipeline writes when a message is gone.
pub(crate) fn withdrawal(id: &str) -> (String, String) {
    let (key, _) = escalation(id, "", "");
    let value = serde_json::json!({
        "withdrawn": true,
        "verdict": {
            "id": format!("gone-{id}"), "event_id": id, "kind": "deleted", "brand": "acme",
            "platform": "instagram", "action": "allow", "withdrawn": true, "labels": [],
            "reasons": [], "text_flags": [], "clock_ahead": false, "tier": "none", "windows": 0,
            "policy_version": "p1",
            "source": {"topic": "comments.v1", "partition": 0, "offset": 1},
        },
    });
    (key, value.to_string())
}
