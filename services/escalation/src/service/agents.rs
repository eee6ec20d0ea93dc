//! AgentService: who may do what.

use tidegate_proto::escalation::v1::{
    Agent, GetAgentRequest, GetAgentResponse, ListAgentsRequest, ListAgentsResponse, Role,
    RotateTokenRequest, RotateTokenResponse, UpdateAgentRequest, UpdateAgentResponse,
    agent_service_server::AgentService,
};
use tonic::{Code, Request, Response, Status, async_trait};

use super::{Asked, Context, fault::Fault, read};
use crate::{Caller, Granted, StoreError, auth::token, store::Page};

#[async_trait]
impl AgentService for Context {
    async fn get_agent(
        &self,
        request: Request<GetAgentRequest>,
    ) -> Result<Response<GetAgentResponse>, Status> {
        let asked = Asked::of(request)?;
        let (caller, name) = (asked.caller(), &asked.message.name);
        read::name("name", name, "agents")?;
        let own = name == "agents/me" || *name == caller.agent;
        let name = if own { &caller.agent } else { name };
        if !own && !matches!(caller.role, Role::Lead | Role::Admin) {
            return Err(Fault::new(
                Code::PermissionDenied,
                "NOT_YOURSELF",
                "only leads and admins see other agents; `agents/me` is you",
            )
            .into());
        }
        let agent = if asked.identity.is_bootstrap() {
            // It has no record.
            described(caller)
        } else {
            self.store.agent_get(name).await?
        };
        Ok(Response::new(GetAgentResponse { agent: Some(agent) }))
    }

    async fn list_agents(
        &self,
        request: Request<ListAgentsRequest>,
    ) -> Result<Response<ListAgentsResponse>, Status> {
        let message = Asked::of(request)?.message;
        let page = Page::new(message.page_size, &message.page_token).map_err(StoreError::from)?;
        let (agents, next) = self.store.agent_list(page).await?;
        Ok(Response::new(ListAgentsResponse {
            agents,
            next_page_token: next.map_or_else(String::new, |token| token.0),
        }))
    }

    async fn update_agent(
        &self,
        request: Request<UpdateAgentRequest>,
    ) -> Result<Response<UpdateAgentResponse>, Status> {
        let asked = Asked::of(request)?;
        let message = &asked.message;
        read::request_id(&message.request_id)?;
        let Some(agent) = &message.agent else {
            return Err(Fault::field("agent", "is required").into());
        };
        read::name("agent.name", &agent.name, "agents")?;
        if agent.name == "agents/me" {
            return Err(Fault::field("agent.name", "`agents/me` is whoever calls").into());
        }
        read::one_of::<Role>("agent.role", agent.role)?;
        for queue in &agent.queues {
            read::name("agent.queues", queue, "queues")?;
        }
        let caller = asked.caller().clone();
        let agent = self.store.agent_update(&caller, asked.message).await;
        // Whether or not it worked: an answer that was lost may have been a change.
        self.callers.forget();
        Ok(Response::new(UpdateAgentResponse {
            agent: Some(agent?),
        }))
    }

    async fn rotate_token(
        &self,
        request: Request<RotateTokenRequest>,
    ) -> Result<Response<RotateTokenResponse>, Status> {
        let asked = Asked::of(request)?;
        let name = &asked.message.name;
        read::name("name", name, "agents")?;
        let token = token::generate()
            .map_err(|error| Fault::new(Code::Internal, "NO_RANDOMNESS", error.to_string()))?;
        let hash = token::hash(&token);
        let rotated = self
            .store
            .agent_rotate_token(asked.caller(), name, &hash)
            .await;
        self.callers.forget();
        rotated?;
        Ok(Response::new(RotateTokenResponse { token }))
    }
}

fn described(caller: &Caller) -> Agent {
    Agent {
        name: caller.agent.clone(),
        role: caller.role.into(),
        queues: match &caller.queues {
            Granted::All => vec!["queues/-".to_owned()],
            Granted::Some(queues) => queues.clone(),
        },
        languages: caller.languages.clone(),
        pseudonym: caller.pseudonym.clone(),
        ..Agent::default()
    }
}
