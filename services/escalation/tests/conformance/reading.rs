//! Lists, counts, filters, and what watchers see.

use std::collections::BTreeSet;

use tidegate_escalation::{
    Act, Caller, Filter, Granted,
    store::{Order, Page},
    times::{HOUR, SECOND},
};
use tidegate_proto::{
    escalation::v1::{CaseState, Outcome, Role},
    events::v1::{Channel, Label, Priority, Reason},
};

use crate::world::*;

pub(crate) async fn pages_show_every_case_once_in_every_order(world: &World) {
    for n in 0..23 {
        // Some with the same times: the order must still be a full one.
        world.pass(SECOND * (n % 3));
        let case = due_in(arriving(&n.to_string()), HOUR + (n % 5) * SECOND);
        world.arrive([case]).await;
    }
    for order in [
        "",
        "create_time",
        "due_time desc",
        "update_time",
        "rank desc",
    ] {
        let order = Order::parse(order).unwrap();
        let mut seen = BTreeSet::new();
        let mut token = String::new();
        loop {
            let page = Page::new(5, &token).unwrap();
            let (cases, next) = world
                .store
                .list(&Caller::system(), &Filter::default(), order, page)
                .await
                .unwrap();
            let more = cases.into_iter().map(|case| case.name);
            let before = seen.len();
            let came = more.collect::<Vec<_>>();
            seen.extend(came.iter().cloned());
            assert_eq!(seen.len(), before + came.len(), "one came twice");
            match next {
                Some(next) => token = next.0,
                None => break,
            }
        }
        assert_eq!(seen.len(), 23);
    }
}

pub(crate) async fn a_page_token_of_another_request_is_refused(world: &World) {
    world.arrive((0..3).map(|n| arriving(&n.to_string()))).await;
    let caller = Caller::system();
    let open = Filter::cases("state = OPEN").unwrap();
    let first = Page::new(1, "").unwrap();
    let (_, next) = world
        .store
        .list(&caller, &open, Order::default(), first)
        .await
        .unwrap();
    let next = next.unwrap().0;
    let other = Filter::cases("state = RESOLVED").unwrap();
    let latest = Order::parse("rank desc").unwrap();
    for (filter, order, token) in [
        (&other, Order::default(), next.as_str()),
        (&open, latest, next.as_str()),
        (&open, Order::default(), "bm9uc2Vuc2U"),
    ] {
        let page = Page::new(1, token).unwrap();
        let answer = world.store.list(&caller, filter, order, page).await;
        assert_eq!(refused(answer).reason(), "BAD_PAGE_TOKEN");
    }
}

pub(crate) async fn filters_find_what_they_say(world: &World) {
    let mut dm = with_priority(arriving("dm"), Priority::Urgent);
    dm.queue = "queues/care".to_owned();
    let event = dm.event.as_mut().unwrap();
    event.channel = Channel::Dm.into();
    event.lang = Some("pt-BR".to_owned());
    let verdict = dm.verdict.as_mut().unwrap();
    verdict.labels = vec![Label::Support.into(), Label::Risk.into()];
    verdict.reasons = vec![Reason {
        code: "refund_rule".to_owned(),
        ..Reason::default()
    }];
    world.pass(5 * SECOND);
    let claimed = world.open_case(arriving("claimed")).await;
    world.claim(&agent("ana"), &claimed).await;
    world.pass(5 * SECOND);
    world.arrive([arriving("plain"), dm]).await;
    let expected = [
        ("", "claimed dm plain"),
        ("state = OPEN", "dm plain"),
        ("state = claimed", "claimed"),
        ("queue = care", "dm"),
        ("queue != \"queues/care\"", "claimed plain"),
        ("label:RISK", "dm"),
        ("label:HATE OR label:RISK", "claimed dm plain"),
        ("label:HATE AND label:RISK", ""),
        ("NOT label:HATE", "dm"),
        ("-label:HATE", "dm"),
        ("reason:refund_rule", "dm"),
        ("reason:refund%", ""),
        ("reason:REFUND_RULE", ""),
        ("priority >= HIGH", "dm"),
        ("priority < URGENT", "claimed plain"),
        ("lang = pt", "dm"),
        ("lease.agent = ana", "claimed"),
        ("lease.agent:*", "claimed"),
        ("channel = DM", "dm"),
        ("event_id = plain", "plain"),
        ("author_id = author-plain", "plain"),
        ("conversation_id = 'thread-dm'", "dm"),
        ("brand = acme platform = instagram", "claimed dm plain"),
        ("brand = 'acme'' OR brand = x", "!"),
        ("brand = \"' OR 1=1 --\"", ""),
        (
            "policy_version = p1 AND source = MACHINE",
            "claimed dm plain",
        ),
        ("breached = false", "claimed dm plain"),
        ("create_time > 2026-11-25T09:00:05Z", "dm plain"),
        ("close_time < 2030-01-01T00:00:00Z", ""),
        // OR binds tighter than AND.
        ("state = OPEN AND event_id = dm OR event_id = claimed", "dm"),
        (
            "(state = OPEN AND event_id = dm) OR event_id = claimed",
            "claimed dm",
        ),
    ];
    for (filter, found) in expected {
        let Ok(parsed) = Filter::cases(filter) else {
            assert_eq!(found, "!", "{filter}");
            continue;
        };
        let caller = Caller::system();
        let page = Page::new(0, "").unwrap();
        let (cases, _) = world
            .store
            .list(&caller, &parsed, Order::default(), page)
            .await
            .unwrap();
        let mut ids: Vec<_> = cases.iter().map(|case| id(case).to_owned()).collect();
        ids.sort_unstable();
        assert_eq!(ids.join(" "), found, "{filter}");
        let count = world.store.count(&caller, &parsed).await.unwrap();
        assert_eq!(count as usize, ids.len(), "{filter}");
    }
}

