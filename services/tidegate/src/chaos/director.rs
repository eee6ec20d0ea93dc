//! Does to the running system what the plan says, while events flow.

mod deeds;

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    process::ExitStatus,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegate_chassis::shutdown::Shutdown;
use tidegate_moderator::service::Service;

use super::{
    Args, PARTITIONS, Run,
    cluster::{Cluster, GroupWatch},
    consumer::{Consumer, Vitals},
    feed::{Feeder, Progress},
    plan::{Disturbance, between, plan},
};

/// How long a consumer may take to get partitions and commit.
const WORKS_WITHIN: Duration = Duration::from_secs(30);
/// How long a consumer that was asked to leave may take.
const LEAVES_WITHIN: Duration = Duration::from_secs(30);
/// Without progress for this long the run is cut short, and the audit says what is missing.
const STALLED_AFTER: Duration = Duration::from_secs(90);
/// How long the consumers are expected to take until all of them work.
const FIRST: Duration = Duration::from_secs(10);
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What the run came to, besides what is in the topics.
pub(crate) struct Outcome {
    /// How far the groups committed that they have read, in records.
    pub(crate) consumed: u64,
    /// Transactions that consumers said they aborted.
    pub(crate) aborted: u64,
    /// Producers that consumers said they replaced.
    pub(crate) rebuilt: u64,
    /// Partitions of the output that end in an open transaction.
    pub(crate) open: u64,
    /// Consumers that ended by themselves or badly.
    pub(crate) crashed: Vec<String>,
    /// What was done, and how often.
    pub(crate) disturbances: BTreeMap<&'static str, u32>,
    /// Seconds from the first consumer's start to the last one's end.
    pub(crate) seconds: f64,
}

/// Who does it.
pub(crate) struct Director<'a> {
    cluster: &'a Cluster,
    run: &'a Run,
    events: u64,
    progress: Progress,
    shutdown: Shutdown,
    rng: ChaCha8Rng,
    plan: Vec<Disturbance>,
    groups: Vec<GroupWatch>,
    consumers: Vec<Consumer>,
    starts: HashMap<String, u32>,
    vitals: HashMap<PathBuf, Vitals>,
    crashed: Vec<String>,
    disturbances: BTreeMap<&'static str, u32>,
    consumed: u64,
    began: Instant,
    told: Instant,
    /// The events that may be fed by the end of this step, those of earlier steps, and when the
    /// step began and should end.
    share: (u64, u64, Instant, Duration),
}

impl<'a> Director<'a> {
    /// Starts the consumers.
    ///
    /// # Errors
    /// A process can't be started.
    pub(crate) fn new(
        cluster: &'a Cluster,
        run: &'a Run,
        args: &Args,
        progress: &Progress,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
        let plan = plan(args.kills, cluster.breakable() > 0, &mut rng);
        let groups = run
            .inputs
            .iter()
            .map(|input| cluster.watch(&input.group, &input.topic, PARTITIONS));
        let groups = groups.collect::<Result<_, _>>()?;
        let now = Instant::now();
        let mut director = Self {
            cluster,
            run,
            events: args.events,
            progress: progress.clone(),
            shutdown: shutdown.clone(),
            rng,
            plan,
            groups,
            consumers: Vec::new(),
            starts: HashMap::new(),
            vitals: HashMap::new(),
            crashed: Vec::new(),
            disturbances: BTreeMap::new(),
            consumed: 0,
            began: now,
            told: now,
            share: (0, 0, now, FIRST),
        };
        let count = (args.consumers as usize).max(run.inputs.len());
        for number in 0..count {
            let service = run.inputs[number % run.inputs.len()].service;
            let name = format!("{}-{number}", service.name());
            director.start(service, &name)?;
        }
        Ok(director)
    }

