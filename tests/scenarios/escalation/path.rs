//! The whole path, undisturbed.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use tidegate_proto::{
    escalation::v1::{
        Case, CaseSource, CaseState, ClaimCaseRequest, Outcome, ResolveCaseRequest, Role,
        WatchCasesRequest,
    },
    events::v1::Label,
};
use tidegate_tests::{RealKafka, Topics};

use crate::world::{Cases, PATIENCE, World, escalation, request_id, withdrawal};

/// Takes the next case.
pub(crate) async fn claim(cases: &mut Cases) -> anyhow::Result<Option<Case>> {
    let request = ClaimCaseRequest {
        request_id: request_id(),
        ..ClaimCaseRequest::default()
    };
    Ok(cases.claim_case(request).await?.into_inner().case)
}

/// Decides a case.
pub(crate) async fn resolve(cases: &mut Cases, case: &Case) -> anyhow::Result<Case> {
    let mut request = ResolveCaseRequest {
        name: case.name.clone(),
        labels: vec![Label::Hate.into()],
        comment: "clear".to_owned(),
        request_id: request_id(),
        ..ResolveCaseRequest::default()
    };
    request.set_outcome(Outcome::Delete);
    let answer = cases.resolve_case(request).await?;
    answer.into_inner().case.context("no case came back")
}

pub(crate) fn whole(kafka: &RealKafka) -> anyhow::Result<()> {
    let world = World::new(kafka)?;
    let service = world.start(&[])?;
    let (mut cases, _) = world.agent("ann", Role::Agent)?;
    world.runtime.block_on(async {
        let watched = cases.watch_cases(WatchCasesRequest::default()).await?;
        let mut watched = watched.into_inner();
        world.escalate(&[escalation("whole-1", "v1", "words that hurt")])?;
        let seen = tokio::time::timeout(PATIENCE, async {
            loop {
                let change = watched.message().await?.context("the stream ended")?;
                if let Some(case) = change.case {
                    return anyhow::Ok(case);
                }
            }
        });
        let seen = seen.await.context("no case appeared")??;
        ensure!(seen.state() == CaseState::Open && seen.source() == CaseSource::Machine);

        let mine = claim(&mut cases).await?.context("nothing to claim")?;
        ensure!(mine.name == seen.name);
        let text = mine.event.as_ref().and_then(|event| event.text.clone());
        ensure!(text.as_deref() == Some("words that hurt"));
        let resolved = resolve(&mut cases, &mine).await?;
        ensure!(resolved.state() == CaseState::Resolved);
        anyhow::Ok(())
    })?;
    let published = world.resolutions(1)?;
    let [resolution] = published.as_slice() else {
        anyhow::bail!("{} decisions", published.len());
    };
    for (field, value) in [
        ("event_id", "whole-1"),
        ("outcome", "delete"),
        ("machine_action", "hide_and_review"),
        ("channel", "comment"),
        ("source", "machine"),
        ("text", "words that hurt"),
        ("verdict_id", "v1"),
        ("policy_version", "p1"),
    ] {
        assert_eq!(resolution[field], value, "{field} of {resolution}");
    }
    assert_eq!(resolution["labels"], serde_json::json!(["hate"]));
    assert!(resolution["decide_time"].as_i64() > Some(1_700_000_000_000));
    assert!(
        !resolution.to_string().contains("agents/ann"),
        "the decision names the agent"
    );
    service.stop()
}

pub(crate) fn edits(kafka: &RealKafka) -> anyhow::Result<()> {
    let world = World::new(kafka)?;
    let service = world.start(&[])?;
    world.escalate(&[
        escalation("edited", "v1", "the first text"),
        escalation("deleted", "v2", "soon gone"),
    ])?;
    world.wait_for("state = OPEN", 2)?;
    world.escalate(&[
        escalation("edited", "v3", "the second text"),
        withdrawal("deleted"),
    ])?;
    let gone = world.wait_for("state = WITHDRAWN", 1)?;
    let event = gone[0].event.clone().unwrap_or_default();
    assert_eq!(event.event_id, "deleted");
    let begin = Instant::now();
    loop {
        let open = world.wait_for("state = OPEN", 1)?;
        let event = open[0].event.clone().unwrap_or_default();
        if event.text() == "the second text" {
            assert_eq!((event.event_id.as_str(), event.edits), ("edited", 1));
            break;
        }
        ensure!(begin.elapsed() < PATIENCE, "the edit does not show");
        std::thread::sleep(Duration::from_millis(50));
    }
    service.stop()
}

