//! What becomes of cases and decisions when processes are killed and brokers go away.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tidegate_proto::escalation::v1::{
    ClaimCaseRequest, Outcome, ResolveCaseRequest, Role, VerifyAuditRequest,
};
use tidegate_tests::{RealKafka, RealPostgres};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use crate::{
    path::{claim, resolve},
    world::{Cases, PATIENCE, Service, World, escalation, request_id},
};

const CASES: usize = 600;
const AGENTS: usize = 6;
const KILLS: usize = 12;

/// So that a case whose agent was cut off comes back while the test lasts.
const SETTINGS: [&str; 1] = ["store.sweep_every=200ms"];

pub(crate) fn at_random(kafka: &RealKafka) -> anyhow::Result<()> {
    kill_at_random(&World::new(kafka)?, 1)
}

pub(crate) fn two_at_random(kafka: &RealKafka) -> anyhow::Result<()> {
    let postgres = RealPostgres::start()?;
    kill_at_random(&World::on(kafka, &postgres)?, 2)
}

/// Kills whichever of the processes, or all of them, while agents work, and then counts.
fn kill_at_random(world: &World<'_>, processes: usize) -> anyhow::Result<()> {
    let mut services = (0..processes)
        .map(|place| world.start_at(place, &SETTINGS).map(Some))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let done = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let mut working = Vec::new();
    for number in 0..AGENTS {
        let (_, token) = world.agent(&format!("agent-{number}"), Role::Agent)?;
        let agent = Worker {
            cases: (0..processes)
                .map(|place| world.calls_to(place, &token))
                .collect(),
            turn: AtomicUsize::new(number),
            done: done.clone(),
            acknowledged: acknowledged.clone(),
        };
        working.push(world.runtime.spawn(agent.work()));
    }
    let ids: Vec<_> = (0..CASES).map(|n| format!("kill-{n}")).collect();
    let records: Vec<_> = ids
        .iter()
        .map(|id| escalation(id, &format!("verdict-of-{id}"), "words"))
        .collect();
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for chunk in records.chunks(CASES / KILLS) {
        world.escalate(chunk)?;
        thread::sleep(Duration::from_millis(rng.random_range(0..2_500)));
        let victim = rng.random_range(0..=processes);
        for (place, service) in services.iter_mut().enumerate() {
            if processes == 1 || victim == place || victim == processes {
                service.take().context("a service")?.kill()?;
            }
        }
        for (place, service) in services.iter_mut().enumerate() {
            if service.is_none() {
                *service = Some(world.start_at(place, &SETTINGS)?);
            }
        }
    }
    world.wait_for("state = RESOLVED", CASES)?;
    done.store(true, Ordering::Release);
    for worker in working {
        world.runtime.block_on(worker)?;
    }

    let cases = world.list("")?;
    ensure!(cases.len() == CASES, "{} cases", cases.len());
    let decided = cases.iter().map(|case| case.decisions.len());
    assert!(decided.clone().all(|count| count == 1), "decided twice");
    let resolved: HashSet<_> = cases.iter().map(|case| case.name.clone()).collect();
    for name in &*acknowledged.lock().unwrap_or_else(PoisonError::into_inner) {
        assert!(resolved.contains(name), "an acknowledged decision is gone");
    }
    once_each(world, &ids)?;
    intact(world)?;
    services.into_iter().flatten().try_for_each(Service::stop)
}

/// Each decision was published, and only once.
fn once_each(world: &World<'_>, ids: &[String]) -> anyhow::Result<()> {
    let published = world.published(ids.len())?;
    let lost: Vec<_> = ids
        .iter()
        .filter(|id| !published.contains_key(*id))
        .collect();
    assert!(lost.is_empty(), "never published: {lost:?}");
    let twice: Vec<_> = published.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "published twice: {twice:?}");
    Ok(())
}

