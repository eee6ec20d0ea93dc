//! The process from start to end: settings, logs, ports, store, parts, and an orderly end.

use std::{future::Future, sync::Arc, time::Duration};

use tidegate_chassis::{
    exit::{Exit, Failure},
    health::ReadyHandle,
    process::{self, Parts, Process},
    settings::SettingsArgs,
};
use tidegate_classifier::Classifier;
use tidegate_moderator::{pipeline::ClassifierScorer, policy_file::PolicyInForce};

use crate::{
    Caller, Store, StoreError,
    auth::{Authenticator, jwt::Jwt},
    ends::Ends,
    metrics,
    server::{self, Serve, ServeError},
    service::scoring::ScorerHandle,
    settings::Settings,
    store::{Clock, Page, system_clock},
};

/// How long the threads that read and publish may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(8);

/// The command line.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
}

/// The whole life of the process.
#[must_use]
pub fn main(args: &Args) -> Exit {
    process::end(|| {
        let settings: Settings = process::settings(&args.settings)?;
        let process = Process::start(
            "escalation",
            &settings.log,
            &settings.admin,
            &settings.shutdown,
            &metrics::catalogue(),
        )
        .map_err(|failure| failure.print())?;
        // TLS may be asked for by libraries that bring different providers.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        Ok(process.run(move |parts| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .thread_name("grpc")
                .build()?;
            let ended = runtime.block_on(work(settings, &parts));
            // A task that hangs is left behind: the log has said so.
            runtime.shutdown_timeout(Duration::from_millis(500));
            ended
        }))
    })
}

async fn work(settings: Settings, parts: &Parts) -> Result<(), Failure> {
    // From the first moment on, so that no probe sees a process without parts as ready.
    let store_ready = parts.readiness.part("store");
    let server_ready = parts.readiness.part("server");
    let listener = server::bind(&settings.server)
        .await
        .map_err(Failure::unavailable)?;
    let address = listener.local_addr()?;
    let clock = system_clock();
    let mut store = settings.store.store().map_err(Failure::config)?;
    let ends = settings.ends();
    store.topics = tokio::task::spawn_blocking(move || ends.retention()).await?;
    let store = Store::open(&store, clock.clone())
        .await
        .map_err(Failure::unavailable)?;
    let callers = Authenticator::new(&settings.auth, store.clone(), clock.clone())
        .map_err(Failure::config)?;
    let (scorer, _models_ready) = scorer(&settings, parts)?.unzip();
    let serve = Serve {
        store: store.clone(),
        clock: clock.clone(),
        callers: callers.clone(),
        scorer,
        server: settings.server.clone(),
        tls: settings.tls.clone(),
        limits: settings.limits.clone(),
        watch: settings.watch.clone(),
        end_within: settings.shutdown.deadline.mul_f64(0.6),
    };
    tracing::info!(%address, tls = settings.tls.is_on(), models = settings.model.mode, "started");
    server_ready.ready();

    let keys = callers.jwt().cloned();
    let sweep_every = settings.store.sweep_every;
    let background = [
        tokio::spawn(sweep(
            store.clone(),
            sweep_every,
            parts.clone(),
            store_ready,
        )),
        tokio::spawn(count_queues(store.clone(), clock, parts.clone())),
        tokio::spawn(reload_keys(
            keys,
            settings.auth.jwt.check_every,
            parts.clone(),
        )),
    ];
    let ends = Ends::start(
        &settings.ends(),
        &store,
        &tokio::runtime::Handle::current(),
        &parts.liveness,
        &parts.shutdown,
    )?;
    let served = serve.run(listener, &parts.readiness, &parts.shutdown).await;
    // The server may have ended by itself.
    parts.shutdown.request("the server ended");
    let joined = tokio::task::spawn_blocking(move || ends.join());
    if tokio::time::timeout(ENDS_WITHIN, joined).await.is_err() {
        tracing::warn!("the ends towards Kafka did not end in time and are left behind");
    }
    for task in background {
        task.abort();
    }
    store.close().await;
    served.map_err(ServeError::into_failure)
}