pub(crate) fn unreadable(kafka: &RealKafka) -> anyhow::Result<()> {
    let world = World::new(kafka)?;
    let service = world.start(&[])?;
    let (key, good) = escalation("after", "v1", "fine");
    world.escalate(&[
        (key.clone(), "{\"secret\":".to_owned()),
        (
            key.clone(),
            "{\"withdrawn\":false,\"verdict\":{}}".to_owned(),
        ),
        (key.clone(), good),
    ])?;
    world.wait_for("state = OPEN", 1)?;
    let metrics = world.metrics()?;
    for line in [
        "tidegate_escalations_unreadable_total{reason=\"invalid_json\"} 1",
        "tidegate_escalations_unreadable_total{reason=\"wrong_field\"} 1",
        "tidegate_escalations_taken_total{outcome=\"opened\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is missing");
    }
    assert!(!world.log().contains("secret"), "the log quotes a record");
    // The offset moved on: nothing of it comes again.
    service.stop()?;
    let service = world.start(&[])?;
    world.escalate(&[escalation("later", "v2", "fine")])?;
    world.wait_for("state = OPEN", 2)?;
    assert!(
        !world
            .metrics()?
            .contains("unreadable_total{reason=\"invalid_json\"} 1")
    );
    service.stop()
}

pub(crate) fn from_the_comment(kafka: &RealKafka) -> anyhow::Result<()> {
    let world = World::new(kafka)?;
    let service = world.start(&["sampling.rate=0"])?;
    let (_, token) = world.agent("cli", Role::Agent)?;
    let folder = tempfile::tempdir()?;
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, token)?;

    let comments = kafka.create_topic("comments", 1)?;
    let other = kafka.create_topic("other", 1)?;
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../models");
    let group = kafka.name("comments");
    let mut consumer = Command::new(&world.program);
    consumer.args(["run", "comments"]);
    for (key, value) in [
        ("kafka.brokers", kafka.bootstrap()),
        ("kafka.topics", &comments),
        ("kafka.group_id", &group),
        ("kafka.transactional_id_prefix", &group),
        ("topics.verdicts", &other),
        ("topics.spam", &world.spam),
        ("topics.hate", &other),
        ("topics.purchase_intent", &other),
        ("topics.escalations", &world.escalations),
        ("topics.dead_letters", &other),
        ("model.folder", models),
        ("admin.listen", "127.0.0.1:0"),
        ("log.filter", "warn"),
    ] {
        consumer.arg("--set").arg(format!("{key}={value}"));
    }
    let mut consumer = consumer
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("start the comment consumer")?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let comment = serde_json::json!({
        "id": "c1", "platform": "instagram", "brand": "acme", "channel": "comment",
        "conversation_id": "post-1", "author": {"id": "u1", "name": "Bo"},
        "text": "immigrants are vermin and should be thrown out of this country",
        "lang": "en", "created_at": now.as_millis() as u64,
    });
    kafka.produce(
        &comments,
        [(b"post-1".as_slice(), comment.to_string().as_bytes())],
    )?;
    let found = world.wait_for("state = OPEN", 1);
    consumer.kill()?;
    consumer.wait()?;
    let found = found?;
    let verdict = found[0].verdict.as_ref().context("no verdict")?;
    assert!(verdict.labels.contains(&Label::Hate.into()));

    // A person at a terminal takes it and decides.
    let cli = |arguments: &[&str]| -> anyhow::Result<String> {
        let output = Command::new(&world.program)
            .args(["cases", "--server", &world.address(), "--token-file"])
            .arg(&token_file)
            .args(arguments)
            .output()?;
        let (said, printed) = (
            String::from_utf8_lossy(&output.stderr).into_owned(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        );
        ensure!(output.status.success(), "{arguments:?}: {said}{printed}");
        Ok(printed)
    };
    let listed = cli(&["list", "--filter", "label:HATE"])?;
    assert!(
        listed.contains("acme") && !listed.contains("vermin"),
        "{listed}"
    );
    let claimed: serde_json::Value = serde_json::from_str(&cli(&["claim", "--json"])?)?;
    assert_eq!(claimed["event"]["event_id"], "c1");
    let name = claimed["name"].as_str().unwrap_or_default();
    let shown = cli(&["show", name])?;
    assert!(shown.contains("vermin"), "{shown}");
    let done = cli(&[
        "resolve",
        name,
        "hide",
        "--label",
        "hate",
        "--comment",
        "clear",
    ])?;
    assert!(done.contains("resolved"), "{done}");
    assert_eq!(world.published(1)?["c1"], 1);
    let again = cli(&["claim", name]).map_err(|error| error.to_string());
    let again = again.expect_err("a decided case was claimed");
    assert!(again.contains("WRONG_STATE"), "{again}");
    service.stop()
}

