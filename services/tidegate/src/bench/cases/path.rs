//! The review queue's whole path: from a record on Kafka to a watcher of the gRPC stream who has its
//! case, by way of the service's own intake, store and server.

use std::{net::SocketAddr, thread, time::Duration};

use anyhow::Context as _;
use serde_json::json;
use tidegate_chassis::{
    health::{Liveness, Readiness},
    settings::Secret,
    shutdown::Shutdown,
};
use tidegate_escalation::{
    Store, StoreSettings,
    auth::{Authenticator, settings::AuthSection, token},
    ends::{Ends, EndsSettings, Topics},
    server::{
        self, Serve,
        settings::{LimitsSection, ServerSection, TlsSection, WatchSection},
    },
    store::system_clock,
    times::{HOUR, millis},
};
use tidegate_moderator::tally::now_ms;
use tidegate_proto::escalation::v1::{
    Case, WatchCasesRequest, WatchCasesResponse, case_service_client::CaseServiceClient,
};
use tonic::{Request, Streaming};

use super::{
    super::{
        cluster::{Cluster, Feed, PARTITIONS, PATIENCE, unique},
        progress,
        report::Row,
    },
    QUEUES, Waits,
};

/// How many records are written, one after the other.
const RECORDS: usize = 2_000;
/// How long after one the next is written.
const EVERY: Duration = Duration::from_millis(5);

/// Writes records to a topic of its own, and takes the time until each is a case at the watcher's.
pub(in super::super) fn measure(cluster: &Cluster) -> anyhow::Result<Row> {
    progress(&format!("cases from Kafka: {RECORDS} records …"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let topics = Topics {
        escalations: unique("bench-escalations"),
        resolutions: unique("bench-resolutions"),
        ..Topics::default()
    };
    cluster.make(&[&topics.escalations, &topics.resolutions], PARTITIONS)?;
    let feed = Feed::new(cluster, &topics.escalations)?;
    let mut settings = EndsSettings {
        kafka: cluster.settings("cases", &[]),
        topics,
        ..EndsSettings::default()
    };
    // The topic of spam is not there.
    settings.sampling.rate = 0.0;
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite:{}", folder.path().join("cases.db").display());
    let store = runtime.block_on(Store::open(&StoreSettings::new(url), system_clock()))?;
    let stop = Shutdown::new();
    let ends = Ends::start(&settings, &store, runtime.handle(), &Liveness::new(), &stop)?;
    let waits = runtime.block_on(async {
        let watch = watch(&store, &stop).await?;
        let all = EVERY * RECORDS as u32 + 2 * PATIENCE;
        let taken = tokio::time::timeout(all, take(watch, feed)).await;
        taken.context("the cases do not arrive")?
    });
    stop.request("it is measured");
    ends.join();
    runtime.block_on(store.close());
    let mut waits = waits?;
    let p99 = waits.at(0.99);
    let row = waits.row(
        "cases from Kafka",
        "a record until a watcher has its case",
        1.0 / EVERY.as_secs_f64(),
    );
    Ok(row.at_most("p99 ms", p99, 1_000.0))
}

/// Starts a server, and watches all that happens to cases.
async fn watch(store: &Store, stop: &Shutdown) -> anyhow::Result<Streaming<WatchCasesResponse>> {
    let token = token::generate()?;
    let auth = AuthSection {
        bootstrap_token: Some(Secret::new(token.clone())),
        ..AuthSection::default()
    };
    let server = ServerSection {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        leave_wait: Duration::ZERO,
        ..ServerSection::default()
    };
    let listener = server::bind(&server).await?;
    let address = listener.local_addr()?;
    let serve = Serve {
        store: store.clone(),
        clock: system_clock(),
        callers: Authenticator::new(&auth, store.clone(), system_clock())?,
        scorer: None,
        server,
        tls: TlsSection::default(),
        limits: LimitsSection::default(),
        watch: WatchSection::default(),
        end_within: Duration::from_secs(1),
    };
    let stop = stop.clone();
    tokio::spawn(async move { serve.run(listener, &Readiness::new(), &stop).await });
    let mut request = Request::new(WatchCasesRequest::default());
    let bearer = format!("Bearer {token}").parse()?;
    request.metadata_mut().insert("authorization", bearer);
    let mut client = CaseServiceClient::connect(format!("http://{address}")).await?;
    let mut watch = client.watch_cases(request).await?.into_inner();
    // It begins with a sign that nothing is missed from here on.
    watch.message().await?;
    Ok(watch)
}

/// Writes the records, and reads what the watcher is told.
async fn take(mut watch: Streaming<WatchCasesResponse>, feed: Feed) -> anyhow::Result<Waits> {
    // The intake reads by the time when this one has come through.
    write(&feed, 0)?;
    case(&mut watch).await?;
    let feeder = tokio::task::spawn_blocking(move || {
        for number in 1..=RECORDS {
            write(&feed, number)?;
            feed.serve();
            thread::sleep(EVERY);
        }
        feed.finish()
    });
    let mut waits = Waits::default();
    while waits.0.len() < RECORDS {
        let event = case(&mut watch).await?.event.unwrap_or_default();
        let written = event.event_time.as_ref().map_or(0, millis);
        let wait = now_ms().saturating_sub(written).max(0).unsigned_abs();
        waits.0.push(Duration::from_millis(wait));
    }
    feeder.await??;
    Ok(waits)
}

/// The next case that the watcher is told of.
async fn case(watch: &mut Streaming<WatchCasesResponse>) -> anyhow::Result<Case> {
    loop {
        let told = watch.message().await?.context("the stream ended")?;
        if let Some(case) = told.case {
            return Ok(case);
        }
    }
}

/// Writes an escalation as the pipeline does, with the time of its writing as its event's.
fn write(feed: &Feed, number: usize) -> anyhow::Result<()> {
    let (id, now) = (format!("comment-{number}"), now_ms());
    let conversation = format!("post-{}", number % 500);
    let queue = QUEUES[number % QUEUES.len()];
    let record = json!({
        "withdrawn": false,
        "event": {
            "id": id,
            "kind": "created",
            "platform": "instagram",
            "brand": "brand-1",
            "channel": "comment",
            "conversation_id": conversation,
            "author": {"id": format!("account-{number}"), "name": "Somebody", "followers": 77},
            "text": "a comment that goes on a while",
            "created_at": now,
        },
        "verdict": {
            "id": format!("verdict-{number}"),
            "event_id": id,
            "event_time": now,
            "action": "review",
            "labels": ["hate"],
            "reasons": [{"code": "hate", "label": "hate", "score": 0.93, "threshold": 0.8}],
            "review": {"queue": queue, "priority": "high", "due_at": now + HOUR},
            "policy_version": "p1",
        },
    });
    feed.write(None, &conversation, record.to_string().as_bytes())
}
