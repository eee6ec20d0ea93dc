//! A run: an upstream that writes, lanes that work, and a scheduler that picks who is next and
//! what goes wrong.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use rand::Rng;

use super::{
    cluster::{Cluster, NewRecord, TRANSACTION_TIMEOUT},
    faults::{Faults, Flaws},
    group::MemberId,
    log::{Fate, SimRecord, TransactionId},
    transport::SimTransport,
};
use crate::{
    clock::Clock,
    lane::{Lane, LaneSettings, Step},
    offsets::TopicPartition,
    transport::Processor,
};

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
    seed: u64,
    inputs: Vec<(Arc<str>, i32, Vec<Input>)>,
    outputs: Vec<(Arc<str>, i32)>,
    lanes: usize,
    settings: LaneSettings,
    faults: Faults,
    flaws: Flaws,
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

/// A process: its lane while it is up, and for how many turns it does nothing.
struct Process<P> {
    lane: Option<Lane<SimTransport, P>>,
    idle: u32,
}

struct Run<P, F> {
    scenario: Scenario,
    cluster: Rc<RefCell<Cluster>>,
    upstream: Upstream,
    processor: F,
    processes: Vec<Process<P>>,
    /// Processes that were given up for dead and go on for some turns.
    twins: Vec<Process<P>>,
    /// Members that are dead or still, and when the group notices.
    silent: Vec<(MemberId, u32)>,
}

impl<P: Processor, F: FnMut(usize) -> P> Run<P, F> {
    fn new(scenario: Scenario, processor: F) -> Self {
        let partitions = |topic: &Arc<str>, partitions: i32| {
            let topic = topic.clone();
            (0..partitions).map(move |partition| TopicPartition {
                topic: topic.clone(),
                partition,
            })
        };
        let inputs = scenario.inputs.iter();
        let outputs = scenario.outputs.iter();
        let cluster = Rc::new(RefCell::new(Cluster::new(
            scenario.seed,
            scenario.faults,
            scenario.flaws,
            !scenario.seed.is_multiple_of(3),
            inputs.flat_map(|(t, n, _)| partitions(t, *n)).collect(),
            outputs.flat_map(|(t, n)| partitions(t, *n)).collect(),
        )));
        let processes = (0..scenario.lanes).map(|_| Process {
            lane: None,
            idle: 0,
        });
        let upstream = Upstream::new(&scenario.inputs, &mut cluster.borrow_mut());
        Self {
            upstream,
            processes: processes.collect(),
            scenario,
            cluster,
            processor,
            twins: Vec::new(),
            silent: Vec::new(),
        }
    }

    fn start(&mut self, number: usize) -> Lane<SimTransport, P> {
        let id = format!("lane-{number}");
        let topics = self.scenario.outputs.iter().map(|(t, _)| t.to_string());
        let clock = self.cluster.borrow().clock.clone();
        Lane::new(
            SimTransport::connect(self.cluster.clone(), id),
            (self.processor)(number),
            topics.collect(),
            self.scenario.settings.clone(),
        )
        .with_clock(clock)
    }

    fn dice(&self, probability: f64) -> bool {
        self.cluster.borrow_mut().rng.random_bool(probability)
    }

    fn below(&self, end: u32) -> u32 {
        self.cluster.borrow_mut().rng.random_range(0..end)
    }

    /// One of the processes, or the upstream, does one thing.
    fn turn(&mut self, faulty: bool) {
        self.notice_silence();
        if faulty {
            self.strike();
        } else {
            self.cluster.borrow_mut().faults = Faults::none();
            self.twins.iter_mut().for_each(|twin| twin.idle = 0);
        }
        let lanes = self.processes.len();
        let picked = self.below(u32::try_from(lanes + 1).unwrap_or(u32::MAX)) as usize;
        if picked == lanes {
            self.upstream.turn(&mut self.cluster.borrow_mut());
        } else {
            self.turn_process(picked);
        }
        for twin in &mut self.twins {
            let Some(lane) = &mut twin.lane else {
                continue;
            };
            step(lane, &self.cluster);
            twin.idle = twin.idle.saturating_sub(1);
            if twin.idle == 0 {
                self.silent.push((lane.parts().0.member(), 10));
            }
        }
        self.twins.retain(|twin| twin.idle > 0);
    }

    fn turn_process(&mut self, number: usize) {
        if self.processes[number].idle > 0 {
            self.processes[number].idle -= 1;
            // Others would wait meanwhile.
            let clock = self.cluster.borrow().clock.clone();
            clock.sleep(Duration::from_millis(20));
            return;
        }
        if self.processes[number].lane.is_none() {
            let lane = self.start(number);
            self.processes[number].lane = Some(lane);
        }
        if let Some(lane) = &mut self.processes[number].lane
            && step(lane, &self.cluster)
        {
            self.processes[number].lane = None;
        }
    }

    /// The group throws out whom it has not heard of for too long.
    fn notice_silence(&mut self) {
        let mut cluster = self.cluster.borrow_mut();
        let Cluster {
            group, rng, stats, ..
        } = &mut *cluster;
        self.silent.retain_mut(|(member, turns)| {
            *turns = turns.saturating_sub(1);
            if *turns == 0 && group.contains(*member) {
                stats.evicted += 1;
                group.remove(*member, rng);
            }
            *turns > 0
        });
    }

