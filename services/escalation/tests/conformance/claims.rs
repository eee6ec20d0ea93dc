//! Who gets which case, and for how long.

use std::collections::{HashMap, HashSet};

use prost_types::Duration;
use tidegate_escalation::{
    Act, Caller, Filter, Granted,
    store::{Order, Page},
    times::{HOUR, MINUTE, millis_of},
};
use tidegate_proto::{
    escalation::v1::{CaseState, Outcome, Queue},
    events::v1::Priority,
};

use crate::world::*;

pub(crate) async fn the_first_by_rank_is_claimed_first(world: &World) {
    let mut famous = arriving("famous");
    famous
        .event
        .as_mut()
        .unwrap()
        .author
        .as_mut()
        .unwrap()
        .followers = Some(5_000_000);
    world
        .arrive([
            due_in(arriving("later"), 5 * HOUR),
            due_in(arriving("sooner"), 2 * HOUR),
            with_priority(due_in(arriving("urgent"), 6 * HOUR), Priority::Urgent),
            due_in(famous, 5 * HOUR),
        ])
        .await;
    let mut order = Vec::new();
    while let Some(case) = world.next(&agent("ana")).await {
        order.push(id(&case).to_owned());
    }
    assert_eq!(order, ["urgent", "sooner", "famous", "later"]);
}

pub(crate) async fn a_claimed_case_is_nobody_elses(world: &World) {
    let case = world.open_case(arriving("1")).await;
    let claimed = world.claim(&agent("ana"), &case).await;
    assert_eq!(claimed.state(), CaseState::Claimed);
    assert_eq!(claimed.lease.unwrap().agent, "agents/ana");
    assert!(world.next(&agent("ben")).await.is_none());
    let named = world.act(&agent("ben"), &case, Act::Claim).await;
    assert_eq!(refused(named).reason(), "ALREADY_CLAIMED");
}

pub(crate) async fn a_lease_ends_by_itself_and_the_case_waits_again(world: &World) {
    let case = world.open_case(arriving("1")).await;
    world.claim(&agent("ana"), &case).await;
    world.pass(LEASE - 1);
    assert_eq!(world.store.sweep().await.unwrap().expired, 0);
    world.pass(1);
    assert_eq!(world.store.sweep().await.unwrap().expired, 1);
    assert_eq!(world.get(&case).await.state(), CaseState::Open);
    assert!(world.next(&agent("ben")).await.is_some());
}

pub(crate) async fn a_heartbeat_renews_the_lease_and_keeps_the_etag(world: &World) {
    let case = world.open_case(arriving("1")).await;
    let claimed = world.claim(&agent("ana"), &case).await;
    world.pass(LEASE - 1);
    let renewed = world
        .act(&agent("ana"), &case, Act::Heartbeat)
        .await
        .unwrap();
    assert_eq!(renewed.etag, claimed.etag);
    world.pass(LEASE - 1);
    assert_eq!(world.store.sweep().await.unwrap().expired, 0);
    let other = world.act(&agent("ben"), &case, Act::Heartbeat).await;
    assert_eq!(refused(other).reason(), "LEASE_GONE");
}

pub(crate) async fn leases_last_as_long_as_their_queue_says(world: &World) {
    world
        .queue(Queue {
            lease: Some(Duration {
                seconds: 30,
                nanos: 0,
            }),
            ..queue("conduct")
        })
        .await;
    let case = world.open_case(arriving("1")).await;
    let lease = world.claim(&agent("ana"), &case).await.lease.unwrap();
    assert_eq!(
        millis_of(lease.expire_time.as_ref()),
        Some(world.now() + 30_000)
    );
}

pub(crate) async fn a_skipped_case_is_not_offered_again_to_the_same_agent(world: &World) {
    let case = world.open_case(arriving("1")).await;
    world.claim(&agent("ana"), &case).await;
    world
        .act(&agent("ana"), &case, release(true))
        .await
        .unwrap();
    assert!(world.next(&agent("ana")).await.is_none());
    assert!(world.next(&agent("ben")).await.is_some());
}

