//! What scenarios start from: a fresh store, a clock that they move, and people.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
};

use anyhow::Context;
use tempfile::TempDir;
use tidegate_escalation::{
    Act, Caller, Granted, Refusal, Store, StoreError, StoreSettings,
    store::{Arrived, Clock},
    times::{HOUR, MINUTE, timestamp},
};
use tidegate_proto::{
    escalation::v1::{
        Agent, Case, CaseEvent, CaseSource, CaseVerdict, Outcome, Queue, Role, UpdateAgentRequest,
        UpdateQueueRequest,
    },
    events::v1::{Author, Channel, Label, Priority, Reason},
};
use tidegate_tests::{RealPostgres, StartError};

/// When every scenario begins: Wednesday, 25 November 2026, 09:00 UTC.
pub(crate) const START: i64 = 1_795_597_200_000;

/// Where stores are made.
pub(crate) enum Place {
    Sqlite(TempDir, AtomicU32),
    Postgres(RealPostgres),
}

impl Place {
    pub(crate) fn sqlite() -> Result<Self, StartError> {
        let dir = TempDir::with_prefix("tidegate-cases-").context("a directory")?;
        Ok(Self::Sqlite(dir, AtomicU32::new(0)))
    }

    pub(crate) fn postgres() -> Result<Self, StartError> {
        RealPostgres::start().map(Self::Postgres)
    }

    fn url(&self) -> anyhow::Result<(String, PathBuf)> {
        match self {
            Self::Sqlite(dir, made) => {
                let name = format!("{}.db", made.fetch_add(1, Ordering::Relaxed));
                let path = dir.path().join(name);
                Ok((format!("sqlite:{}", path.display()), path))
            }
            Self::Postgres(server) => Ok((server.database()?, PathBuf::new())),
        }
    }
}

/// A store and its clock.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) settings: StoreSettings,
    /// The file, if there is one.
    pub(crate) path: PathBuf,
    now: Arc<AtomicI64>,
}

/// Runs a scenario on a fresh store.
pub(crate) fn run(place: &Place, scenario: impl AsyncFnOnce(&World)) -> anyhow::Result<()> {
    let (url, path) = place.url()?;
    block_on(async {
        let mut settings = StoreSettings::new(url);
        settings.topics = vec![
            ("comments.v1".to_owned(), Some(7 * 24 * HOUR)),
            ("archive".to_owned(), None),
        ];
        let world = World::open(settings, path).await?;
        scenario(&world).await;
        world.store.close().await;
        Ok(())
    })
}

pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(work)
}

impl World {
    pub(crate) async fn open(settings: StoreSettings, path: PathBuf) -> anyhow::Result<Self> {
        let now = Arc::new(AtomicI64::new(START));
        let store = Store::open(&settings, clock(&now)).await?;
        let world = Self {
            store,
            settings,
            path,
            now,
        };
        for name in ["conduct", "care"] {
            world.queue(queue(name)).await;
        }
        for name in ["ana", "ben", "cem"] {
            world.agent(name, &["queues/conduct"], &[]).await;
        }
        Ok(world)
    }

    /// The same database, opened once more.
    pub(crate) async fn another(&self) -> Store {
        let store = Store::open(&self.settings, clock(&self.now)).await;
        store.unwrap()
    }

