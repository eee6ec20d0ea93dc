//! Nothing that people wrote, nobody's name and no token reaches a log line, a metric or an error:
//! the whole interface is driven with marked secrets, and everything that comes out is searched.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test ends at the first surprise"
)]

#[path = "service/support.rs"]
#[allow(dead_code, unused_macros)]
mod support;

use std::{
    io,
    sync::{Arc, Mutex},
};

use tidegate_chassis::{
    logs::{self, LogFormat, LogSettings},
    metrics,
};
use tidegate_escalation::server::settings::LimitsSection;
use tidegate_proto::{
    escalation::v1::{
        AddNoteRequest, AssignCaseRequest, CaseEvent, ClaimCaseRequest, CountCasesRequest,
        CreateCaseRequest, DecideAppealRequest, EraseSubjectRequest, ExportAuditRequest,
        ExportSubjectRequest, GetCaseRequest, HeartbeatCaseRequest, HoldCaseRequest,
        ListAuditEntriesRequest, ListCasesRequest, OpenAppealRequest, Outcome, ReleaseCaseRequest,
        ResolveCaseRequest, Role, ScoreRequest, Subject, VerifyAuditRequest, WatchCasesRequest,
    },
    events::v1::{Author, Channel, Event},
};
use tonic::Status;

use support::{Client, Making, World, case, id};

/// In every text, name and credential.
const MARK: &str = "zqxsecret";

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What errors said.
#[derive(Default)]
struct Said(String);

impl Said {
    fn hear<T>(&mut self, answer: Result<T, Status>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(status) => {
                self.0 += &format!("{} {:?}\n", status.message(), status.details());
                self.0 += &format!("{:?}\n", status.metadata());
                None
            }
        }
    }
}

