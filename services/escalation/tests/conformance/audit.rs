//! The trail of everything that was done.

use tidegate_escalation::{Caller, Filter, store::Page};
use tidegate_proto::escalation::v1::Outcome;

use crate::world::*;

pub(crate) async fn every_step_is_an_entry_and_the_chain_holds(world: &World) {
    let case = world.open_case(arriving("1")).await;
    world.claim(&agent("ana"), &case).await;
    world.pass(LEASE);
    world.store.sweep().await.unwrap();
    world.claim(&agent("ben"), &case).await;
    world
        .act(&agent("ben"), &case, resolve(Outcome::Hide))
        .await
        .unwrap();
    let entries = world
        .store
        .audit_export(&Caller::system(), 1, 1_000)
        .await
        .unwrap();
    let steps: Vec<_> = entries
        .iter()
        .filter(|entry| entry.resource == case.name)
        .map(|entry| (entry.actor.as_str(), entry.action.as_str()))
        .collect();
    assert_eq!(
        steps,
        [
            ("system", "case.open"),
            ("agents/ana", "case.claim"),
            ("system", "case.expire"),
            ("agents/ben", "case.claim"),
            ("agents/ben", "case.resolve"),
        ]
    );
    let last = entries.last().unwrap();
    assert_eq!(last.reason, "clear");
    let after: serde_json::Value = serde_json::from_str(&last.after).unwrap();
    assert_eq!(after["state"], "RESOLVED");
    assert!(
        entries
            .iter()
            .map(|entry| entry.sequence)
            .eq(1..=entries.len() as i64)
    );
    let verified = world.store.audit_verify(&entries[3].hash).await.unwrap();
    assert!(verified.intact, "{}", verified.problem);
    assert_eq!(verified.entries, entries.len() as i64);
    assert_eq!(verified.head_hash, last.hash);
    // A trail that never had a hash says so.
    assert!(!world.store.audit_verify(&[7; 32]).await.unwrap().intact);
}

pub(crate) async fn a_look_at_a_case_is_an_entry(world: &World) {
    let case = world.open_case(arriving("1")).await;
    world.store.get(&agent("ana"), &case.name).await.unwrap();
    let looks = Filter::audit("action = case.view AND actor = 'agents/ana'").unwrap();
    let page = Page::new(0, "").unwrap();
    let (entries, _) = world
        .store
        .audit_list(&Caller::system(), &looks, page)
        .await
        .unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].resource, case.name);
}

pub(crate) async fn entries_are_found_by_filter_page_by_page(world: &World) {
    world.arrive((0..5).map(|n| arriving(&n.to_string()))).await;
    let filter = Filter::audit("action = case.open").unwrap();
    let mut token = String::new();
    let mut sequences = Vec::new();
    loop {
        let page = Page::new(2, &token).unwrap();
        let (entries, next) = world
            .store
            .audit_list(&Caller::system(), &filter, page)
            .await
            .unwrap();
        sequences.extend(entries.iter().map(|entry| entry.sequence));
        match next {
            Some(next) => token = next.0,
            None => break,
        }
    }
    assert_eq!(sequences.len(), 5);
    assert!(
        sequences.is_sorted_by(|one, other| one > other),
        "the newest first"
    );
}

pub(crate) async fn entries_about_a_case_are_found_by_its_name_even_when_it_is_gone(world: &World) {
    let case = world.open_case(arriving("1")).await;
    let other = world.open_case(arriving("2")).await;
    world.claim(&agent("ana"), &case).await;
    let resolved = world
        .act(&agent("ana"), &case, resolve(Outcome::Hide))
        .await;
    resolved.unwrap();
    let steps = ["case.resolve", "case.claim", "case.open"];
    let about = format!("resource = \"{}\"", case.name);
    assert_eq!(found(world, &about).await, steps);
    let all = found(world, "action != \"queue.create\"").await.len();
    let rest = found(
        world,
        &format!("NOT ({about}) AND action != \"queue.create\""),
    )
    .await;
    assert_eq!(rest.len(), all - steps.len());
    let nobody = format!("NOT resource = \"cases/{}\" AND {about}", "0".repeat(36));
    assert_eq!(found(world, &nobody).await, steps);

    world.pass(366 * 86_400_000);
    let removed = world.store.sweep().await.unwrap().removed;
    assert_eq!(removed, 1, "the decided one is old");
    assert_eq!(found(world, &about).await, steps);
    let about_other = format!("resource = \"{}\"", other.name);
    assert!(
        found(world, &about_other)
            .await
            .contains(&"case.open".to_owned())
    );
}

