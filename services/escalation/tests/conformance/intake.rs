//! What arrives from the topic.

use tidegate_escalation::{
    Act, Caller,
    store::{Arrived, IntakeReport, Kept, Progress},
    times::MINUTE,
};
use tidegate_proto::{
    escalation::v1::{CaseSource, CaseState, CreateCaseRequest, Outcome, Queue, Role},
    events::v1::Priority,
};

use crate::world::*;

fn open(case: tidegate_proto::escalation::v1::Case) -> Arrived {
    Arrived::Open(Box::new(case))
}

fn gone(id: &str, platform: Option<&str>) -> Arrived {
    Arrived::Withdrawn {
        event_id: id.to_owned(),
        platform: platform.map(str::to_owned),
        brand: None,
        verdict_id: format!("gone-{id}"),
    }
}

async fn all(world: &World) -> i64 {
    let filter = Default::default();
    world.store.count(&Caller::system(), &filter).await.unwrap()
}

pub(crate) async fn a_record_opens_one_case_however_often_it_comes(world: &World) {
    let twice = vec![
        open(arriving("1")),
        open(arriving("1")),
        open(arriving("2")),
    ];
    let report = world.store.intake(twice, &[]).await.unwrap();
    let expected = IntakeReport {
        opened: 2,
        unchanged: 1,
        ..IntakeReport::default()
    };
    assert_eq!(report, expected);
    let again = world.store.intake(vec![open(arriving("1"))], &[]).await;
    assert_eq!(again.unwrap().unchanged, 1);
    assert_eq!(all(world).await, 2);
}

fn at(partition: i32, known: Option<i64>, next: i64) -> Progress {
    Progress {
        topic: "escalations".to_owned(),
        partition,
        known,
        next,
    }
}

pub(crate) async fn offsets_and_cases_are_stored_together(world: &World) {
    let first = [at(3, None, 17), at(4, None, 9)];
    world
        .store
        .intake(vec![open(arriving("1"))], &first)
        .await
        .unwrap();
    let next = [at(3, Some(17), 18)];
    world.store.intake(Vec::new(), &next).await.unwrap();
    let offsets = world.store.offsets("escalations").await.unwrap();
    assert_eq!(offsets, [(3, 18), (4, 9)]);
    assert!(world.store.offsets("other").await.unwrap().is_empty());
}

pub(crate) async fn a_reader_that_was_overtaken_stores_nothing(world: &World) {
    let begin = [at(3, None, 10)];
    let slow = vec![open(arriving("1"))];
    world.store.intake(Vec::new(), &begin).await.unwrap();
    for known in [None, Some(9), Some(11)] {
        let refused = world.store.intake(slow_copy(), &[at(3, known, 12)]).await;
        assert_eq!(refused.unwrap_err().reason(), "OVERTAKEN", "{known:?}");
    }
    assert_eq!(all(world).await, 0);
    let taken = world.store.intake(slow, &[at(3, Some(10), 12)]).await;
    assert_eq!(taken.unwrap().opened, 1);
}

fn slow_copy() -> Vec<Arrived> {
    vec![open(arriving("1"))]
}

pub(crate) async fn a_record_that_cannot_be_read_is_kept_once_as_it_came(world: &World) {
    let kept = |value: &[u8]| {
        Arrived::Unreadable(Box::new(Kept {
            topic: "escalations".to_owned(),
            partition: 3,
            offset: 16,
            reason: "invalid_json",
            detail: "at line 1".to_owned(),
            key: b"talk".to_vec(),
            value: value.to_vec(),
        }))
    };
    for _ in 0..2 {
        let stored = world.store.intake(vec![kept(b"{\0\xff")], &[]).await;
        assert_eq!(stored.unwrap(), IntakeReport::default());
    }
    let found = world.store.unreadable(10).await.unwrap();
    let [one] = found.as_slice() else {
        panic!("{} records", found.len());
    };
    assert_eq!(one.position, ("escalations".to_owned(), 3, 16));
    assert_eq!(one.reason, "invalid_json: at line 1");
    assert_eq!(one.value, b"{\0\xff");
}

