//! The scheduler of a run: it picks who is next, and what goes wrong.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use rand::Rng;

use super::{
    cluster::{Cluster, TRANSACTION_TIMEOUT},
    faults::Faults,
    group::MemberId,
    scenario::{Outcome, Scenario},
    transport::SimTransport,
    upstream::Upstream,
};
use crate::{
    clock::Clock,
    lane::{Lane, Step},
    offsets::TopicPartition,
    transport::Processor,
};

/// A process: its lane while it is up, and for how many turns it does nothing.
struct Process<P> {
    lane: Option<Lane<SimTransport, P>>,
    idle: u32,
}

pub(super) struct Run<P, F> {
    pub(super) scenario: Scenario,
    pub(super) cluster: Rc<RefCell<Cluster>>,
    upstream: Upstream,
    processor: F,
    processes: Vec<Process<P>>,
    /// Processes that were given up for dead and go on for some turns.
    twins: Vec<Process<P>>,
    /// Members that are dead or still, and when the group notices.
    silent: Vec<(MemberId, u32)>,
}

impl<P: Processor, F: FnMut(usize) -> P> Run<P, F> {
    pub(super) fn new(scenario: Scenario, processor: F) -> Self {
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
    pub(super) fn turn(&mut self, faulty: bool) {
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

    pub(super) fn is_done(&self) -> bool {
        let cluster = self.cluster.borrow();
        self.upstream.is_done()
            && self
                .scenario
                .inputs
                .iter()
                .all(|(t, ..)| cluster.is_read(t))
    }

    /// Stops everything in good order and looks at what is left.
    pub(super) fn finish(self) -> Outcome {
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
