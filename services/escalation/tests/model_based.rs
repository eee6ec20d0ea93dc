//! Random acts by several agents, with a clock that moves and a sweep that comes by now and then:
//! the store on SQLite must answer as a reference does that fits on a page.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use proptest::prelude::*;
use tidegate_escalation::{
    Act, Caller, Granted, Store, StoreError, StoreSettings,
    store::Arrived,
    times::{HOUR, MINUTE, timestamp},
};
use tidegate_proto::{
    escalation::v1::{
        Agent, Case, CaseEvent, CaseState, CaseVerdict, Outcome, Queue, Role, UpdateAgentRequest,
        UpdateQueueRequest,
    },
    events::v1::Priority,
};

const START: i64 = 1_795_597_200_000;
const LEASE: i64 = 10 * MINUTE;
const CASES: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Pass(i64),
    Sweep,
    /// The message arrives, or comes again edited.
    Arrive(usize),
    Withdraw(usize),
    ClaimNext(usize),
    /// Which act, by whom, on what.
    Act(Kind, usize, usize),
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Claim,
    Heartbeat,
    Release,
    Skip,
    Hold,
    Assign,
    Note,
    Hide,
    Allow,
    Appeal,
    Overturn,
    Uphold,
}

const KINDS: [Kind; 12] = [
    Kind::Claim,
    Kind::Heartbeat,
    Kind::Release,
    Kind::Skip,
    Kind::Hold,
    Kind::Assign,
    Kind::Note,
    Kind::Hide,
    Kind::Allow,
    Kind::Appeal,
    Kind::Overturn,
    Kind::Uphold,
];

fn step() -> impl Strategy<Value = Step> {
    let (agent, case) = (0..3_usize, 0..CASES);
    let kind = prop::sample::select(&KINDS[..]);
    prop_oneof![
        2 => prop::sample::select(vec![1, MINUTE, LEASE - 1, LEASE, HOUR, 6 * HOUR])
            .prop_map(Step::Pass),
        2 => Just(Step::Sweep),
        3 => case.clone().prop_map(Step::Arrive),
        1 => case.clone().prop_map(Step::Withdraw),
        6 => agent.clone().prop_map(Step::ClaimNext),
        20 => (kind, agent, case).prop_map(|(kind, who, case)| Step::Act(kind, who, case)),
    ]
}

/// What the reference knows of a case.
#[derive(Clone, Default)]
struct Known {
    state: CaseState,
    lease: Option<(usize, i64)>,
    hold: Option<(usize, i64)>,
    assigned: Option<usize>,
    decided: Vec<(usize, Outcome)>,
    skipped: BTreeSet<usize>,
    notes: usize,
    /// None, waiting, decided.
    appeal: u8,
    edits: usize,
    due: i64,
    breached: bool,
    opened: usize,
}

#[derive(Default)]
struct Reference {
    cases: [Option<Known>; CASES],
    now: i64,
    opened: usize,
    published: usize,
}

impl Known {
    fn waits_again(&mut self) {
        self.lease = None;
        self.hold = None;
        self.state = if self.decided.is_empty() {
            CaseState::Open
        } else {
            CaseState::SecondReview
        };
    }

    fn time_passes(&mut self, now: i64) {
        let over = |end: Option<(usize, i64)>| end.is_some_and(|(_, end)| end <= now);
        if over(self.lease) || over(self.hold) {
            self.waits_again();
        }
    }

    fn closed(&self) -> bool {
        matches!(self.state, CaseState::Resolved | CaseState::Withdrawn)
    }

    fn offered_to(&self, who: usize) -> bool {
        matches!(self.state, CaseState::Open | CaseState::SecondReview)
            && self.assigned.is_none_or(|one| one == who)
            && !self.skipped.contains(&who)
            && self.decided.iter().all(|(one, _)| *one != who)
    }

    /// When it is due, as a queue counts: urgent cases have a head start.
    fn place(&self) -> (i64, usize) {
        let start = if self.breached { 8 * HOUR } else { 2 * HOUR };
        (self.due - start, self.opened)
    }

