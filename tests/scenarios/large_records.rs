//! Records of many megabytes on a real broker: they come out whole, or the lane says what to change
//! and goes on from there.

use std::{
    process::ExitCode,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use anyhow::{Context, ensure};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier},
    client::DefaultClientContext,
};
use tidegate_classifier::{Scored, Tier};
use tidegate_kafka::{
    Ended, Failure, Lane, LaneSettings, StopFlag, client::KafkaTransport, settings::KafkaSettings,
};
use tidegate_moderator::{
    lanes::LastCommitted,
    metrics::LaneMetrics,
    pipeline::{Pipeline, PipelineSettings, Scorer},
    policy_file::PolicyInForce,
    service::Service,
    settings::Settings,
};
use tidegate_tests::{Isolation, Part, RealKafka, Seen, Suite, Topics};

/// As `tidegate topics create` makes them.
const ROOMY: (&str, &str) = ("max.message.bytes", "16777216");
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let kafka = Part::new(|| RealKafka::start(1));
    let status = Suite::default()
        .case(
            "ten_megabytes_are_a_dead_letter_with_every_byte",
            &kafka,
            whole,
        )
        .case(
            "a_dead_letter_topic_without_room_ends_the_lane_with_advice_and_loses_nothing",
            &kafka,
            no_room,
        )
        .run();
    drop(kafka);
    status
}

/// No text of ten megabytes ever comes to a model.
struct NoModel;

impl Scorer for NoModel {
    fn score(&mut self, texts: &[&str], out: &mut Vec<Scored>) -> Result<(), String> {
        out.clear();
        match texts {
            [] => Ok(()),
            _ => Err("there is none".to_owned()),
        }
    }

    fn version(&self, _tier: Tier) -> &str {
        ""
    }
}

/// A comment consumer between topics of its own.
struct Consumer<'k> {
    kafka: &'k RealKafka,
    input: String,
    outputs: Vec<String>,
}

impl<'k> Consumer<'k> {
    fn new(kafka: &'k RealKafka, dead_letters: &[(&str, &str)]) -> anyhow::Result<Self> {
        let input = kafka.create_topic_with("large", 1, &[ROOMY])?;
        let mut outputs = Vec::new();
        for _ in 1..Settings::default().topics.names().len() {
            outputs.push(kafka.create_topic_with("out", 1, &[ROOMY])?);
        }
        outputs.push(kafka.create_topic_with("dead-letters", 1, dead_letters)?);
        Ok(Self {
            kafka,
            input,
            outputs,
        })
    }

    fn dead_letters(&self) -> &str {
        self.outputs.last().map_or("", String::as_str)
    }

    /// Starts a lane that ends when it is asked to, or when nothing can be done.
    fn start(&self, stop: &StopFlag) -> anyhow::Result<thread::JoinHandle<Result<Ended, Failure>>> {
        let name = &self.input;
        let kafka = KafkaSettings::new(self.kafka.bootstrap(), name, [name], name, "a");
        let transport = KafkaTransport::connect(&kafka, 0)?;
        let pipeline = Pipeline::new(
            PipelineSettings::new(&Settings::default(), Service::Comments),
            NoModel,
            PolicyInForce::load(None)?,
            Arc::new(Mutex::new(LaneMetrics::new("large"))),
            LastCommitted::default(),
            None,
        );
        let (topics, stop) = (self.outputs.clone(), stop.clone());
        Ok(thread::spawn(move || {
            Lane::new(transport, pipeline, topics, LaneSettings::default()).run(&stop)
        }))
    }

    /// Runs a lane until there are as many dead letters, and gives them.
    fn dead_letters_once_there_are(&self, count: usize) -> anyhow::Result<Vec<Seen>> {
        let stop = StopFlag::default();
        let lane = self.start(&stop)?;
        let seen = self.kafka.read_until(
            self.dead_letters(),
            Isolation::Committed,
            PATIENCE,
            |seen| seen.len() >= count || lane.is_finished(),
        );
        stop.set();
        let ended = lane.join().ok().context("the lane panicked")??;
        ensure!(ended == Ended::Committed, "{ended:?}");
        seen
    }
}

/// Bytes that hardly shrink when they are compressed.
fn ten_megabytes() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..10 << 20).map(|_| next()).collect()
}

fn whole(kafka: &RealKafka) -> anyhow::Result<()> {
    let consumer = Consumer::new(kafka, &[ROOMY])?;
    let payload = ten_megabytes();
    kafka.produce(&consumer.input, [(&b"key"[..], &payload[..])])?;
    let seen = consumer.dead_letters_once_there_are(1)?;
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].key, b"key");
    assert!(seen[0].value == payload, "{} bytes", seen[0].value.len());
    Ok(())
}

fn no_room(kafka: &RealKafka) -> anyhow::Result<()> {
    let consumer = Consumer::new(kafka, &[])?;
    let payload = ten_megabytes();
    let records = [(&b"key"[..], &payload[..]), (b"key", b"broken")];
    kafka.produce(&consumer.input, records)?;

    let lane = consumer.start(&StopFlag::default())?;
    let failure = lane.join().ok().context("the lane panicked")?;
    let said = failure.err().context("the lane ended well")?.to_string();
    assert!(said.contains("10485760 bytes"), "{said}");
    assert!(said.contains(consumer.dead_letters()), "{said}");
    assert!(said.contains("max.message.bytes"), "{said}");
    assert!(!said.contains('\n'), "{said}");
    let seen = kafka.read_all(consumer.dead_letters(), Isolation::Committed)?;
    assert!(seen.is_empty(), "the batch is undone as a whole");

    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .create()?;
    let roomy =
        AlterConfig::new(ResourceSpecifier::Topic(consumer.dead_letters())).set(ROOMY.0, ROOMY.1);
    let altered = pollster::block_on(admin.alter_configs([&roomy], &AdminOptions::new()))?;
    for result in altered {
        result.map_err(|(topic, code)| anyhow::anyhow!("alter {topic:?}: {code}"))?;
    }
    let seen = consumer.dead_letters_once_there_are(2)?;
    let values: Vec<_> = seen.into_iter().map(|record| record.value).collect();
    assert!(values == [payload, b"broken".to_vec()]);
    Ok(())
}
