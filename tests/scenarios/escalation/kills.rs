//! What becomes of cases and decisions when processes are killed and brokers go away.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
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
use tidegate_tests::RealKafka;
use tonic::{Code, Response, Status};

use crate::{
    path::{claim, resolve},
    world::{Cases, PATIENCE, World, escalation, request_id},
};

const CASES: usize = 600;
const AGENTS: usize = 6;
const KILLS: usize = 12;

pub(crate) fn at_random(kafka: &RealKafka) -> anyhow::Result<()> {
    let world = World::new(kafka)?;
    // So that a case whose agent was cut off comes back while the test lasts.
    let settings = ["store.sweep_every=200ms"];
    let mut service = world.start(&settings)?;
    let done = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let mut working = Vec::new();
    for number in 0..AGENTS {
        let (cases, _) = world.agent(&format!("agent-{number}"), Role::Agent)?;
        let agent = Worker {
            cases,
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
        service.kill()?;
        service = world.start(&settings)?;
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
    let published = world.published(CASES)?;
    let lost: Vec<_> = ids
        .iter()
        .filter(|id| !published.contains_key(*id))
        .collect();
    assert!(lost.is_empty(), "never published: {lost:?}");
    let twice: Vec<_> = published.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "published twice: {twice:?}");
    intact(&world)?;
    service.stop()
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
    cases: Cases,
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
            let cases = &self.cases;
            let claimed = self
                .again(|| {
                    let (mut cases, request) = (cases.clone(), request.clone());
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
            let cases = &self.cases;
            let resolved = self
                .again(|| {
                    let (mut cases, request) = (cases.clone(), request.clone());
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

    /// Makes a call again, with the same request id, until the service answers.
    async fn again<T, F>(&self, make: impl Fn() -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        loop {
            match make().await {
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

pub(crate) fn kafka_away(kafka: &RealKafka) -> anyhow::Result<()> {
    let world = World::new(kafka)?;
    let service = world.start(&[])?;
    let (mut agent, _) = world.agent("ann", Role::Agent)?;
    let records: Vec<_> = (0..20)
        .map(|n| escalation(&format!("away-{n}"), &format!("v{n}"), "words"))
        .collect();
    world.escalate(&records)?;
    world.wait_for("state = OPEN", 20)?;
    let mut decide = |count: usize| {
        world.runtime.block_on(async {
            for _ in 0..count {
                let mine = claim(&mut agent).await?.context("nothing to claim")?;
                resolve(&mut agent, &mine).await?;
            }
            anyhow::Ok(())
        })
    };
    decide(5)?;
    ensure!(world.published(5)?.len() == 5);
    kafka.stop_broker(1)?;
    decide(5)?;
    // Longer than a transaction lasts would be better still; the claim is about people, not time.
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
