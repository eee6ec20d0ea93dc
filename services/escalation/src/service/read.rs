//! What requests hold, checked: names, request ids, times, and numbers that stand for names.

use std::time::Duration;

use tonic::Status;

use super::fault::Fault;

/// The most bytes that a name may have.
const LONGEST_NAME: usize = 200;

/// A required `collection/id`.
pub(crate) fn name(field: &str, text: &str, collection: &str) -> Result<(), Status> {
    let id = text
        .strip_prefix(collection)
        .and_then(|rest| rest.strip_prefix('/'));
    let good = id.is_some_and(|id| {
        !id.is_empty() && text.len() <= LONGEST_NAME && !id.contains(['/', '\0'])
    });
    if good {
        Ok(())
    } else {
        Err(Fault::field(field, format!("must be `{collection}/{{id}}`")).into())
    }
}

/// A `collection/id`, or nothing.
pub(crate) fn optional_name(field: &str, text: &str, collection: &str) -> Result<(), Status> {
    if text.is_empty() {
        return Ok(());
    }
    name(field, text, collection)
}

/// A UUID, or nothing.
pub(crate) fn request_id(text: &str) -> Result<(), Status> {
    // Only the usual form: each of the others would make one id two.
    if text.is_empty() || (text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()) {
        Ok(())
    } else {
        Err(Fault::field("request_id", "must be a UUID").into())
    }
}

/// A number that stands for a name; 0 stands for none.
pub(crate) fn one_of<E: TryFrom<i32>>(field: &str, number: i32) -> Result<E, Status> {
    match E::try_from(number) {
        Ok(value) => Ok(value),
        Err(_) => Err(Fault::field(field, format!("has no value with the number {number}")).into()),
    }
}

/// As [`one_of`], and 0 is refused.
pub(crate) fn required<E: TryFrom<i32>>(field: &str, number: i32) -> Result<E, Status> {
    if number == 0 {
        return Err(Fault::field(field, "is required").into());
    }
    one_of(field, number)
}

/// A list of numbers that stand for names, none of them twice.
pub(crate) fn each<E: TryFrom<i32>>(field: &str, numbers: &[i32]) -> Result<Vec<E>, Status> {
    for (index, number) in numbers.iter().enumerate() {
        if numbers[..index].contains(number) {
            return Err(Fault::field(field, "holds a value twice").into());
        }
    }
    numbers
        .iter()
        .map(|number| required(field, *number))
        .collect()
}

/// A point in time in milliseconds since the Unix epoch.
pub(crate) fn time(field: &str, time: Option<prost_types::Timestamp>) -> Result<i64, Status> {
    let Some(time) = time else {
        return Err(Fault::field(field, "is required").into());
    };
    // From the year 1 to 9999, as the type promises.
    let sensible = (-62_135_596_800..=253_402_300_799).contains(&time.seconds);
    if !sensible || !(0..1_000_000_000).contains(&time.nanos) {
        return Err(Fault::field(field, "is no point in time").into());
    }
    Ok(crate::times::millis(&time))
}

/// A length of time from 0 to `most`.
pub(crate) fn span(
    field: &str,
    span: Option<prost_types::Duration>,
    most: Duration,
) -> Result<Duration, Status> {
    match span.map(Duration::try_from) {
        None => Ok(Duration::ZERO),
        Some(Ok(span)) if span <= most => Ok(span),
        Some(_) => {
            let what = format!("must be from 0 to {} s", most.as_secs());
            Err(Fault::field(field, what).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_proto::{escalation::v1::Outcome, events::v1::Label};

    use super::*;

    #[test]
    fn a_name_is_its_collection_and_one_id() {
        assert!(name("name", "cases/1", "cases").is_ok());
        let long = format!("cases/{}", "x".repeat(LONGEST_NAME));
        for wrong in [
            "",
            "1",
            "cases/",
            "queues/1",
            "cases/1/2",
            "cases/\0",
            &long,
        ] {
            assert!(name("name", wrong, "cases").is_err());
        }
    }

    #[test]
    fn a_request_id_is_a_uuid_in_its_usual_form() {
        assert!(request_id("").is_ok());
        assert!(request_id("0af76519-16cd-43dd-8448-eb211c80319c").is_ok());
        for wrong in [
            "1",
            "0af7651916cd43dd8448eb211c80319c",
            "{0af76519-16cd-43dd-8448-eb211c80319c}",
        ] {
            assert!(request_id(wrong).is_err());
        }
    }

    #[test]
    fn a_number_without_a_name_is_refused() {
        assert!(required::<Outcome>("outcome", 0).is_err());
        assert!(required::<Outcome>("outcome", 99).is_err());
        assert!(required::<Outcome>("outcome", 1).is_ok());
        assert!(each::<Label>("labels", &[1, 2]).is_ok());
        assert!(each::<Label>("labels", &[1, 1]).is_err());
        assert!(each::<Label>("labels", &[0]).is_err());
    }

    #[test]
    fn a_time_that_no_calendar_knows_is_refused() {
        let at = |seconds, nanos| time("t", Some(prost_types::Timestamp { seconds, nanos }));
        assert_eq!(at(1, 5_000_000).ok(), Some(1_005));
        for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (0, -1), (0, 1_000_000_000)] {
            assert!(at(seconds, nanos).is_err());
        }
        assert!(time("t", None).is_err());
    }

    #[test]
    fn a_span_of_time_is_neither_negative_nor_longer_than_it_may_be() {
        let of = |seconds, nanos| {
            let minute = Duration::from_secs(60);
            span(
                "wait",
                Some(prost_types::Duration { seconds, nanos }),
                minute,
            )
        };
        assert_eq!(of(60, 0).ok(), Some(Duration::from_secs(60)));
        assert!(of(60, 1).is_err() && of(-1, 0).is_err() && of(i64::MAX, 0).is_err());
    }
}