    /// From the first event to the last consumer's end.
    ///
    /// # Errors
    /// It was interrupted, or a part of it can't be done.
    pub(crate) fn run(&mut self, feeder: Feeder) -> anyhow::Result<Outcome> {
        let plan = std::mem::take(&mut self.plan);
        // One step more: some events come after the last disturbance.
        let whole: Duration = plan.iter().map(|step| step.expected()).sum();
        let steps = plan.len() as u64 + 1;
        self.say(&format!(
            "{} consumers, {} disturbances, about {} s",
            self.consumers.len(),
            plan.len(),
            whole.as_secs()
        ));
        self.share = (0, self.events / steps / 2, Instant::now(), FIRST);
        self.await_work()?;
        for (number, step) in (1..).zip(&plan) {
            let due = self.events * number / steps;
            // However far the trickle got, there is something to do in each step.
            let from = self.progress.allowed();
            let due = due.max(from + self.events / steps / 4).min(self.events);
            self.share = (from, due, Instant::now(), step.expected());
            let before = self.consumed();
            self.disturb(*step)?;
            *self.disturbances.entry(step.name()).or_default() += 1;
            let rest = between(&mut self.rng, 1_000, 2_500);
            self.wait(rest)?;
            self.progress.allow(due);
            self.until(WORKS_WITHIN, |director| Ok(director.consumed() > before))?;
        }
        self.share = (self.events, self.events, Instant::now(), FIRST);
        self.finish(feeder)
    }

    /// Feeds the rest, waits until it is consumed, and ends the consumers.
    fn finish(&mut self, feeder: Feeder) -> anyhow::Result<Outcome> {
        self.progress.allow(self.events);
        self.until(STALLED_AFTER, |director| {
            Ok(director.progress.fed() == director.events)
        })?;
        feeder.join()?;
        let mut best = (self.consumed(), Instant::now());
        while best.0 < self.events && best.1.elapsed() < STALLED_AFTER {
            self.wait(Duration::from_millis(500))?;
            let consumed = self.consumed();
            if consumed > best.0 {
                best = (consumed, Instant::now());
            }
        }
        for mut consumer in std::mem::take(&mut self.consumers) {
            self.note_vitals(&mut consumer);
            self.leave(consumer)?;
        }
        let seconds = self.began.elapsed().as_secs_f64();
        let patience = Duration::from_millis(self.run.transaction_ms + 20_000);
        let outputs = self.run.output_topics();
        self.until(patience, |director| {
            Ok(director.cluster.open(&outputs)? == 0)
        })?;
        let consumed = self.consumed();
        let sum = |of: fn(&Vitals) -> u64| self.vitals.values().map(of).sum();
        Ok(Outcome {
            consumed,
            aborted: sum(|vitals| vitals.aborted),
            rebuilt: sum(|vitals| vitals.rebuilt),
            open: self.cluster.open(&outputs)?,
            crashed: std::mem::take(&mut self.crashed),
            disturbances: std::mem::take(&mut self.disturbances),
            seconds,
        })
    }

    fn start(&mut self, service: Service, name: &str) -> anyhow::Result<()> {
        let start = self.starts.entry(name.to_owned()).or_default();
        *start += 1;
        let input = self
            .run
            .inputs
            .iter()
            .find(|input| input.service == service);
        let own: Vec<_> = input
            .iter()
            .flat_map(|input| {
                [
                    format!("kafka.topics={}", input.topic),
                    format!("kafka.group_id={}", input.group),
                ]
            })
            .collect();
        self.consumers.push(Consumer::start(
            &self.run.recipe,
            service,
            name,
            &own,
            *start,
        )?);
        Ok(())
    }