/// The actions of the entries that a filter finds, the newest first.
async fn found(world: &World, filter: &str) -> Vec<String> {
    let filter = Filter::audit(filter).unwrap();
    let (caller, page) = (Caller::system(), Page::new(100, "").unwrap());
    let list = world.store.audit_list(&caller, &filter, page);
    let (entries, _) = list.await.unwrap();
    entries.into_iter().map(|entry| entry.action).collect()
}

pub(crate) async fn tampering_shows(world: &World) {
    let case = world.open_case(arriving("1")).await;
    for _ in 0..3 {
        world.claim(&agent("ana"), &case).await;
        world
            .act(&agent("ana"), &case, release(false))
            .await
            .unwrap();
    }
    let count = world
        .store
        .audit_export(&Caller::system(), 1, 1_000)
        .await
        .unwrap()
        .len() as i64;
    let noted = world.store.audit_verify(&[]).await.unwrap().head_hash;
    let last = count - 1;
    let tampers = [
        "UPDATE audit SET actor='agents/ben' WHERE sequence=8".to_owned(),
        "UPDATE audit SET time=time+1 WHERE sequence=8".to_owned(),
        "DELETE FROM audit WHERE sequence=8".to_owned(),
        "UPDATE audit SET payload=(SELECT payload FROM audit WHERE sequence=9), salt=(SELECT salt \
         FROM audit WHERE sequence=9) WHERE sequence=8"
            .to_owned(),
        "UPDATE audit SET sequence=1000 WHERE sequence=8".to_owned(),
        format!("DELETE FROM audit WHERE sequence>{last}"),
    ];
    for tamper in tampers {
        let copy = CopyOf::take(world).await;
        copy.run(world, &tamper).await;
        let verified = world.store.audit_verify(&[]).await.unwrap();
        assert!(!verified.intact, "{tamper}");
        assert!(verified.broken_at >= 8, "{tamper}: {}", verified.broken_at);
        copy.put_back(world).await;
        assert!(world.store.audit_verify(&[]).await.unwrap().intact);
    }
    // Whoever cuts the end off and mends the head is found by a hash that was noted elsewhere.
    CopyOf::take(world)
        .await
        .run(world, &format!("DELETE FROM audit WHERE sequence>{last}"))
        .await;
    let head = format!(
        "UPDATE audit_head SET sequence={last}, hash=(SELECT hash FROM audit WHERE \
         sequence={last})"
    );
    execute(world, &head).await;
    assert!(world.store.audit_verify(&[]).await.unwrap().intact);
    assert!(!world.store.audit_verify(&noted).await.unwrap().intact);
    // The store itself goes on.
    let seen = world.store.get(&Caller::system(), &case.name).await;
    assert!(seen.is_ok());
}

/// The trail as it was before someone tampers with it.
struct CopyOf;

impl CopyOf {
    async fn take(world: &World) -> Self {
        execute(world, "DROP TABLE IF EXISTS kept").await;
        execute(world, "CREATE TABLE kept AS SELECT * FROM audit").await;
        Self
    }

    async fn run(&self, world: &World, tamper: &str) {
        execute(world, tamper).await;
    }

    async fn put_back(self, world: &World) {
        execute(world, "DELETE FROM audit").await;
        execute(world, "INSERT INTO audit SELECT * FROM kept").await;
    }
}

/// Past the store, as somebody with the database's password would.
async fn execute(world: &World, sql: &str) {
    let pool = sqlx::AnyPool::connect(&world.settings.url).await.unwrap();
    sqlx::query(sql).execute(&pool).await.unwrap();
    pool.close().await;
}
