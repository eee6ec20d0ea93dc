//! Records to verdicts: prepare, classify, conclude. What a lane runs on each batch.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tidegate_classifier::{Classifier, Scored, score_readings};
use tidegate_core::{
    decode::{DecodeOptions, Decoded, HeaderLookup, Incoming, Rejection, decode},
    normalize::{Text, normalize},
};
use tidegate_kafka::{Batch, Headers, Outbox, Processor, Record, TopicPartition};
use tidegate_proto as wire;

use crate::{
    conclude::Conclusions,
    lanes::LastCommitted,
    metrics::LaneMetrics,
    policy_file::PolicyInForce,
    repeats::Repeats,
    service::Service,
    settings::{Encoding, Settings, default_channel},
    tally::{Tally, now_ms},
};

/// Called after each commit, on the lane's thread, with what the transaction held.
pub type Watch = Arc<dyn Fn(&Tally) + Send + Sync>;

/// How a pipeline reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct PipelineSettings {
    decode: DecodeOptions,
    output: Encoding,
    remembered_events: usize,
    target_age: Duration,
}

impl PipelineSettings {
    /// As the settings say for `service`.
    #[must_use]
    pub fn new(settings: &Settings, service: Service) -> Self {
        Self {
            decode: DecodeOptions {
                default_format: settings.format.input.into(),
                default_channel: Some(default_channel(service)),
            },
            output: settings.format.output,
            remembered_events: settings.lane.remembered_events,
            target_age: settings.lane.target_age,
        }
    }
}

/// Scores texts; a seam, so that the pipeline can be tested and simulated without a model.
pub trait Scorer {
    /// Scores `texts`: afterwards `out` has one entry for each, in their order.
    ///
    /// # Errors
    /// The model failed, in words for a log.
    fn score(&mut self, texts: &[&str], out: &mut Vec<Scored>) -> Result<(), String>;

    /// The version of the model that gives scores of `tier`.
    fn version(&self, tier: tidegate_classifier::Tier) -> &str;

    /// The languages (ISO 639-1) in which the model of `tier` was shown to be good; none: not known.
    fn languages(&self, _tier: tidegate_classifier::Tier) -> &[String] {
        &[]
    }

    /// Narrows what goes to the deep model: 1 is the whole band, 0 nothing.
    fn narrow(&mut self, _ratio: f32) {}

    /// Tells metrics what was done since the last call.
    fn tell(&mut self, _metrics: &LaneMetrics) {}
}

/// A classifier with its models' versions.
pub struct ClassifierScorer {
    classifier: Classifier,
    screen: Facts,
    deep: Facts,
}

/// What is said of a model where its scores are used.
#[derive(Default)]
struct Facts {
    version: String,
    languages: Vec<String>,
}

impl From<Classifier> for ClassifierScorer {
    fn from(classifier: Classifier) -> Self {
        use tidegate_classifier::Tier;
        let facts = |tier| {
            let facts = classifier.model(tier).map(|model| Facts {
                version: format!("{}-{}", model.name, model.version),
                languages: model.languages,
            });
            facts.unwrap_or_default()
        };
        Self {
            screen: facts(Tier::Screen),
            deep: facts(Tier::Deep),
            classifier,
        }
    }
}

impl ClassifierScorer {
    fn facts(&self, tier: tidegate_classifier::Tier) -> &Facts {
        match tier {
            tidegate_classifier::Tier::Screen => &self.screen,
            tidegate_classifier::Tier::Deep => &self.deep,
        }
    }
}

impl Scorer for ClassifierScorer {
    fn score(&mut self, texts: &[&str], out: &mut Vec<Scored>) -> Result<(), String> {
        self.classifier
            .classify(texts, out)
            .map_err(|error| error.to_string())
    }

    fn version(&self, tier: tidegate_classifier::Tier) -> &str {
        &self.facts(tier).version
    }

    fn languages(&self, tier: tidegate_classifier::Tier) -> &[String] {
        &self.facts(tier).languages
    }

    fn narrow(&mut self, ratio: f32) {
        self.classifier.set_band_scale(ratio);
    }

    fn tell(&mut self, metrics: &LaneMetrics) {
        metrics.classified(&self.classifier.take_stats());
    }
}

/// What one transaction holds.
#[derive(Default)]
struct Account {
    tally: Tally,
    /// Each partition's last record.
    last: Vec<(TopicPartition, i64)>,
}

impl Account {
    fn clear(&mut self) {
        self.tally.clear();
        self.last.clear();
    }

    fn note_last(&mut self, record: &Record<'_>) {
        let Some(timestamp) = record.timestamp_ms else {
            return;
        };
        let same = |known: &TopicPartition| {
            known.partition == record.partition && Arc::ptr_eq(&known.topic, record.topic)
        };
        match self.last.iter_mut().find(|(partition, _)| same(partition)) {
            Some((_, last)) => *last = timestamp,
            None => self.last.push((record.topic_partition(), timestamp)),
        }
    }
}

/// What a lane does with its batches.
pub struct Pipeline<S> {
    settings: PipelineSettings,
    scorer: S,
    policy: PolicyInForce,
    metrics: Arc<Mutex<LaneMetrics>>,
    last_committed: LastCommitted,
    watch: Option<Watch>,
    repeats: Repeats,
    open: Account,
    /// Of the transaction that is being committed.
    sealed: Account,
    scored: Vec<Scored>,
}