impl ServeError {
    fn into_failure(self) -> Failure {
        match self {
            Self::File { .. } | Self::Tls(_) => Failure::config(self),
            Self::Listen { .. } => Failure::unavailable(self),
            Self::Reflection(_) | Self::Failed(_) => Failure::new(Exit::Software, self),
        }
    }
}

fn scorer(
    settings: &Settings,
    parts: &Parts,
) -> Result<Option<(ScorerHandle, ReadyHandle)>, Failure> {
    let Some(classifier) = settings.model.classifier() else {
        return Ok(None);
    };
    let ready = parts.readiness.part("models");
    let policy = PolicyInForce::load(settings.policy.file.as_deref()).map_err(Failure::config)?;
    if let Some(file) = settings.policy.file.clone() {
        policy.watch(file, settings.policy.check_every, parts.shutdown.clone())?;
    }
    let classifier = Classifier::load(&classifier).map_err(Failure::unavailable)?;
    let scorer = ScorerHandle::spawn(ClassifierScorer::from(classifier), policy)?;
    ready.ready();
    Ok(Some((scorer, ready)))
}

/// Calls `turn` every `every`, until the end. A turn that hangs is given up after a while, so that
/// a database that is away does not look like a process that hangs.
async fn repeat<F: Future>(
    parts: &Parts,
    name: &str,
    every: Duration,
    mut turn: impl FnMut() -> F,
) {
    const LONGEST: Duration = Duration::from_secs(20);
    let beat = parts.liveness.heartbeat(name, 3 * LONGEST + every);
    while !parts.shutdown.is_requested() {
        beat.beat();
        if tokio::time::timeout(LONGEST, turn()).await.is_err() {
            tracing::warn!(part = name, "given up after {} s", LONGEST.as_secs());
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = parts.shutdown.requested() => {}
        }
    }
    beat.finish();
}

/// Lets leases, holds and deadlines end, and says whether the store is there.
async fn sweep(store: Store, every: Duration, parts: Parts, ready: ReadyHandle) {
    let ready = &ready;
    let store = &store;
    repeat(&parts, "sweep", every, async || match store.sweep().await {
        Ok(swept) => {
            ready.ready();
            for (case, queue) in &swept.breached {
                tracing::warn!(case, queue, "a deadline passed with the case undecided");
            }
            metrics::swept(&swept);
        }
        Err(error) => {
            if !matches!(error, StoreError::Refused(_)) {
                ready.not_ready("the store cannot be written");
            }
            tracing::warn!(%error, "leases and deadlines cannot be looked at");
        }
    })
    .await;
}

/// Says how long each queue is.
async fn count_queues(store: Store, clock: Clock, parts: Parts) {
    let everyone = Arc::new(Caller::system());
    let (store, clock) = (&store, &clock);
    repeat(
        &parts,
        "queue-counts",
        Duration::from_secs(10),
        async || {
            let mut token = String::new();
            loop {
                let Ok(page) = Page::new(500, &token) else {
                    return;
                };
                match store.queue_list(&everyone, page).await {
                    Ok((queues, next)) => {
                        for queue in &queues {
                            metrics::queue(queue, clock());
                        }
                        match next {
                            Some(next) => token = next.0,
                            None => return,
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the queues cannot be counted");
                        return;
                    }
                }
            }
        },
    )
    .await;
}

/// Takes the identity provider's new keys.
async fn reload_keys(keys: Option<Jwt>, every: Duration, parts: Parts) {
    let Some(keys) = &keys else { return };
    repeat(&parts, "keys", every, async || {
        match keys.reload_if_changed() {
            Ok(true) => tracing::info!("the identity provider's keys changed and were read"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the earlier keys stay in force"),
        }
    })
    .await;
}