pub(crate) async fn a_case_in_another_language_is_not_offered(world: &World) {
    let case = world.open_case(arriving("1")).await;
    let mut german = agent("ana");
    german.languages = vec!["de".to_owned()];
    assert!(world.next(&german).await.is_none());
    let named = world.act(&german, &case, Act::Claim).await;
    assert_eq!(refused(named).reason(), "OTHER_LANGUAGE");
    german.languages.push("en".to_owned());
    assert!(world.next(&german).await.is_some());
    // Nobody knows what this one is written in: it must not wait for ever.
    let mut unknown = arriving("2");
    unknown.event.as_mut().unwrap().lang = None;
    world.arrive([unknown]).await;
    german.languages = vec!["de".to_owned()];
    assert!(world.next(&german).await.is_some());
}

pub(crate) async fn a_foreign_queues_case_is_as_if_it_were_not_there(world: &World) {
    let case = world.open_case(arriving("1")).await;
    let mut stranger = agent("eve");
    stranger.queues = Granted::Some(vec!["queues/care".to_owned()]);
    assert!(world.next(&stranger).await.is_none());
    let acts = [
        Act::Claim,
        Act::Heartbeat,
        release(false),
        Act::Note {
            text: "x".to_owned(),
        },
        resolve(Outcome::Allow),
        Act::OpenAppeal {
            reason: "x".to_owned(),
        },
    ];
    for act in acts {
        let answer = world.act(&stranger, &case, act).await;
        assert_eq!(refused(answer).reason(), "CASE_NOT_FOUND");
    }
    let read = world.store.get(&stranger, &case.name).await;
    assert_eq!(refused(read).reason(), "CASE_NOT_FOUND");
    let queues = ["queues/conduct".to_owned()];
    let next = world.store.claim_next(&stranger, &queues, "").await;
    assert_eq!(refused(next).reason(), "QUEUE_NOT_FOUND");
    let filter = Default::default();
    assert_eq!(world.store.count(&stranger, &filter).await.unwrap(), 0);
}

pub(crate) async fn a_reserved_case_goes_to_its_agent_alone(world: &World) {
    let case = world.open_case(arriving("1")).await;
    let assign = Act::Assign {
        agent: "agents/ben".to_owned(),
        queue: String::new(),
        reason: "knows them".to_owned(),
    };
    world.act(&admin(), &case, assign).await.unwrap();
    assert!(world.next(&agent("ana")).await.is_none());
    let named = world.act(&agent("ana"), &case, Act::Claim).await;
    assert_eq!(refused(named).reason(), "RESERVED");
    assert!(world.next(&agent("ben")).await.is_some());
}

pub(crate) async fn a_case_is_reserved_only_for_whoever_may_work_it(world: &World) {
    let case = world.open_case(arriving("1")).await;
    let assign = |agent: &str, queue: &str| Act::Assign {
        agent: agent.to_owned(),
        queue: queue.to_owned(),
        reason: String::new(),
    };
    for (agent, queue, reason) in [
        ("agents/nobody", "", "AGENT_NOT_FOUND"),
        ("agents/ana", "queues/care", "NOT_GRANTED"),
        ("", "queues/nowhere", "QUEUE_NOT_FOUND"),
    ] {
        let answer = world.act(&admin(), &case, assign(agent, queue)).await;
        assert_eq!(refused(answer).reason(), reason);
    }
    let moved = world.act(&admin(), &case, assign("", "queues/care")).await;
    assert_eq!(moved.unwrap().queue, "queues/care");
}

pub(crate) async fn an_agent_who_put_a_case_aside_may_take_it_back(world: &World) {
    let case = world.open_case(arriving("1")).await;
    world.claim(&agent("ana"), &case).await;
    let hold = Act::Hold {
        reason: "asked the shop".to_owned(),
        return_ms: world.now() + HOUR,
    };
    world.act(&agent("ana"), &case, hold).await.unwrap();
    assert!(world.next(&agent("ana")).await.is_none());
    let other = world.act(&agent("ben"), &case, Act::Claim).await;
    assert_eq!(refused(other).reason(), "WRONG_STATE");
    let back = world.claim(&agent("ana"), &case).await;
    assert!(back.state() == CaseState::Claimed && back.hold.is_none());
}