pub(crate) async fn viewers_see_neither_text_nor_names(world: &World) {
    let case = world.open_case(arriving("1")).await;
    world.claim(&agent("ana"), &case).await;
    let note = Act::Note {
        text: "quotes it".to_owned(),
    };
    world.act(&agent("ana"), &case, note).await.unwrap();
    let viewer = Caller {
        role: Role::Viewer,
        ..agent("vic")
    };
    let mut seen = vec![world.store.get(&viewer, &case.name).await.unwrap()];
    let page = Page::new(0, "").unwrap();
    let listed = world
        .store
        .list(&viewer, &Filter::default(), Order::default(), page)
        .await;
    seen.extend(listed.unwrap().0);
    let changes = world
        .store
        .changes(&viewer, &Filter::default(), 0, 100)
        .await;
    seen.extend(
        changes
            .unwrap()
            .changes
            .into_iter()
            .map(|change| change.case),
    );
    assert_eq!(seen.len(), 3);
    for case in seen {
        let event = case.event.unwrap();
        assert!(event.text.is_none() && event.author.is_none());
        assert!(case.notes[0].text.is_empty());
    }
}

pub(crate) async fn a_watcher_sees_each_change_and_what_left(world: &World) {
    let open = Filter::cases("state = OPEN").unwrap();
    let ana = agent("ana");
    let mut newest = world.store.newest();
    let from = world.store.poll_newest().await.unwrap();
    let case = world.open_case(arriving("1")).await;
    assert!(*newest.borrow_and_update() > from);
    let seen = world.store.changes(&ana, &open, from, 100).await.unwrap();
    assert!(seen.changes[0].fits && seen.changes[0].case.name == case.name);
    assert_eq!(seen.changes[0].case.event, case.event);
    // Several changes of one case are one; a heartbeat and a look are none.
    world.claim(&agent("ben"), &case).await;
    world
        .act(&agent("ben"), &case, Act::Heartbeat)
        .await
        .unwrap();
    world
        .act(&agent("ben"), &case, resolve(Outcome::Allow))
        .await
        .unwrap();
    let later = world
        .store
        .changes(&ana, &open, seen.newest, 100)
        .await
        .unwrap();
    let [change] = later.changes.as_slice() else {
        panic!("{} changes", later.changes.len());
    };
    assert!(!change.fits && change.case.state() == CaseState::Resolved);
    let nothing = world
        .store
        .changes(&ana, &open, later.newest, 100)
        .await
        .unwrap();
    assert!(nothing.changes.is_empty());
}

pub(crate) async fn a_watcher_of_another_queue_sees_nothing(world: &World) {
    let mut carer = agent("cat");
    carer.queues = Granted::Some(vec!["queues/care".to_owned()]);
    let all = Filter::default();
    let case = world.open_case(arriving("1")).await;
    let seen = world.store.changes(&carer, &all, 0, 100).await.unwrap();
    assert!(seen.changes.is_empty() && seen.newest > 0);
    let moved = |queue: &str| Act::Assign {
        agent: String::new(),
        queue: queue.to_owned(),
        reason: String::new(),
    };
    world
        .act(&admin(), &case, moved("queues/care"))
        .await
        .unwrap();
    let came = world
        .store
        .changes(&carer, &all, seen.newest, 100)
        .await
        .unwrap();
    assert!(came.changes[0].fits);
    world
        .act(&admin(), &case, moved("queues/conduct"))
        .await
        .unwrap();
    let left = world
        .store
        .changes(&carer, &all, came.newest, 100)
        .await
        .unwrap();
    let change = &left.changes[0];
    assert!(
        !change.fits && change.case.event.is_none(),
        "its name alone"
    );
    assert_eq!(change.case.name, case.name);
}

pub(crate) async fn counts_say_what_stands_in_a_queue(world: &World) {
    world.arrive((0..4).map(|n| arriving(&n.to_string()))).await;
    for _ in 0..2 {
        world.next(&agent("ana")).await.unwrap();
    }
    let held = world.next(&agent("ben")).await.unwrap();
    let hold = Act::Hold {
        reason: "x".to_owned(),
        return_ms: world.now() + 9 * HOUR,
    };
    world.act(&agent("ben"), &held, hold).await.unwrap();
    world.pass(2 * HOUR);
    let page = Page::new(0, "").unwrap();
    let (queues, _) = world.store.queue_list(&agent("ana"), page).await.unwrap();
    let [queue] = queues.as_slice() else {
        panic!("the caller sees one queue");
    };
    assert_eq!(
        (queue.open_count, queue.claimed_count, queue.held_count),
        (1, 2, 1)
    );
    assert_eq!(queue.breached_count, 1);
    assert!(queue.oldest_open_time.is_some());
}