    fn act(&mut self, kind: Kind, who: usize, now: i64) -> Result<bool, &'static str> {
        self.time_passes(now);
        let mine = self.lease.is_some_and(|(one, _)| one == who);
        let decided_by_me = self.decided.iter().any(|(one, _)| *one == who);
        match kind {
            Kind::Claim => {
                match self.state {
                    CaseState::Open | CaseState::SecondReview => {}
                    CaseState::Claimed if mine => {}
                    CaseState::Claimed => return Err("ALREADY_CLAIMED"),
                    CaseState::OnHold if self.hold.is_some_and(|(one, _)| one == who) => {}
                    _ => return Err("WRONG_STATE"),
                }
                if decided_by_me {
                    return Err("SAME_REVIEWER");
                }
                if self.assigned.is_some_and(|one| one != who) {
                    return Err("RESERVED");
                }
                self.hold = None;
                self.state = CaseState::Claimed;
                self.lease = Some((who, now + LEASE));
            }
            Kind::Assign => {
                if self.closed() {
                    return Err("WRONG_STATE");
                }
                if decided_by_me {
                    return Err("SAME_REVIEWER");
                }
                self.waits_again();
                self.assigned = Some(who);
            }
            Kind::Note => self.notes += 1,
            Kind::Appeal => match (self.state, self.appeal) {
                (CaseState::Resolved, 0) => self.appeal = 1,
                (CaseState::Resolved, _) => return Err("APPEAL_EXISTS"),
                _ => return Err("WRONG_STATE"),
            },
            Kind::Overturn | Kind::Uphold => {
                if decided_by_me {
                    return Err("SAME_REVIEWER");
                }
                if self.appeal != 1 {
                    return Err("NO_APPEAL");
                }
                self.appeal = 2;
                return Ok(matches!(kind, Kind::Overturn));
            }
            _ if !mine => return Err("LEASE_GONE"),
            Kind::Heartbeat => self.lease = Some((who, now + LEASE)),
            Kind::Release => self.waits_again(),
            Kind::Skip => {
                self.waits_again();
                self.skipped.insert(who);
                self.assigned = self.assigned.filter(|one| *one != who);
            }
            Kind::Hold => {
                self.waits_again();
                self.state = CaseState::OnHold;
                self.hold = Some((who, now + HOUR));
            }
            Kind::Hide | Kind::Allow => {
                let outcome = if matches!(kind, Kind::Hide) {
                    Outcome::Hide
                } else {
                    Outcome::Allow
                };
                self.decided.push((who, outcome));
                self.assigned = None;
                self.waits_again();
                let second = self.decided.len() == 1 && outcome == Outcome::Hide;
                if !second {
                    self.state = CaseState::Resolved;
                }
                return Ok(!second);
            }
        }
        Ok(false)
    }
}

impl Reference {
    fn arrive(&mut self, case: usize) {
        let due = self.now + 9 * HOUR;
        match &mut self.cases[case] {
            None => {
                self.opened += 1;
                self.cases[case] = Some(Known {
                    state: CaseState::Open,
                    due,
                    opened: self.opened,
                    ..Known::default()
                });
            }
            Some(known) => {
                known.edits += 1;
                known.decided.clear();
                if known.closed() {
                    let (skipped, opened) = (known.skipped.clone(), known.opened);
                    *known = Known {
                        state: CaseState::Open,
                        due,
                        skipped,
                        opened,
                        notes: known.notes,
                        edits: known.edits,
                        ..Known::default()
                    };
                } else if known.state == CaseState::SecondReview {
                    known.waits_again();
                }
            }
        }
    }

    fn sweep(&mut self) {
        for known in self.cases.iter_mut().flatten() {
            known.time_passes(self.now);
            if !known.closed() && !known.breached && known.due <= self.now {
                known.breached = true;
                if known.state != CaseState::Claimed {
                    known.assigned = None;
                }
            }
        }
    }
}

