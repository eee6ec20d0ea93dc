//! Answers that are kept for repeated request ids.

use std::collections::HashMap;

use prost::Message;

use super::Unit;
use crate::{
    error::{Refusal, StoreError},
    store::{
        columns::decode,
        sql::{Bind, Sql, get},
    },
};

/// A request that may come again.
pub(crate) struct Request<'a> {
    pub(crate) caller: &'a str,
    pub(crate) id: &'a str,
    /// Of method and content.
    pub(crate) hash: [u8; 32],
}

/// What a request id got.
struct Reply {
    request_hash: Vec<u8>,
    answer: Vec<u8>,
}

/// The answers that a transaction has read or made.
#[derive(Default)]
pub(super) struct Replies {
    /// By caller and request id; none where there is none yet.
    known: HashMap<(String, String), Option<Reply>>,
    /// To be put in at the end.
    pub(super) rows: Vec<Vec<Bind>>,
}

impl Unit {
    /// Reads at once the answers that many jobs look for.
    pub(super) async fn replies_ahead(
        &mut self,
        requests: &[(&str, &str)],
    ) -> Result<(), StoreError> {
        if requests.is_empty() {
            return Ok(());
        }
        let mut sql = Sql::new(
            "SELECT caller, request_id, request_hash, answer FROM replies WHERE \
             (caller,request_id) IN (VALUES ",
        );
        let pairs =
            super::padded(requests).map(|(caller, id)| vec![(*caller).into(), (*id).into()]);
        sql.rows(pairs).text(")");
        for row in self.read(&sql).await? {
            let reply = Reply {
                request_hash: get(&row, 2)?,
                answer: get(&row, 3)?,
            };
            let key = (get(&row, 0)?, get(&row, 1)?);
            self.replies.known.insert(key, Some(reply));
        }
        for (caller, id) in requests {
            let key = ((*caller).to_owned(), (*id).to_owned());
            self.replies.known.entry(key).or_insert(None);
        }
        Ok(())
    }

    /// The answer that a request id got before.
    pub(crate) async fn reply<M: Message + Default>(
        &mut self,
        request: &Request<'_>,
    ) -> Result<Option<M>, StoreError> {
        if request.id.is_empty() {
            return Ok(None);
        }
        let key = (request.caller.to_owned(), request.id.to_owned());
        if !self.replies.known.contains_key(&key) {
            self.replies_ahead(&[(request.caller, request.id)]).await?;
        }
        match self.replies.known.get(&key).and_then(Option::as_ref) {
            None => Ok(None),
            Some(reply) if reply.request_hash != request.hash => {
                Err(Refusal::RequestIdReused.into())
            }
            Some(reply) => decode(&reply.answer).map(Some),
        }
    }

    /// Keeps the answer of a request id; `num`: the case that it shows, or 0.
    pub(crate) fn keep_reply(&mut self, request: &Request<'_>, answer: &impl Message, num: i64) {
        if request.id.is_empty() {
            return;
        }
        self.written += 1;
        let answer = answer.encode_to_vec();
        self.replies.rows.push(vec![
            request.caller.into(),
            request.id.into(),
            request.hash.to_vec().into(),
            answer.clone().into(),
            num.into(),
            self.now.into(),
        ]);
        self.replies.known.insert(
            (request.caller.to_owned(), request.id.to_owned()),
            Some(Reply {
                request_hash: request.hash.to_vec(),
                answer,
            }),
        );
    }

    /// Forgets answers that were read or kept: some are being erased.
    pub(crate) fn forget_replies(&mut self) {
        self.replies.known.clear();
    }
}
