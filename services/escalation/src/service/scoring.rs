//! ScoringService: verdicts for callers that want one now, by the models and the policy of the
//! pipeline.
//!
//! One thread owns the models. Calls wait for it in a bounded queue, and those that wait together
//! are scored together.

use std::{
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread,
    time::Duration,
};

use prost::Message as _;
use tidegate_classifier::{Scored, score_readings};
use tidegate_core::{
    decode::{DecodeOptions, Decoded, Format, HeaderLookup, Incoming, decode},
    ids::Source,
    normalize::normalize,
};
use tidegate_moderator::{language::judge, pipeline::Scorer, policy_file::PolicyInForce};
use tidegate_proto::{
    escalation::v1::{ScoreRequest, ScoreResponse, scoring_service_server::ScoringService},
    events::v1::{Event, Verdict},
};
use tokio::sync::oneshot;
use tonic::{Code, Request, Response, Status, async_trait};

use super::{Asked, Context, fault::Fault};

/// Calls that wait for the models.
const WAITING: usize = 256;
/// Calls that are scored together.
const TOGETHER: usize = 32;

struct Job {
    event: Event,
    answer: oneshot::Sender<Result<Verdict, Fault>>,
}

/// Where the models' thread takes its work from. Clones lead to the same thread, which ends with
/// the last of them.
#[derive(Clone)]
pub struct ScorerHandle(SyncSender<Job>);

impl ScorerHandle {
    /// Starts a thread that scores with `scorer` under whatever policy is in force.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub fn spawn(
        scorer: impl Scorer + Send + 'static,
        policy: PolicyInForce,
    ) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel(WAITING);
        thread::Builder::new()
            .name("scoring".to_owned())
            .spawn(move || work(scorer, &policy, &waiting))?;
        Ok(Self(jobs))
    }
}

#[async_trait]
impl ScoringService for Context {
    async fn score(
        &self,
        request: Request<ScoreRequest>,
    ) -> Result<Response<ScoreResponse>, Status> {
        let asked = Asked::of(request)?;
        let event = asked.message.event.unwrap_or_default();
        if event.text.as_deref().is_none_or(str::is_empty) {
            return Err(Fault::field("event.text", "is required").into());
        }
        let Some(scorer) = &self.scorer else {
            return Err(Fault::new(
                Code::Unimplemented,
                "NO_MODELS",
                "this service runs without models: set model.mode to have scores",
            )
            .into());
        };
        let (answer, answered) = oneshot::channel();
        scorer
            .0
            .try_send(Job { event, answer })
            .map_err(|error| match error {
                TrySendError::Full(_) => Fault::new(
                    Code::Unavailable,
                    "SCORING_BUSY",
                    "too many texts wait for their scores: try again",
                )
                .retry_after(Duration::from_millis(200)),
                TrySendError::Disconnected(_) => gone(),
            })?;
        let verdict = answered.await.map_err(|_| gone())??;
        Ok(Response::new(ScoreResponse {
            verdict: Some(verdict),
        }))
    }
}

fn gone() -> Fault {
    Fault::new(
        Code::Unavailable,
        "SCORING_ENDED",
        "the models have ended: another process may have some",
    )
}

fn work(mut scorer: impl Scorer, policy: &PolicyInForce, waiting: &Receiver<Job>) {
    let mut scored = Vec::new();
    while let Ok(first) = waiting.recv() {
        let jobs: Vec<Job> = std::iter::once(first)
            .chain(waiting.try_iter().take(TOGETHER - 1))
            // Whoever no longer waits costs nothing.
            .filter(|job| !job.answer.is_closed())
            .collect();
        answer(&mut scorer, policy, jobs, &mut scored);
    }
}

/// Scores what can be scored in one go, and answers each.
fn answer(
    scorer: &mut impl Scorer,
    policy: &PolicyInForce,
    jobs: Vec<Job>,
    scored: &mut Vec<Scored>,
) {
    let encoded: Vec<Vec<u8>> = jobs.iter().map(|job| job.event.encode_to_vec()).collect();
    let decoded: Vec<_> = encoded.iter().map(|bytes| read(bytes)).collect();
    let texts: Vec<_> = decoded
        .iter()
        .map(|event| event.as_ref().ok().map(|event| normalize(&event.text)))
        .collect();
    let scorable = || texts.iter().flatten();
    let failed = score_readings(scorable(), scored, |texts, out| scorer.score(texts, out)).err();
    if let Some(error) = &failed {
        tracing::error!(%error, texts = scorable().count(), "the model failed");
    }
    let policy = policy.get();
    let mut scores = scored.iter();
    for ((job, event), text) in jobs.into_iter().zip(&decoded).zip(&texts) {
        let verdict = match (event, text) {
            (Err(detail), _) => Err(Fault::field("event", detail.clone())),
            _ if failed.is_some() => Err(Fault::new(
                Code::Unavailable,
                "MODEL_FAILED",
                "the model failed on this text: a person must look at it",
            )),
            (Ok(event), Some(text)) => {
                let scored = scores.next();
                let shown = scored.map_or(&[][..], |scored| scorer.languages(scored.tier));
                let by_model = scored.map(|it| it.by_model(scorer.version(it.tier)));
                let mut bytes = Vec::new();
                let source = Source {
                    topic: "",
                    partition: 0,
                    offset: 0,
                };
                let verdict = judge(event, text, by_model, shown, &policy, source);
                tidegate_proto::encode_verdict(&verdict, &mut bytes);
                Verdict::decode(&*bytes).map_err(|_| gone()).map(published)
            }
            (Ok(_), None) => Err(gone()),
        };
        // Nobody waits any more.
        job.answer.send(verdict).ok();
    }
}

/// A verdict that no record stands behind has no place and no id.
fn published(mut verdict: Verdict) -> Verdict {
    verdict.source = None;
    verdict.id = String::new();
    verdict
}

/// A message that came without a record around it.
struct NoHeaders;

impl HeaderLookup for NoHeaders {
    fn get(&self, _: &str) -> Option<&[u8]> {
        None
    }
}

/// The event as the pipeline reads it, or what is wrong with it.
fn read(bytes: &[u8]) -> Result<tidegate_core::Event<'_>, String> {
    let record = Incoming {
        payload: Some(bytes),
        key: None,
        timestamp_ms: None,
    };
    let options = DecodeOptions {
        default_format: Format::Protobuf,
        default_channel: None,
    };
    match decode(record, &NoHeaders, &options, tidegate_proto::decode_event) {
        Ok(Decoded::Event(event)) => Ok(event),
        Ok(Decoded::Withdrawal(_)) => Err("is a withdrawal: there is nothing to score".to_owned()),
        Err(rejection) => Err(format!("cannot be scored: {}", rejection.detail)),
    }
}
