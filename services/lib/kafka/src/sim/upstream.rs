//! Who writes the input.

use std::sync::Arc;

use rand::Rng;

use super::{
    cluster::{Cluster, NewRecord},
    log::{Fate, TransactionId},
    scenario::Input,
};

type Waiting = (Arc<str>, Input);

/// Writes the input bit by bit, in transactions of its own of which some are aborted or left open
/// for a while.
pub(super) struct Upstream {
    /// What is to be written, the next one last.
    waiting: Vec<Waiting>,
    epoch: u32,
    open: Option<(TransactionId, Vec<Waiting>)>,
}

const UPSTREAM: &str = "upstream";

impl Upstream {
    pub(super) fn new(inputs: &[(Arc<str>, i32, Vec<Input>)], cluster: &mut Cluster) -> Self {
        let mut waiting: Vec<_> = inputs
            .iter()
            .flat_map(|(topic, _, records)| records.iter().map(|r| (topic.clone(), r.clone())))
            .collect();
        waiting.reverse();
        Self {
            waiting,
            epoch: cluster.init_producer(UPSTREAM),
            open: None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.open.is_none()
    }

    pub(super) fn turn(&mut self, cluster: &mut Cluster) {
        let fenced = cluster.check_epoch(UPSTREAM, self.epoch).is_err();
        if let Some((transaction, records)) = self.open.take() {
            let undone = fenced || cluster.rng.random_bool(0.2);
            if undone {
                self.waiting.extend(records.into_iter().rev());
            }
            if !fenced {
                let fate = if undone {
                    Fate::Aborted
                } else {
                    Fate::Committed
                };
                cluster.end(transaction, fate);
            }
        } else if !self.waiting.is_empty() && !fenced {
            let Ok(transaction) = cluster.transaction(UPSTREAM, self.epoch) else {
                return;
            };
            let count = cluster.rng.random_range(1..=6).min(self.waiting.len());
            let records = self.waiting.split_off(self.waiting.len() - count);
            let records: Vec<_> = records.into_iter().rev().collect();
            for (topic, input) in &records {
                let new = NewRecord {
                    key: input.key.clone(),
                    payload: input.payload.clone(),
                    headers: input.headers.clone(),
                };
                cluster.append(transaction, topic, new);
            }
            self.open = Some((transaction, records));
        }
        if fenced {
            self.epoch = cluster.init_producer(UPSTREAM);
        }
    }
}