pub(crate) async fn an_edit_brings_the_case_up_to_date(world: &World) {
    let case = world.open_case(arriving("1")).await;
    let edit = with_priority(edited("1", "worse words"), Priority::Urgent);
    let report = world.store.intake(vec![open(edit)], &[]).await.unwrap();
    assert_eq!(report.updated, 1);
    let now = world.get(&case).await;
    let event = now.event.clone().unwrap();
    assert_eq!(event.text.as_deref(), Some("worse words"));
    assert_eq!(event.edits, 1);
    assert_eq!(now.priority(), Priority::Urgent);
    assert_ne!(now.etag, case.etag);
    assert_eq!(all(world).await, 1);
}

pub(crate) async fn an_edit_reopens_a_decided_case(world: &World) {
    let case = world.open_case(arriving("1")).await;
    world.claim(&agent("ana"), &case).await;
    world
        .act(&agent("ana"), &case, resolve(Outcome::Allow))
        .await
        .unwrap();
    let edit = vec![open(edited("1", "now it is bad"))];
    assert_eq!(world.store.intake(edit, &[]).await.unwrap().reopened, 1);
    let case = world.next(&agent("ana")).await.unwrap();
    assert!(case.decisions.is_empty() && case.close_time.is_none());
    world
        .act(&agent("ana"), &case, resolve(Outcome::Delete))
        .await
        .unwrap();
    let outbox = world.store.outbox(0, 10).await.unwrap();
    assert_ne!(outbox[0].1.id, outbox[1].1.id);
}

pub(crate) async fn an_edit_during_a_review_makes_the_decision_start_over(world: &World) {
    let case = world.open_case(arriving("1")).await;
    let claimed = world.claim(&agent("ana"), &case).await;
    world.arrive([edited("1", "other words")]).await;
    let ana = agent("ana");
    let answer = world
        .store
        .act(&ana, &case.name, resolve(Outcome::Allow), &claimed.etag, "")
        .await;
    assert_eq!(refused(answer).reason(), "ETAG_MISMATCH");
    let now = world.get(&case).await;
    assert_eq!(now.lease.unwrap().agent, "agents/ana", "it is still theirs");
}

pub(crate) async fn a_message_that_is_gone_closes_its_case(world: &World) {
    let case = world.open_case(arriving("1")).await;
    world.claim(&agent("ana"), &case).await;
    let arrived = vec![gone("1", Some("instagram")), gone("unknown", None)];
    let report = world.store.intake(arrived, &[]).await.unwrap();
    assert_eq!((report.withdrawn, report.unchanged), (1, 1));
    assert_eq!(world.get(&case).await.state(), CaseState::Withdrawn);
    let late = world
        .act(&agent("ana"), &case, resolve(Outcome::Allow))
        .await;
    assert_eq!(refused(late).reason(), "LEASE_GONE");
    assert!(world.store.outbox(0, 10).await.unwrap().is_empty());
    // In one batch with its opening.
    let both = vec![open(arriving("2")), gone("2", None)];
    let report = world.store.intake(both, &[]).await.unwrap();
    assert_eq!((report.opened, report.withdrawn), (1, 1));
    assert!(world.next(&agent("ana")).await.is_none());
}

pub(crate) async fn a_message_that_is_gone_with_unknown_platform_closes_nothing_by_guess(
    world: &World,
) {
    let mut elsewhere = arriving("1");
    elsewhere.event.as_mut().unwrap().platform = "youtube".to_owned();
    world.arrive([arriving("1"), elsewhere]).await;
    let guess = world
        .store
        .intake(vec![gone("1", None)], &[])
        .await
        .unwrap();
    assert_eq!(guess.withdrawn, 0);
    let named = world
        .store
        .intake(vec![gone("1", Some("youtube"))], &[])
        .await;
    assert_eq!(named.unwrap().withdrawn, 1);
}

