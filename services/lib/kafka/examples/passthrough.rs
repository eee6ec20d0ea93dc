//! How fast a lane is when its processor only copies: records a second, CPU per record, commits.
//!
//! `cargo run --release -p tidegate-kafka --example passthrough [RECORDS] [BROKERS]`
//!
//! Without BROKERS it uses the embedded broker, which shares this process's cores and keeps only
//! the last 5 MiB of each partition; so the feeder stays a bounded number of records ahead.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};
use tidegate_kafka::{
    Batch, Lane, LaneSettings, Observer, Outbox, Processor, Stage, Step,
    admin::{Admin, TopicSpec},
    client::{KafkaTransport, embedded::EmbeddedBroker},
    settings::KafkaSettings,
};

const PARTITIONS: i32 = 6;
const VALUE_BYTES: usize = 400;
/// How far the feeder may be ahead of the lane, in records.
const AHEAD: u64 = 40_000;

struct Copy;

impl Processor for Copy {
    fn process(&mut self, batch: &Batch, outbox: &mut Outbox) {
        for record in batch.records() {
            outbox.push(
                0,
                record.key,
                record.headers.iter(),
                record
                    .payload
                    .map(|payload| move |bytes: &mut Vec<u8>| bytes.extend_from_slice(payload)),
            );
        }
    }

    fn committed(&mut self) {}

    fn aborted(&mut self) {}
}

/// Time spent in each stage, in microseconds.
#[derive(Clone, Default)]
struct Stages(Arc<[AtomicU64; 5]>);

impl Observer for Stages {
    fn waited(&mut self, stage: Stage, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.0[stage as usize].fetch_add(micros, Ordering::Relaxed);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let records: u64 = arguments
        .next()
        .map_or(Ok(1_000_000), |text| text.parse())?;
    let (embedded, brokers) = match arguments.next() {
        Some(brokers) => (None, brokers),
        None => {
            let embedded = EmbeddedBroker::start(1)?;
            let brokers = embedded.bootstrap_servers().to_owned();
            (Some(embedded), brokers)
        }
    };
    let run = std::process::id();
    let (input, output) = (
        format!("passthrough-in-{run}"),
        format!("passthrough-out-{run}"),
    );
    let settings = KafkaSettings::new(&brokers, &input, [&input], "passthrough", "bench");
    match &embedded {
        Some(embedded) => {
            embedded.create_topic(&input, PARTITIONS, 1)?;
            embedded.create_topic(&output, PARTITIONS, 1)?;
        }
        None => {
            let topics = [&input, &output].map(|name| TopicSpec::new(name, PARTITIONS));
            Admin::connect(&settings, Duration::from_secs(10))?.create_missing(&topics)?;
        }
    }

    let done = Arc::new(AtomicU64::new(0));
    let feeder = {
        let (done, brokers, input) = (done.clone(), brokers.clone(), input.clone());
        let ahead = if embedded.is_some() { AHEAD } else { u64::MAX };
        move || feed(&brokers, &input, records, ahead, &done)
    };
    let feeder = if embedded.is_some() {
        Some(std::thread::spawn(feeder))
    } else {
        // A real broker keeps what it is given: the lane's speed is then the lane's alone.
        feeder()?;
        None
    };

    let stages = Stages::default();
    let transport = KafkaTransport::connect(&settings, 0)?;
    let mut lane = Lane::new(transport, Copy, vec![output], LaneSettings::default())
        .with_observer(stages.clone());
    let mut commits = Vec::new();
    let mut began = None;
    while done.load(Ordering::Relaxed) < records {
        let step = lane.step()?;
        if matches!(step, Step::Worked { .. }) {
            began.get_or_insert_with(|| (Instant::now(), thread_cpu()));
        }
        if let Step::Committed {
            records, duration, ..
        } = step
        {
            commits.push(duration);
            done.fetch_add(records as u64, Ordering::Relaxed);
        }
    }
    if let Some(feeder) = feeder {
        feeder.join().map_err(|_| "the feeder panicked")??;
    }
    let Some((began, cpu)) = began else {
        return Ok(());
    };
    let (took, cpu) = (began.elapsed(), thread_cpu() - cpu);
    commits.sort_unstable();
    let at = |quantile: f64| commits[((commits.len() - 1) as f64 * quantile) as usize];
    println!(
        "{records} records of {VALUE_BYTES} bytes in {took:.2?}: {:.0} records/s",
        records as f64 / took.as_secs_f64()
    );
    println!(
        "CPU of the lane's thread: {:.0} ns per record",
        cpu.as_nanos() as f64 / records as f64
    );
    println!(
        "{} commits: p50 {:.1?}, p90 {:.1?}, p99 {:.1?}, longest {:.1?}",
        commits.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
    for stage in [Stage::Read, Stage::Process, Stage::Send, Stage::Commit] {
        let micros = stages.0[stage as usize].load(Ordering::Relaxed);
        println!("{:8} {:.2?}", stage.as_str(), Duration::from_micros(micros));
    }
    Ok(())
}

fn feed(
    brokers: &str,
    topic: &str,
    records: u64,
    ahead: u64,
    done: &AtomicU64,
) -> Result<(), KafkaError> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .create()?;
    let value = vec![b'x'; VALUE_BYTES];
    for index in 0..records {
        while index - done.load(Ordering::Relaxed).min(index) >= ahead {
            producer.poll(Duration::from_millis(1));
        }
        let key = format!("conversation-{}", index % 10_000);
        loop {
            let headers = OwnedHeaders::new_with_capacity(1).insert(Header {
                key: "content-type",
                value: Some("application/json"),
            });
            let record = BaseRecord::to(topic)
                .key(&key)
                .payload(&value)
                .headers(headers);
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    producer.poll(Duration::from_millis(1));
                }
                Err((error, _)) => return Err(error),
            }
        }
        if index % 1000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(Duration::from_secs(30))
}

/// CPU time of the calling thread.
fn thread_cpu() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}