fn intact(world: &World<'_>) -> anyhow::Result<()> {
    let mut audit = world.audit();
    let answer = world
        .runtime
        .block_on(audit.verify_audit(VerifyAuditRequest::default()))?
        .into_inner();
    ensure!(
        answer.intact,
        "entry {}: {}",
        answer.broken_at,
        answer.problem
    );
    Ok(())
}

/// An agent that works whatever comes, whoever is killed meanwhile.
struct Worker {
    /// To each process.
    cases: Vec<Cases>,
    /// Which one is called next.
    turn: AtomicUsize,
    done: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<String>>>,
}

impl Worker {
    async fn work(self) {
        while !self.done.load(Ordering::Acquire) {
            let request = ClaimCaseRequest {
                wait: Some(prost_duration(1)),
                request_id: request_id(),
                ..ClaimCaseRequest::default()
            };
            let claimed = self
                .again(|mut cases| {
                    let request = request.clone();
                    async move { cases.claim_case(request).await }
                })
                .await;
            let Some(case) = claimed.ok().and_then(|answer| answer.case) else {
                continue;
            };
            let mut request = ResolveCaseRequest {
                name: case.name.clone(),
                comment: "seen".to_owned(),
                request_id: request_id(),
                ..ResolveCaseRequest::default()
            };
            request.set_outcome(Outcome::Hide);
            let resolved = self
                .again(|mut cases| {
                    let request = request.clone();
                    async move { cases.resolve_case(request).await }
                })
                .await;
            if resolved.is_ok() {
                let mut acknowledged = self
                    .acknowledged
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                acknowledged.push(case.name);
            }
        }
    }

    /// Makes a call again, with the same request id, to one process after the other until one
    /// answers.
    async fn again<T, F>(&self, make: impl Fn(Cases) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        loop {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            match make(self.cases[turn % self.cases.len()].clone()).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) if passes(&status) && !self.done.load(Ordering::Acquire) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(status) => return Err(status),
            }
        }
    }
}

/// Whether a call may be made again: a connection that was cut off shows in several ways.
fn passes(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::Unknown
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::ResourceExhausted
    )
}