    /// Decides what goes wrong in this turn.
    fn strike(&mut self) {
        let faults = self.scenario.faults;
        let picked = self.below(u32::try_from(self.processes.len()).unwrap_or(1)) as usize;
        if self.dice(faults.rebalance) {
            let mut cluster = self.cluster.borrow_mut();
            let Cluster { group, rng, .. } = &mut *cluster;
            group.rebalance(rng);
        }
        if self.dice(faults.delay) {
            let most = u32::try_from(TRANSACTION_TIMEOUT.as_millis() * 2).unwrap_or(u32::MAX);
            let delay = Duration::from_millis(self.below(most).into());
            self.cluster.borrow().clock.sleep(delay);
        }
        if self.processes[picked].lane.is_none() {
            return;
        }
        if self.dice(faults.crash) {
            self.cluster.borrow_mut().stats.crashed += 1;
            self.fall_silent(picked);
            self.processes[picked].lane = None;
            self.processes[picked].idle = self.below(30);
        } else if self.dice(faults.freeze) {
            self.cluster.borrow_mut().stats.frozen += 1;
            self.fall_silent(picked);
            self.processes[picked].idle = self.below(60);
        } else if self.dice(faults.twin) {
            self.fall_silent(picked);
            let lane = self.processes[picked].lane.take();
            let idle = 1 + self.below(40);
            self.twins.push(Process { lane, idle });
        } else if self.dice(faults.evict) {
            self.fall_silent(picked);
        } else if self.dice(faults.restart)
            && let Some(lane) = &mut self.processes[picked].lane
        {
            lane.stop();
        }
    }

    /// A member that the group will not hear of; it may come back before that is noticed, and be
    /// thrown out all the same.
    fn fall_silent(&mut self, number: usize) {
        let turns = 1 + self.below(40);
        if let Some(lane) = &mut self.processes[number].lane {
            let member = lane.parts().0.member();
            self.silent.push((member, turns));
        }
    }

    fn is_done(&self) -> bool {
        let cluster = self.cluster.borrow();
        self.upstream.is_done()
            && self
                .scenario
                .inputs
                .iter()
                .all(|(t, ..)| cluster.is_read(t))
    }

    /// Stops everything in good order and looks at what is left.
    fn finish(self) -> Outcome {
        self.cluster.borrow_mut().faults = Faults::none();
        for mut lane in self.processes.into_iter().filter_map(|p| p.lane) {
            lane.stop();
            while !step(&mut lane, &self.cluster) {}
        }
        let mut cluster = self.cluster.borrow_mut();
        cluster.clock.sleep(TRANSACTION_TIMEOUT * 2);
        cluster.time_out();
        let all = |topics: Vec<&Arc<str>>| {
            topics
                .into_iter()
                .flat_map(|topic| cluster.committed_records(topic))
                .cloned()
                .collect()
        };
        Outcome {
            seed: self.scenario.seed,
            inputs: all(self.scenario.inputs.iter().map(|(t, ..)| t).collect()),
            outputs: all(self.scenario.outputs.iter().map(|(t, _)| t).collect()),
            stats: cluster.stats,
        }
    }
}

/// Lets a lane do one step. Says whether it has ended.
fn step<P: Processor>(lane: &mut Lane<SimTransport, P>, cluster: &RefCell<Cluster>) -> bool {
    let step = lane.step();
    let stats = &mut cluster.borrow_mut().stats;
    match step {
        Ok(Step::Committed { .. }) => stats.committed += 1,
        Ok(Step::Aborted) => stats.aborted += 1,
        Ok(Step::Rebuilt) => stats.rebuilt += 1,
        Ok(Step::Stopped(_)) | Err(_) => return true,
        Ok(Step::Idle | Step::Turned | Step::Worked { .. }) => {}
    }
    false
}

/// Writes the input bit by bit, in transactions of its own of which some are aborted or left open
/// for a while.
struct Upstream {
    waiting: Vec<(Arc<str>, Input)>,
    epoch: u32,
    open: Option<(TransactionId, Vec<(Arc<str>, Input)>)>,
}

const UPSTREAM: &str = "upstream";

impl Upstream {
    fn new(inputs: &[(Arc<str>, i32, Vec<Input>)], cluster: &mut Cluster) -> Self {
        let mut waiting: Vec<_> = inputs
            .iter()
            .flat_map(|(topic, _, records)| records.iter().map(|r| (topic.clone(), r.clone())))
            .collect();
        waiting.reverse();
        Self {
            waiting,
            epoch: cluster.init_producer(UPSTREAM),
            open: None,
        }
    }

    fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.open.is_none()
    }

    fn turn(&mut self, cluster: &mut Cluster) {
        let fenced = cluster.check_epoch(UPSTREAM, self.epoch).is_err();
        if let Some((transaction, records)) = self.open.take() {
            let undone = fenced || cluster.rng.random_bool(0.2);
            if undone {
                self.waiting.extend(records.into_iter().rev());
            }
            if !fenced {
                let fate = if undone {
                    Fate::Aborted
                } else {
                    Fate::Committed
                };
                cluster.end(transaction, fate);
            }
        } else if !self.waiting.is_empty() && !fenced {
            let Ok(transaction) = cluster.transaction(UPSTREAM, self.epoch) else {
                return;
            };
            let count = cluster.rng.random_range(1..=6).min(self.waiting.len());
            let records = self.waiting.split_off(self.waiting.len() - count);
            let records: Vec<_> = records.into_iter().rev().collect();
            for (topic, input) in &records {
                let new = NewRecord {
                    key: input.key.clone(),
                    payload: input.payload.clone(),
                    headers: input.headers.clone(),
                };
                cluster.append(transaction, topic, new);
            }
            self.open = Some((transaction, records));
        }
        if fenced {
            self.epoch = cluster.init_producer(UPSTREAM);
        }
    }
}
