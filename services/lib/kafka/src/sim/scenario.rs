//! What a run is made of, and what it leaves behind.

use std::sync::Arc;

use super::{
    faults::{Faults, Flaws},
    log::SimRecord,
    run::Run,
};
use crate::{lane::LaneSettings, transport::Processor};

/// A record that the upstream writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The key, which picks the partition.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// The headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Input {
    /// A record with a key and a value.
    #[must_use]
    pub fn new(key: impl Into<Vec<u8>>, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            key: Some(key.into()),
            payload: Some(payload.into()),
            headers: Vec::new(),
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), Some(value.into())));
        self
    }
}

/// What happened in a run: that faults struck is a part of the proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Transactions committed, as lanes were told.
    pub committed: u64,
    /// Transactions aborted by lanes.
    pub aborted: u64,
    /// Producers replaced.
    pub rebuilt: u64,
    /// Processes that died.
    pub crashed: u64,
    /// Processes that stood still.
    pub frozen: u64,
    /// Members thrown out of the group.
    pub evicted: u64,
    /// Calls refused because the producer had a successor or had timed out.
    pub fenced: u64,
    /// Transactions aborted by the broker because they took too long.
    pub timed_out: u64,
    /// Commits refused because the member was of an earlier generation.
    pub stale: u64,
    /// Commits whose answer was lost.
    pub lost_answers: u64,
    /// Times that a new owner had to wait for pending offsets.
    pub unstable: u64,
}

impl std::ops::AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        self.committed += other.committed;
        self.aborted += other.aborted;
        self.rebuilt += other.rebuilt;
        self.crashed += other.crashed;
        self.frozen += other.frozen;
        self.evicted += other.evicted;
        self.fenced += other.fenced;
        self.timed_out += other.timed_out;
        self.stale += other.stale;
        self.lost_answers += other.lost_answers;
        self.unstable += other.unstable;
    }
}

/// A run that came to no end: something waits for ever.
#[derive(Clone, Debug, thiserror::Error)]
#[error("seed {seed}: not everything was read after {turns} turns ({stats:?})")]
pub struct Stuck {
    /// The seed.
    pub seed: u64,
    /// How long it was tried.
    pub turns: u32,
    /// What happened until then.
    pub stats: Stats,
}

/// What a run left behind.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Everything that could be read from the input topics.
    pub inputs: Vec<SimRecord>,
    /// Everything that a `read_committed` reader sees in the output topics, partition by partition.
    pub outputs: Vec<SimRecord>,
    /// What happened.
    pub stats: Stats,
}

impl Outcome {
    /// The committed records of one output topic.
    pub fn outputs(&self, topic: &str) -> impl Iterator<Item = &SimRecord> {
        self.outputs
            .iter()
            .filter(move |record| &*record.partition.topic == topic)
    }
}

/// A run to be: topics, input, lanes and faults, all decided by a seed.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub(super) seed: u64,
    pub(super) inputs: Vec<(Arc<str>, i32, Vec<Input>)>,
    pub(super) outputs: Vec<(Arc<str>, i32)>,
    pub(super) lanes: usize,
    pub(super) settings: LaneSettings,
    pub(super) faults: Faults,
    pub(super) flaws: Flaws,
}

/// Turns in which things go wrong; after them the cluster is left in peace to finish.
const TURNS_WITH_FAULTS: u32 = 600;
const TURNS: u32 = 20_000;

impl Scenario {
    /// Two lanes, many faults, and small batches so that little input makes many transactions.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            inputs: Vec::new(),
            outputs: Vec::new(),
            lanes: 2,
            settings: LaneSettings {
                batch_records: 4,
                commit_records: 10,
                ..LaneSettings::default()
            },
            faults: Faults::many(),
            flaws: Flaws::default(),
        }
    }

    /// Adds a topic to read, and what the upstream writes to it.
    #[must_use]
    pub fn input(
        mut self,
        topic: &str,
        partitions: i32,
        records: impl IntoIterator<Item = Input>,
    ) -> Self {
        let records = records.into_iter().collect();
        self.inputs.push((topic.into(), partitions, records));
        self
    }

    /// Adds a topic to write; the first has index 0 in the outbox.
    #[must_use]
    pub fn output(mut self, topic: &str, partitions: i32) -> Self {
        self.outputs.push((topic.into(), partitions));
        self
    }

    /// How many lanes share the work.
    #[must_use]
    pub fn lanes(mut self, lanes: usize) -> Self {
        self.lanes = lanes;
        self
    }

    /// How each lane works.
    #[must_use]
    pub fn settings(mut self, settings: LaneSettings) -> Self {
        self.settings = settings;
        self
    }

    /// What goes wrong.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Which rules are off.
    #[must_use]
    pub fn flaws(mut self, flaws: Flaws) -> Self {
        self.flaws = flaws;
        self
    }

    /// Runs until everything is read and committed. `processor` makes one for each start of a
    /// process, and is told the lane's number.
    ///
    /// # Errors
    /// The run comes to no end.
    ///
    /// # Panics
    /// A lane broke the rules of [`Transport`](crate::Transport).
    pub fn run<P: Processor>(self, processor: impl FnMut(usize) -> P) -> Result<Outcome, Stuck> {
        let mut run = Run::new(self, processor);
        let mut turns = 0;
        while !run.is_done() {
            if turns == TURNS {
                let stats = run.cluster.borrow().stats;
                let seed = run.scenario.seed;
                return Err(Stuck { seed, turns, stats });
            }
            run.turn(turns < TURNS_WITH_FAULTS);
            turns += 1;
        }
        Ok(run.finish())
    }
}
