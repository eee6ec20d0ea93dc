//! When people work: deadlines that run only then.

use std::collections::BTreeSet;

use jiff::{Timestamp, civil, tz::TimeZone};
use tidegate_proto::escalation::v1 as proto;

use crate::{
    error::Refusal,
    times::{DAY, MINUTE},
};

/// How many days are looked at before a calendar counts as never open.
const HORIZON_DAYS: usize = 3_660;

/// Opening hours in one time zone. The default one is always open.
#[derive(Clone, Debug, Default)]
pub struct Calendar {
    zone: Option<TimeZone>,
    /// For each weekday from Monday, minutes after midnight, in order, apart from each other.
    hours: [Vec<(i32, i32)>; 7],
    holidays: BTreeSet<civil::Date>,
}

impl Calendar {
    /// Checks and reads a queue's calendar.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] that says what is wrong.
    pub fn new(calendar: &proto::Calendar) -> Result<Self, Refusal> {
        let invalid = |field, problem: String| Refusal::Invalid { field, problem };
        let zone = match calendar.time_zone.as_str() {
            "" => TimeZone::UTC,
            name => TimeZone::get(name).map_err(|_| {
                invalid(
                    "calendar.time_zone",
                    format!("{name:?} is no IANA time zone, such as Europe/Berlin"),
                )
            })?,
        };
        let mut hours: [Vec<(i32, i32)>; 7] = Default::default();
        for one in &calendar.hours {
            let day = usize::try_from(one.weekday - 1)
                .ok()
                .and_then(|day| hours.get_mut(day))
                .ok_or_else(|| {
                    invalid(
                        "calendar.hours.weekday",
                        format!("{} is not from 1 (Monday) to 7 (Sunday)", one.weekday),
                    )
                })?;
            if one.open_minute < 0
                || one.close_minute > 1_440
                || one.open_minute >= one.close_minute
            {
                return Err(invalid(
                    "calendar.hours",
                    format!(
                        "{} to {} is not a span within one day: minutes from 0 to 1440, the first \
                         one less",
                        one.open_minute, one.close_minute
                    ),
                ));
            }
            day.push((one.open_minute, one.close_minute));
        }
        for day in &mut hours {
            day.sort_unstable();
            if day.windows(2).any(|two| two[1].0 < two[0].1) {
                return Err(invalid(
                    "calendar.hours",
                    "two spans of one weekday overlap".to_owned(),
                ));
            }
        }
        let holidays = calendar
            .holidays
            .iter()
            .map(|day| {
                day.parse().map_err(|_| {
                    invalid(
                        "calendar.holidays",
                        format!("{day:?} is no date like 2026-12-25"),
                    )
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            zone: Some(zone),
            hours,
            holidays,
        })
    }

    /// When `budget` milliseconds of opening hours have passed since `start`.
    #[must_use]
    pub fn add(&self, start: i64, budget: i64) -> i64 {
        let always = start.saturating_add(budget);
        if budget <= 0 || self.hours.iter().all(Vec::is_empty) {
            return always;
        }
        self.walk(start, budget).unwrap_or(always)
    }

    fn walk(&self, start: i64, mut budget: i64) -> Option<i64> {
        let zone = self.zone.as_ref()?;
        let first = Timestamp::from_millisecond(start).ok()?;
        let mut date = zone.to_datetime(first).date();
        for _ in 0..HORIZON_DAYS {
            if !self.holidays.contains(&date) {
                let weekday = date.weekday().to_monday_zero_offset() as usize;
                for &(open, close) in &self.hours[weekday] {
                    let open = instant(zone, date, open)?.max(start);
                    let close = instant(zone, date, close)?;
                    let span = close - open;
                    if span >= budget {
                        return Some(open + budget);
                    }
                    budget -= span.max(0);
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }
}

/// The instant at which a local minute begins; where clocks jump over it, the instant of the jump's
/// other side.
fn instant(zone: &TimeZone, date: civil::Date, minute: i32) -> Option<i64> {
    let (date, minute) = if i64::from(minute) * MINUTE >= DAY {
        (date.tomorrow().ok()?, 0)
    } else {
        (date, minute)
    };
    let time = civil::time((minute / 60) as i8, (minute % 60) as i8, 0, 0);
    let instant = zone.to_timestamp(date.to_datetime(time)).ok()?;
    Some(instant.as_millisecond())
}

#[cfg(test)]
mod tests {
    use tidegate_proto::escalation::v1::Hours;

    use super::*;
    use crate::times::HOUR;

    /// Monday to Friday, 9 to 17, in Berlin; Christmas off.
    fn office() -> Calendar {
        Calendar::new(&proto::Calendar {
            time_zone: "Europe/Berlin".to_owned(),
            hours: (1..=5)
                .map(|weekday| Hours {
                    weekday,
                    open_minute: 9 * 60,
                    close_minute: 17 * 60,
                })
                .collect(),
            holidays: vec!["2026-12-25".to_owned()],
        })
        .unwrap()
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn a_deadline_runs_while_people_work() {
        let due = office().add(at("2026-11-25T09:00:00Z"), 2 * HOUR);
        assert_eq!(due, at("2026-11-25T11:00:00Z"));
    }

    #[test]
    fn what_comes_on_friday_evening_is_due_on_monday() {
        let due = office().add(at("2026-11-27T17:30:00Z"), 2 * HOUR);
        assert_eq!(due, at("2026-11-30T10:00:00Z"));
    }

    #[test]
    fn a_deadline_goes_on_the_next_morning() {
        let due = office().add(at("2026-11-25T15:00:00Z"), 3 * HOUR);
        assert_eq!(due, at("2026-11-26T10:00:00Z"));
    }

    #[test]
    fn holidays_do_not_count() {
        let due = office().add(at("2026-12-24T15:30:00Z"), HOUR);
        assert_eq!(due, at("2026-12-28T08:30:00Z"));
    }

    #[test]
    fn summer_time_moves_the_opening() {
        // Clocks go forward on 29 March: nine o'clock is 07:00 UTC from then on.
        let due = office().add(at("2026-03-27T15:30:00Z"), HOUR);
        assert_eq!(due, at("2026-03-30T07:30:00Z"));
    }

    #[test]
    fn a_calendar_without_hours_is_always_open() {
        assert_eq!(Calendar::default().add(5, HOUR), 5 + HOUR);
    }

    #[test]
    fn a_calendar_that_never_opens_does_not_hang() {
        let mut never = office();
        never.hours = Default::default();
        never.hours[0] = vec![(0, 1)];
        assert_eq!(never.add(0, i64::MAX / 2), i64::MAX / 2);
    }

    #[test]
    fn wrong_calendars_are_refused_with_what_is_wrong() {
        let hours = |weekday, open_minute, close_minute| Hours {
            weekday,
            open_minute,
            close_minute,
        };
        let with = |hours| proto::Calendar {
            hours,
            ..Default::default()
        };
        let wrong = [
            with(vec![hours(8, 0, 60)]),
            with(vec![hours(1, 60, 60)]),
            with(vec![hours(1, 0, 1_441)]),
            with(vec![hours(1, 0, 60), hours(1, 30, 90)]),
            proto::Calendar {
                time_zone: "Europe/Atlantis".to_owned(),
                ..Default::default()
            },
            proto::Calendar {
                holidays: vec!["2026-13-01".to_owned()],
                ..Default::default()
            },
        ];
        for calendar in wrong {
            let refusal = Calendar::new(&calendar).unwrap_err();
            assert_eq!(refusal.reason(), "INVALID");
        }
    }
}
