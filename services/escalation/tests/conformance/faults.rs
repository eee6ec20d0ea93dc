//! What happens when the database cannot.

use std::time::Duration;

use tidegate_escalation::{Act, Caller, StoreError, StoreSettings};
use tidegate_proto::escalation::v1::Outcome;
use tidegate_tests::RealPostgres;

use crate::world::*;

pub(crate) async fn a_full_disk_refuses_and_loses_nothing(world: &World) {
    let case = world.open_case(arriving("1")).await;
    let claimed = world.claim(&agent("ana"), &case).await;
    // The writer's own connection: the limit is that connection's.
    world.store.limit_pages_for_tests(1).await;
    let big = || Act::Note {
        text: "x".repeat(16 * 1_024),
    };
    let answer = world
        .store
        .act(&agent("ana"), &case.name, big(), "", "r")
        .await;
    let Err(error @ StoreError::Unavailable { .. }) = answer else {
        panic!("a full disk took it");
    };
    assert_eq!(error.code(), tonic::Code::Unavailable);
    assert_eq!(error.reason(), "STORE_UNAVAILABLE");
    assert!(error.retry_after().is_some());
    assert!(error.to_string().contains("full"), "{error}");
    // Reading goes on, and nothing was half done.
    assert_eq!(world.get(&case).await, claimed);
    assert!(world.store.audit_verify(&[]).await.unwrap().intact);
    world.store.limit_pages_for_tests(u32::MAX >> 2).await;
    let noted = world
        .store
        .act(&agent("ana"), &case.name, big(), "", "r")
        .await;
    assert_eq!(noted.unwrap().notes.len(), 1);
    assert!(world.store.audit_verify(&[]).await.unwrap().intact);
}

pub(crate) async fn one_broken_command_does_not_spoil_the_others(world: &World) {
    world
        .arrive((0..20).map(|n| arriving(&n.to_string())))
        .await;
    // A stored case that cannot be read, in the middle of what is asked for at once.
    let pool = sqlx::AnyPool::connect(&world.settings.url).await.unwrap();
    let broken = name_of(&arriving("7").event.unwrap());
    sqlx::query("UPDATE cases SET body=$1 WHERE name=$2")
        .bind(vec![0xff_u8; 9])
        .bind(&broken)
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    let calls = (0..20).map(|n| {
        let (store, ana) = (world.store.clone(), agent("ana"));
        let name = name_of(&arriving(&n.to_string()).event.unwrap());
        tokio::spawn(async move { store.act(&ana, &name, Act::Claim, "", "").await })
    });
    let calls: Vec<_> = calls.collect();
    for (n, call) in calls.into_iter().enumerate() {
        match call.await.unwrap() {
            Ok(_) => assert_ne!(n, 7),
            Err(StoreError::Broken { .. }) => assert_eq!(n, 7),
            Err(error) => panic!("{n}: {error}"),
        }
    }
    assert!(world.store.audit_verify(&[]).await.unwrap().intact);
}

pub(crate) fn a_server_that_goes_away_is_waited_for() -> anyhow::Result<()> {
    let server = RealPostgres::start_own()?;
    let settings = StoreSettings::new(server.database()?);
    block_on(async {
        let world = World::open(settings, Default::default()).await?;
        let case = world.open_case(arriving("1")).await;
        world.claim(&agent("ana"), &case).await;
        server.stop()?;
        let decide = async || {
            let act = resolve(Outcome::Allow);
            world
                .store
                .act(&agent("ana"), &case.name, act, "", "r")
                .await
        };
        let system = Caller::system();
        let (one, other) = tokio::join!(decide(), world.store.get(&system, &case.name));
        for error in [one.unwrap_err(), other.unwrap_err()] {
            assert_eq!(error.reason(), "STORE_UNAVAILABLE", "{error}");
        }
        server.go_on()?;
        // The same request, as a caller told to try again would.
        let mut tries = 0;
        let decided = loop {
            match decide().await {
                Ok(case) => break case,
                Err(error) if tries > 100 => panic!("{error}"),
                Err(_) => tries += 1,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert_eq!(decided.decisions.len(), 1);
        assert_eq!(world.store.outbox(0, 10).await?.len(), 1);
        assert!(world.store.audit_verify(&[]).await?.intact);
        world.store.close().await;
        Ok(())
    })
}