fn caller(who: usize) -> Caller {
    Caller {
        agent: format!("agents/a{who}"),
        role: Role::Agent,
        queues: Granted::Some(vec!["queues/q".to_owned()]),
        languages: Vec::new(),
        pseudonym: String::new(),
    }
}

fn act(kind: Kind, who: usize, now: i64) -> Act {
    let resolve = |outcome| Act::Resolve {
        outcome,
        labels: Vec::new(),
        comment: String::new(),
    };
    let decide = |overturn| Act::DecideAppeal {
        overturn,
        outcome: Outcome::Allow,
        labels: Vec::new(),
        comment: String::new(),
    };
    let reason = || "words".to_owned();
    match kind {
        Kind::Claim => Act::Claim,
        Kind::Heartbeat => Act::Heartbeat,
        Kind::Release | Kind::Skip => Act::Release {
            skip: matches!(kind, Kind::Skip),
            reason: reason(),
        },
        Kind::Hold => Act::Hold {
            reason: reason(),
            return_ms: now + HOUR,
        },
        Kind::Assign => Act::Assign {
            agent: format!("agents/a{who}"),
            queue: String::new(),
            reason: reason(),
        },
        Kind::Note => Act::Note { text: reason() },
        Kind::Hide => resolve(Outcome::Hide),
        Kind::Allow => resolve(Outcome::Allow),
        Kind::Appeal => Act::OpenAppeal { reason: reason() },
        Kind::Overturn => decide(true),
        Kind::Uphold => decide(false),
    }
}

fn arriving(case: usize, edit: usize, now: i64) -> Arrived {
    Arrived::Open(Box::new(Case {
        queue: "queues/q".to_owned(),
        priority: Priority::High.into(),
        due_time: Some(timestamp(now + 9 * HOUR)),
        event: Some(CaseEvent {
            event_id: case.to_string(),
            brand: "b".to_owned(),
            platform: "p".to_owned(),
            event_time: Some(timestamp(now)),
            ..CaseEvent::default()
        }),
        verdict: Some(CaseVerdict {
            verdict_id: format!("{case}/{edit}"),
            ..CaseVerdict::default()
        }),
        ..Case::default()
    }))
}

fn name(case: usize) -> String {
    tidegate_escalation::life::case_name("p", "b", &case.to_string())
}

async fn open(now: &Arc<AtomicI64>, path: &std::path::Path) -> Store {
    let settings = StoreSettings::new(format!("sqlite:{}", path.display()));
    let clock = now.clone();
    let clock = Arc::new(move || clock.load(Ordering::SeqCst));
    let store = Store::open(&settings, clock).await.unwrap();
    let queue = UpdateQueueRequest {
        queue: Some(Queue {
            name: "queues/q".to_owned(),
            second_review: true,
            ..Queue::default()
        }),
        allow_missing: true,
        ..Default::default()
    };
    store.queue_update(&Caller::system(), queue).await.unwrap();
    for who in 0..3 {
        let agent = UpdateAgentRequest {
            agent: Some(Agent {
                name: caller(who).agent,
                role: Role::Agent.into(),
                queues: vec!["queues/q".to_owned()],
                ..Agent::default()
            }),
            allow_missing: true,
            ..Default::default()
        };
        store.agent_update(&Caller::system(), agent).await.unwrap();
    }
    store
}

