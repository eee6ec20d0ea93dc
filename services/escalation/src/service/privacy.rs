//! PrivacyService: what is held about a person, and its erasure.

use tidegate_proto::escalation::v1::{
    Case, EraseSubjectRequest, EraseSubjectResponse, ExportSubjectRequest, ExportSubjectResponse,
    Subject, privacy_service_server::PrivacyService,
};
use tonic::{Request, Response, Status, async_trait};

use super::{Answers, Asked, Context, fault::Fault, read};

/// Cases that are read at a time.
const BATCH: usize = 100;

#[async_trait]
impl PrivacyService for Context {
    type ExportSubjectStream = Answers<ExportSubjectResponse>;

    async fn export_subject(
        &self,
        request: Request<ExportSubjectRequest>,
    ) -> Result<Response<Self::ExportSubjectStream>, Status> {
        let asked = Asked::of(request)?;
        let subject = given(asked.message.subject.clone())?;
        let held = self.limits.stream(&asked.caller().agent)?;
        let caller = asked.caller().clone();
        let start = (String::new(), Vec::<Case>::new());
        let context = self.clone();
        let cases = futures_util::stream::try_unfold(start, move |(mut after, mut cases)| {
            let _ = &held;
            let (context, caller, subject) = (context.clone(), caller.clone(), subject.clone());
            async move {
                if cases.is_empty() {
                    if context.stop.is_cancelled() {
                        return Err(super::watch::stopping());
                    }
                    cases = context
                        .store
                        .export_subject(&caller, &subject, &after, BATCH)
                        .await?;
                    cases.reverse();
                }
                let Some(case) = cases.pop() else {
                    return Ok(None);
                };
                after.clone_from(&case.name);
                let answer = ExportSubjectResponse { case: Some(case) };
                Ok(Some((answer, (after, cases))))
            }
        });
        Ok(Response::new(Box::pin(cases)))
    }

    async fn erase_subject(
        &self,
        request: Request<EraseSubjectRequest>,
    ) -> Result<Response<EraseSubjectResponse>, Status> {
        let asked = Asked::of(request)?;
        read::request_id(&asked.message.request_id)?;
        let subject = given(asked.message.subject.clone())?;
        let receipt = self
            .store
            .erase_subject(asked.caller(), &subject, &asked.message.request_id)
            .await?;
        Ok(Response::new(EraseSubjectResponse {
            receipt: Some(receipt),
        }))
    }
}

fn given(subject: Option<Subject>) -> Result<Subject, Status> {
    let subject = subject.unwrap_or_default();
    for (field, text) in [
        ("subject.platform", &subject.platform),
        ("subject.author_id", &subject.author_id),
    ] {
        if text.is_empty() {
            return Err(Fault::field(field, "is required").into());
        }
    }
    Ok(subject)
}
