//! Feeds the stream to the input topics, no faster than the results are read: the embedded broker
//! keeps only its newest records.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rdkafka::{
    ClientConfig,
    producer::{DefaultProducerContext, Producer as _, ThreadedProducer},
};
use tidegate_chassis::shutdown::Shutdown;
use tidegate_moderator::{service::Service, settings::Settings};

use super::{Args, Board, Part, input, now_ms, stream::Stream};

/// Most records that may be on their way.
const WINDOW: u64 = 2_000;

/// Starts the feeder.
pub(super) fn start(
    settings: &Settings,
    args: &Args,
    board: Board,
    shutdown: Shutdown,
) -> anyhow::Result<Part> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", &settings.kafka.brokers)
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "1")
        .create()
        .context("make the feeder's client")?;
    let [comments, dms] = [Service::Comments, Service::Dms].map(|s| input(settings, s));
    let (events, rate, seed) = (args.events.unwrap_or(u64::MAX), args.rate, args.seed);
    let feed = move || -> anyhow::Result<()> {
        let mut stream = Stream::new(seed);
        let started = Instant::now();
        for number in 0..events {
            if let Some(rate) = rate {
                let due = started + Duration::from_secs_f64(number as f64 / f64::from(rate));
                if shutdown.wait_for(due.saturating_duration_since(Instant::now())) {
                    break;
                }
            }
            while on_their_way(&board) >= WINDOW && !shutdown.wait_for(Duration::from_millis(1)) {}
            if shutdown.is_requested() {
                break;
            }
            let fed = stream.next(now_ms());
            let topic = if fed.is_dm { &dms } else { &comments };
            producer
                .send(fed.record(topic))
                .map_err(|(error, _)| error)
                .context("feed an event")?;
            board.lock().fed += 1;
        }
        producer
            .flush(Duration::from_secs(10))
            .context("feed the last events")
    };
    Ok(thread::Builder::new()
        .name("feeder".to_owned())
        .spawn(feed)?)
}

fn on_their_way(board: &Board) -> u64 {
    let counts = board.lock();
    counts.fed - (counts.verdicts + counts.dead_letters).min(counts.fed)
}