pub(crate) async fn a_repeated_request_id_gets_the_first_answer(world: &World) {
    world
        .arrive([due_in(arriving("1"), HOUR), due_in(arriving("2"), 2 * HOUR)])
        .await;
    let ana = agent("ana");
    let first = world.store.claim_next(&ana, &[], "r1").await.unwrap();
    world.pass(MINUTE);
    let again = world.store.claim_next(&ana, &[], "r1").await.unwrap();
    assert_eq!(first, again);
    let case = first.unwrap();
    let note = Act::Note {
        text: "once".to_owned(),
    };
    for _ in 0..3 {
        let noted = world
            .store
            .act(&ana, &case.name, note.clone(), "", "r2")
            .await;
        assert_eq!(noted.unwrap().notes.len(), 1);
    }
    // Both at once, in one commit or in two.
    let act = || world.store.act(&ana, &case.name, note.clone(), "", "r3");
    let (one, other) = tokio::join!(act(), act());
    assert_eq!(one.unwrap(), other.unwrap());
    // It is kept for a day.
    world.pass(25 * HOUR);
    world.store.sweep().await.unwrap();
    let later = world
        .store
        .act(&ana, &case.name, note.clone(), "", "r2")
        .await;
    assert_eq!(later.unwrap().notes.len(), 3);
}

pub(crate) async fn a_request_id_is_no_good_for_another_request(world: &World) {
    let case = world.open_case(arriving("1")).await;
    let ana = agent("ana");
    let note = |text: &str| Act::Note {
        text: text.to_owned(),
    };
    let act = |act| world.store.act(&ana, &case.name, act, "", "r1");
    act(note("a")).await.unwrap();
    assert_eq!(refused(act(note("b")).await).reason(), "REQUEST_ID_REUSED");
    assert_eq!(refused(act(Act::Claim).await).reason(), "REQUEST_ID_REUSED");
    // Another caller's id is another id.
    let ben = agent("ben");
    let other = world.store.act(&ben, &case.name, note("b"), "", "r1").await;
    assert_eq!(other.unwrap().notes.len(), 2);
}

pub(crate) async fn many_agents_at_once_never_share_a_case(world: &World) {
    world
        .arrive((0..60).map(|n| arriving(&n.to_string())))
        .await;
    race(world, std::slice::from_ref(&world.store)).await;
}

pub(crate) async fn two_processes_share_the_queue_without_double_claims(world: &World) {
    world
        .arrive((0..60).map(|n| arriving(&n.to_string())))
        .await;
    let other = world.another().await;
    race(world, &[world.store.clone(), other.clone()]).await;
    other.close().await;
}

