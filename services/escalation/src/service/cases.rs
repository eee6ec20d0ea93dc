//! CaseService: cases from their opening to their decision.

use std::time::{Duration, Instant};

use tidegate_proto::{
    escalation::v1::{
        AddNoteRequest, AddNoteResponse, AssignCaseRequest, AssignCaseResponse, Case,
        ClaimCaseRequest, ClaimCaseResponse, CountCasesRequest, CountCasesResponse,
        CreateCaseRequest, CreateCaseResponse, DecideAppealRequest, DecideAppealResponse,
        GetCaseRequest, GetCaseResponse, HeartbeatCaseRequest, HeartbeatCaseResponse,
        HoldCaseRequest, HoldCaseResponse, ListCasesRequest, ListCasesResponse, OpenAppealRequest,
        OpenAppealResponse, Outcome, ReleaseCaseRequest, ReleaseCaseResponse, ResolveCaseRequest,
        ResolveCaseResponse, WatchCasesRequest, WatchCasesResponse,
        case_service_server::CaseService,
    },
    events::v1::{Channel, Label, Priority},
};
use tonic::{Request, Response, Status, async_trait};

use super::{Answers, Asked, Context, fault::Fault, read, watch};
use crate::{
    Act, Caller, Filter, StoreError, metrics,
    server::deadline::LONGEST_WAIT,
    store::{Order, Page},
    times,
};

/// What is left of a deadline for the answer itself.
const ANSWER: Duration = Duration::from_millis(200);

impl Context {
    async fn act(
        &self,
        caller: &Caller,
        name: &str,
        act: Act,
        etag: &str,
        request_id: &str,
    ) -> Result<Case, Status> {
        read::name("name", name, "cases")?;
        read::request_id(request_id)?;
        Ok(self.store.act(caller, name, act, etag, request_id).await?)
    }

    /// Whether something was done at `time` or only told again: answers to a repeated request id
    /// must not be counted twice.
    fn is_new(&self, time: Option<&prost_types::Timestamp>, since_ms: i64) -> bool {
        times::millis_of(time).is_some_and(|at| at >= since_ms)
    }

    /// The next case, waiting for one to come if need be.
    async fn next_case(
        &self,
        asked: &Asked<ClaimCaseRequest>,
        wait: Duration,
    ) -> Result<Option<Case>, Status> {
        let request = &asked.message;
        let mut until = Instant::now() + wait;
        if let Some(deadline) = asked.deadline {
            until = until.min(deadline.checked_sub(ANSWER).unwrap_or(deadline));
        }
        let mut newest = self.store.newest();
        loop {
            newest.borrow_and_update();
            let claimed = self
                .store
                .claim_next(asked.caller(), &request.queues, &request.request_id)
                .await?;
            let left = until.saturating_duration_since(Instant::now());
            if claimed.is_some() || left.is_zero() {
                return Ok(claimed);
            }
            tokio::select! {
                // What this process writes wakes it; what others write it finds by looking.
                changed = newest.changed() => {
                    if changed.is_err() {
                        return Ok(None);
                    }
                }
                () = tokio::time::sleep(left.min(self.watch.poll)) => {}
                () = self.stop.cancelled() => return Ok(None),
            }
        }
    }
}

#[async_trait]
impl CaseService for Context {
    type WatchCasesStream = Answers<WatchCasesResponse>;

    async fn create_case(
        &self,
        request: Request<CreateCaseRequest>,
    ) -> Result<Response<CreateCaseResponse>, Status> {
        let asked = Asked::of(request)?;
        let message = &asked.message;
        read::name("queue", &message.queue, "queues")?;
        read::request_id(&message.request_id)?;
        read::one_of::<Priority>("priority", message.priority)?;
        let Some(event) = &message.event else {
            return Err(Fault::field("event", "is required").into());
        };
        read::required::<Channel>("event.channel", event.channel)?;
        if let Some(time) = event.event_time {
            read::time("event.event_time", Some(time))?;
        }
        let caller = asked.caller().clone();
        let case = self.store.create(&caller, asked.message).await?;
        Ok(Response::new(CreateCaseResponse { case: Some(case) }))
    }

