//! QueueService: the queues, what stands in them, and how they work.

use tidegate_proto::escalation::v1::{
    GetQueueRequest, GetQueueResponse, ListQueuesRequest, ListQueuesResponse, UpdateQueueRequest,
    UpdateQueueResponse, queue_service_server::QueueService,
};
use tonic::{Request, Response, Status, async_trait};

use super::{Asked, Context, fault::Fault, read};
use crate::{StoreError, store::Page};

#[async_trait]
impl QueueService for Context {
    async fn get_queue(
        &self,
        request: Request<GetQueueRequest>,
    ) -> Result<Response<GetQueueResponse>, Status> {
        let asked = Asked::of(request)?;
        let name = &asked.message.name;
        read::name("name", name, "queues")?;
        let queue = self.store.queue_get(asked.caller(), name).await?;
        Ok(Response::new(GetQueueResponse { queue: Some(queue) }))
    }

    async fn list_queues(
        &self,
        request: Request<ListQueuesRequest>,
    ) -> Result<Response<ListQueuesResponse>, Status> {
        let asked = Asked::of(request)?;
        let message = &asked.message;
        let page = Page::new(message.page_size, &message.page_token).map_err(StoreError::from)?;
        let (queues, next) = self.store.queue_list(asked.caller(), page).await?;
        Ok(Response::new(ListQueuesResponse {
            queues,
            next_page_token: next.map_or_else(String::new, |token| token.0),
        }))
    }

    async fn update_queue(
        &self,
        request: Request<UpdateQueueRequest>,
    ) -> Result<Response<UpdateQueueResponse>, Status> {
        let asked = Asked::of(request)?;
        let message = &asked.message;
        read::request_id(&message.request_id)?;
        let Some(queue) = &message.queue else {
            return Err(Fault::field("queue", "is required").into());
        };
        read::name("queue.name", &queue.name, "queues")?;
        read::optional_name("queue.breach_queue", &queue.breach_queue, "queues")?;
        let caller = asked.caller().clone();
        let queue = self.store.queue_update(&caller, asked.message).await?;
        Ok(Response::new(UpdateQueueResponse { queue: Some(queue) }))
    }
}