fn prost_duration(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

/// Claims what comes first and decides it, so many times.
fn decide(world: &World<'_>, agent: &mut Cases, count: usize) -> anyhow::Result<()> {
    world.runtime.block_on(async {
        for _ in 0..count {
            let mine = claim(agent).await?.context("nothing to claim")?;
            resolve(agent, &mine).await?;
        }
        Ok(())
    })
}

/// Who stops the broker that outages share: one case at a time.
static OUTAGE: Mutex<()> = Mutex::new(());

pub(crate) fn kafka_away(kafka: &RealKafka) -> anyhow::Result<()> {
    let _turn = OUTAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let world = World::new(kafka)?;
    let service = world.start(&[])?;
    let (mut agent, _) = world.agent("ann", Role::Agent)?;
    let records: Vec<_> = (0..20)
        .map(|n| escalation(&format!("away-{n}"), &format!("v{n}"), "words"))
        .collect();
    world.escalate(&records)?;
    world.wait_for("state = OPEN", 20)?;
    let mut decide = |count| decide(&world, &mut agent, count);
    decide(5)?;
    ensure!(world.published(5)?.len() == 5);
    kafka.stop_broker(1)?;
    decide(5)?;
    thread::sleep(Duration::from_secs(3));
    decide(5)?;
    kafka.start_broker(1)?;
    let begin = Instant::now();
    world.escalate(&[escalation("after", "v-after", "words")])?;
    world.wait_for("event_id = \"after\"", 1)?;
    let published = world.published(15)?;
    assert_eq!(published.len(), 15, "after {:?}", begin.elapsed());
    assert!(published.values().all(|count| *count == 1), "{published:?}");
    ensure!(begin.elapsed() < PATIENCE);
    service.stop()
}

/// Away for longer than transactions, sessions and leases last; the service is killed meanwhile, so
/// that what it had in memory is gone, and begins anew without a cluster.
pub(crate) fn kafka_away_for_long(kafka: &RealKafka) -> anyhow::Result<()> {
    const AWAY: Duration = Duration::from_secs(12);
    let _turn = OUTAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let settings = [
        "kafka.transaction_timeout_ms=3000",
        "kafka.session_timeout_ms=6000",
        SETTINGS[0],
    ];
    let world = World::new(kafka)?;
    let service = world.start(&settings)?;
    let (mut ann, _) = world.agent("ann", Role::Agent)?;
    let ids: Vec<_> = (0..60).map(|n| format!("long-{n}")).collect();
    let record = |id: &String| escalation(id, &format!("v-{id}"), "words");
    let (before, after) = ids.split_at(50);
    world.escalate(&before.iter().map(record).collect::<Vec<_>>())?;
    world.wait_for("state = OPEN", before.len())?;
    let mut decide = |count| decide(&world, &mut ann, count);
    decide(5)?;
    ensure!(world.published(5)?.len() == 5);

    kafka.stop_broker(1)?;
    let begin = Instant::now();
    decide(10)?;
    service.kill()?;
    let service = world.start(&settings)?;
    let mut decided = 15;
    // Work goes on all the time, not only at the outage's ends.
    while decided < before.len() || begin.elapsed() < AWAY {
        if decided < before.len() {
            decide(1)?;
            decided += 1;
        }
        thread::sleep(Duration::from_millis(200));
    }
    world.wait_for("state = RESOLVED", before.len())?;
    kafka.start_broker(1)?;

    // What arrives now comes in, and all that waited goes out, once.
    world.escalate(&after.iter().map(record).collect::<Vec<_>>())?;
    world.wait_for("state = OPEN", after.len())?;
    decide(after.len())?;
    once_each(&world, &ids)?;
    intact(&world)?;
    service.stop()
}

pub(crate) fn database_away(kafka: &RealKafka) -> anyhow::Result<()> {
    let postgres = RealPostgres::start_own()?;
    let world = World::on(kafka, &postgres)?;
    let service = world.start(&SETTINGS)?;
    let (mut ann, _) = world.agent("ann", Role::Agent)?;
    let ids: Vec<_> = (0..4).map(|n| format!("database-{n}")).collect();
    let record = |id: &String| escalation(id, &format!("v-{id}"), "words");
    world.escalate(&ids[..2].iter().map(record).collect::<Vec<_>>())?;
    world.wait_for("state = OPEN", 2)?;
    let mine = world.runtime.block_on(claim(&mut ann))?;
    let mut request = ResolveCaseRequest {
        name: mine.context("nothing to claim")?.name,
        request_id: request_id(),
        ..ResolveCaseRequest::default()
    };
    request.set_outcome(Outcome::Hide);

    postgres.stop()?;
    let refused = world.runtime.block_on(ann.resolve_case(request.clone()));
    let Err(status) = refused else {
        anyhow::bail!("decided without a database");
    };
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    assert_eq!(reason.as_deref(), Some("STORE_UNAVAILABLE"), "{status:?}");
    assert!(details.retry_info().is_some(), "{status:?}");
    // What arrives meanwhile waits in Kafka.
    world.escalate(&ids[2..].iter().map(record).collect::<Vec<_>>())?;
    let begin = Instant::now();
    while !world.log().contains("cases cannot be stored") {
        ensure!(begin.elapsed() < PATIENCE, "{}", world.log());
        thread::sleep(Duration::from_millis(50));
    }
    postgres.go_on()?;

    // The same request, as an agent told to try again makes it.
    while let Err(status) = world.runtime.block_on(ann.resolve_case(request.clone())) {
        ensure!(passes(&status) && begin.elapsed() < PATIENCE, "{status:?}");
        thread::sleep(Duration::from_millis(100));
    }
    world.wait_for("state = OPEN", 3)?;
    for _ in 0..3 {
        world.runtime.block_on(async {
            let mine = claim(&mut ann).await?.context("nothing to claim")?;
            resolve(&mut ann, &mine).await
        })?;
    }
    once_each(&world, &ids)?;
    intact(&world)?;
    service.stop()
}
