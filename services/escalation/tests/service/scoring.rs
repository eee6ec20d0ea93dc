//! Scores for callers that want some now.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};

use tidegate_classifier::{Scored, Tier};
use tidegate_core::labels::{Label, Scores};
use tidegate_escalation::{server::settings::ServerSection, service::scoring::ScorerHandle};
use tidegate_moderator::{pipeline::Scorer, policy_file::PolicyInForce};
use tidegate_proto::{
    escalation::v1::{Role, ScoreRequest},
    events::v1::{Action, Author, Channel, Event, EventKind, Verdict},
};
use tonic::Status;

use crate::{
    refused,
    support::{Client, Making, World},
};

/// Fails on texts with `broken` in them, holds on at `slow` while the other end is there, and calls
/// `free money` spam; it is shown to be good in English.
struct Fixed(Receiver<()>, [String; 1]);

impl Scorer for Fixed {
    fn score(&mut self, texts: &[&str], out: &mut Vec<Scored>) -> Result<(), String> {
        if texts.iter().any(|text| text.contains("slow")) {
            self.0.recv().ok();
        }
        if texts.iter().any(|text| text.contains("broken")) {
            return Err("out of memory".to_owned());
        }
        out.clear();
        out.extend(texts.iter().map(|text| {
            let mut row = [0.01; Label::COUNT];
            if text.contains("free money") {
                row[Label::Spam.index()] = 0.97;
            }
            Scored {
                scores: Scores::new(row).unwrap(),
                windows: 1,
                ..Scored::default()
            }
        }));
        Ok(())
    }

    fn languages(&self, _: Tier) -> &[String] {
        &self.1
    }

    fn version(&self, _: Tier) -> &str {
        "fixed-1"
    }
}

fn event(text: &str) -> Event {
    Event {
        id: Some("e1".to_owned()),
        kind: EventKind::Created.into(),
        platform: Some("instagram".to_owned()),
        brand: Some("acme".to_owned()),
        channel: Channel::Comment.into(),
        author: Some(Author::default()),
        text: Some(text.to_owned()),
        created_at: Some(prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        }),
        ..Event::default()
    }
}

async fn score(client: &mut Client, event: Event) -> Result<Verdict, Status> {
    let answer = client
        .scoring
        .score(ScoreRequest { event: Some(event) })
        .await?;
    Ok(answer.into_inner().verdict.unwrap())
}

async fn with_models(server: ServerSection) -> (World, Client, Sender<()>) {
    let (hold, held) = channel();
    let policy = PolicyInForce::load(None).unwrap();
    let scorer = Some(ScorerHandle::spawn(Fixed(held, ["en".to_owned()]), policy).unwrap());
    let world = World::with(Making {
        scorer,
        server,
        ..Making::default()
    })
    .await;
    let sam = world.agent("sam", Role::Service, &[]).await;
    (world, sam, hold)
}

#[tokio::test]
async fn without_models_there_are_no_scores_and_the_answer_says_which_setting_gives_them() {
    let world = World::new().await;
    let mut sam = world.agent("sam", Role::Service, &[]).await;
    let status = score(&mut sam, event("hello")).await.unwrap_err();
    assert!(
        status.message().contains("model.mode"),
        "{}",
        status.message()
    );
    refused!(Err::<(), _>(status), Unimplemented, "NO_MODELS");
}

#[tokio::test]
async fn a_text_has_the_verdict_that_the_pipeline_would_give_it() {
    let (_world, mut sam, _hold) = with_models(ServerSection::default()).await;
    let verdict = score(&mut sam, event("how much is it?")).await.unwrap();
    assert_eq!(verdict.event_id, "e1");
    assert_eq!(verdict.model_version.as_deref(), Some("fixed-1"));
    assert!(verdict.scores.is_some() && verdict.source.is_none() && verdict.id.is_empty());
}

#[tokio::test]
async fn words_that_are_hidden_from_filters_are_read_as_a_person_reads_them() {
    let (_world, mut sam, _hold) = with_models(ServerSection::default()).await;
    for text in ["free money", "fr33 m0ney"] {
        let verdict = score(&mut sam, event(text)).await.unwrap();
        assert_eq!(verdict.action(), Action::Hide, "{text}");
    }
}

#[tokio::test]
async fn in_a_language_that_the_model_was_not_shown_in_a_person_looks_before_anything_is_hidden() {
    let (_world, mut sam, _hold) = with_models(ServerSection::default()).await;
    let in_language = |lang: &str| Event {
        lang: Some(lang.to_owned()),
        ..event("free money")
    };
    let verdict = score(&mut sam, in_language("en")).await.unwrap();
    assert_eq!(verdict.action(), Action::Hide);
    let verdict = score(&mut sam, in_language("sw")).await.unwrap();
    assert_eq!(verdict.action(), Action::Review);
}

#[tokio::test]
async fn what_cannot_be_scored_is_told_apart_from_a_model_that_fails() {
    let (_world, mut sam, _hold) = with_models(ServerSection::default()).await;
    refused!(
        score(&mut sam, event("")).await,
        InvalidArgument,
        "INVALID_FIELD"
    );
    let nameless = Event {
        brand: None,
        ..event("hello")
    };
    refused!(
        score(&mut sam, nameless).await,
        InvalidArgument,
        "INVALID_FIELD"
    );
    refused!(
        score(&mut sam, event("broken")).await,
        Unavailable,
        "MODEL_FAILED"
    );
    score(&mut sam, event("hello")).await.unwrap();
}

#[tokio::test]
async fn a_call_that_takes_longer_than_the_server_allows_is_deadline_exceeded() {
    let deadline = Duration::from_millis(200);
    let server = ServerSection {
        deadline,
        ..ServerSection::default()
    };
    let (_world, mut sam, hold) = with_models(server).await;
    let late = score(&mut sam, event("slow")).await;
    refused!(late, DeadlineExceeded, "DEADLINE_EXCEEDED");
    drop(hold);
    score(&mut sam, event("hello")).await.unwrap();
}