    async fn get_case(
        &self,
        request: Request<GetCaseRequest>,
    ) -> Result<Response<GetCaseResponse>, Status> {
        let asked = Asked::of(request)?;
        read::name("name", &asked.message.name, "cases")?;
        let case = self.store.get(asked.caller(), &asked.message.name).await?;
        Ok(Response::new(GetCaseResponse { case: Some(case) }))
    }

    async fn list_cases(
        &self,
        request: Request<ListCasesRequest>,
    ) -> Result<Response<ListCasesResponse>, Status> {
        let asked = Asked::of(request)?;
        let message = &asked.message;
        let filter = filter(&message.filter)?;
        let order = Order::parse(&message.order_by).map_err(StoreError::from)?;
        let page = Page::new(message.page_size, &message.page_token).map_err(StoreError::from)?;
        let (cases, next) = self
            .store
            .list(asked.caller(), &filter, order, page)
            .await?;
        Ok(Response::new(ListCasesResponse {
            cases,
            next_page_token: next.map_or_else(String::new, |token| token.0),
        }))
    }

    async fn count_cases(
        &self,
        request: Request<CountCasesRequest>,
    ) -> Result<Response<CountCasesResponse>, Status> {
        let asked = Asked::of(request)?;
        let filter = filter(&asked.message.filter)?;
        let count = self.store.count(asked.caller(), &filter).await?;
        Ok(Response::new(CountCasesResponse { count }))
    }

    async fn watch_cases(
        &self,
        request: Request<WatchCasesRequest>,
    ) -> Result<Response<Self::WatchCasesStream>, Status> {
        let asked = Asked::of(request)?;
        let filter = filter(&asked.message.filter)?;
        let stream = watch::stream(self.clone(), asked, filter).await?;
        Ok(Response::new(stream))
    }

    async fn claim_case(
        &self,
        request: Request<ClaimCaseRequest>,
    ) -> Result<Response<ClaimCaseResponse>, Status> {
        let asked = Asked::of(request)?;
        let message = &asked.message;
        let wait = read::span("wait", message.wait, LONGEST_WAIT)?;
        read::request_id(&message.request_id)?;
        for queue in &message.queues {
            read::name("queues", queue, "queues")?;
        }
        let since_ms = (self.clock)();
        let case = if message.name.is_empty() {
            self.next_case(&asked, wait).await?
        } else {
            if !message.queues.is_empty() || !wait.is_zero() {
                return Err(Fault::field("name", "goes neither with queues nor with wait").into());
            }
            let (name, id) = (&message.name, &message.request_id);
            Some(self.act(asked.caller(), name, Act::Claim, "", id).await?)
        };
        if let Some(case) = &case
            && self.is_new(case.last_claim_time.as_ref(), since_ms)
        {
            metrics::claimed(case);
        }
        Ok(Response::new(ClaimCaseResponse { case }))
    }

    async fn heartbeat_case(
        &self,
        request: Request<HeartbeatCaseRequest>,
    ) -> Result<Response<HeartbeatCaseResponse>, Status> {
        let asked = Asked::of(request)?;
        let name = &asked.message.name;
        let case = self
            .act(asked.caller(), name, Act::Heartbeat, "", "")
            .await?;
        Ok(Response::new(HeartbeatCaseResponse { lease: case.lease }))
    }

    async fn release_case(
        &self,
        request: Request<ReleaseCaseRequest>,
    ) -> Result<Response<ReleaseCaseResponse>, Status> {
        let (caller, message) = Asked::of(request)?.into_parts();
        let act = Act::Release {
            skip: message.skip,
            reason: message.reason,
        };
        let case = self
            .act(&caller, &message.name, act, "", &message.request_id)
            .await?;
        Ok(Response::new(ReleaseCaseResponse { case: Some(case) }))
    }

    async fn hold_case(
        &self,
        request: Request<HoldCaseRequest>,
    ) -> Result<Response<HoldCaseResponse>, Status> {
        let (caller, message) = Asked::of(request)?.into_parts();
        let act = Act::Hold {
            reason: message.reason,
            return_ms: read::time("return_time", message.return_time)?,
        };
        let (name, etag) = (&message.name, &message.etag);
        let case = self
            .act(&caller, name, act, etag, &message.request_id)
            .await?;
        Ok(Response::new(HoldCaseResponse { case: Some(case) }))
    }