async fn follow(steps: &[Step]) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicI64::new(START));
    let store = open(&now, &dir.path().join("cases.db")).await;
    let mut reference = Reference {
        now: START,
        ..Reference::default()
    };
    for step in steps {
        match step {
            Step::Pass(ms) => {
                reference.now += ms;
                now.store(reference.now, Ordering::SeqCst);
            }
            Step::Sweep => {
                store.sweep().await.unwrap();
                reference.sweep();
            }
            Step::Arrive(case) => {
                reference.arrive(*case);
                let edit = reference.cases[*case].as_ref().unwrap().edits;
                let arrived = vec![arriving(*case, edit, reference.now)];
                store.intake(arrived, &[]).await.unwrap();
            }
            Step::Withdraw(case) => {
                let arrived = vec![Arrived::Withdrawn {
                    event_id: case.to_string(),
                    platform: None,
                    brand: None,
                    verdict_id: String::new(),
                }];
                store.intake(arrived, &[]).await.unwrap();
                if let Some(known) = &mut reference.cases[*case]
                    && !known.closed()
                {
                    known.waits_again();
                    known.assigned = None;
                    known.state = CaseState::Withdrawn;
                }
            }
            Step::ClaimNext(who) => {
                let got = store.claim_next(&caller(*who), &[], "").await.unwrap();
                let now = reference.now;
                // Cases whose lease ended wait again only once the sweep came by.
                let cases = reference.cases.iter_mut().enumerate();
                let first = cases
                    .filter_map(|(case, known)| Some((case, known.as_mut()?)))
                    .filter(|(_, known)| known.offered_to(*who))
                    .min_by_key(|(_, known)| known.place());
                let expected = first.map(|(case, known)| {
                    let claimed = known.act(Kind::Claim, *who, now);
                    assert_eq!(claimed, Ok(false));
                    name(case)
                });
                prop_assert_eq!(got.map(|case| case.name), expected, "{:?}", step);
            }
            Step::Act(kind, who, case) => {
                let act = act(*kind, *who, reference.now);
                let done = store.act(&caller(*who), &name(*case), act, "", "").await;
                let done = match done {
                    Ok(_) => Ok(()),
                    Err(StoreError::Refused(refusal)) => Err(refusal.reason()),
                    Err(error) => panic!("{error}"),
                };
                let expected = match &mut reference.cases[*case] {
                    None => Err("CASE_NOT_FOUND"),
                    Some(known) => {
                        let mut changed = known.clone();
                        changed.act(*kind, *who, reference.now).map(|publishes| {
                            reference.published += usize::from(publishes);
                            *known = changed;
                        })
                    }
                };
                prop_assert_eq!(done, expected, "{:?}", step);
            }
        }
        compare(&store, &reference, step).await?;
    }
    let outbox = store.outbox(0, 1_000).await.unwrap();
    prop_assert_eq!(outbox.len(), reference.published);
    let ids: BTreeSet<_> = outbox.iter().map(|(_, one)| &one.id).collect();
    prop_assert_eq!(ids.len(), outbox.len(), "two decisions have the same id");
    let verified = store.audit_verify(&[]).await.unwrap();
    prop_assert!(verified.intact, "{}", verified.problem);
    store.close().await;
    Ok(())
}

async fn compare(store: &Store, reference: &Reference, step: &Step) -> Result<(), TestCaseError> {
    for (case, known) in reference.cases.iter().enumerate() {
        let stored = store.get(&Caller::system(), &name(case)).await;
        let Some(known) = known else {
            prop_assert!(stored.is_err());
            continue;
        };
        let stored = stored.unwrap();
        let agent = |who: usize| caller(who).agent;
        prop_assert_eq!(stored.state(), known.state, "{:?}", step);
        let lease = stored.lease.map(|lease| lease.agent);
        prop_assert_eq!(lease, known.lease.map(|(who, _)| agent(who)), "{:?}", step);
        let hold = stored.hold.map(|hold| hold.agent);
        prop_assert_eq!(hold, known.hold.map(|(who, _)| agent(who)), "{:?}", step);
        let assigned = known.assigned.map(agent).unwrap_or_default();
        prop_assert_eq!(stored.assigned_to, assigned, "{:?}", step);
        prop_assert_eq!(stored.decisions.len(), known.decided.len(), "{:?}", step);
        prop_assert_eq!(stored.notes.len(), known.notes, "{:?}", step);
        prop_assert_eq!(stored.breached, known.breached, "{:?}", step);
        prop_assert_eq!(stored.appeal.is_some(), known.appeal > 0, "{:?}", step);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_store_answers_as_the_reference_does(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(follow(&steps))?;
    }
}
