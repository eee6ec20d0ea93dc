//! The review queue's store: intake, a hundred agents at once, lists of a large store, and how soon
//! a watcher knows; and the whole path from a record on Kafka.

pub(super) mod path;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tidegate_escalation::{
    Act, Caller, Filter, Granted, Store, StoreError, StoreSettings,
    store::{Arrived, Order, Page, Progress, system_clock},
    times::{HOUR, timestamp},
};
use tidegate_proto::{
    escalation::v1::{Case, CaseEvent, CaseSource, CaseVerdict, Outcome, Role},
    events::v1::{Author, Channel, Label, Reason},
};
use tidegate_tests::{RealPostgres, StartError};

use super::{progress, report::Row};

/// How many cases one transaction takes in, as the intake does.
const BATCH: usize = 500;
const AGENTS: usize = 100;
/// How many cases the agents decide.
const DECISIONS: usize = 10_000;
/// How many pages of each list are read, at most.
const PAGES: usize = 1_000;
/// How long one list is read at most.
const LIST_WITHIN: Duration = Duration::from_secs(10);
/// How many cases are watched for.
const WATCHED: usize = 200;
const QUEUES: [&str; 5] = ["conduct", "care", "legal", "sales", "general"];

/// Measures on SQLite, and on PostgreSQL where it is installed.
pub(super) fn measure(cases: usize) -> anyhow::Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("cases.db");
    let url = format!("sqlite:{}", file.display());
    let mut rows = runtime.block_on(on("cases on SQLite", url, cases))?;
    drop(folder);
    match RealPostgres::start() {
        Ok(postgres) => {
            let url = postgres.database()?;
            rows.extend(runtime.block_on(on("cases on PostgreSQL", url, cases))?);
        }
        Err(StartError::Missing(reason)) => progress(&format!("no PostgreSQL: {reason}")),
        Err(StartError::Failed(error)) => return Err(error),
    }
    Ok(rows)
}

async fn on(section: &'static str, url: String, cases: usize) -> anyhow::Result<Vec<Row>> {
    progress(&format!("{section}: taking in {cases} …"));
    let store = Store::open(&StoreSettings::new(url), system_clock()).await?;
    let mut rows = Vec::new();
    let began = Instant::now();
    let mut waits = Waits::default();
    let mut known = None;
    for from in (0..cases).step_by(BATCH) {
        let until = (from + BATCH).min(cases);
        let asked = Instant::now();
        take_in(&store, from..until, &mut known).await?;
        waits.0.push(asked.elapsed());
    }
    let rate = cases as f64 / began.elapsed().as_secs_f64();
    let row = waits.row(section, "intake, 500 a transaction", rate);
    rows.push(row.at_least("per second", rate, 5_000.0));

    progress(&format!("{section}: {rate:.0} a second; {AGENTS} agents …"));
    let (worked, rate) = agents(section, &store).await?;
    rows.extend(worked);

    progress(&format!("{section}: {rate:.0} a second; lists …"));
    let (system, some) = (Caller::system(), agent_of("lister", &QUEUES[..3]));
    let agents = "an agent's three queues, by rank";
    for (name, filter, order) in [
        ("all, by rank", "", "rank"),
        (agents, "", "rank"),
        ("open, by rank", "state = OPEN", "rank"),
        (
            "a queue's open ones, by rank",
            "state = OPEN AND queue = legal",
            "rank",
        ),
        (
            "a queue and a label, by rank",
            "queue = conduct AND label:HATE",
            "rank",
        ),
        ("all, the newest first", "", "create_time desc"),
        ("open, by deadline", "state = OPEN", "due_time"),
        ("one author's", "author_id = account-77", "create_time"),
    ] {
        let caller = if name == agents { &some } else { &system };
        let waits = list(&store, caller, filter, order).await?;
        let p99 = waits.clone().at(0.99);
        let row = waits.row(section, format!("list 50: {name}"), None);
        rows.push(row.at_most("p99 ms", p99, 20.0));
    }
    rows.push(watch(section, &store, cases, &mut known).await?);
    store.close().await;
    Ok(rows)
}

async fn take_in(
    store: &Store,
    numbers: std::ops::Range<usize>,
    known: &mut Option<i64>,
) -> Result<(), StoreError> {
    let next = numbers.end as i64;
    let progress = Progress {
        topic: "escalations".to_owned(),
        partition: 0,
        known: *known,
        next,
    };
    store
        .intake(numbers.map(arriving).collect(), &[progress])
        .await?;
    *known = Some(next);
    Ok(())
}

/// Times that were waited.
#[derive(Clone, Default)]
struct Waits(Vec<Duration>);

impl Waits {
    /// The wait in milliseconds that this part of all did not exceed.
    fn at(&mut self, part: f64) -> f64 {
        self.0.sort_unstable();
        let place = (self.0.len() as f64 * part) as usize;
        let wait = self.0.get(place.min(self.0.len().saturating_sub(1)));
        wait.map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e3)
    }

    fn row(
        mut self,
        section: &'static str,
        name: impl Into<String>,
        rate: impl Into<Option<f64>>,
    ) -> Row {
        let mut row = Row::new(section, name);
        if let Some(rate) = rate.into() {
            row = row.with("per second", rate);
        }
        row.with("p50 ms", self.at(0.5))
            .with("p99 ms", self.at(0.99))
    }
}

