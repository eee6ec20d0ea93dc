//! What a consumer exports: one catalogue, and handles that are looked up once.
//!
//! The names are a contract with dashboards, alerts and scalers. `consumed = verdicts +
//! dead_letters` holds over these counters at any moment between commits, because all three move
//! together when a transaction is committed.

use std::{collections::HashMap, sync::Arc, time::Duration};

use metrics::{Counter, Gauge, Histogram, Unit, counter, gauge, histogram};
use tidegate_chassis::metrics::{COUNTS, Catalogue, EVENT_AGE_SECONDS, MetricDef, SECONDS};
use tidegate_classifier::ClassifierStats;
use tidegate_core::Label;
use tidegate_kafka::TopicPartition;

/// Every metric of a consumer.
pub const CATALOGUE: &[MetricDef] = &[
    CONSUMED,
    VERDICTS,
    DEAD_LETTERS,
    ROUTED,
    REPEATED,
    EVENT_AGE,
    STAGE,
    BATCH,
    TRANSACTIONS,
    COMMIT,
    REBUILDS,
    REBALANCES,
    PARTITIONS,
    LAST_COMMIT,
    LAG_RECORDS,
    LAG_SECONDS,
    TEXTS,
    CACHE_HITS,
    DEDUPLICATED,
    TOKENS,
    BAND,
    CORRECTED,
    DISAGREED,
    NOT_SCORED,
    MODEL,
    POLICY,
    POLICY_RELOADS,
];

/// What [`PolicyInForce`](crate::policy_file::PolicyInForce) exports in whichever process has one.
pub const POLICY_METRICS: &[MetricDef] = &[POLICY, POLICY_RELOADS];

const CONSUMED: MetricDef = MetricDef::counter(
    "tidegate_records_consumed_total",
    Unit::Count,
    "Records read and done, counted when their transaction was committed.",
    &["topic"],
);
const VERDICTS: MetricDef = MetricDef::counter(
    "tidegate_verdicts_total",
    Unit::Count,
    "Verdicts published, by what is done with the message.",
    &["action", "tier"],
);
const DEAD_LETTERS: MetricDef = MetricDef::counter(
    "tidegate_dead_letters_total",
    Unit::Count,
    "Records that could not be read as an event, by reason.",
    &["reason"],
);
const ROUTED: MetricDef = MetricDef::counter(
    "tidegate_routed_total",
    Unit::Count,
    "Records published besides the verdict, by route.",
    &["route"],
);
const REPEATED: MetricDef = MetricDef::counter(
    "tidegate_repeated_events_total",
    Unit::Count,
    "Events that were delivered before: their verdict is published again, their routes are not.",
    &[],
);
const EVENT_AGE: MetricDef = MetricDef::histogram(
    "tidegate_event_age_seconds",
    EVENT_AGE_SECONDS,
    Unit::Seconds,
    "Time from a record's timestamp to its committed verdict.",
    &[],
);
const STAGE: MetricDef = MetricDef::histogram(
    "tidegate_stage_duration_seconds",
    SECONDS,
    Unit::Seconds,
    "Time that a batch spent in a stage.",
    &["stage"],
);
const BATCH: MetricDef = MetricDef::histogram(
    "tidegate_batch_records",
    COUNTS,
    Unit::Count,
    "Records in a batch.",
    &[],
);
const TRANSACTIONS: MetricDef = MetricDef::counter(
    "tidegate_transactions_total",
    Unit::Count,
    "Transactions that ended, by how.",
    &["outcome"],
);
const COMMIT: MetricDef = MetricDef::histogram(
    "tidegate_transaction_commit_duration_seconds",
    SECONDS,
    Unit::Seconds,
    "Time that a commit took, the wait for acknowledgements included.",
    &[],
);
const REBUILDS: MetricDef = MetricDef::counter(
    "tidegate_producer_rebuilds_total",
    Unit::Count,
    "Producers replaced because they were fenced or broken.",
    &[],
);
const REBALANCES: MetricDef = MetricDef::counter(
    "tidegate_rebalances_total",
    Unit::Count,
    "Times that partitions were assigned, revoked or lost.",
    &["kind"],
);
const PARTITIONS: MetricDef = MetricDef::gauge(
    "tidegate_assigned_partitions",
    Unit::Count,
    "Partitions that a lane reads.",
    &["lane"],
);
const LAST_COMMIT: MetricDef = MetricDef::gauge(
    "tidegate_last_commit_timestamp_seconds",
    Unit::Seconds,
    "When a lane last committed, in seconds since the Unix epoch.",
    &["lane"],
);
const LAG_RECORDS: MetricDef = MetricDef::gauge(
    "tidegate_consumer_lag_records",
    Unit::Count,
    "Records behind the end of the partition.",
    &["topic", "partition"],
);
const LAG_SECONDS: MetricDef = MetricDef::gauge(
    "tidegate_consumer_lag_seconds",
    Unit::Seconds,
    "Age of the last committed record while the partition holds more; 0 when nothing waits.",
    &["topic", "partition"],
);
const TEXTS: MetricDef = MetricDef::counter(
    "tidegate_texts_scored_total",
    Unit::Count,
    "Texts that a model scored.",
    &["tier"],
);
const CACHE_HITS: MetricDef = MetricDef::counter(
    "tidegate_score_cache_hits_total",
    Unit::Count,
    "Texts whose scores were remembered from an earlier batch.",
    &[],
);
const DEDUPLICATED: MetricDef = MetricDef::counter(
    "tidegate_texts_deduplicated_total",
    Unit::Count,
    "Texts that had an equal one in the same batch.",
    &[],
);
const TOKENS: MetricDef = MetricDef::counter(
    "tidegate_tokens_total",
    Unit::Count,
    "Tokens that a model read; `padding` are those that only filled up a run.",
    &["tier", "kind"],
);
const BAND: MetricDef = MetricDef::gauge(
    "tidegate_cascade_band_ratio",
    Unit::Count,
    "How much of the cascade's band is in force: below 1 events are older than the target and \
     fewer go to the deep model.",
    &["lane"],
);
const CORRECTED: MetricDef = MetricDef::counter(
    "tidegate_cascade_corrected_texts_total",
    Unit::Count,
    "Texts to which the deep model gave other labels than the screen model had.",
    &[],
);
const DISAGREED: MetricDef = MetricDef::counter(
    "tidegate_cascade_disagreements_total",
    Unit::Count,
    "Texts about which the screen and the deep model disagreed, by label.",
    &["label"],
);
const NOT_SCORED: MetricDef = MetricDef::counter(
    "tidegate_texts_not_scored_total",
    Unit::Count,
    "Texts that the model failed on; each goes to a person.",
    &[],
);
const MODEL: MetricDef = MetricDef::gauge(
    "tidegate_model_info",
    Unit::Count,
    "The models in use.",
    &["name", "version", "sha256"],
);
const POLICY: MetricDef = MetricDef::gauge(
    "tidegate_policy_info",
    Unit::Count,
    "The policy in force: 1; 0 for one that was in force before.",
    &["version"],
);
const POLICY_RELOADS: MetricDef = MetricDef::counter(
    "tidegate_policy_reloads_total",
    Unit::Count,
    "Changed policy files that were taken or refused.",
    &["outcome"],
);

