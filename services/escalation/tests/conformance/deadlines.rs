//! What time does by itself.

use prost_types::Duration;
use tidegate_escalation::{
    Act,
    times::{DAY, HOUR, MINUTE, millis_of},
};
use tidegate_proto::{
    escalation::v1::{Calendar, CaseState, Hours, Outcome, Queue},
    events::v1::Priority,
};

use crate::world::*;

pub(crate) async fn a_warning_comes_before_the_deadline_and_once(world: &World) {
    world
        .queue(Queue {
            warn_before: Some(Duration {
                seconds: 600,
                nanos: 0,
            }),
            ..queue("conduct")
        })
        .await;
    let case = world.open_case(arriving("1")).await;
    world.pass(HOUR - 10 * MINUTE - 1);
    assert!(world.store.sweep().await.unwrap().warned.is_empty());
    world.pass(1);
    let warned = world.store.sweep().await.unwrap().warned;
    assert_eq!(warned, [(case.name.clone(), case.queue.clone())]);
    assert!(world.store.sweep().await.unwrap().warned.is_empty());
    assert_eq!(world.get(&case).await.etag, case.etag);
    // Nor after someone had it.
    world.claim(&agent("ana"), &case).await;
    world
        .act(&agent("ana"), &case, release(false))
        .await
        .unwrap();
    assert!(world.store.sweep().await.unwrap().warned.is_empty());
}

pub(crate) async fn a_missed_deadline_moves_the_case_and_makes_it_urgent(world: &World) {
    world
        .queue(Queue {
            breach_queue: "queues/care".to_owned(),
            ..queue("conduct")
        })
        .await;
    let case = world.open_case(arriving("1")).await;
    let assign = Act::Assign {
        agent: "agents/ben".to_owned(),
        queue: String::new(),
        reason: String::new(),
    };
    world.act(&admin(), &case, assign).await.unwrap();
    world.pass(HOUR);
    let breached = world.store.sweep().await.unwrap().breached;
    assert_eq!(breached, [(case.name.clone(), "queues/care".to_owned())]);
    let now = world.get(&case).await;
    assert!(now.breached && now.queue == "queues/care" && now.assigned_to.is_empty());
    assert_eq!(now.priority(), Priority::Urgent);
    let nothing = world.store.sweep().await.unwrap();
    assert!(nothing.breached.is_empty() && nothing.warned.is_empty());
}

pub(crate) async fn a_case_being_worked_keeps_its_etag_when_its_deadline_passes(world: &World) {
    world
        .queue(Queue {
            breach_queue: "queues/care".to_owned(),
            ..queue("conduct")
        })
        .await;
    let case = world.open_case(arriving("1")).await;
    let other = world.open_case(arriving("2")).await;
    world.pass(HOUR - MINUTE);
    let claimed = world.claim(&agent("ana"), &case).await;
    world.claim(&agent("ben"), &other).await;
    world.pass(MINUTE);
    assert_eq!(world.store.sweep().await.unwrap().breached.len(), 2);
    let decided = world
        .store
        .act(
            &agent("ana"),
            &case.name,
            resolve(Outcome::Allow),
            &claimed.etag,
            "",
        )
        .await;
    assert!(decided.unwrap().breached);
    // Given up, the other one goes where such cases go.
    world.pass(LEASE);
    world.store.sweep().await.unwrap();
    assert_eq!(world.get(&other).await.queue, "queues/care");
}

pub(crate) async fn deadlines_run_in_opening_hours(world: &World) {
    let hours = (1..=5).map(|weekday| Hours {
        weekday,
        open_minute: 9 * 60,
        close_minute: 17 * 60,
    });
    world
        .queue(Queue {
            calendar: Some(Calendar {
                time_zone: "UTC".to_owned(),
                hours: hours.collect(),
                holidays: vec!["2026-11-26".to_owned()],
            }),
            ..queue("conduct")
        })
        .await;
    // Wednesday at nine, ten hours: eight today, two on Friday; Thursday is off.
    let case = world.open_case(due_in(arriving("1"), 10 * HOUR)).await;
    let due = millis_of(case.due_time.as_ref()).unwrap();
    assert_eq!(due, START + 2 * DAY + 2 * HOUR);
    // Urgent cases do not wait for anyone's morning.
    let urgent = with_priority(due_in(arriving("2"), 10 * HOUR), Priority::Urgent);
    let urgent = world.open_case(urgent).await;
    let due = millis_of(urgent.due_time.as_ref()).unwrap();
    assert_eq!(due, START + 10 * HOUR);
}

pub(crate) async fn a_case_on_hold_returns_by_itself(world: &World) {
    let case = world.open_case(due_in(arriving("1"), 9 * HOUR)).await;
    world.claim(&agent("ana"), &case).await;
    let hold = |return_ms| Act::Hold {
        reason: "asked the shop".to_owned(),
        return_ms,
    };
    for wrong in [world.now(), world.now() + 31 * DAY] {
        let answer = world.act(&agent("ana"), &case, hold(wrong)).await;
        assert_eq!(refused(answer).reason(), "INVALID");
    }
    let held = hold(world.now() + HOUR);
    world.act(&agent("ana"), &case, held).await.unwrap();
    world.pass(HOUR - 1);
    assert_eq!(world.store.sweep().await.unwrap().returned, 0);
    world.pass(1);
    assert_eq!(world.store.sweep().await.unwrap().returned, 1);
    assert_eq!(world.get(&case).await.state(), CaseState::Open);
}

pub(crate) async fn old_cases_go_chat_first_and_orders_later(world: &World) {
    let mut order = arriving("order");
    let context = &mut order.event.as_mut().unwrap().context;
    context.insert("order_id".to_owned(), "4711".to_owned());
    for case in [arriving("chat"), order] {
        let case = world.open_case(case).await;
        world.claim(&agent("ana"), &case).await;
        world
            .act(&agent("ana"), &case, resolve(Outcome::Allow))
            .await
            .unwrap();
    }
    world.arrive([arriving("waiting")]).await;
    let removed = async |days: i64| {
        world.pass(days * DAY);
        world.store.sweep().await.unwrap().removed
    };
    assert_eq!(removed(182).await, 0);
    assert_eq!(removed(1).await, 1);
    assert_eq!(removed(181).await, 0);
    assert_eq!(removed(1).await, 1);
    assert_eq!(removed(1_000).await, 0, "what waits is never old");
    let verified = world.store.audit_verify(&[]).await.unwrap();
    assert!(verified.intact, "{}", verified.problem);
}
