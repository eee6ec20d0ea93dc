//! Nobody sees a queue that isn't theirs, in no way; viewers see neither text nor names.

use tidegate_proto::escalation::v1::{
    Case, ClaimCaseRequest, CountCasesRequest, ExportAuditRequest, GetCaseRequest, GetQueueRequest,
    ListAuditEntriesRequest, ListCasesRequest, ListQueuesRequest, Outcome, ResolveCaseRequest,
    Role, WatchCasesRequest,
};

use crate::{
    refused,
    support::{Client, World, id},
};

/// Two queues with a case each; the foreign one's case.
async fn two_queues() -> (World, Case) {
    let world = World::new().await;
    for queue in ["conduct", "legal"] {
        world.queue(queue).await;
        world.open(queue, &format!("e-{queue}")).await;
    }
    let mut admin = world.bootstrap().await;
    let filter = "queue = \"legal\"".to_owned();
    let request = ListCasesRequest {
        filter,
        ..ListCasesRequest::default()
    };
    let found = admin
        .cases
        .list_cases(request)
        .await
        .unwrap()
        .into_inner()
        .cases;
    let foreign = found.into_iter().next().unwrap();
    assert_eq!(foreign.queue, "queues/legal");
    (world, foreign)
}

async fn listed(client: &mut Client, filter: &str) -> Vec<Case> {
    let filter = filter.to_owned();
    let request = ListCasesRequest {
        filter,
        ..ListCasesRequest::default()
    };
    client
        .cases
        .list_cases(request)
        .await
        .unwrap()
        .into_inner()
        .cases
}

#[tokio::test]
async fn a_foreign_queues_case_is_as_if_it_were_not_there() {
    let (world, foreign) = two_queues().await;
    for (role, name) in [
        (Role::Viewer, "vera"),
        (Role::Agent, "ana"),
        (Role::Lead, "lea"),
        (Role::Service, "sam"),
    ] {
        let mut client = world.agent(name, role, &["conduct"]).await;
        let name = foreign.name.clone();
        let got = client.cases.get_case(GetCaseRequest { name }).await;
        refused!(got, NotFound, "CASE_NOT_FOUND");
        let all = listed(&mut client, "").await;
        assert!(
            all.iter().all(|case| case.queue == "queues/conduct"),
            "{role:?}"
        );
        assert_eq!(all.len(), 1, "{role:?}");
        assert!(
            listed(&mut client, "queue = \"legal\"").await.is_empty(),
            "{role:?}"
        );
        let count = client
            .cases
            .count_cases(CountCasesRequest::default())
            .await
            .unwrap();
        assert_eq!(count.into_inner().count, 1, "{role:?}");
        let queues = client
            .queues
            .list_queues(ListQueuesRequest::default())
            .await
            .unwrap();
        let queues = queues.into_inner().queues;
        assert!(
            queues.iter().all(|queue| queue.name != "queues/legal"),
            "{role:?}"
        );
        let name = "queues/legal".to_owned();
        let got = client.queues.get_queue(GetQueueRequest { name }).await;
        refused!(got, NotFound, "QUEUE_NOT_FOUND");
    }
}

#[tokio::test]
async fn a_foreign_queues_case_can_be_neither_claimed_nor_decided() {
    let (world, foreign) = two_queues().await;
    let mut ana = world.agent("ana", Role::Agent, &["conduct"]).await;
    let name = foreign.name.clone();
    let named = ClaimCaseRequest {
        name,
        ..ClaimCaseRequest::default()
    };
    refused!(
        ana.cases.claim_case(named).await,
        NotFound,
        "CASE_NOT_FOUND"
    );
    let queues = vec!["queues/legal".to_owned()];
    let next = ClaimCaseRequest {
        queues,
        ..ClaimCaseRequest::default()
    };
    refused!(
        ana.cases.claim_case(next).await,
        NotFound,
        "QUEUE_NOT_FOUND"
    );
    assert!(ana.claim().await.unwrap().is_some());
    assert!(
        ana.claim().await.unwrap().is_none(),
        "a foreign case was claimed"
    );
    let resolve = ResolveCaseRequest {
        name: foreign.name,
        outcome: Outcome::Allow.into(),
        request_id: id(),
        ..ResolveCaseRequest::default()
    };
    refused!(
        ana.cases.resolve_case(resolve).await,
        NotFound,
        "CASE_NOT_FOUND"
    );
}