/// The catalogue as the chassis installs it.
#[must_use]
pub fn catalogue() -> Catalogue {
    Catalogue::new().with(CATALOGUE)
}

/// Says which model is in use.
pub fn model_in_use(name: &str, version: &str, sha256: &str) {
    gauge!(MODEL.name, "name" => name.to_owned(), "version" => version.to_owned(), "sha256" => sha256.to_owned())
        .set(1);
}

/// Says which policy is in force, and which one no longer is.
pub fn policy_in_force(version: &str, before: Option<&str>) {
    if let Some(before) = before.filter(|before| *before != version) {
        gauge!(POLICY.name, "version" => before.to_owned()).set(0);
    }
    gauge!(POLICY.name, "version" => version.to_owned()).set(1);
}

/// Counts a policy file that changed.
pub fn policy_reloaded(outcome: &'static str) {
    counter!(POLICY_RELOADS.name, "outcome" => outcome).increment(1);
}

/// How far a partition is behind.
pub fn lag(partition: &TopicPartition, records: u64, age: Duration) {
    let labels = [
        ("topic", partition.topic.to_string()),
        ("partition", partition.partition.to_string()),
    ];
    gauge!(LAG_RECORDS.name, &labels).set(records as f64);
    gauge!(LAG_SECONDS.name, &labels).set(age.as_secs_f64());
}

/// Counters by a label with few values, each looked up once.
struct Family<K> {
    of: fn(&K) -> Counter,
    known: HashMap<K, Counter>,
}

impl<K: Eq + std::hash::Hash> Family<K> {
    fn new(of: fn(&K) -> Counter) -> Self {
        Self {
            of,
            known: HashMap::new(),
        }
    }

    fn add(&mut self, key: K, count: u64) {
        let of = self.of;
        self.known
            .entry(key)
            .or_insert_with_key(of)
            .increment(count);
    }
}

/// The handles of one lane.
pub struct LaneMetrics {
    consumed: Family<Arc<str>>,
    verdicts: Family<(&'static str, &'static str)>,
    dead_letters: Family<&'static str>,
    routed: Family<&'static str>,
    transactions: Family<&'static str>,
    rebalances: Family<&'static str>,
    repeated: Counter,
    event_age: Histogram,
    stages: HashMap<&'static str, Histogram>,
    batch: Histogram,
    commit: Histogram,
    rebuilds: Counter,
    partitions: Gauge,
    last_commit: Gauge,
    band: Gauge,
    texts: [Counter; 2],
    corrected: Counter,
    disagreed: [Counter; Label::COUNT],
    tokens: [Counter; 4],
    cache_hits: Counter,
    deduplicated: Counter,
    not_scored: Counter,
}

