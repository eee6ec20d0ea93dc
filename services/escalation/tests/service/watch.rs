//! Streams of cases as they change.

use std::time::Duration;

use tidegate_escalation::server::settings::{LimitsSection, WatchSection};
use tidegate_proto::escalation::v1::{
    Agent, Role, UpdateAgentRequest, WatchCasesRequest, WatchCasesResponse,
};
use tonic::{Status, Streaming};

use crate::{
    refused,
    support::{Client, Making, World, refusal},
};

type Watch = Streaming<WatchCasesResponse>;

async fn watch(client: &mut Client, filter: &str, resume_token: &str) -> Result<Watch, Status> {
    let request = WatchCasesRequest {
        filter: filter.to_owned(),
        resume_token: resume_token.to_owned(),
    };
    Ok(client.cases.watch_cases(request).await?.into_inner())
}

/// The next message that carries a case: its event, whether it left, and where to go on.
async fn next(watch: &mut Watch) -> (String, bool, String) {
    loop {
        let answer = watch.message().await.unwrap().unwrap();
        if let Some(case) = answer.case {
            let event = case.event.map(|event| event.event_id);
            return (event.unwrap_or_default(), answer.left, answer.resume_token);
        }
    }
}

async fn world(limits: LimitsSection) -> (World, Client) {
    let watch = WatchSection {
        sign_of_life: Duration::from_millis(150),
        poll: Duration::from_millis(20),
    };
    let world = World::with(Making {
        watch,
        limits,
        ..Making::default()
    })
    .await;
    world.queue("conduct").await;
    let ana = world.agent("ana", Role::Agent, &["conduct"]).await;
    (world, ana)
}

#[tokio::test]
async fn a_watch_begins_with_a_sign_of_life_and_repeats_it_while_nothing_happens() {
    let (_world, mut ana) = world(LimitsSection::default()).await;
    let mut watch = watch(&mut ana, "", "").await.unwrap();
    for _ in 0..3 {
        let answer = watch.message().await.unwrap().unwrap();
        assert!(answer.case.is_none() && !answer.resume_token.is_empty());
    }
}

#[tokio::test]
async fn a_case_is_sent_as_it_changes_and_once_more_when_it_no_longer_fits() {
    let (world, mut ana) = world(LimitsSection::default()).await;
    let mut watch = watch(&mut ana, "state = OPEN", "").await.unwrap();
    watch.message().await.unwrap();
    world.open("conduct", "e1").await;
    let (event, left, _) = next(&mut watch).await;
    assert_eq!((event.as_str(), left), ("e1", false));
    ana.claim().await.unwrap().unwrap();
    let (event, left, _) = next(&mut watch).await;
    assert_eq!((event.as_str(), left), ("e1", true));
}

#[tokio::test]
async fn a_resumed_watch_goes_on_where_it_broke() {
    let (world, mut ana) = world(LimitsSection::default()).await;
    let mut first = watch(&mut ana, "", "").await.unwrap();
    first.message().await.unwrap();
    world.open("conduct", "e1").await;
    let (_, _, token) = next(&mut first).await;
    drop(first);
    world.open("conduct", "e2").await;
    world.open("conduct", "e3").await;
    let mut second = watch(&mut ana, "", &token).await.unwrap();
    assert_eq!(next(&mut second).await.0, "e2");
    assert_eq!(next(&mut second).await.0, "e3");
}

#[tokio::test]
async fn a_resume_token_of_another_filter_or_none_at_all_is_refused() {
    let (_world, mut ana) = world(LimitsSection::default()).await;
    let mut first = watch(&mut ana, "state = OPEN", "").await.unwrap();
    let token = first.message().await.unwrap().unwrap().resume_token;
    for (filter, token) in [("", token.as_str()), ("state = OPEN", "made-up")] {
        let answer = watch(&mut ana, filter, token).await;
        refused!(answer, InvalidArgument, "BAD_RESUME_TOKEN");
    }
}

#[tokio::test]
async fn a_watcher_that_does_not_read_misses_no_case_and_gets_each_ones_last_state() {
    let (world, mut ana) = world(LimitsSection::default()).await;
    let mut slow = watch(&mut ana, "", "").await.unwrap();
    slow.message().await.unwrap();
    for event in 0..300 {
        world.open("conduct", &format!("e{event}")).await;
    }
    let mut found = std::collections::BTreeSet::new();
    while found.len() < 300 {
        found.insert(next(&mut slow).await.0);
    }
}

#[tokio::test]
async fn a_stream_that_is_cancelled_makes_room_for_another() {
    let limits = LimitsSection {
        streams_per_caller: 1,
        ..LimitsSection::default()
    };
    let (_world, mut ana) = world(limits).await;
    let mut first = watch(&mut ana, "", "").await.unwrap();
    first.message().await.unwrap();
    refused!(
        watch(&mut ana, "", "").await,
        ResourceExhausted,
        "TOO_MANY_STREAMS"
    );
    drop(first);
    while watch(&mut ana, "", "").await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_watch_ends_when_its_watcher_may_no_longer_call() {
    let (world, mut ana) = world(LimitsSection::default()).await;
    let mut watch = watch(&mut ana, "", "").await.unwrap();
    watch.message().await.unwrap();
    let agent = Agent {
        name: "agents/ana".to_owned(),
        disabled: true,
        ..Agent::default()
    };
    let request = UpdateAgentRequest {
        agent: Some(agent),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["disabled".to_owned()],
        }),
        ..UpdateAgentRequest::default()
    };
    let mut admin = world.bootstrap().await;
    admin.agents.update_agent(request).await.unwrap();
    let ended = loop {
        match watch.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without a reason"),
            Err(status) => break status,
        }
    };
    assert_eq!(refusal(Err::<(), _>(ended)).1, "AGENT_DISABLED");
}