pub(crate) async fn a_queue_that_a_verdict_names_is_made(world: &World) {
    let mut case = arriving("1");
    case.queue = "queues/legal".to_owned();
    let mut nowhere = arriving("2");
    nowhere.queue = String::new();
    world.arrive([case, nowhere]).await;
    for name in ["queues/legal", "queues/general"] {
        let queue = world
            .store
            .queue_get(&Caller::system(), name)
            .await
            .unwrap();
        assert_eq!(queue.open_count, 1, "{name}");
    }
}

pub(crate) async fn a_flood_is_grouped_into_one_case_and_nothing_is_lost(world: &World) {
    world
        .queue(Queue {
            flood_limit: 3,
            ..queue("conduct")
        })
        .await;
    let batch = |from: i32, to: i32| (from..to).map(|n| open(arriving(&n.to_string()))).collect();
    // In one batch and in a later one.
    let report = world.store.intake(batch(0, 5), &[]).await.unwrap();
    assert_eq!((report.opened, report.grouped), (3, 2));
    let report = world.store.intake(batch(4, 8), &[]).await.unwrap();
    assert_eq!((report.grouped, report.unchanged), (3, 1));
    assert_eq!(all(world).await, 3);
    let head = world.open_case(arriving("2")).await;
    assert_eq!(head.grouped_event_ids, ["3", "4", "5", "6", "7"]);
    // One of them is taken back.
    world
        .store
        .intake(vec![gone("5", None)], &[])
        .await
        .unwrap();
    world.claim(&agent("ana"), &head).await;
    world
        .act(&agent("ana"), &head, resolve(Outcome::Hide))
        .await
        .unwrap();
    let (_, resolution) = world.store.outbox(0, 10).await.unwrap().remove(0);
    assert_eq!(resolution.grouped_event_ids, ["3", "4", "6", "7"]);
    // What comes after somebody looked is not decided unseen.
    let report = world.store.intake(batch(8, 10), &[]).await.unwrap();
    assert_eq!((report.opened, report.grouped), (1, 1));
    // A minute later the breaker is closed again.
    world.pass(MINUTE);
    let report = world.store.intake(batch(10, 12), &[]).await.unwrap();
    assert_eq!(report.opened, 2);
}

pub(crate) async fn a_report_opens_a_case_or_gives_the_one_there_is(world: &World) {
    let service = Caller {
        role: Role::Service,
        ..agent("shop")
    };
    let request = |request_id: &str| CreateCaseRequest {
        event: arriving("1").event,
        queue: "queues/conduct".to_owned(),
        reason: "a customer complained".to_owned(),
        request_id: request_id.to_owned(),
        ..CreateCaseRequest::default()
    };
    let made = world.store.create(&service, request("r")).await.unwrap();
    assert_eq!(made.source(), CaseSource::Person);
    assert_eq!(made.notes[0].text, "a customer complained");
    for id in ["r", "other"] {
        let again = world.store.create(&service, request(id)).await.unwrap();
        assert_eq!(again, made);
    }
    let mut incomplete = request("x");
    incomplete.event.as_mut().unwrap().brand.clear();
    let answer = world.store.create(&service, incomplete).await;
    assert_eq!(refused(answer).reason(), "REQUIRED");
    let mut nowhere = request("y");
    nowhere.queue = "queues/care".to_owned();
    let answer = world.store.create(&service, nowhere).await;
    assert_eq!(refused(answer).reason(), "QUEUE_NOT_FOUND");
}

pub(crate) async fn a_message_full_of_strange_characters_is_stored(world: &World) {
    let strange = "\0'; DROP TABLE cases; --\u{202e}\u{1f600}%_\\";
    let mut case = arriving(strange);
    let event = case.event.as_mut().unwrap();
    event.conversation_id = Some(strange.to_owned());
    event.text = Some(strange.to_owned());
    let stored = world.open_case(case.clone()).await;
    assert_eq!(
        stored.event.as_ref().unwrap().text,
        case.event.unwrap().text
    );
    world.claim(&agent("ana"), &stored).await;
    let note = Act::Note {
        text: strange.to_owned(),
    };
    let noted = world.act(&agent("ana"), &stored, note).await.unwrap();
    assert_eq!(noted.notes[0].text, strange);
    assert!(world.store.audit_verify(&[]).await.unwrap().intact);
}