    pub(crate) fn now(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    pub(crate) fn pass(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) async fn queue(&self, queue: Queue) -> Queue {
        let request = UpdateQueueRequest {
            queue: Some(queue),
            allow_missing: true,
            ..Default::default()
        };
        self.store.queue_update(&admin(), request).await.unwrap()
    }

    pub(crate) async fn agent(&self, name: &str, queues: &[&str], languages: &[&str]) -> Agent {
        let request = UpdateAgentRequest {
            agent: Some(Agent {
                name: format!("agents/{name}"),
                role: Role::Agent.into(),
                queues: queues.iter().map(|one| (*one).to_owned()).collect(),
                languages: languages.iter().map(|one| (*one).to_owned()).collect(),
                ..Agent::default()
            }),
            allow_missing: true,
            ..Default::default()
        };
        self.store.agent_update(&admin(), request).await.unwrap()
    }

    pub(crate) async fn arrive(&self, cases: impl IntoIterator<Item = Case>) {
        let arrived = cases.into_iter().map(|case| Arrived::Open(Box::new(case)));
        self.store.intake(arrived.collect(), &[]).await.unwrap();
    }

    /// Lets one case arrive, and gives it.
    pub(crate) async fn open_case(&self, arrived: Case) -> Case {
        let event = arrived.event.clone().unwrap();
        self.arrive([arrived]).await;
        let name = name_of(&event);
        self.store.get(&Caller::system(), &name).await.unwrap()
    }

    pub(crate) async fn act(
        &self,
        who: &Caller,
        case: &Case,
        act: Act,
    ) -> Result<Case, StoreError> {
        self.store.act(who, &case.name, act, "", "").await
    }

    pub(crate) async fn claim(&self, who: &Caller, case: &Case) -> Case {
        self.act(who, case, Act::Claim).await.unwrap()
    }

    pub(crate) async fn next(&self, who: &Caller) -> Option<Case> {
        self.store.claim_next(who, &[], "").await.unwrap()
    }

    pub(crate) async fn get(&self, case: &Case) -> Case {
        let found = self.store.get(&Caller::system(), &case.name).await;
        found.unwrap()
    }
}

pub(crate) fn clock(now: &Arc<AtomicI64>) -> Clock {
    let now = now.clone();
    Arc::new(move || now.load(Ordering::SeqCst))
}

pub(crate) fn queue(name: &str) -> Queue {
    Queue {
        name: format!("queues/{name}"),
        ..Queue::default()
    }
}

/// An agent of the conduct queue.
pub(crate) fn agent(name: &str) -> Caller {
    Caller {
        agent: format!("agents/{name}"),
        role: Role::Agent,
        queues: Granted::Some(vec!["queues/conduct".to_owned()]),
        languages: Vec::new(),
        pseudonym: format!("reviewer of {}", name.len()),
    }
}

pub(crate) fn admin() -> Caller {
    Caller {
        role: Role::Admin,
        queues: Granted::All,
        ..agent("admin")
    }
}

/// A case as it arrives: of the conduct queue, normal, due in an hour, with a text and an author
/// that tests can look for.
pub(crate) fn arriving(id: &str) -> Case {
    Case {
        source: CaseSource::Machine.into(),
        queue: "queues/conduct".to_owned(),
        priority: Priority::Normal.into(),
        due_time: Some(timestamp(START + HOUR)),
        event: Some(CaseEvent {
            event_id: id.to_owned(),
            brand: "acme".to_owned(),
            platform: "instagram".to_owned(),
            channel: Channel::Comment.into(),
            conversation_id: Some(format!("thread-{id}")),
            author: Some(Author {
                id: Some(format!("author-{id}")),
                name: Some(format!("Nameless {id}")),
                followers: Some(10),
                is_creator: false,
            }),
            text: Some(format!("unmistakable words {id}")),
            lang: Some("en-GB".to_owned()),
            event_time: Some(timestamp(START)),
            ..CaseEvent::default()
        }),
        verdict: Some(CaseVerdict {
            verdict_id: format!("verdict-{id}"),
            labels: vec![Label::Hate.into()],
            reasons: vec![Reason {
                code: "hate".to_owned(),
                ..Reason::default()
            }],
            policy_version: "p1".to_owned(),
            ..CaseVerdict::default()
        }),
        ..Case::default()
    }
}

/// The same message with another text.
pub(crate) fn edited(id: &str, text: &str) -> Case {
    let mut case = arriving(id);
    case.event.as_mut().unwrap().text = Some(text.to_owned());
    case.verdict.as_mut().unwrap().verdict_id = format!("verdict-{id}-{text}");
    case
}

pub(crate) fn due_in(mut case: Case, ms: i64) -> Case {
    case.due_time = Some(timestamp(START + ms));
    case
}

pub(crate) fn with_priority(mut case: Case, priority: Priority) -> Case {
    case.set_priority(priority);
    case
}

pub(crate) fn name_of(event: &CaseEvent) -> String {
    tidegate_escalation::life::case_name(&event.platform, &event.brand, &event.event_id)
}

pub(crate) fn resolve(outcome: Outcome) -> Act {
    Act::Resolve {
        outcome,
        labels: vec![Label::Hate],
        comment: "clear".to_owned(),
    }
}

pub(crate) fn release(skip: bool) -> Act {
    Act::Release {
        skip,
        reason: String::new(),
    }
}

pub(crate) fn id(case: &Case) -> &str {
    &case.event.as_ref().unwrap().event_id
}

pub(crate) fn refused<T>(answer: Result<T, StoreError>) -> Refusal {
    match answer {
        Ok(_) => panic!("it was done"),
        Err(StoreError::Refused(refusal)) => refusal,
        Err(error) => panic!("{error}"),
    }
}

/// A lease's usual length.
pub(crate) const LEASE: i64 = 10 * MINUTE;