fn marked(what: &str) -> String {
    format!("{what} {MARK}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_text_name_or_token_comes_out_of_logs_metrics_or_errors() {
    let lines = Lines::default();
    let writer = lines.clone();
    let settings = LogSettings {
        format: LogFormat::Json,
        filter: "debug,tidegate_escalation=trace".to_owned(),
    };
    let subscriber = logs::subscriber(&settings, move || writer.clone()).unwrap();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let catalogue = tidegate_escalation::metrics::catalogue();
    let metrics = metrics::install(&catalogue).unwrap();

    let limits = LimitsSection {
        message_bytes: 65_536,
        ..LimitsSection::default()
    };
    let world = World::with(Making {
        limits,
        ..Making::default()
    })
    .await;
    world.queue("conduct").await;
    let mut first = case("conduct", "e1");
    mark(first.event.as_mut().unwrap());
    world.open_as(first).await;
    let token = world.token("ana", Role::Agent, &["conduct"]).await;
    let mut ana = world.with_token(&token).await;
    let mut lea = world.agent("lea", Role::Lead, &["-"]).await;
    let mut admin = world.bootstrap().await;
    let mut said = Said::default();

    work(&mut ana, &mut said).await;
    let name = ana
        .cases
        .list_cases(ListCasesRequest::default())
        .await
        .unwrap();
    let name = name.into_inner().cases[0].name.clone();
    mistakes(&mut ana, &name, &mut said).await;
    oversee(&mut lea, &name, &mut said).await;
    administer(&mut admin, &mut said).await;
    let forged = format!("tg_{MARK}{}", "x".repeat(34));
    for wrong in [forged.as_str(), MARK, "eyJ6cXhzZWNyZXQ.zqxsecret.zqxsecret"] {
        let mut eve = world.with_token(wrong).await;
        said.hear(eve.cases.list_cases(ListCasesRequest::default()).await);
    }
    let bootstrap = world.bootstrap_token().to_owned();
    world.stop().await.unwrap();

    let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let scrape = metrics.render();
    assert!(logged.contains("tidegate_escalation"), "nothing was logged");
    assert!(
        said.0.lines().count() > 20,
        "too little was refused:\n{}",
        said.0
    );
    for (what, text) in [
        ("a log line", &logged),
        ("a metric", &scrape),
        ("an error", &said.0),
    ] {
        for secret in [MARK, &token, &bootstrap] {
            if let Some(line) = text.lines().find(|line| line.contains(secret)) {
                panic!("{what} holds a secret: {line}");
            }
        }
    }
    assert_eq!(catalogue.breaches(&scrape), Vec::<String>::new());
    for name in [
        "tidegate_grpc_calls_total",
        "tidegate_grpc_call_duration_seconds_bucket",
        "tidegate_grpc_refused_total",
        "tidegate_decisions_total",
        "tidegate_machine_decisions_reviewed_total",
        "tidegate_machine_decisions_overturned_total",
        "tidegate_case_wait_seconds_bucket",
        "tidegate_case_handling_seconds_bucket",
        "tidegate_appeals_decided_total",
    ] {
        assert!(scrape.contains(name), "{name} is not in\n{scrape}");
    }
}

fn mark(event: &mut CaseEvent) {
    event.text = Some(marked("text"));
    let author = event.author.get_or_insert_default();
    author.name = Some(marked("name"));
    event.context.insert("note".to_owned(), marked("context"));
}

/// All that an agent does with a case.
async fn work(ana: &mut Client, said: &mut Said) {
    let mut watch = ana
        .cases
        .watch_cases(WatchCasesRequest::default())
        .await
        .unwrap()
        .into_inner();
    watch.message().await.unwrap();
    let claim = || ClaimCaseRequest {
        request_id: id(),
        ..ClaimCaseRequest::default()
    };
    let claimed = ana.cases.claim_case(claim()).await.unwrap().into_inner();
    let name = claimed.case.unwrap().name;
    ana.cases
        .heartbeat_case(HeartbeatCaseRequest { name: name.clone() })
        .await
        .unwrap();
    let text = marked("note");
    let note = AddNoteRequest {
        name: name.clone(),
        text,
        request_id: id(),
    };
    ana.cases.add_note(note).await.unwrap();
    let hour = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
    let hold = HoldCaseRequest {
        name: name.clone(),
        reason: marked("hold"),
        return_time: Some(hour.into()),
        request_id: id(),
        ..HoldCaseRequest::default()
    };
    said.hear(ana.cases.hold_case(hold).await);
    said.hear(
        ana.cases
            .claim_case(ClaimCaseRequest {
                name: name.clone(),
                ..claim()
            })
            .await,
    );
    let release = ReleaseCaseRequest {
        name: name.clone(),
        reason: marked("release"),
        request_id: id(),
        ..ReleaseCaseRequest::default()
    };
    said.hear(ana.cases.release_case(release).await);
    said.hear(
        ana.cases
            .claim_case(ClaimCaseRequest {
                name: name.clone(),
                ..claim()
            })
            .await,
    );
    let resolve = ResolveCaseRequest {
        name: name.clone(),
        outcome: Outcome::Allow.into(),
        comment: marked("comment"),
        request_id: id(),
        ..ResolveCaseRequest::default()
    };
    ana.cases.resolve_case(resolve).await.unwrap();
    let reason = marked("appeal");
    let appeal = OpenAppealRequest {
        name: name.clone(),
        reason,
        request_id: id(),
    };
    ana.cases.open_appeal(appeal).await.unwrap();
    ana.cases.get_case(GetCaseRequest { name }).await.unwrap();
}

/// All that can be wrong, with secrets wherever there is room for one.
async fn mistakes(ana: &mut Client, name: &str, said: &mut Said) {
    let name = name.to_owned();
    let long = marked(&"long ".repeat(4000));
    for text in [long.clone(), marked(&"huge ".repeat(40_000)), String::new()] {
        let note = AddNoteRequest {
            name: name.clone(),
            text,
            request_id: id(),
        };
        said.hear(ana.cases.add_note(note).await);
    }
    let resolve = ResolveCaseRequest {
        name: name.clone(),
        outcome: Outcome::Hide.into(),
        comment: marked("comment"),
        ..ResolveCaseRequest::default()
    };
    for wrong in [
        ResolveCaseRequest {
            comment: long,
            ..resolve.clone()
        },
        ResolveCaseRequest {
            etag: marked("etag"),
            ..resolve.clone()
        },
        ResolveCaseRequest {
            request_id: marked("id"),
            ..resolve.clone()
        },
        ResolveCaseRequest {
            name: marked("cases/"),
            ..resolve.clone()
        },
        ResolveCaseRequest {
            name: marked("name"),
            ..resolve.clone()
        },
        ResolveCaseRequest {
            outcome: 99,
            ..resolve.clone()
        },
        resolve,
    ] {
        said.hear(ana.cases.resolve_case(wrong).await);
    }
    for filter in [
        marked("text ="),
        format!("state = \"{MARK}\""),
        format!("{MARK} = 1"),
        format!("\"{MARK}"),
    ] {
        let request = ListCasesRequest {
            filter: filter.clone(),
            ..ListCasesRequest::default()
        };
        said.hear(ana.cases.list_cases(request).await);
        said.hear(ana.cases.count_cases(CountCasesRequest { filter }).await);
    }
    let list = ListCasesRequest::default;
    for wrong in [
        ListCasesRequest {
            page_token: MARK.to_owned(),
            ..list()
        },
        ListCasesRequest {
            order_by: MARK.to_owned(),
            ..list()
        },
    ] {
        said.hear(ana.cases.list_cases(wrong).await);
    }
    let resume_token = MARK.to_owned();
    let watch = WatchCasesRequest {
        resume_token,
        ..WatchCasesRequest::default()
    };
    said.hear(ana.cases.watch_cases(watch).await);
    let mut event = CaseEvent {
        channel: Channel::Comment.into(),
        ..CaseEvent::default()
    };
    mark(&mut event);
    let create = CreateCaseRequest {
        event: Some(event),
        queue: "queues/conduct".to_owned(),
        reason: marked("reason"),
        request_id: id(),
        ..CreateCaseRequest::default()
    };
    said.hear(ana.cases.create_case(create).await);
}

async fn oversee(lea: &mut Client, name: &str, said: &mut Said) {
    let name = name.to_owned();
    let assign = AssignCaseRequest {
        name: name.clone(),
        agent: "agents/ana".to_owned(),
        reason: marked("assign"),
        request_id: id(),
        ..AssignCaseRequest::default()
    };
    said.hear(lea.cases.assign_case(assign).await);
    let decide = DecideAppealRequest {
        name,
        overturn: true,
        outcome: Outcome::Delete.into(),
        comment: marked("decision"),
        request_id: id(),
        ..DecideAppealRequest::default()
    };
    lea.cases.decide_appeal(decide).await.unwrap();
    let filter = format!("actor = \"{MARK}\" AND");
    let list = ListAuditEntriesRequest {
        filter,
        ..ListAuditEntriesRequest::default()
    };
    said.hear(lea.audit.list_audit_entries(list).await);
    let list = ListAuditEntriesRequest::default();
    lea.audit.list_audit_entries(list).await.unwrap();
    let export = lea
        .audit
        .export_audit(ExportAuditRequest::default())
        .await
        .unwrap();
    let mut export = export.into_inner();
    while export.message().await.unwrap().is_some() {}
    let verified = lea
        .audit
        .verify_audit(VerifyAuditRequest::default())
        .await
        .unwrap();
    assert!(verified.into_inner().intact);
    let event = Event {
        text: Some(marked("text")),
        author: Some(Author {
            name: Some(marked("name")),
            ..Author::default()
        }),
        ..Event::default()
    };
    said.hear(lea.scoring.score(ScoreRequest { event: Some(event) }).await);
}

async fn administer(admin: &mut Client, said: &mut Said) {
    let subject = |author_id: &str| {
        Some(Subject {
            platform: "instagram".to_owned(),
            author_id: author_id.to_owned(),
        })
    };
    said.hear(
        admin
            .privacy
            .export_subject(ExportSubjectRequest { subject: None })
            .await,
    );
    for author in ["author-1", MARK] {
        let request = ExportSubjectRequest {
            subject: subject(author),
        };
        let cases = admin.privacy.export_subject(request).await.unwrap();
        let mut cases = cases.into_inner();
        while cases.message().await.unwrap().is_some() {}
        let request = EraseSubjectRequest {
            subject: subject(author),
            request_id: id(),
        };
        admin.privacy.erase_subject(request).await.unwrap();
    }
}