/// What is asked at once is answered as it would be one after the other: reservations, languages,
/// skips and what comes back meanwhile are respected.
pub(crate) async fn agents_at_once_get_what_they_would_get_in_turn(world: &World) {
    const CASES: i64 = 240;
    let languages: [&[&str]; 4] = [&[], &["de"], &["fr", "en"], &["it"]];
    let agents: Vec<_> = (0..languages.len())
        .map(|n| Caller {
            languages: languages[n].iter().map(|one| (*one).to_owned()).collect(),
            ..agent(["ana", "ben", "cem", "dan"][n])
        })
        .collect();
    world
        .arrive((0..CASES).map(|n| {
            let place = n * 37 % CASES;
            let mut case = due_in(arriving(&n.to_string()), place * MINUTE + HOUR);
            // What the last agent reads comes after more than is read for all at once.
            let lang = match place {
                0..200 => ["en", "de", "fr", ""][(n * 7 % 11) as usize % 4],
                _ => "it",
            };
            case.event.as_mut().unwrap().lang = Some(lang.to_owned());
            case
        }))
        .await;
    let all = async || {
        let order = Order::parse("rank").unwrap();
        let page = Page::new(CASES as i32, "").unwrap();
        let filter = Filter::cases("state = OPEN OR state = CLAIMED").unwrap();
        let (system, store) = (Caller::system(), &world.store);
        store.list(&system, &filter, order, page).await.unwrap().0
    };
    let order: Vec<String> = all().await.into_iter().map(|case| case.name).collect();
    let mut known: HashMap<String, Known> = HashMap::new();
    for (n, case) in all().await.into_iter().enumerate() {
        let mut skipped_by = HashSet::new();
        let mut held_by = String::new();
        match n % 6 {
            // Taken before, and not wanted again.
            1 => {
                world.claim(&agents[0], &case).await;
                world.act(&agents[0], &case, release(true)).await.unwrap();
                skipped_by.insert(agents[0].agent.clone());
            }
            // Worked now; given back below.
            3 => {
                world.claim(&agents[0], &case).await;
                held_by.clone_from(&agents[0].agent);
            }
            4 => {
                let assign = Act::Assign {
                    agent: agents[1].agent.clone(),
                    queue: String::new(),
                    reason: String::new(),
                };
                world.act(&admin(), &case, assign).await.unwrap();
            }
            _ => {}
        }
        let lang = case.event.as_ref().and_then(|event| event.lang.clone());
        let one = Known {
            reserved: n % 6 == 4,
            held_by,
            skipped_by,
            lang: lang.unwrap(),
        };
        known.insert(case.name, one);
    }
    let held = || order.iter().skip(3).step_by(6);
    // Handed in at once, in this order.
    let mut back = held();
    let mut steps: Vec<(usize, Option<&String>)> = Vec::new();
    for n in 0..90 {
        steps.push((n * 5 % 7 % 4, None));
        if n % 7 == 6 {
            steps.extend(back.next().map(|name| (0, Some(name))));
        }
    }
    let answers =
        futures_util::future::join_all(steps.iter().enumerate().map(|(n, (who, given_back))| {
            let (store, agents) = (&world.store, &agents);
            async move {
                let who = &agents[*who];
                match given_back {
                    None => store.claim_next(who, &[], &format!("r{n}")).await.unwrap(),
                    Some(name) => {
                        let act = release(n % 2 == 0);
                        Some(store.act(who, name, act, "", "").await.unwrap())
                    }
                }
            }
        }))
        .await;
    for (n, ((who, given_back), answer)) in steps.iter().zip(answers).enumerate() {
        let who = &agents[*who];
        if let Some(name) = given_back {
            let one = known.get_mut(*name).unwrap();
            one.held_by.clear();
            if n % 2 == 0 {
                one.skipped_by.insert(who.agent.clone());
            }
            continue;
        }
        let first = order.iter().find(|name| known[*name].is_for(who));
        let got = answer.map(|case| case.name);
        assert_eq!(got.as_ref(), first, "step {n}, {}", who.agent);
        if let Some(name) = first {
            known.get_mut(name).unwrap().held_by.clone_from(&who.agent);
        }
    }
}

/// What a test knows of a case.
struct Known {
    /// For ben.
    reserved: bool,
    held_by: String,
    skipped_by: HashSet<String>,
    lang: String,
}

impl Known {
    fn is_for(&self, who: &Caller) -> bool {
        let reserved = self.reserved && who.agent == "agents/ben";
        self.held_by.is_empty()
            && (reserved || !self.reserved && who.reads(&self.lang))
            && !self.skipped_by.contains(&who.agent)
    }
}

/// Twenty agents, dealt out to the stores, claim until there is nothing left.
async fn race(world: &World, stores: &[tidegate_escalation::Store]) {
    let agents: Vec<_> = (0..20)
        .map(|n| {
            let (store, caller) = (stores[n % stores.len()].clone(), agent(&format!("a{n}")));
            tokio::spawn(async move {
                let mut got = Vec::new();
                while let Some(case) = store.claim_next(&caller, &[], "").await.unwrap() {
                    got.push(case.name);
                }
                got
            })
        })
        .collect();
    let mut seen = HashSet::new();
    for one in agents {
        for name in one.await.unwrap() {
            assert!(seen.insert(name), "claimed twice");
        }
    }
    assert_eq!(seen.len(), 60);
    let verified = world.store.audit_verify(&[]).await.unwrap();
    assert!(verified.intact, "{}", verified.problem);
}