    async fn assign_case(
        &self,
        request: Request<AssignCaseRequest>,
    ) -> Result<Response<AssignCaseResponse>, Status> {
        let (caller, message) = Asked::of(request)?.into_parts();
        read::optional_name("agent", &message.agent, "agents")?;
        read::optional_name("queue", &message.queue, "queues")?;
        let act = Act::Assign {
            agent: message.agent,
            queue: message.queue,
            reason: message.reason,
        };
        let (name, etag) = (&message.name, &message.etag);
        let case = self
            .act(&caller, name, act, etag, &message.request_id)
            .await?;
        Ok(Response::new(AssignCaseResponse { case: Some(case) }))
    }

    async fn add_note(
        &self,
        request: Request<AddNoteRequest>,
    ) -> Result<Response<AddNoteResponse>, Status> {
        let (caller, message) = Asked::of(request)?.into_parts();
        let act = Act::Note { text: message.text };
        let case = self
            .act(&caller, &message.name, act, "", &message.request_id)
            .await?;
        Ok(Response::new(AddNoteResponse { case: Some(case) }))
    }

    async fn resolve_case(
        &self,
        request: Request<ResolveCaseRequest>,
    ) -> Result<Response<ResolveCaseResponse>, Status> {
        let (caller, message) = Asked::of(request)?.into_parts();
        let act = Act::Resolve {
            outcome: read::required("outcome", message.outcome)?,
            labels: read::each("labels", &message.labels)?,
            comment: message.comment,
        };
        let since_ms = (self.clock)();
        let (name, etag) = (&message.name, &message.etag);
        let case = self
            .act(&caller, name, act, etag, &message.request_id)
            .await?;
        let decision = case.decisions.last();
        if self.is_new(decision.and_then(|one| one.decide_time.as_ref()), since_ms) {
            metrics::decided(&case);
        }
        Ok(Response::new(ResolveCaseResponse { case: Some(case) }))
    }

    async fn open_appeal(
        &self,
        request: Request<OpenAppealRequest>,
    ) -> Result<Response<OpenAppealResponse>, Status> {
        let (caller, message) = Asked::of(request)?.into_parts();
        let act = Act::OpenAppeal {
            reason: message.reason,
        };
        let case = self
            .act(&caller, &message.name, act, "", &message.request_id)
            .await?;
        Ok(Response::new(OpenAppealResponse { case: Some(case) }))
    }

    async fn decide_appeal(
        &self,
        request: Request<DecideAppealRequest>,
    ) -> Result<Response<DecideAppealResponse>, Status> {
        let (caller, message) = Asked::of(request)?.into_parts();
        let (outcome, labels) = if message.overturn {
            (
                read::required("outcome", message.outcome)?,
                read::each("labels", &message.labels)?,
            )
        } else {
            upheld(&message)?
        };
        let act = Act::DecideAppeal {
            overturn: message.overturn,
            outcome,
            labels,
            comment: message.comment,
        };
        let since_ms = (self.clock)();
        let (name, etag) = (&message.name, &message.etag);
        let case = self
            .act(&caller, name, act, etag, &message.request_id)
            .await?;
        let decision = case
            .appeal
            .as_ref()
            .and_then(|appeal| appeal.decision.as_ref());
        if self.is_new(decision.and_then(|one| one.decide_time.as_ref()), since_ms) {
            metrics::appeal_decided(message.overturn);
        }
        Ok(Response::new(DecideAppealResponse { case: Some(case) }))
    }
}

/// A decision that stands names no other one.
fn upheld(message: &DecideAppealRequest) -> Result<(Outcome, Vec<Label>), Status> {
    if message.outcome != 0 || !message.labels.is_empty() {
        let what = "goes only with overturn: otherwise the decision stands";
        return Err(Fault::field("outcome", what).into());
    }
    Ok((Outcome::Unspecified, Vec::new()))
}

fn filter(text: &str) -> Result<Filter, Status> {
    Ok(Filter::cases(text).map_err(StoreError::from)?)
}
