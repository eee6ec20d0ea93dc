//! The review queue in the demo: the escalation service's own intake, store and publisher, and
//! people who are played by tasks.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use rdkafka::consumer::BaseConsumer;
use tempfile::TempDir;
use tidegate_chassis::{health::Liveness, shutdown::Shutdown};
use tidegate_escalation::{
    Act, Caller, Filter, Granted, Store, StoreError, StoreSettings,
    ends::{Ends, EndsSettings, Topics},
    store::{Page, Progress, system_clock},
    times::millis,
};
use tidegate_kafka::{
    reader::{ends, reader},
    settings::KafkaSettings,
};
use tidegate_moderator::{settings::Settings, tally::now_ms};
use tidegate_proto::{
    escalation::v1::{Case, Outcome, Role},
    events::v1::Label,
};
use tokio::runtime::Runtime;

use super::{Board, counts::CasesNow};
use crate::topics::PATIENCE;

/// How many people work.
const AGENTS: u64 = 24;
/// How long the cases of the last records may take to appear.
const SETTLE: Duration = Duration::from_secs(10);

/// The review queue of one run.
pub(super) struct Cases {
    runtime: Runtime,
    store: Store,
    ends: Ends,
    stop: Shutdown,
    board: Board,
    /// Holds the database; goes with it.
    _folder: TempDir,
}

impl Cases {
    /// Opens an empty store, and lets cases in, people work, and decisions out.
    pub(super) fn start(
        settings: &Settings,
        run: &str,
        resolutions: &str,
        board: Board,
    ) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .thread_name("cases")
            .build()?;
        let folder = TempDir::with_prefix("tidegate-demo-").context("a folder for cases")?;
        let url = format!("sqlite:{}", folder.path().join("cases.db").display());
        let store = runtime.block_on(Store::open(&StoreSettings::new(url), system_clock()))?;
        let settings = ends_of(settings, run, resolutions);
        // Only what this run feeds is taken in.
        let consumer = reader(&settings.reading())?;
        runtime.block_on(store.intake(Vec::new(), &present(&consumer, &settings)?))?;
        let stop = Shutdown::new();
        let ends = Ends::start(&settings, &store, runtime.handle(), &Liveness::new(), &stop)?;
        for number in 0..AGENTS {
            runtime.spawn(work(store.clone(), agent(number), number));
        }
        runtime.spawn(count(store.clone(), board.clone()));
        Ok(Self {
            runtime,
            store,
            ends,
            stop,
            board,
            _folder: folder,
        })
    }

    /// Waits until the last cases have appeared, ends everything, and notes how it stands.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let Self {
            runtime,
            store,
            ends,
            stop,
            board,
            ..
        } = self;
        runtime.block_on(async {
            let begin = std::time::Instant::now();
            let mut before = look(&store).await?;
            loop {
                tokio::time::sleep(Duration::from_millis(700)).await;
                let now = look(&store).await?;
                let settled = now.opened == before.opened;
                board.lock().cases = now;
                if settled || begin.elapsed() > SETTLE {
                    return anyhow::Ok(());
                }
                before = now;
            }
        })?;
        stop.request("the demo is over");
        ends.join();
        runtime.block_on(store.close());
        runtime.shutdown_timeout(Duration::from_secs(1));
        Ok(())
    }
}

fn ends_of(settings: &Settings, run: &str, resolutions: &str) -> EndsSettings {
    let name = format!("tidegate-{run}-escalation");
    EndsSettings {
        kafka: KafkaSettings::new(
            &settings.kafka.brokers,
            &name,
            Vec::<String>::new(),
            &name,
            run,
        ),
        topics: Topics {
            escalations: settings.topics.escalations.clone(),
            spam: settings.topics.spam.clone(),
            resolutions: resolutions.to_owned(),
            personal: Vec::new(),
        },
        ..EndsSettings::default()
    }
}

/// The present ends of what is read.
fn present(consumer: &BaseConsumer, settings: &EndsSettings) -> anyhow::Result<Vec<Progress>> {
    let Topics {
        escalations, spam, ..
    } = &settings.topics;
    let found = ends(consumer, &[escalations, spam], PATIENCE).context("look at the topics")?;
    Ok(found
        .elements()
        .iter()
        .filter_map(|element| {
            Some(Progress {
                topic: element.topic().to_owned(),
                partition: element.partition(),
                known: None,
                next: element.offset().to_raw()?,
            })
        })
        .collect())
}

fn agent(number: u64) -> Caller {
    Caller {
        agent: format!("agents/demo-{number}"),
        role: Role::Agent,
        queues: Granted::All,
        languages: Vec::new(),
        pseudonym: String::new(),
    }
}

/// Takes cases and decides them, faster than people do.
async fn work(store: Store, caller: Caller, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    loop {
        match store.claim_next(&caller, &[], "").await {
            Ok(Some(case)) => {
                let thought = Duration::from_millis(rng.random_range(30..300));
                tokio::time::sleep(thought).await;
                let act = decide(&case, &mut rng);
                // A case that changed meanwhile is taken again by someone.
                store
                    .act(&caller, &case.name, act, &case.etag, "")
                    .await
                    .ok();
            }
            Ok(None) => tokio::time::sleep(Duration::from_millis(200)).await,
            // The store is closed: the demo is over.
            Err(_) => return,
        }
    }
}

fn decide(case: &Case, rng: &mut StdRng) -> Act {
    let verdict = case.verdict.clone().unwrap_or_default();
    let labels: Vec<Label> = verdict.labels().collect();
    let grave = labels
        .iter()
        .any(|label| matches!(label, Label::Hate | Label::Abuse | Label::Spam));
    let outcome = match rng.random_range(0..10) {
        0 => Outcome::NoAction,
        _ if grave => Outcome::Hide,
        1..=3 => Outcome::HandedOver,
        _ => Outcome::Replied,
    };
    Act::Resolve {
        outcome,
        labels,
        comment: String::new(),
    }
}

/// Keeps the picture's counts up to date.
async fn count(store: Store, board: Board) {
    while let Ok(now) = look(&store).await {
        board.lock().cases = now;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn look(store: &Store) -> Result<CasesNow, StoreError> {
    let everyone = Arc::new(Caller::system());
    let count = async |filter: &str| {
        let filter = Filter::cases(filter)?;
        let count = store.count(&everyone, &filter).await?;
        Ok::<_, StoreError>(count.unsigned_abs())
    };
    let mut now = CasesNow {
        opened: count("").await?,
        resolved: count("state = RESOLVED").await?,
        ..CasesNow::default()
    };
    let (queues, _) = store.queue_list(&everyone, Page::new(500, "")?).await?;
    let mut oldest = None;
    for queue in &queues {
        now.open += queue.open_count.unsigned_abs();
        now.claimed += queue.claimed_count.unsigned_abs();
        now.breached += queue.breached_count.unsigned_abs();
        let opened = queue.oldest_open_time.as_ref().map(millis);
        oldest = [oldest, opened].into_iter().flatten().min();
    }
    now.oldest_s = oldest.map_or(0, |oldest| {
        (now_ms() - oldest).max(0).unsigned_abs() / 1_000
    });
    Ok(now)
}