#[tokio::test]
async fn a_watcher_hears_nothing_of_a_foreign_queue() {
    let (world, _) = two_queues().await;
    let mut ana = world.agent("ana", Role::Agent, &["conduct"]).await;
    let watch = ana
        .cases
        .watch_cases(WatchCasesRequest::default())
        .await
        .unwrap();
    let mut watch = watch.into_inner();
    watch.message().await.unwrap();
    world.open("legal", "e-hidden").await;
    world.open("conduct", "e-shown").await;
    let first = loop {
        if let Some(case) = watch.message().await.unwrap().unwrap().case {
            break case;
        }
    };
    assert_eq!(first.event.unwrap().event_id, "e-shown");
}

#[tokio::test]
async fn the_audit_trail_of_a_lead_holds_nothing_of_a_foreign_queue_and_an_admins_all() {
    let (world, foreign) = two_queues().await;
    let mut lea = world.agent("lea", Role::Lead, &["conduct"]).await;
    let mut admin = world.bootstrap().await;
    let mentions = async |client: &mut Client| {
        let request = ListAuditEntriesRequest {
            page_size: 500,
            ..Default::default()
        };
        let entries = client.audit.list_audit_entries(request).await.unwrap();
        let listed = entries.into_inner().entries;
        let mut exported = Vec::new();
        let stream = client
            .audit
            .export_audit(ExportAuditRequest::default())
            .await
            .unwrap();
        let mut stream = stream.into_inner();
        while let Some(answer) = stream.message().await.unwrap() {
            exported.push(answer.entry.unwrap());
        }
        let of = |resource: &str| {
            [&listed, &exported].map(|list| list.iter().any(|one| one.resource == resource))
        };
        (of(&foreign.name), of("queues/legal"))
    };
    assert_eq!(mentions(&mut lea).await, ([false; 2], [false; 2]));
    assert_eq!(mentions(&mut admin).await, ([true; 2], [true; 2]));
}

#[tokio::test]
async fn a_viewer_sees_cases_without_text_and_names_and_an_agent_with_them() {
    let (world, _) = two_queues().await;
    let mut vera = world.agent("vera", Role::Viewer, &["conduct"]).await;
    let mut ana = world.agent("ana", Role::Agent, &["conduct"]).await;
    let watch = vera
        .cases
        .watch_cases(WatchCasesRequest::default())
        .await
        .unwrap();
    let mut watch = watch.into_inner();
    watch.message().await.unwrap();
    world.open("conduct", "e-later").await;
    let name = listed(&mut ana, "").await[0].name.clone();
    let request = GetCaseRequest { name };
    let mut seen = listed(&mut vera, "").await;
    seen.extend(
        vera.cases
            .get_case(request.clone())
            .await
            .unwrap()
            .into_inner()
            .case,
    );
    seen.push(loop {
        if let Some(case) = watch.message().await.unwrap().unwrap().case {
            break case;
        }
    });
    assert_eq!(seen.len(), 4);
    for case in seen {
        let event = case.event.unwrap();
        assert!(
            event.text.is_none_or(|text| text.is_empty()),
            "a viewer sees the text"
        );
        assert!(
            event.author.is_none_or(|author| author.name.is_none()),
            "a viewer sees the name"
        );
    }
    let case = ana
        .cases
        .get_case(request)
        .await
        .unwrap()
        .into_inner()
        .case
        .unwrap();
    assert!(case.event.unwrap().text.is_some());
}