impl LaneMetrics {
    /// The handles of the lane with this name.
    #[must_use]
    pub fn new(lane: &str) -> Self {
        let lane = lane.to_owned();
        Self {
            consumed: Family::new(|topic| counter!(CONSUMED.name, "topic" => topic.to_string())),
            verdicts: Family::new(
                |(action, tier)| counter!(VERDICTS.name, "action" => *action, "tier" => *tier),
            ),
            dead_letters: Family::new(|reason| counter!(DEAD_LETTERS.name, "reason" => *reason)),
            routed: Family::new(|route| counter!(ROUTED.name, "route" => *route)),
            transactions: Family::new(|outcome| counter!(TRANSACTIONS.name, "outcome" => *outcome)),
            rebalances: Family::new(|kind| counter!(REBALANCES.name, "kind" => *kind)),
            repeated: counter!(REPEATED.name),
            event_age: histogram!(EVENT_AGE.name),
            stages: HashMap::new(),
            batch: histogram!(BATCH.name),
            commit: histogram!(COMMIT.name),
            rebuilds: counter!(REBUILDS.name),
            partitions: gauge!(PARTITIONS.name, "lane" => lane.clone()),
            last_commit: gauge!(LAST_COMMIT.name, "lane" => lane.clone()),
            band: gauge!(BAND.name, "lane" => lane),
            corrected: counter!(CORRECTED.name),
            disagreed: std::array::from_fn(
                |index| counter!(DISAGREED.name, "label" => Label::ALL[index].as_str()),
            ),
            texts: ["screen", "deep"].map(|tier| counter!(TEXTS.name, "tier" => tier)),
            tokens: [
                ("screen", "text"),
                ("screen", "padding"),
                ("deep", "text"),
                ("deep", "padding"),
            ]
            .map(|(tier, kind)| counter!(TOKENS.name, "tier" => tier, "kind" => kind)),
            cache_hits: counter!(CACHE_HITS.name),
            deduplicated: counter!(DEDUPLICATED.name),
            not_scored: counter!(NOT_SCORED.name),
        }
    }

    /// Time that a batch spent in a stage.
    pub fn stage(&mut self, stage: &'static str, took: Duration) {
        let new = || histogram!(STAGE.name, "stage" => stage);
        self.stages.entry(stage).or_insert_with(new).record(took);
    }

    /// A batch of this many records was processed.
    pub fn batch(&self, records: usize) {
        self.batch.record(records as f64);
    }

    /// What the classifier did for a batch.
    pub fn classified(&self, stats: &ClassifierStats) {
        for (model, texts, [text, padding]) in [
            (
                &stats.screen,
                &self.texts[0],
                [&self.tokens[0], &self.tokens[1]],
            ),
            (
                &stats.deep,
                &self.texts[1],
                [&self.tokens[2], &self.tokens[3]],
            ),
        ] {
            texts.increment(model.texts);
            text.increment(model.tokens);
            padding.increment(model.padded_tokens - model.tokens);
        }
        self.corrected.increment(stats.corrected);
        for (counter, count) in self.disagreed.iter().zip(stats.disagreed) {
            counter.increment(count);
        }
        self.cache_hits.increment(stats.cache_hits);
        self.deduplicated.increment(stats.deduplicated);
    }

    /// The model failed on this many texts.
    pub fn not_scored(&self, texts: u64) {
        self.not_scored.increment(texts);
    }

    /// The share of the cascade's band that is in force.
    pub fn band(&self, ratio: f32) {
        self.band.set(f64::from(ratio));
    }

    /// Counts what a committed transaction held.
    pub fn committed(&mut self, tally: &crate::tally::Tally) {
        for (topic, count) in tally.consumed() {
            self.consumed.add(topic.clone(), count);
        }
        for (action, tier, count) in tally.verdicts() {
            self.verdicts.add((action, tier), count);
        }
        for (reason, count) in tally.dead_letters() {
            self.dead_letters.add(reason, count);
        }
        for (route, count) in tally.routed() {
            self.routed.add(route, count);
        }
        self.repeated.increment(tally.repeated());
    }

    /// This many records were this old when their verdict was committed.
    pub fn event_age(&self, age: Duration, records: usize) {
        self.event_age.record_many(age, records);
    }

    /// A transaction was committed.
    pub fn transaction_committed(&mut self, took: Duration, now: Duration) {
        self.transactions.add("committed", 1);
        self.commit.record(took);
        self.last_commit.set(now.as_secs_f64());
    }

    /// A transaction was aborted.
    pub fn transaction_aborted(&mut self) {
        self.transactions.add("aborted", 1);
    }

    /// The producer was replaced.
    pub fn producer_rebuilt(&self) {
        self.rebuilds.increment(1);
    }

    /// Partitions came or went, and this many are read now.
    pub fn rebalanced(&mut self, kind: &'static str, partitions: usize) {
        self.rebalances.add(kind, 1);
        self.partitions.set(partitions as f64);
    }
}