async fn agents(section: &'static str, store: &Store) -> anyhow::Result<([Row; 2], f64)> {
    let left = Arc::new(AtomicUsize::new(DECISIONS));
    let began = Instant::now();
    let working: Vec<_> = (0..AGENTS)
        .map(|n| tokio::spawn(work(store.clone(), agent(n), left.clone())))
        .collect();
    let (mut claims, mut decisions) = (Waits::default(), Waits::default());
    for agent in working {
        let (some, more) = agent.await??;
        claims.0.extend(some);
        decisions.0.extend(more);
    }
    let rate = decisions.0.len() as f64 / began.elapsed().as_secs_f64();
    let p99 = decisions.at(0.99).max(claims.at(0.99));
    let claimed = claims.row(section, format!("claim, {AGENTS} agents at once"), rate);
    let resolved = decisions.row(section, format!("resolve, {AGENTS} agents at once"), rate);
    let rows = [
        claimed.at_least("claims with their decisions per second", rate, 1_000.0),
        resolved.at_most("p99 ms of both", p99, 50.0),
    ];
    Ok((rows, rate))
}

async fn work(
    store: Store,
    caller: Caller,
    left: Arc<AtomicUsize>,
) -> Result<(Vec<Duration>, Vec<Duration>), StoreError> {
    let (mut claims, mut decisions) = (Vec::new(), Vec::new());
    let takes_one = || {
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        })
        .is_ok()
    };
    while takes_one() {
        let id = format!("{} {}", caller.agent, claims.len());
        let asked = Instant::now();
        let claimed = store.claim_next(&caller, &[], &format!("c{id}")).await?;
        let Some(case) = claimed else { break };
        claims.push(asked.elapsed());
        let act = Act::Resolve {
            outcome: Outcome::Hide,
            labels: vec![Label::Hate],
            comment: "clear".to_owned(),
        };
        let asked = Instant::now();
        store
            .act(&caller, &case.name, act, &case.etag, &format!("r{id}"))
            .await?;
        decisions.push(asked.elapsed());
    }
    Ok((claims, decisions))
}

async fn list(store: &Store, caller: &Caller, filter: &str, order: &str) -> anyhow::Result<Waits> {
    let (filter, order) = (Filter::cases(filter)?, Order::parse(order)?);
    let mut waits = Waits::default();
    let mut token = String::new();
    let began = Instant::now();
    while waits.0.len() < PAGES && began.elapsed() < LIST_WITHIN {
        let page = Page::new(50, &token)?;
        let asked = Instant::now();
        let (_, next) = store.list(caller, &filter, order, page).await?;
        waits.0.push(asked.elapsed());
        token = next.map_or_else(String::new, |next| next.0);
    }
    Ok(waits)
}

/// From the call that stores a case to a watcher who has read it.
async fn watch(
    section: &'static str,
    store: &Store,
    cases: usize,
    known: &mut Option<i64>,
) -> anyhow::Result<Row> {
    let (caller, all) = (Caller::system(), Filter::default());
    let mut newest = store.newest();
    let mut seen = *newest.borrow_and_update();
    let mut waits = Waits::default();
    for number in cases..cases + WATCHED {
        let asked = Instant::now();
        take_in(store, number..number + 1, known).await?;
        loop {
            let changes = store.changes(&caller, &all, seen, 100).await?;
            seen = changes.newest;
            if !changes.changes.is_empty() {
                break;
            }
            newest.changed().await?;
        }
        waits.0.push(asked.elapsed());
    }
    let p99 = waits.at(0.99);
    let row = waits.row(section, "a new case until a watcher has it", None);
    Ok(row.at_most("p99 ms", p99, 1_000.0))
}

fn agent(n: usize) -> Caller {
    agent_of(&format!("a{n}"), &QUEUES)
}

fn agent_of(name: &str, queues: &[&str]) -> Caller {
    let queues = queues.iter().map(|queue| format!("queues/{queue}"));
    Caller {
        agent: format!("agents/{name}"),
        role: Role::Agent,
        queues: Granted::Some(queues.collect()),
        languages: Vec::new(),
        pseudonym: format!("reviewer {name}"),
    }
}

/// How many hours after its writing a message of each priority is due.
const DEADLINES: [i64; 4] = [72, 24, 4, 1];

/// Cases as a brand's are: comments of a hundred bytes, written within the last minute, thousands of
/// authors and posts, and deadlines as a policy gives them.
fn arriving(n: usize) -> Arrived {
    let written = system_clock()() - (n as i64 * 7_919 % 60_000);
    let priority = n % 4;
    let case = Case {
        source: CaseSource::Machine.into(),
        queue: format!("queues/{}", QUEUES[n * 7 % QUEUES.len()]),
        priority: (priority + 1) as i32,
        due_time: Some(timestamp(written + DEADLINES[priority] * HOUR)),
        event: Some(CaseEvent {
            event_id: format!("comment-{n}"),
            brand: format!("brand-{}", n % 10),
            platform: "instagram".to_owned(),
            channel: Channel::Comment.into(),
            conversation_id: Some(format!("post-{}", n % 5_000)),
            post_id: Some(format!("post-{}", n % 5_000)),
            author: Some(Author {
                id: Some(format!("account-{}", n % 50_000)),
                name: Some(format!("Somebody {n}")),
                followers: Some((n % 100_000) as u64),
                is_creator: false,
            }),
            text: Some(format!(
                "comment number {n}, {}",
                "which goes on a while ".repeat(4)
            )),
            lang: Some("en".to_owned()),
            event_time: Some(timestamp(written)),
            ..CaseEvent::default()
        }),
        verdict: Some(CaseVerdict {
            verdict_id: format!("verdict-{n}"),
            labels: vec![(n % 10 + 1) as i32],
            reasons: vec![Reason {
                code: format!("rule_{}", n % 12),
                label: (n % 10 + 1) as i32,
                score: Some(0.93),
                threshold: Some(0.8),
            }],
            policy_version: "p1".to_owned(),
            model_version: Some("m1".to_owned()),
            ..CaseVerdict::default()
        }),
        ..Case::default()
    };
    Arrived::Open(Box::new(case))
}
