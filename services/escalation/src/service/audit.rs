//! AuditService: the record of everything that was done.

use tidegate_proto::escalation::v1::{
    AuditEntry, ExportAuditRequest, ExportAuditResponse, ListAuditEntriesRequest,
    ListAuditEntriesResponse, VerifyAuditRequest, VerifyAuditResponse,
    audit_service_server::AuditService,
};
use tonic::{Request, Response, Status, async_trait};

use super::{Answers, Asked, Context, fault::Fault};
use crate::{Filter, StoreError, store::Page};

/// Entries that are read at a time.
const BATCH: usize = 500;

#[async_trait]
impl AuditService for Context {
    type ExportAuditStream = Answers<ExportAuditResponse>;

    async fn list_audit_entries(
        &self,
        request: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        let asked = Asked::of(request)?;
        let message = &asked.message;
        let filter = Filter::audit(&message.filter).map_err(StoreError::from)?;
        let page = Page::new(message.page_size, &message.page_token).map_err(StoreError::from)?;
        let (entries, next) = self.store.audit_list(asked.caller(), &filter, page).await?;
        Ok(Response::new(ListAuditEntriesResponse {
            entries,
            next_page_token: next.map_or_else(String::new, |token| token.0),
        }))
    }

    async fn export_audit(
        &self,
        request: Request<ExportAuditRequest>,
    ) -> Result<Response<Self::ExportAuditStream>, Status> {
        let asked = Asked::of(request)?;
        let from = asked.message.from_sequence;
        if from < 0 {
            return Err(Fault::field("from_sequence", "must not be negative").into());
        }
        let held = self.limits.stream(&asked.caller().agent)?;
        let caller = asked.caller().clone();
        let start = (self.clone(), caller, from, Vec::<AuditEntry>::new(), held);
        let entries = futures_util::stream::try_unfold(start, async |state| {
            let (context, caller, mut from, mut entries, held) = state;
            if entries.is_empty() {
                // An answer after the end would keep a stopping process waiting.
                if context.stop.is_cancelled() {
                    return Err(super::watch::stopping());
                }
                entries = context.store.audit_export(&caller, from, BATCH).await?;
                entries.reverse();
            }
            let Some(entry) = entries.pop() else {
                return Ok(None);
            };
            from = entry.sequence + 1;
            let answer = ExportAuditResponse { entry: Some(entry) };
            Ok(Some((answer, (context, caller, from, entries, held))))
        });
        Ok(Response::new(Box::pin(entries)))
    }

    async fn verify_audit(
        &self,
        request: Request<VerifyAuditRequest>,
    ) -> Result<Response<VerifyAuditResponse>, Status> {
        let known = Asked::of(request)?.message.known_hash;
        if !matches!(known.len(), 0 | 32) {
            return Err(Fault::field("known_hash", "must have 32 bytes").into());
        }
        Ok(Response::new(self.store.audit_verify(&known).await?))
    }
}
