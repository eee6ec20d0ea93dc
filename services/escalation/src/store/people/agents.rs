//! Agents: their roles and grants, and their tokens.

use serde_json::{Value, json};
use tidegate_proto::escalation::v1::{Agent, Role, UpdateAgentRequest};

use super::{Record, Upsert, all, find, hash_of, name_and_etag, named, note, page_of};
use crate::{
    caller::Caller,
    error::{Refusal, StoreError},
    queue::check_name,
    store::{
        Store,
        columns::decode,
        page::{Page, PageToken},
        sql::{Bind, Sql, get},
        unit::Unit,
        writer::Job,
    },
};

impl Store {
    /// An agent.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn agent_get(&self, agent: &str) -> Result<Agent, StoreError> {
        let found = find(&self.database.readers, agent).await?;
        found.ok_or_else(|| Agent::missing(agent).into())
    }

    /// One page of the agents.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn agent_list(
        &self,
        page: Page,
    ) -> Result<(Vec<Agent>, Option<PageToken>), StoreError> {
        let agents = all(&self.database.readers).await?;
        Ok(page_of(agents, Agent::TABLE, &page)?)
    }

    /// Makes an agent or changes it.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn agent_update(
        &self,
        caller: &Caller,
        request: UpdateAgentRequest,
    ) -> Result<Agent, StoreError> {
        let change = Upsert {
            caller: caller.clone(),
            hash: hash_of(Agent::KIND, &request),
            wanted: request.agent.unwrap_or_default(),
            mask: request.update_mask,
            allow_missing: request.allow_missing,
            request_id: request.request_id,
        };
        self.writer.run(change).await
    }

    /// Keeps the hash (SHA-256) of an agent's new token; earlier tokens end.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn agent_rotate_token(
        &self,
        caller: &Caller,
        agent: &str,
        token_hash: &[u8],
    ) -> Result<(), StoreError> {
        let job = RotateToken {
            caller: caller.clone(),
            agent: agent.to_owned(),
            token_hash: token_hash.to_vec(),
        };
        self.writer.run(job).await
    }

    /// The agent whose token has this hash (SHA-256), disabled or not.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn agent_by_token_hash(
        &self,
        token_hash: &[u8],
    ) -> Result<Option<Agent>, StoreError> {
        if token_hash.is_empty() {
            return Ok(None);
        }
        let mut sql = Sql::new("SELECT body FROM agents WHERE token_hash=");
        sql.bind(token_hash);
        let query = sql.query().fetch_optional(&self.database.readers);
        let row = query.await?;
        row.map(|row| decode(get(&row, 0)?)).transpose()
    }
}

impl Record for Agent {
    const TABLE: &'static str = "agents";
    const KIND: &'static str = "agent";
    const NAME: &'static str = "agent.name";
    const FIELDS: &'static [&'static str] =
        &["role", "queues", "languages", "pseudonym", "disabled"];

    name_and_etag!();

    fn take(&mut self, field: &str, from: &Self) {
        match field {
            "role" => self.role = from.role,
            "queues" => self.queues.clone_from(&from.queues),
            "languages" => self.languages.clone_from(&from.languages),
            "pseudonym" => self.pseudonym.clone_from(&from.pseudonym),
            "disabled" => self.disabled = from.disabled,
            other => debug_assert!(false, "{other} is no field"),
        }
    }

    fn json(&self) -> Value {
        json!({
            "role": self.role().as_str_name(),
            "queues": self.queues,
            "languages": self.languages,
            "pseudonym": self.pseudonym,
            "disabled": self.disabled,
            "etag": self.etag,
        })
    }

    /// Who may see agents is the service's to say.
    fn seen_by(&self, _: &Caller) -> bool {
        true
    }

    async fn check(&self, _: &mut Unit) -> Result<(), StoreError> {
        Ok(check_agent(self)?)
    }

    /// Without a token at first.
    fn beside() -> Vec<(&'static str, Bind)> {
        vec![("token_hash", Vec::<u8>::new().into())]
    }

    fn missing(name: &str) -> Refusal {
        Refusal::AgentNotFound {
            agent: name.to_owned(),
        }
    }
}

fn check_agent(agent: &Agent) -> Result<(), Refusal> {
    if matches!(Role::try_from(agent.role), Err(_) | Ok(Role::Unspecified)) {
        return Err(Refusal::Required { field: "role" });
    }
    for queue in agent.queues.iter().filter(|queue| *queue != "queues/-") {
        check_name("queues", "queues/", queue)?;
    }
    let code = |text: &String| {
        (2..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    if let Some(wrong) = agent.languages.iter().find(|text| !code(text)) {
        return Err(Refusal::Invalid {
            field: "languages",
            problem: format!("{wrong:?} is no code of ISO 639, such as en"),
        });
    }
    if agent.pseudonym.len() > 64 {
        return Err(Refusal::TooLong {
            field: "pseudonym",
            limit: 64,
        });
    }
    Ok(())
}

/// A new token of an agent.
struct RotateToken {
    caller: Caller,
    agent: String,
    token_hash: Vec<u8>,
}

impl Job for RotateToken {
    type Answer = ();

    async fn run(&self, unit: &mut Unit) -> Result<(), StoreError> {
        if named::<Agent>(unit, &self.agent).await?.is_none() {
            return Err(Agent::missing(&self.agent).into());
        }
        let mut sql = Sql::new("UPDATE agents SET token_hash=");
        sql.bind(self.token_hash.clone())
            .text(" WHERE name=")
            .bind(&self.agent);
        unit.write(&sql).await?;
        let nothing = || Value::Null;
        note(
            unit,
            &self.caller,
            "agent.rotate_token",
            &self.agent,
            nothing(),
            nothing(),
        );
        Ok(())
    }
}
