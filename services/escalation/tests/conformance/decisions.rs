//! What decisions do, and who may make them.

use tidegate_escalation::{Act, times::SECOND};
use tidegate_proto::{
    escalation::v1::{AppealState, CaseState, Outcome, Queue},
    events::v1::{Label, Priority},
};

use crate::world::*;

pub(crate) async fn a_decision_closes_the_case_and_is_to_be_published_once(world: &World) {
    let case = world.open_case(arriving("1")).await;
    world.claim(&agent("ana"), &case).await;
    let act = || resolve(Outcome::Delete);
    for _ in 0..2 {
        let decided = world
            .store
            .act(&agent("ana"), &case.name, act(), "", "r")
            .await;
        let decided = decided.unwrap();
        assert_eq!(decided.state(), CaseState::Resolved);
        assert!(decided.lease.is_none() && decided.close_time.is_some());
    }
    let outbox = world.store.outbox(0, 10).await.unwrap();
    let [(sequence, resolution)] = outbox.as_slice() else {
        panic!("{} resolutions", outbox.len());
    };
    assert_eq!(resolution.outcome(), Outcome::Delete);
    assert_eq!(resolution.event_id, "1");
    assert_eq!(resolution.labels, [i32::from(Label::Hate)]);
    assert_eq!(resolution.text.as_deref(), Some("unmistakable words 1"));
    assert_eq!(resolution.second_agreed, None);
    world.store.outbox_published(*sequence).await.unwrap();
    assert!(world.store.outbox(0, 10).await.unwrap().is_empty());
}

pub(crate) async fn a_stale_etag_is_refused_and_changes_nothing(world: &World) {
    let case = world.open_case(arriving("1")).await;
    let claimed = world.claim(&agent("ana"), &case).await;
    let (ana, name) = (agent("ana"), &case.name);
    let stale = world
        .store
        .act(&ana, name, resolve(Outcome::Allow), &case.etag, "")
        .await;
    let refusal = refused(stale);
    assert_eq!(refusal.reason(), "ETAG_MISMATCH");
    assert!(refusal.to_string().contains(&claimed.etag));
    assert_eq!(world.get(&case).await, claimed);
    let fresh = world
        .store
        .act(&ana, name, resolve(Outcome::Allow), &claimed.etag, "")
        .await;
    assert_eq!(fresh.unwrap().state(), CaseState::Resolved);
}

pub(crate) async fn whoever_has_no_lease_decides_nothing(world: &World) {
    let case = world.open_case(arriving("1")).await;
    let unclaimed = world
        .act(&agent("ana"), &case, resolve(Outcome::Allow))
        .await;
    assert_eq!(refused(unclaimed).reason(), "LEASE_GONE");
    world.claim(&agent("ana"), &case).await;
    let other = world
        .act(&agent("ben"), &case, resolve(Outcome::Allow))
        .await;
    assert_eq!(refused(other).reason(), "LEASE_GONE");
}

pub(crate) async fn a_lease_that_ended_decides_nothing(world: &World) {
    let case = world.open_case(arriving("1")).await;
    world.claim(&agent("ana"), &case).await;
    // Even before the sweep comes by.
    world.pass(LEASE);
    let late = world
        .act(&agent("ana"), &case, resolve(Outcome::Allow))
        .await;
    assert_eq!(refused(late).reason(), "LEASE_GONE");
    world.claim(&agent("ben"), &case).await;
}

async fn with_second_review(world: &World) {
    world
        .queue(Queue {
            second_review: true,
            ..queue("conduct")
        })
        .await;
}

pub(crate) async fn grave_decisions_of_high_risk_want_a_second_person(world: &World) {
    with_second_review(world).await;
    for (id, priority, outcome, state) in [
        ("1", Priority::High, Outcome::Ban, CaseState::SecondReview),
        ("2", Priority::Normal, Outcome::Ban, CaseState::Resolved),
        ("3", Priority::Urgent, Outcome::Allow, CaseState::Resolved),
    ] {
        let case = world.open_case(with_priority(arriving(id), priority)).await;
        world.claim(&agent("ana"), &case).await;
        let decided = world.act(&agent("ana"), &case, resolve(outcome)).await;
        assert_eq!(decided.unwrap().state(), state, "{id}");
    }
    // Only the two that are decided are published.
    assert_eq!(world.store.outbox(0, 10).await.unwrap().len(), 2);
}

pub(crate) async fn the_second_person_is_another_one_and_has_the_last_word(world: &World) {
    with_second_review(world).await;
    let case = with_priority(arriving("1"), Priority::High);
    let case = world.open_case(case).await;
    world.claim(&agent("ana"), &case).await;
    world
        .act(&agent("ana"), &case, resolve(Outcome::Hide))
        .await
        .unwrap();
    assert!(world.next(&agent("ana")).await.is_none());
    let named = world.act(&agent("ana"), &case, Act::Claim).await;
    assert_eq!(refused(named).reason(), "SAME_REVIEWER");
    assert!(world.next(&agent("ben")).await.is_some());
    // Given back, it waits for a second person again.
    let back = world
        .act(&agent("ben"), &case, release(false))
        .await
        .unwrap();
    assert_eq!(back.state(), CaseState::SecondReview);
    world.claim(&agent("cem"), &case).await;
    let decided = world
        .act(&agent("cem"), &case, resolve(Outcome::Allow))
        .await;
    assert_eq!(decided.unwrap().state(), CaseState::Resolved);
    let (_, resolution) = world.store.outbox(0, 10).await.unwrap().remove(0);
    assert_eq!(resolution.outcome(), Outcome::Allow);
    assert_eq!(resolution.second_agreed, Some(false));
}