    /// Asks a consumer to leave and waits until it has.
    fn leave(&mut self, mut consumer: Consumer) -> anyhow::Result<()> {
        consumer.ask_to_leave()?;
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = consumer.ended()? {
                break Some(status);
            }
            if begin.elapsed() > LEAVES_WITHIN {
                break None;
            }
            self.wait(Duration::from_millis(20))?;
        };
        if !status.is_some_and(|status| status.success()) {
            self.note_crash(&consumer, status);
        }
        Ok(())
    }

    /// Takes a random consumer out of those that are watched, once it works: killing one that has
    /// nothing in hand would show little.
    fn take_any(&mut self) -> anyhow::Result<Consumer> {
        ensure!(!self.consumers.is_empty(), "no consumer is left");
        let index = self.rng.random_range(0..self.consumers.len());
        let name = self.consumers[index].name.clone();
        self.until(WORKS_WITHIN, |director| Ok(director.works(&name)))?;
        // Some point between one commit and the next.
        let rest = between(&mut self.rng, 0, 400);
        self.wait(rest)?;
        self.take(|consumer| consumer.name == name)
    }

    fn take(&mut self, is: impl Fn(&Consumer) -> bool) -> anyhow::Result<Consumer> {
        match self.consumers.iter().position(is) {
            Some(index) => Ok(self.consumers.remove(index)),
            None => bail!("a consumer is gone"),
        }
    }

    /// Whether a consumer has partitions and has committed.
    fn works(&mut self, name: &str) -> bool {
        let consumer = self
            .consumers
            .iter_mut()
            .find(|consumer| consumer.name == name);
        let vitals = consumer.and_then(Consumer::vitals);
        vitals.is_some_and(|vitals| vitals.partitions > 0 && vitals.committed > 0)
    }

    fn await_work(&mut self) -> anyhow::Result<()> {
        let names: Vec<_> = self
            .consumers
            .iter()
            .map(|consumer| consumer.name.clone())
            .collect();
        for name in names {
            let works = self.until(2 * WORKS_WITHIN, |director| Ok(director.works(&name)))?;
            ensure!(works, "{name} does not begin to work; its log says why");
        }
        self.say("all consumers work");
        Ok(())
    }

    fn note_vitals(&mut self, consumer: &mut Consumer) {
        if let Some(vitals) = consumer.vitals() {
            self.vitals.insert(consumer.log().to_owned(), vitals);
        }
    }

    fn note_crash(&mut self, consumer: &Consumer, status: Option<ExitStatus>) {
        let how = status.map_or_else(|| "does not end".to_owned(), |status| status.to_string());
        let crash = format!("{}: {how}; {}", consumer.name, consumer.log().display());
        self.say(&crash);
        self.crashed.push(crash);
    }

    /// How far the groups are, in records; the last known number while the brokers are away.
    fn consumed(&mut self) -> u64 {
        let mut sum = 0;
        for group in &self.groups {
            match group.consumed() {
                Ok(consumed) => sum += consumed,
                Err(_) => return self.consumed,
            }
        }
        self.consumed = sum;
        sum
    }

    /// Waits until `is_so`, at most for `patience`; says whether it came.
    fn until(
        &mut self,
        patience: Duration,
        mut is_so: impl FnMut(&mut Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<bool> {
        let begin = Instant::now();
        while !is_so(self)? {
            if begin.elapsed() > patience {
                return Ok(false);
            }
            self.wait(Duration::from_millis(200))?;
        }
        Ok(true)
    }

    /// Waits, while events are fed and consumers are watched.
    fn wait(&mut self, rest: Duration) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            let left = rest.saturating_sub(begin.elapsed());
            if self.shutdown.wait_for(left.min(Duration::from_millis(50))) {
                bail!("interrupted");
            }
            self.feed_on();
            self.replace_crashed()?;
            if self.told.elapsed() > TELL_EVERY {
                self.told = Instant::now();
                let consumed = self.consumed();
                self.say(&format!("fed {}, consumed {consumed}", self.progress.fed()));
            }
            if begin.elapsed() >= rest {
                return Ok(());
            }
        }
    }

    /// Lets this step's share of events go, spread over the time that it should take; if it takes
    /// longer, a trickle goes on, for only a consumer that has something to do can show that it
    /// works.
    fn feed_on(&self) {
        let (from, to, since, expected) = self.share;
        let done = since.elapsed().as_secs_f64() / expected.as_secs_f64();
        let done = done.min(1.0) + (done - 1.0).max(0.0) / 10.0;
        let due = from + ((to - from) as f64 * done) as u64;
        self.progress.allow(due.min(self.events));
    }

    /// A consumer that ended by itself is noted and started again, as an orchestrator would.
    fn replace_crashed(&mut self) -> anyhow::Result<()> {
        for index in (0..self.consumers.len()).rev() {
            if let Some(status) = self.consumers[index].ended()? {
                let consumer = self.consumers.remove(index);
                self.note_crash(&consumer, Some(status));
                ensure!(
                    self.crashed.len() < 10,
                    "consumers end by themselves again and again"
                );
                self.start(consumer.service, &consumer.name)?;
            }
        }
        Ok(())
    }

    fn say(&self, what: &str) {
        eprintln!("{:>7.1} s  {what}", self.began.elapsed().as_secs_f32());
    }
}
