//! What is held about a person, and that it really goes.

use std::path::PathBuf;

use tidegate_escalation::{
    Act, Caller,
    store::{Arrived, Kept},
    times::{HOUR, millis_of},
};
use tidegate_proto::escalation::v1::{CaseState, ErasureReceipt, Outcome, Queue, Subject};

use crate::world::*;

const SECRETS: [&str; 6] = [
    "unmistakable words erin",
    "Nameless erin",
    "author-erin",
    "a note about Erin's words",
    "a comment that quotes Erin",
    "a reason that quotes Erin",
];

fn erin() -> Subject {
    Subject {
        platform: "instagram".to_owned(),
        author_id: "author-erin".to_owned(),
    }
}

/// A case of Erin's with everything on it that may quote her, decided and not yet published, one
/// that is claimed, one of a flood, and one of somebody else.
async fn fill(world: &World) {
    let ana = agent("ana");
    let case = world.open_case(arriving("erin")).await;
    let act = async |act, request_id| {
        let done = world.store.act(&ana, &case.name, act, "", request_id).await;
        done.unwrap();
    };
    act(Act::Claim, "r1").await;
    act(
        Act::Note {
            text: SECRETS[3].to_owned(),
        },
        "r2",
    )
    .await;
    act(
        Act::Release {
            skip: false,
            reason: SECRETS[5].to_owned(),
        },
        "r3",
    )
    .await;
    act(Act::Claim, "r4").await;
    act(
        Act::Resolve {
            outcome: Outcome::Hide,
            labels: Vec::new(),
            comment: SECRETS[4].to_owned(),
        },
        "r5",
    )
    .await;
    act(
        Act::OpenAppeal {
            reason: SECRETS[5].to_owned(),
        },
        "r6",
    )
    .await;
    world
        .queue(Queue {
            flood_limit: 1,
            ..queue("conduct")
        })
        .await;
    let more = ["second", "third", "other"].map(|id| {
        let mut case = arriving(id);
        if id != "other" {
            let event = case.event.as_mut().unwrap();
            event.author = arriving("erin").event.unwrap().author;
            event.text = Some(SECRETS[0].to_owned());
        } else {
            case.verdict.as_mut().unwrap().reasons.clear();
        }
        Arrived::Open(Box::new(case))
    });
    world.pass(HOUR);
    let report = world.store.intake(more.into(), &[]).await.unwrap();
    let [text, name, id, ..] = SECRETS;
    let broken = Kept {
        topic: "escalations".to_owned(),
        partition: 0,
        offset: 7,
        reason: "invalid_json",
        detail: "at line 1".to_owned(),
        key: Vec::new(),
        value: format!(r#"{{"author":{{"id":"{id}","name":"{name}"}},"text":"{text}"#).into(),
    };
    let broken = vec![Arrived::Unreadable(Box::new(broken))];
    world.store.intake(broken, &[]).await.unwrap();
    assert_eq!((report.opened, report.grouped), (2, 1));
}

fn check(receipt: &ErasureReceipt) {
    assert_eq!(receipt.cases, 3);
    assert_eq!(receipt.notes, 3);
    assert_eq!(receipt.outbox_records, 1);
    assert!(receipt.audit_payloads >= 7, "{}", receipt.audit_payloads);
    let until = |at: usize| millis_of(receipt.remains[at].until.as_ref());
    let erased = millis_of(receipt.erase_time.as_ref()).unwrap();
    assert_eq!(receipt.remains[0].topic, "comments.v1");
    assert_eq!(until(0), Some(erased + 7 * 24 * HOUR));
    assert_eq!(until(1), None);
}

pub(crate) async fn an_erased_person_is_gone_from_every_table(world: &World) {
    fill(world).await;
    assert!(
        !traces(world).await.is_empty(),
        "the search finds what is there"
    );
    let receipt = world
        .store
        .erase_subject(&admin(), &erin(), "e")
        .await
        .unwrap();
    check(&receipt);
    assert_eq!(traces(world).await, Vec::<String>::new());
    let verified = world.store.audit_verify(&[]).await.unwrap();
    assert!(verified.intact, "{}", verified.problem);
    let (_, resolution) = world.store.outbox(0, 10).await.unwrap().remove(0);
    assert!(resolution.text.is_none() && resolution.outcome() == Outcome::Hide);
    // Nothing is left to decide about; others' cases are untouched.
    let next = world.next(&agent("ben")).await.unwrap();
    assert_eq!(id(&next), "other");
    assert!(next.event.unwrap().text.is_some());
    assert!(world.next(&agent("ben")).await.is_none());
    let left = world.store.export_subject(&admin(), &erin(), "", 10).await;
    assert!(left.unwrap().is_empty());
    let case = world.open_case(arriving("erin")).await;
    assert_eq!(case.state(), CaseState::Resolved, "the decision stands");
}

pub(crate) async fn an_export_shows_what_is_held(world: &World) {
    fill(world).await;
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let page = world
            .store
            .export_subject(&admin(), &erin(), &after, 2)
            .await;
        let page = page.unwrap();
        let Some(last) = page.last() else { break };
        after.clone_from(&last.name);
        all.extend(page);
    }
    assert_eq!(all.len(), 3);
    assert!(
        all.iter()
            .all(|case| case.event.as_ref().unwrap().text.is_some())
    );
    let nobody = Subject::default();
    let answer = world.store.export_subject(&admin(), &nobody, "", 2).await;
    assert_eq!(refused(answer).reason(), "REQUIRED");
}

