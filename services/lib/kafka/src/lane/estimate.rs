//! How long something takes that was measured a few times: RFC 6298's estimate of round trips.

use std::time::Duration;

/// Mean and mean deviation, both smoothed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Estimate {
    mean: Duration,
    deviation: Duration,
}

impl Estimate {
    /// The estimate once `measured` is known too.
    #[must_use]
    pub(super) fn after(before: Option<Self>, measured: Duration) -> Self {
        match before {
            Some(Self { mean, deviation }) => Self {
                mean: (mean * 7 + measured) / 8,
                deviation: (deviation * 3 + mean.abs_diff(measured)) / 4,
            },
            None => Self {
                mean: measured,
                deviation: measured / 2,
            },
        }
    }

    /// What is usual.
    #[must_use]
    pub(super) fn mean(self) -> Duration {
        self.mean
    }

    /// What is seldom exceeded.
    #[must_use]
    pub(super) fn at_most(self) -> Duration {
        self.mean + self.deviation * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn after(measured: &[u32]) -> Estimate {
        let estimate = measured
            .iter()
            .fold(None, |so_far, ms| Some(Estimate::after(so_far, *ms * MS)));
        estimate.unwrap()
    }

    #[test]
    fn one_measurement_may_be_off_by_half() {
        assert_eq!(after(&[10]).at_most(), 30 * MS);
    }

    #[test]
    fn what_always_takes_the_same_is_expected_to() {
        assert!(after(&[10; 20]).at_most() < 11 * MS);
    }

    #[test]
    fn an_outlier_is_allowed_for_and_then_forgotten() {
        let usual = [10; 20];
        let outlier = [&usual[..], &[50]].concat();
        assert!(after(&outlier).at_most() > 50 * MS);
        assert!(after(&[&outlier[..], &usual].concat()).at_most() < 15 * MS);
    }
}
