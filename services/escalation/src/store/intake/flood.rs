//! The breaker: what one rule or author opens beyond a queue's limit in a minute joins one case.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use tidegate_proto::escalation::v1::Case;

use crate::{
    error::StoreError,
    store::{
        sql::{Bind, Sql, get},
        unit::Unit,
    },
    times::MINUTE,
};

/// What a rule or an author opened in this minute.
struct Flood {
    since: i64,
    opened: i64,
    head: String,
}

/// The rules and authors of a batch.
#[derive(Default)]
pub(super) struct Floods(HashMap<String, Flood>);

/// Whose flood a case may be part of: its queue with its gravest rule, or with its author.
fn sources(case: &Case) -> impl Iterator<Item = String> + '_ {
    let queue = &case.queue;
    let event = case.event.as_ref();
    let author = event.and_then(|event| {
        let id = event.author.as_ref()?.id.as_ref()?;
        Some(format!("{queue} author {} {id}", event.platform))
    });
    let reasons = case.verdict.as_ref().map(|verdict| &verdict.reasons);
    let rule = reasons
        .and_then(|reasons| reasons.first())
        .map(|reason| format!("{queue} rule {}", reason.code));
    // Hashed: an account's id is nothing to keep in passing.
    author
        .into_iter()
        .chain(rule)
        .map(|source| format!("{:x}", Sha256::digest(source)))
}

impl Floods {
    /// Counts a case, and gives the one that is to stand for it if there were too many.
    pub(super) async fn count(
        &mut self,
        unit: &mut Unit,
        case: &Case,
        limit: u32,
    ) -> Result<Option<String>, StoreError> {
        let mut head = None;
        for source in sources(case) {
            let now = unit.now;
            if !self.0.contains_key(&source) {
                let mut sql = Sql::new("SELECT since, opened, head FROM floods WHERE source=");
                sql.bind(&source);
                let flood = match unit.row(&sql).await? {
                    Some(row) => Flood {
                        since: get(&row, 0)?,
                        opened: get(&row, 1)?,
                        head: get(&row, 2)?,
                    },
                    None => Flood {
                        since: now,
                        opened: 0,
                        head: String::new(),
                    },
                };
                self.0.insert(source.clone(), flood);
            }
            let Some(flood) = self.0.get_mut(&source) else {
                continue;
            };
            if now.saturating_sub(flood.since) >= MINUTE {
                flood.since = now;
                flood.opened = 0;
            }
            flood.opened += 1;
            if flood.opened <= i64::from(limit) {
                flood.head.clone_from(&case.name);
            } else if head.is_none() {
                head = Some(flood.head.clone());
            }
        }
        Ok(head)
    }

    /// Lets a case stand for those that come after it.
    pub(super) fn set_head(&mut self, case: &Case) {
        for source in sources(case) {
            if let Some(flood) = self.0.get_mut(&source) {
                flood.head.clone_from(&case.name);
            }
        }
    }

    pub(super) async fn write(self, unit: &mut Unit) -> Result<(), StoreError> {
        for (source, flood) in self.0 {
            let mut sql = Sql::new("INSERT INTO floods (source,since,opened,head) VALUES ");
            let row: Vec<Bind> = vec![
                (&source).into(),
                flood.since.into(),
                flood.opened.into(),
                (&flood.head).into(),
            ];
            sql.rows([row]).text(
                " ON CONFLICT (source) DO UPDATE SET since=excluded.since, \
                 opened=excluded.opened, head=excluded.head",
            );
            unit.write(&sql).await?;
        }
        Ok(())
    }
}