pub(crate) fn sampled(kafka: &RealKafka) -> anyhow::Result<()> {
    let world = World::new(kafka)?;
    let service = world.start(&["sampling.rate=1"])?;
    let (key, value) = escalation("spam-1", "v1", "buy followers");
    let mut value: serde_json::Value = serde_json::from_str(&value)?;
    let mut routed = value["event"].take();
    routed["verdict"] = value["verdict"].take();
    routed["verdict"]["action"] = "hide".into();
    routed["verdict"]["labels"] = serde_json::json!(["spam"]);
    routed["verdict"]
        .as_object_mut()
        .context("a verdict")?
        .remove("review");
    kafka.produce(
        &world.spam,
        [(key.as_bytes(), routed.to_string().as_bytes())],
    )?;
    let cases = world.wait_for("source = SAMPLE", 1)?;
    assert_eq!(cases[0].queue, "queues/quality");

    let (mut agent, _) = world.agent("ann", Role::Agent)?;
    world.runtime.block_on(async {
        let mine = claim(&mut agent).await?.context("nothing to claim")?;
        let mut request = ResolveCaseRequest {
            name: mine.name,
            request_id: request_id(),
            ..ResolveCaseRequest::default()
        };
        request.set_outcome(Outcome::Allow);
        agent.resolve_case(request).await?;
        anyhow::Ok(())
    })?;
    assert_eq!(world.resolutions(1)?[0]["source"], "sample");
    let metrics = world.metrics()?;
    let overturned = metrics
        .lines()
        .find(|line| line.starts_with("tidegate_machine_decisions_overturned_total{"));
    assert!(
        overturned.is_some_and(|line| line.contains("label=\"spam\"") && line.ends_with(" 1")),
        "{overturned:?}"
    );
    service.stop()
}

pub(crate) fn another_database(kafka: &RealKafka) -> anyhow::Result<()> {
    let world = World::new(kafka)?;
    let decide_all = |count: usize| -> anyhow::Result<()> {
        let (mut agent, _) = world.agent("ann", Role::Agent)?;
        world.runtime.block_on(async {
            for _ in 0..count {
                let mine = claim(&mut agent).await?.context("nothing to claim")?;
                resolve(&mut agent, &mine).await?;
            }
            anyhow::Ok(())
        })
    };
    let service = world.start(&[])?;
    world.escalate(&[escalation("one", "v1", "x"), escalation("two", "v2", "x")])?;
    world.wait_for("state = OPEN", 2)?;
    decide_all(2)?;
    assert_eq!(world.resolutions(2)?.len(), 2);
    service.stop()?;

    world.use_another_database();
    let service = world.start(&[])?;
    world.wait_for("state = OPEN", 2)?;
    decide_all(1)?;
    assert_eq!(
        world.resolutions(3)?.len(),
        3,
        "a new database's decision was taken for published"
    );
    service.stop()
}
