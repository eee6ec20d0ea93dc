//! Whether a run was exactly-once: every input once, in order, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::log::SimRecord;
use super::scenario::Outcome;
use crate::offsets::{RecordOffset, TopicPartition};

/// The input record that an output record was made of.
pub type Source = (TopicPartition, RecordOffset);

/// What a run did wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// An input record has no output.
    #[error("seed {seed}: {} at {} was lost", input.0, input.1.0)]
    Lost {
        /// The seed.
        seed: u64,
        /// Which.
        input: Source,
    },
    /// An input record has more than one output.
    #[error("seed {seed}: {} at {} was doubled", input.0, input.1.0)]
    Doubled {
        /// The seed.
        seed: u64,
        /// Which.
        input: Source,
    },
    /// An output was made of a record that no reader may see.
    #[error("seed {seed}: {} at {} was never committed, but read", input.0, input.1.0)]
    Phantom {
        /// The seed.
        seed: u64,
        /// Which.
        input: Source,
    },
    /// Outputs of one key are in another order than their inputs.
    #[error("seed {seed}: {} at {} overtook a later one of its key", input.0, input.1.0)]
    OutOfOrder {
        /// The seed.
        seed: u64,
        /// Which.
        input: Source,
    },
}

impl Outcome {
    /// Checks that the outputs for which `source` knows an input are exactly one for each input
    /// record, and in the input's order for each key.
    ///
    /// # Errors
    /// The first violation.
    pub fn check_exactly_once(
        &self,
        source: impl Fn(&SimRecord) -> Option<Source>,
    ) -> Result<(), Violation> {
        let seed = self.seed;
        let inputs: BTreeSet<Source> = self
            .inputs
            .iter()
            .map(|input| (input.partition.clone(), input.offset))
            .collect();
        let mut seen = BTreeSet::new();
        let mut last = BTreeMap::new();
        for output in &self.outputs {
            let Some(input) = source(output) else {
                continue;
            };
            if !inputs.contains(&input) {
                return Err(Violation::Phantom { seed, input });
            }
            if !seen.insert(input.clone()) {
                return Err(Violation::Doubled { seed, input });
            }
            let (from, offset) = input.clone();
            let stream = (&output.partition, &output.key, from);
            if last.insert(stream, offset) > Some(offset) {
                return Err(Violation::OutOfOrder { seed, input });
            }
        }
        match inputs.difference(&seen).next() {
            Some(input) => Err(Violation::Lost {
                seed,
                input: input.clone(),
            }),
            None => Ok(()),
        }
    }
}