pub(crate) async fn an_erasure_repeats_its_receipt(world: &World) {
    fill(world).await;
    let erase = async || world.store.erase_subject(&admin(), &erin(), "e").await;
    let first = erase().await.unwrap();
    assert_eq!(erase().await.unwrap(), first);
    let again = world
        .store
        .erase_subject(&admin(), &erin(), "f")
        .await
        .unwrap();
    assert_eq!(again.cases, 0);
}

pub(crate) async fn no_byte_of_an_erased_person_is_left_in_the_files(world: &World) {
    // Many pages, so that her rows lie in the middle of something, and move.
    world
        .arrive((0..300).map(|n| arriving(&n.to_string())))
        .await;
    fill(world).await;
    world.queue(queue("conduct")).await;
    world
        .arrive((300..600).map(|n| arriving(&n.to_string())))
        .await;
    assert!(
        !in_files(world).is_empty(),
        "the search finds what is there"
    );
    world
        .store
        .erase_subject(&admin(), &erin(), "e")
        .await
        .unwrap();
    assert_eq!(in_files(world), Vec::<String>::new());
    let kept = world
        .store
        .count(&Caller::system(), &Default::default())
        .await;
    assert_eq!(kept.unwrap(), 603);
}

/// What is found of the secrets in the database's files.
fn in_files(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    for suffix in ["", "-wal", "-shm"] {
        let path = PathBuf::from(format!("{}{suffix}", world.path.display()));
        let bytes = std::fs::read(path).unwrap_or_default();
        for secret in SECRETS {
            let there = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            if there {
                found.push(format!("{secret} in the file{suffix}"));
            }
        }
    }
    found
}

/// What is found of the secrets in any column of any table.
async fn traces(world: &World) -> Vec<String> {
    const TABLES: [&str; 13] = [
        "cases",
        "skips",
        "grouped",
        "floods",
        "audit",
        "outbox",
        "replies",
        "offsets",
        "unreadable",
        "process_leases",
        "queues",
        "agents",
        "meta",
    ];
    let pool = sqlx::AnyPool::connect(&world.settings.url).await.unwrap();
    let mut found = Vec::new();
    for table in TABLES {
        let sql = format!("SELECT * FROM {table}");
        for row in sqlx::query(&sql).fetch_all(&pool).await.unwrap() {
            for column in 0..sqlx::Row::len(&row) {
                let text = sqlx::Row::try_get::<String, _>(&row, column).map(String::into_bytes);
                let bytes = text.or_else(|_| sqlx::Row::try_get::<Vec<u8>, _>(&row, column));
                let bytes = bytes.unwrap_or_default();
                for secret in SECRETS {
                    let there = bytes
                        .windows(secret.len())
                        .any(|part| part == secret.as_bytes());
                    if there {
                        found.push(format!("{secret} in {table}"));
                    }
                }
            }
        }
    }
    pool.close().await;
    found
}
