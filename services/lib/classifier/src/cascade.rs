//! Decides which texts the screen model is unsure of, so that the deep model scores them too.

use tidegate_core::labels::{Label, Probability, Scores};

use crate::labels::Row;

/// For each label, the range of screen scores in which the screen model is unsure of itself.
///
/// The ranges can be narrowed while the process is behind: fewer texts go to the deep model, and
/// those that still go are the ones closest to the threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    full: [Option<(f32, f32)>; Label::COUNT],
    pivots: Row,
    now: [(f32, f32); Label::COUNT],
    scale: f32,
}

/// A range that holds no score.
const NOTHING: (f32, f32) = (f32::INFINITY, f32::NEG_INFINITY);

impl Band {
    /// A band of closed ranges, at full width. It narrows towards `thresholds`, or towards the
    /// nearer end of a range whose threshold lies outside it.
    #[must_use]
    pub fn new(ranges: [Option<(f32, f32)>; Label::COUNT], thresholds: &Row) -> Self {
        let pivots = std::array::from_fn(|label| {
            ranges[label].map_or(0.0, |(low, high)| thresholds[label].max(low).min(high))
        });
        let mut band = Self {
            full: ranges,
            pivots,
            now: [NOTHING; Label::COUNT],
            scale: 1.0,
        };
        band.set_scale(1.0);
        band
    }

    /// Whether there is no range at all, so that nothing ever goes to the deep model.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.full.iter().all(Option::is_none)
    }

    /// The share of the full width that is in use, 0 to 1.
    #[must_use]
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Sets the share of the full width: 1 is all of it, 0 sends nothing to the deep model. Values
    /// outside 0 to 1 are taken as the nearer end, and NaN as 1.
    pub fn set_scale(&mut self, scale: f32) {
        self.scale = if scale.is_nan() {
            1.0
        } else {
            scale.clamp(0.0, 1.0)
        };
        self.now = std::array::from_fn(|label| match self.full[label] {
            Some((low, high)) if self.scale > 0.0 => {
                let pivot = self.pivots[label];
                (
                    pivot - (pivot - low) * self.scale,
                    pivot + (high - pivot) * self.scale,
                )
            }
            _ => NOTHING,
        });
    }

    /// Whether any label's score lies in its range.
    #[must_use]
    pub fn contains(&self, scores: &Scores) -> bool {
        let inside = |(score, &(low, high)): (&Probability, &(f32, f32))| {
            low <= score.get() && score.get() <= high
        };
        scores.0.iter().zip(&self.now).any(inside)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn band() -> Band {
        let mut ranges = [None; Label::COUNT];
        ranges[0] = Some((0.2, 0.8));
        ranges[5] = Some((0.1, 0.3));
        Band::new(ranges, &[0.5; Label::COUNT])
    }

    fn scores(label: usize, score: f32) -> Scores {
        let mut row = [0.0; Label::COUNT];
        row[label] = score;
        Scores::new(row).unwrap()
    }

    #[test]
    fn a_score_on_the_edge_is_inside() {
        assert!(band().contains(&scores(0, 0.2)));
        assert!(band().contains(&scores(0, 0.8)));
        assert!(!band().contains(&scores(0, 0.81)));
    }

    #[test]
    fn a_label_without_a_range_is_never_unsure() {
        assert!(!band().contains(&scores(3, 0.5)));
    }

    #[test]
    fn narrowing_keeps_what_is_nearest_to_the_threshold() {
        let mut band = band();
        band.set_scale(0.5);
        assert!(band.contains(&scores(0, 0.4)));
        assert!(!band.contains(&scores(0, 0.3)));
        assert!(
            band.contains(&scores(5, 0.29)),
            "the threshold lies above this range"
        );
        assert!(!band.contains(&scores(5, 0.15)));
    }

    #[test]
    fn a_band_of_no_width_holds_nothing_not_even_the_threshold() {
        let mut band = band();
        band.set_scale(0.0);
        assert!(!band.contains(&scores(0, 0.5)));
    }

    #[test]
    fn a_scale_outside_its_limits_is_taken_as_the_nearer_end() {
        let mut band = band();
        for (given, taken) in [(-1.0, 0.0), (7.0, 1.0), (f32::NAN, 1.0)] {
            band.set_scale(given);
            assert!((band.scale() - taken).abs() < f32::EPSILON);
        }
    }

    proptest! {
        #[test]
        fn a_narrower_band_never_holds_more(score in 0.0f32..=1.0, a in 0.0f32..=1.0, b in 0.0f32..=1.0) {
            let (mut narrow, mut wide) = (band(), band());
            narrow.set_scale(a.min(b));
            wide.set_scale(a.max(b));
            prop_assert!(!narrow.contains(&scores(0, score)) || wide.contains(&scores(0, score)));
        }
    }
}