impl<S: Scorer> Pipeline<S> {
    /// A pipeline that scores with `scorer` under whatever policy is in force.
    #[must_use]
    pub fn new(
        settings: PipelineSettings,
        scorer: S,
        policy: PolicyInForce,
        metrics: Arc<Mutex<LaneMetrics>>,
        last_committed: LastCommitted,
        watch: Option<Watch>,
    ) -> Self {
        Self {
            settings,
            scorer,
            policy,
            metrics,
            last_committed,
            watch,
            repeats: Repeats::new(settings.remembered_events),
            open: Account::default(),
            sealed: Account::default(),
            scored: Vec::new(),
        }
    }

    fn metrics(&self) -> std::sync::MutexGuard<'_, LaneMetrics> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fewer texts go to the deep model while events are older than they should be.
    fn adapt(&mut self, batch: &Batch) {
        let oldest = batch
            .records()
            .next()
            .and_then(|record| record.timestamp_ms);
        let age = oldest.map_or(0, |at| now_ms().saturating_sub(at)).max(0) as f32;
        let target = self.settings.target_age.as_millis() as f32;
        // The whole band up to the target age, none of it from twice that age on.
        let ratio = (2.0 - age / target).clamp(0.0, 1.0);
        self.scorer.narrow(ratio);
        self.metrics().band(ratio);
    }

    /// Scores the events among `decoded`; `false` if the model failed.
    fn classify(&mut self, texts: &[Option<Text<'_>>]) -> bool {
        let scorable = || texts.iter().flatten();
        let score = |texts: &[&str], out: &mut Vec<Scored>| self.scorer.score(texts, out);
        match score_readings(scorable(), &mut self.scored, score) {
            Ok(()) => true,
            Err(error) => {
                let texts = scorable().count();
                tracing::error!(%error, texts, "model failed: these go to a person");
                self.metrics().not_scored(texts as u64);
                false
            }
        }
    }
}

impl<S: Scorer> Processor for Pipeline<S> {
    fn process(&mut self, batch: &Batch, outbox: &mut Outbox) {
        let started = Instant::now();
        let policy = self.policy.get();
        self.adapt(batch);

        let options = self.settings.decode;
        let decoded: Vec<_> = batch
            .records()
            .map(|record| read(record, &options))
            .collect();
        let texts: Vec<_> = decoded.iter().map(text_of).collect();
        let prepared = Instant::now();

        let is_scored = self.classify(&texts);
        let classified = Instant::now();

        let mut conclusions = Conclusions {
            outbox,
            tally: &mut self.open.tally,
            repeats: &mut self.repeats,
            policy: &policy,
            output: self.settings.output,
        };
        let mut scores = self.scored.iter();
        for ((record, decoded), text) in batch.records().zip(&decoded).zip(&texts) {
            let judged = text.as_ref().and_then(|_| {
                let scored = scores.next().filter(|_| is_scored)?;
                let (version, shown) = (
                    self.scorer.version(scored.tier),
                    self.scorer.languages(scored.tier),
                );
                Some((scored, version, shown))
            });
            conclusions.conclude(&record, decoded, text.as_ref(), judged);
        }
        for record in batch.records() {
            self.open.note_last(&record);
        }
        let concluded = Instant::now();
        let metrics = self.metrics.clone();
        let mut metrics = metrics.lock().unwrap_or_else(PoisonError::into_inner);
        metrics.batch(batch.len());
        metrics.stage("prepare", prepared - started);
        metrics.stage("classify", classified - prepared);
        metrics.stage("conclude", concluded - classified);
        self.scorer.tell(&metrics);
    }

    fn sealed(&mut self) {
        self.repeats.sealed();
        // What was committed before has been cleared.
        std::mem::swap(&mut self.open, &mut self.sealed);
    }

    fn committed(&mut self) {
        self.repeats.committed();
        let now = now_ms();
        {
            let mut metrics = self.metrics();
            metrics.committed(&self.sealed.tally);
            for (age, records) in self.sealed.tally.ages(now) {
                metrics.event_age(age, records);
            }
        }
        let mut last = self
            .last_committed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        last.extend(self.sealed.last.drain(..));
        drop(last);
        if let Some(watch) = &self.watch {
            watch(&self.sealed.tally);
        }
        self.sealed.clear();
    }

    fn aborted(&mut self) {
        self.repeats.aborted();
        self.open.clear();
        self.sealed.clear();
    }
}

/// A record's headers, as the decoder asks for them.
struct Lookup<'a>(Headers<'a>);

impl HeaderLookup for Lookup<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name)
    }
}

fn read<'a>(record: Record<'a>, options: &DecodeOptions) -> Result<Decoded<'a>, Rejection> {
    let incoming = Incoming {
        payload: record.payload,
        key: record.key,
        timestamp_ms: record.timestamp_ms,
    };
    decode(
        incoming,
        &Lookup(record.headers),
        options,
        wire::decode_event,
    )
}

fn text_of<'a>(decoded: &'a Result<Decoded<'_>, Rejection>) -> Option<Text<'a>> {
    match decoded {
        Ok(Decoded::Event(event)) => Some(normalize(&event.text)),
        _ => None,
    }
}
