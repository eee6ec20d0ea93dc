//! Queues and agents.

use prost_types::{Duration, FieldMask};
use tidegate_escalation::store::Page;
use tidegate_proto::escalation::v1::{
    Agent, Calendar, Queue, Role, UpdateAgentRequest, UpdateQueueRequest,
};

use crate::world::*;

pub(crate) async fn agents_are_made_changed_and_found_by_token(world: &World) {
    let made = world.agent("dee", &["queues/-"], &["de"]).await;
    let request = |role: Role, etag: &str, paths: &[&str]| UpdateAgentRequest {
        agent: Some(Agent {
            name: made.name.clone(),
            role: role.into(),
            etag: etag.to_owned(),
            ..Agent::default()
        }),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(|one| (*one).to_owned()).collect(),
        }),
        ..Default::default()
    };
    let store = &world.store;
    let lead = request(Role::Lead, &made.etag, &["role"]);
    let changed = store.agent_update(&admin(), lead).await.unwrap();
    assert_eq!(changed.role(), Role::Lead);
    assert_eq!(changed.queues, ["queues/-"], "what is not masked stays");
    let stale = request(Role::Agent, &made.etag, &["role"]);
    let answer = store.agent_update(&admin(), stale).await;
    assert_eq!(refused(answer).reason(), "ETAG_MISMATCH");
    let unknown = request(Role::Agent, "", &["salary"]);
    let answer = store.agent_update(&admin(), unknown).await;
    assert_eq!(refused(answer).reason(), "INVALID");

    let found = async |hash: &[u8]| store.agent_by_token_hash(hash).await.unwrap();
    assert!(found(&[]).await.is_none(), "no token is nobody's");
    let rotate = async |hash: &[u8]| store.agent_rotate_token(&admin(), &made.name, hash).await;
    rotate(&[1; 32]).await.unwrap();
    rotate(&[2; 32]).await.unwrap();
    assert!(found(&[1; 32]).await.is_none(), "earlier tokens end");
    assert_eq!(found(&[2; 32]).await.unwrap().name, made.name);
    // A change of the agent keeps its token.
    let agent = request(Role::Agent, "", &["role"]);
    store.agent_update(&admin(), agent).await.unwrap();
    assert!(found(&[2; 32]).await.is_some());
    let (agents, _) = store.agent_list(Page::new(0, "").unwrap()).await.unwrap();
    assert_eq!(agents.len(), 4);
}

pub(crate) async fn queues_are_made_and_changed_by_masked_fields(world: &World) {
    let request = |second_review, paths: &[&str], request_id: &str| UpdateQueueRequest {
        queue: Some(Queue {
            second_review,
            flood_limit: 7,
            ..queue("care")
        }),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(|one| (*one).to_owned()).collect(),
        }),
        request_id: request_id.to_owned(),
        ..Default::default()
    };
    let update = async |request| world.store.queue_update(&admin(), request).await;
    let changed = update(request(true, &["second_review"], "r"))
        .await
        .unwrap();
    assert!(changed.second_review && changed.flood_limit == 0);
    update(request(false, &[], "")).await.unwrap();
    let again = update(request(true, &["second_review"], "r"))
        .await
        .unwrap();
    assert_eq!(
        again, changed,
        "a repeated request gives its answer and changes nothing"
    );
    let now = world
        .store
        .queue_get(&admin(), "queues/care")
        .await
        .unwrap();
    assert!(!now.second_review && now.flood_limit == 7);
    let missing = UpdateQueueRequest {
        queue: Some(queue("nowhere")),
        ..Default::default()
    };
    assert_eq!(refused(update(missing).await).reason(), "QUEUE_NOT_FOUND");
    let foreign = world.store.queue_get(&agent("ana"), "queues/care").await;
    assert_eq!(refused(foreign).reason(), "QUEUE_NOT_FOUND");
    // Two pages of one queue each.
    let first = world
        .store
        .queue_list(&admin(), Page::new(1, "").unwrap())
        .await;
    let (one, next) = first.unwrap();
    let token = next.unwrap().0;
    let second = world
        .store
        .queue_list(&admin(), Page::new(1, &token).unwrap())
        .await;
    let (other, end) = second.unwrap();
    assert!(end.is_none());
    assert_eq!(
        [&one[0].name, &other[0].name],
        ["queues/care", "queues/conduct"]
    );
}

pub(crate) async fn wrong_settings_are_refused(world: &World) {
    let wrong = [
        queue(""),
        queue("two words"),
        queue("-"),
        Queue {
            lease: Some(Duration::default()),
            ..queue("conduct")
        },
        Queue {
            breach_queue: "queues/conduct".to_owned(),
            ..queue("conduct")
        },
        Queue {
            breach_queue: "queues/nowhere".to_owned(),
            ..queue("conduct")
        },
        Queue {
            calendar: Some(Calendar {
                time_zone: "Mars/Olympus".to_owned(),
                ..Calendar::default()
            }),
            ..queue("conduct")
        },
    ];
    for queue in wrong {
        let request = UpdateQueueRequest {
            queue: Some(queue),
            allow_missing: true,
            ..Default::default()
        };
        let answer = world.store.queue_update(&admin(), request).await;
        assert!(["INVALID", "QUEUE_NOT_FOUND"].contains(&refused(answer).reason()));
    }
    let agents = [
        Agent::default(),
        Agent {
            name: "agents/x".to_owned(),
            ..Agent::default()
        },
        Agent {
            name: "agents/x".to_owned(),
            role: Role::Agent.into(),
            languages: vec!["English".to_owned()],
            ..Agent::default()
        },
    ];
    for agent in agents {
        let request = UpdateAgentRequest {
            agent: Some(agent),
            allow_missing: true,
            ..Default::default()
        };
        let answer = world.store.agent_update(&admin(), request).await;
        assert!(["INVALID", "REQUIRED"].contains(&refused(answer).reason()));
    }
}
