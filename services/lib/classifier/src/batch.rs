//! Sorts windows of tokens into runs of similar length, so that little is padded. Pure.

use std::ops::Range;

/// Lengths to which windows are padded. Few different shapes keep memory flat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buckets {
    /// For a model whose cost is in the calls: eight lengths up to 128 tokens.
    Coarse,
    /// For an encoder, which pays for each padded token and little for a call: fifteen.
    Fine,
}

const COARSE: &[usize] = &[8, 16, 24, 32, 48, 64, 96, 128];
const FINE: &[usize] = &[4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128];

/// The padded lengths for windows of at most `max_tokens` tokens.
#[must_use]
pub fn buckets(kind: Buckets, max_tokens: usize) -> Vec<usize> {
    let lengths = match kind {
        Buckets::Coarse => COARSE,
        Buckets::Fine => FINE,
    };
    let mut buckets: Vec<usize> = lengths
        .iter()
        .copied()
        .take_while(|&bucket| bucket < max_tokens)
        .collect();
    while let Some(&last) = buckets.last()
        && last >= 128
        && last * 2 < max_tokens
    {
        buckets.push(last * 2);
    }
    buckets.push(max_tokens);
    buckets
}

/// One run of the model: some windows, all padded to one length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Padded length in tokens.
    pub length: usize,
    /// Which entries of [`Plan::order`] are in it.
    pub entries: Range<usize>,
}

/// Which window goes into which run. Kept between batches so that its buffers are used again.
#[derive(Debug, Default)]
pub struct Plan {
    order: Vec<u32>,
    bucket_of: Vec<u8>,
    runs: Vec<Run>,
}

impl Plan {
    /// Plans runs for windows of the given lengths in tokens. A run holds at most `token_budget`
    /// padded tokens, but at least one window. `buckets` must rise and end with the greatest length
    /// that occurs; a longer window would be put into the last bucket.
    pub fn make(
        &mut self,
        lengths: impl Iterator<Item = usize>,
        buckets: &[usize],
        token_budget: usize,
    ) {
        self.bucket_of.clear();
        let last = buckets.len().saturating_sub(1);
        let bucket_of =
            |length: usize| buckets.partition_point(|&bucket| bucket < length).min(last);
        let mut starts = [0usize; 33];
        for length in lengths {
            let bucket = bucket_of(length).min(31);
            starts[bucket + 1] += 1;
            self.bucket_of.push(bucket as u8);
        }
        for bucket in 0..32 {
            starts[bucket + 1] += starts[bucket];
        }
        let ends = starts;
        self.order.clear();
        self.order.resize(self.bucket_of.len(), 0);
        for (window, &bucket) in self.bucket_of.iter().enumerate() {
            let place = &mut starts[bucket as usize];
            self.order[*place] = window as u32;
            *place += 1;
        }
        self.runs.clear();
        for (bucket, &length) in buckets.iter().enumerate().take(32) {
            let rows = (token_budget / length.max(1)).max(1);
            let mut begin = ends[bucket];
            while begin < ends[bucket + 1] {
                let end = (begin + rows).min(ends[bucket + 1]);
                self.runs.push(Run {
                    length,
                    entries: begin..end,
                });
                begin = end;
            }
        }
    }

    /// The runs, shortest first.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The windows' numbers, in the order in which the runs take them.
    #[must_use]
    pub fn order(&self) -> &[u32] {
        &self.order
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn coarse(max_tokens: usize) -> Vec<usize> {
        buckets(Buckets::Coarse, max_tokens)
    }

    fn plan(lengths: &[usize], budget: usize) -> Plan {
        let mut plan = Plan::default();
        plan.make(lengths.iter().copied(), &coarse(128), budget);
        plan
    }

    #[test]
    fn buckets_end_with_the_longest_window() {
        assert_eq!(coarse(128), [8, 16, 24, 32, 48, 64, 96, 128]);
        assert_eq!(coarse(40), [8, 16, 24, 32, 40]);
        assert_eq!(coarse(4), [4]);
        assert_eq!(coarse(512), [8, 16, 24, 32, 48, 64, 96, 128, 256, 512]);
        assert_eq!(buckets(Buckets::Fine, 30), [4, 8, 12, 16, 20, 24, 28, 30]);
    }

    #[test]
    fn windows_of_similar_length_run_together_in_their_order() {
        let plan = plan(&[5, 100, 7, 8, 9], 1024);
        let runs: Vec<_> = plan
            .runs()
            .iter()
            .map(|run| (run.length, plan.order()[run.entries.clone()].to_vec()))
            .collect();
        assert_eq!(runs, [(8, vec![0, 2, 3]), (16, vec![4]), (128, vec![1])]);
    }

    #[test]
    fn a_window_larger_than_the_budget_runs_alone() {
        let plan = plan(&[100, 100], 10);
        assert_eq!(plan.runs().len(), 2);
    }

    #[test]
    fn nothing_gives_no_runs() {
        assert!(plan(&[], 10).runs().is_empty());
    }

    proptest! {
        #[test]
        fn every_window_appears_once_and_fits(
            lengths in prop::collection::vec(1usize..=128, 0..300),
            budget in 1usize..5000,
        ) {
            let plan = plan(&lengths, budget);
            let mut seen = vec![0; lengths.len()];
            for run in plan.runs() {
                prop_assert!(run.entries.len() == 1 || run.entries.len() * run.length <= budget);
                for &window in &plan.order()[run.entries.clone()] {
                    seen[window as usize] += 1;
                    prop_assert!(lengths[window as usize] <= run.length);
                }
            }
            prop_assert!(seen.iter().all(|&times| times == 1));
        }

        #[test]
        fn a_plan_that_was_used_before_plans_the_same(lengths in prop::collection::vec(1usize..=128, 0..99)) {
            let fresh = plan(&lengths, 256);
            let mut used = plan(&[128, 3, 77, 12], 64);
            used.make(lengths.iter().copied(), &coarse(128), 256);
            prop_assert_eq!(fresh.runs(), used.runs());
            prop_assert_eq!(fresh.order(), used.order());
        }
    }
}
