//! Measures the case store: intake, claim and resolve by many agents at once, lists of a large
//! store. `cargo run --release --example store_bench -- sqlite:/tmp/cases.db 1000000`

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tidegate_escalation::{
    Act, Caller, Filter, Granted, Store, StoreSettings,
    store::{Arrived, Order, Page, system_clock},
    times::{HOUR, MINUTE, timestamp},
};
use tidegate_proto::{
    escalation::v1::{Case, CaseEvent, CaseSource, CaseVerdict, Outcome, Role},
    events::v1::{Author, Channel, Label, Reason},
};

const BATCH: usize = 500;
const AGENTS: usize = 100;
const ROUNDS: usize = 10_000;
const LISTS: usize = 1_000;
const QUEUES: [&str; 5] = ["conduct", "care", "legal", "sales", "general"];

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure())
}

async fn measure() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or("sqlite:cases.db".to_owned());
    let total: usize = args.next().map_or(Ok(100_000), |text| text.parse())?;
    let store = Store::open(&StoreSettings::new(url), system_clock()).await?;
    let have = store.count(&Caller::system(), &Filter::default()).await? as usize;

    let began = Instant::now();
    let mut waits = Vec::new();
    for from in (have..have.max(total)).step_by(BATCH) {
        let batch = (from..(from + BATCH).min(total)).map(arriving).collect();
        let offsets = [("escalations".to_owned(), 0, from as i64)];
        let asked = Instant::now();
        store.intake(batch, &offsets).await?;
        waits.push(asked.elapsed());
    }
    let opened = total.saturating_sub(have);
    report(
        "intake (cases; waits of a batch)",
        opened,
        began.elapsed(),
        &mut waits,
    );

    let left = Arc::new(AtomicUsize::new(ROUNDS));
    let began = Instant::now();
    let agents: Vec<_> = (0..AGENTS)
        .map(|n| tokio::spawn(work(store.clone(), agent(n), left.clone())))
        .collect();
    let mut claims = Vec::new();
    let mut decisions = Vec::new();
    for agent in agents {
        let (some, more) = agent.await??;
        claims.extend(some);
        decisions.extend(more);
    }
    let took = began.elapsed();
    report("claim, of claim + resolve", claims.len(), took, &mut claims);
    report(
        "resolve, of claim + resolve",
        decisions.len(),
        took,
        &mut decisions,
    );

    for (filter, order) in [
        ("", "rank"),
        ("state = OPEN", "rank"),
        ("state = OPEN AND queue = legal", "rank"),
        ("queue = conduct AND label:HATE", "rank"),
        ("state = RESOLVED", "rank desc"),
        ("", "create_time desc"),
        ("state = OPEN", "due_time"),
        ("author_id = account-77", "create_time"),
        ("event_id = comment-777", "rank"),
    ] {
        list(&store, filter, order).await?;
    }
    store.close().await;
    Ok(())
}

type Waits = (Vec<Duration>, Vec<Duration>);

async fn work(
    store: Store,
    caller: Caller,
    left: Arc<AtomicUsize>,
) -> Result<Waits, tidegate_escalation::StoreError> {
    let (mut claims, mut decisions) = (Vec::new(), Vec::new());
    let mut round = 0;
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        })
        .is_ok()
    {
        round += 1;
        let id = format!("{} {round} {}", caller.agent, std::process::id());
        let asked = Instant::now();
        let Some(case) = store.claim_next(&caller, &[], &format!("c{id}")).await? else {
            break;
        };
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

async fn list(store: &Store, filter: &str, order: &str) -> Result<(), Box<dyn Error>> {
    let caller = Caller::system();
    let parsed = Filter::cases(filter)?;
    let order_by = Order::parse(order)?;
    let mut waits = Vec::new();
    let mut token = String::new();
    let began = Instant::now();
    for _ in 0..LISTS {
        let page = Page::new(50, &token)?;
        let asked = Instant::now();
        let (_, next) = store.list(&caller, &parsed, order_by, page).await?;
        waits.push(asked.elapsed());
        token = next.map_or(String::new(), |next| next.0);
        if began.elapsed() > Duration::from_secs(20) {
            break;
        }
    }
    let name = format!("list 50: {filter:?} by {order}");
    report(&name, waits.len(), began.elapsed(), &mut waits);
    Ok(())
}

fn report(name: &str, count: usize, took: Duration, waits: &mut [Duration]) {
    waits.sort_unstable();
    let at = |part: usize| {
        let place = (waits.len() * part / 100).min(waits.len().saturating_sub(1));
        waits
            .get(place)
            .map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
    };
    let rate = count as f64 / took.as_secs_f64();
    println!(
        "{name:<50} {count:>8} {rate:>9.0}/s   p50 {:>7.2} ms   p99 {:>7.2} ms",
        at(50),
        at(99)
    );
}

fn agent(n: usize) -> Caller {
    Caller {
        agent: format!("agents/a{n}"),
        role: Role::Agent,
        queues: Granted::Some(QUEUES.map(|queue| format!("queues/{queue}")).to_vec()),
        languages: Vec::new(),
        pseudonym: format!("reviewer {n}"),
    }
}

/// Cases as a brand's are: comments of a hundred bytes, thousands of authors, days of deadlines.
fn arriving(n: usize) -> Arrived {
    let now = system_clock()();
    let case = Case {
        source: CaseSource::Machine.into(),
        queue: format!("queues/{}", QUEUES[n * 7 % QUEUES.len()]),
        priority: (n % 4 + 1) as i32,
        due_time: Some(timestamp(now + HOUR + (n as i64 * 7_919 % 4_320) * MINUTE)),
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
            event_time: Some(timestamp(now)),
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
