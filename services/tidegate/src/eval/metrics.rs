//! How good scores are, as pure functions of scores and truth.

use serde::Serialize;

/// A score, and whether the label is really there.
pub(crate) type Pair = (f32, bool);

/// Right and wrong calls at a threshold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Confusion {
    /// Called, and there.
    pub(crate) tp: u64,
    /// Called, and not there.
    pub(crate) fp: u64,
    /// Not called, and there.
    pub(crate) r#fn: u64,
    /// Not called, and not there.
    pub(crate) tn: u64,
}

impl Confusion {
    /// Counts one call.
    pub(crate) fn add(&mut self, called: bool, there: bool) {
        let cell = match (called, there) {
            (true, true) => &mut self.tp,
            (true, false) => &mut self.fp,
            (false, true) => &mut self.r#fn,
            (false, false) => &mut self.tn,
        };
        *cell += 1;
    }

    /// Of those called, the share that is there; `None` if none was called.
    pub(crate) fn precision(&self) -> Option<f64> {
        share(self.tp, self.tp + self.fp)
    }

    /// Of those that are there, the share that was called; `None` if none is there.
    pub(crate) fn recall(&self) -> Option<f64> {
        share(self.tp, self.tp + self.r#fn)
    }

    /// Of those that are not there, the share that was not called; `None` if all are there.
    pub(crate) fn specificity(&self) -> Option<f64> {
        share(self.tn, self.tn + self.fp)
    }

    /// The harmonic mean of precision and recall; `None` if the label is nowhere there, where it
    /// would say nothing.
    pub(crate) fn f1(&self) -> Option<f64> {
        let there = self.tp + self.r#fn;
        (there > 0)
            .then(|| share(2 * self.tp, there + self.tp + self.fp))
            .flatten()
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The chance that a text with the label scores higher than one without; ties count half. `None`
/// unless both kinds are there.
pub(crate) fn auc(pairs: &[Pair]) -> Option<f64> {
    let (there, absent) = split(pairs);
    if there == 0 || absent == 0 {
        return None;
    }
    let mut below = 0.0;
    let mut wins = 0.0;
    for tied in ascending(pairs).chunk_by(|a, b| a.0 == b.0) {
        let (there, absent) = split(tied);
        wins += there as f64 * (below + absent as f64 / 2.0);
        below += absent as f64;
    }
    Some(wins / (there as f64 * absent as f64))
}

/// The mean precision over the recalls that thresholds can give, each step weighed by the recall
/// that it adds. `None` if the label is nowhere there.
pub(crate) fn average_precision(pairs: &[Pair]) -> Option<f64> {
    let (all_there, _) = split(pairs);
    if all_there == 0 {
        return None;
    }
    let (mut hits, mut called, mut sum) = (0, 0, 0.0);
    let mut descending = ascending(pairs);
    descending.reverse();
    // Texts of the same score are called together: their order must not matter.
    for tied in descending.chunk_by(|a, b| a.0 == b.0) {
        let (there, _) = split(tied);
        hits += there;
        called += tied.len();
        sum += there as f64 * hits as f64 / called as f64;
    }
    Some(sum / all_there as f64)
}

/// How many equally wide bins calibration is looked at in.
pub(crate) const BINS: usize = 10;

/// How far scores are from being frequencies: in each of [`BINS`] equally wide bins the distance
/// of mean score and frequency, weighed by the bin's share of texts. `None` of no texts.
pub(crate) fn calibration_error(pairs: &[Pair]) -> Option<f64> {
    let mut bins = [(0.0, 0_usize); BINS];
    for &(score, there) in pairs {
        let bin = &mut bins[((score * BINS as f32) as usize).min(BINS - 1)];
        bin.0 += f64::from(score) - f64::from(u8::from(there));
        bin.1 += 1;
    }
    let off: f64 = bins.iter().map(|(sum, _)| sum.abs()).sum();
    (!pairs.is_empty()).then(|| off / pairs.len() as f64)
}

/// The mean of what is there; `None` if nothing is.
pub(crate) fn mean(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.into_iter().flatten().collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn split(pairs: &[Pair]) -> (usize, usize) {
    let there = pairs.iter().filter(|(_, there)| *there).count();
    (there, pairs.len() - there)
}

fn ascending(pairs: &[Pair]) -> Vec<Pair> {
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: Option<f64>, expected: f64) {
        assert!(
            found.is_some_and(|found| (found - expected).abs() < 1e-6),
            "{found:?} where {expected} was expected"
        );
    }

    /// The example of scikit-learn's pages on both figures.
    const KNOWN: [Pair; 4] = [(0.1, false), (0.4, false), (0.35, true), (0.8, true)];

    #[test]
    fn auc_and_average_precision_have_their_known_values() {
        close(auc(&KNOWN), 0.75);
        close(average_precision(&KNOWN), 0.8333333333);
        close(auc(&[(0.9, true), (0.1, false)]), 1.0);
        close(auc(&[(0.1, true), (0.9, false)]), 0.0);
    }

    #[test]
    fn texts_of_the_same_score_count_the_same_in_whatever_order_they_stand() {
        let tied = [(0.5, true), (0.5, false), (0.5, false), (0.5, true)];
        close(auc(&tied), 0.5);
        close(average_precision(&tied), 0.5);
        // Of 2 x 2 comparisons one is won, two are tied, one is lost.
        let some = [(0.2, false), (0.5, true), (0.5, false), (0.2, true)];
        close(auc(&some), 0.5);
        let mut reversed = some;
        reversed.reverse();
        assert_eq!(average_precision(&some), average_precision(&reversed));
    }

    #[test]
    fn precision_recall_and_f1_follow_from_the_confusion() {
        let mut confusion = Confusion::default();
        for (called, there, times) in [
            (true, true, 6),
            (true, false, 2),
            (false, true, 4),
            (false, false, 8),
        ] {
            (0..times).for_each(|_| confusion.add(called, there));
        }
        assert_eq!((confusion.tp, confusion.fp), (6, 2));
        close(confusion.precision(), 0.75);
        close(confusion.recall(), 0.6);
        close(confusion.specificity(), 0.8);
        close(confusion.f1(), 2.0 * 0.75 * 0.6 / 1.35);
    }

    #[test]
    fn a_figure_that_would_say_nothing_is_none() {
        let mut only_absent = Confusion::default();
        only_absent.add(false, false);
        assert_eq!(
            (only_absent.precision(), only_absent.recall()),
            (None, None)
        );
        assert_eq!(only_absent.f1(), None);
        assert_eq!(auc(&[(0.5, true)]), None);
        assert_eq!(average_precision(&[(0.5, false)]), None);
        assert_eq!(calibration_error(&[]), None);
        assert_eq!(mean([None, None]), None);
        close(mean([Some(1.0), None, Some(0.5)]), 0.75);
    }

    #[test]
    fn calibration_error_is_the_weighed_distance_of_score_and_frequency() {
        // 0.75 said four times, and right three times: nothing to complain about.
        let right = [(0.75, true), (0.75, true), (0.75, true), (0.75, false)];
        close(calibration_error(&right), 0.0);
        // Bin 9 says 0.95 and has 0.5; bin 0 says 0.05 and has 0.
        let off = [(0.95, true), (0.95, false), (0.05, false), (0.05, false)];
        close(calibration_error(&off), (0.45 + 0.05) / 2.0);
        close(calibration_error(&[(1.0, true)]), 0.0);
    }
}