pub(crate) async fn an_appeal_is_decided_by_somebody_else(world: &World) {
    let case = world.open_case(arriving("1")).await;
    let appeal = || Act::OpenAppeal {
        reason: "it was a joke".to_owned(),
    };
    let early = world.act(&agent("ben"), &case, appeal()).await;
    assert_eq!(refused(early).reason(), "WRONG_STATE");
    world.claim(&agent("ana"), &case).await;
    world
        .act(&agent("ana"), &case, resolve(Outcome::Hide))
        .await
        .unwrap();
    world.act(&agent("ben"), &case, appeal()).await.unwrap();
    let twice = world.act(&agent("ben"), &case, appeal()).await;
    assert_eq!(refused(twice).reason(), "APPEAL_EXISTS");
    let overturn = || Act::DecideAppeal {
        overturn: true,
        outcome: Outcome::Allow,
        labels: Vec::new(),
        comment: "it was".to_owned(),
    };
    let own = world.act(&agent("ana"), &case, overturn()).await;
    assert_eq!(refused(own).reason(), "SAME_REVIEWER");
    world.pass(SECOND);
    let decided = world.act(&agent("cem"), &case, overturn()).await.unwrap();
    let appeal = decided.appeal.unwrap();
    assert_eq!(appeal.state(), AppealState::Overturned);
    let again = world.act(&agent("cem"), &case, overturn()).await;
    assert_eq!(refused(again).reason(), "NO_APPEAL");
    let outbox = world.store.outbox(0, 10).await.unwrap();
    let outcomes: Vec<_> = outbox
        .iter()
        .map(|(_, one)| (one.appeal, one.outcome()))
        .collect();
    assert_eq!(outcomes, [(false, Outcome::Hide), (true, Outcome::Allow)]);
    assert_ne!(outbox[0].1.id, outbox[1].1.id);
}

pub(crate) async fn what_is_published_names_no_agent(world: &World) {
    for (id, pseudonym) in [("1", "Sam"), ("2", "")] {
        let case = world.open_case(arriving(id)).await;
        let mut ana = agent("ana");
        ana.pseudonym = pseudonym.to_owned();
        world.claim(&ana, &case).await;
        world
            .act(&ana, &case, resolve(Outcome::Allow))
            .await
            .unwrap();
    }
    let outbox = world.store.outbox(0, 10).await.unwrap();
    assert_eq!(outbox[0].1.agent, "Sam");
    assert!(!outbox[1].1.agent.contains("ana") && !outbox[1].1.agent.is_empty());
}

pub(crate) async fn too_long_words_are_refused(world: &World) {
    let case = world.open_case(arriving("1")).await;
    world.claim(&agent("ana"), &case).await;
    let long = "x".repeat(16 * 1_024 + 1);
    let acts = [
        Act::Note { text: long.clone() },
        Act::Release {
            skip: false,
            reason: long.clone(),
        },
        Act::Resolve {
            outcome: Outcome::Allow,
            labels: Vec::new(),
            comment: long,
        },
    ];
    let before = world.get(&case).await;
    for act in acts {
        let answer = world.act(&agent("ana"), &case, act).await;
        assert_eq!(refused(answer).reason(), "TOO_LONG");
    }
    let empty = Act::Note {
        text: " ".to_owned(),
    };
    let answer = world.act(&agent("ana"), &case, empty).await;
    assert_eq!(refused(answer).reason(), "REQUIRED");
    assert_eq!(world.get(&case).await, before);
}

pub(crate) async fn a_closed_case_takes_no_further_decision(world: &World) {
    let case = world.open_case(arriving("1")).await;
    world.claim(&agent("ana"), &case).await;
    world
        .act(&agent("ana"), &case, resolve(Outcome::Allow))
        .await
        .unwrap();
    let again = world.act(&agent("ana"), &case, resolve(Outcome::Ban)).await;
    assert_eq!(refused(again).reason(), "LEASE_GONE");
    let claim = world.act(&agent("ben"), &case, Act::Claim).await;
    assert_eq!(refused(claim).reason(), "WRONG_STATE");
    assert_eq!(world.store.outbox(0, 10).await.unwrap().len(), 1);
}

pub(crate) async fn one_process_at_a_time_publishes(world: &World) {
    let lease = |owner| world.store.outbox_lease(owner, 10 * SECOND);
    assert!(lease("one").await.unwrap());
    assert!(!lease("two").await.unwrap());
    world.pass(9 * SECOND);
    assert!(lease("one").await.unwrap(), "renewed");
    world.pass(9 * SECOND);
    assert!(!lease("two").await.unwrap());
    world.pass(SECOND);
    assert!(lease("two").await.unwrap(), "the first one is gone");
    assert!(!lease("one").await.unwrap());
}
