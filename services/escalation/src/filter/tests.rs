//! What filters mean, and what is refused. What each finds is shown on both stores by the
//! conformance suite.

use proptest::prelude::*;

use super::*;
use crate::store::sql::Sql;

/// The condition's text.
fn sql(filter: &str) -> String {
    let mut sql = Sql::default();
    Filter::cases(filter).unwrap().sql(&mut sql);
    sql.as_str().to_owned()
}

fn problem(filter: &str) -> (usize, String) {
    match Filter::cases(filter) {
        Err(Refusal::BadFilter { at, problem }) => (at, problem),
        other => panic!("{filter}: {other:?}"),
    }
}

#[test]
fn an_empty_filter_finds_everything() {
    assert_eq!(sql(""), "1=1");
    assert_eq!(sql("  "), "1=1");
    assert_eq!(Filter::default(), Filter::cases("").unwrap());
}

#[test]
fn or_binds_tighter_than_and() {
    assert_eq!(
        sql("brand=a AND brand=b OR brand=c"),
        "(brand=$1 AND (brand=$2 OR brand=$3))"
    );
}

#[test]
fn terms_beside_each_other_must_all_hold() {
    assert_eq!(sql("brand=a brand=b"), sql("brand=a AND brand=b"));
}

#[test]
fn a_value_may_be_quoted_and_escaped() {
    let value = |filter| Filter::cases(filter).unwrap().expression;
    assert_eq!(value(r#"brand="a b""#), value("brand='a b'"));
    assert_eq!(value(r#"brand="a\"b""#), value(r#"brand='a"b'"#));
    assert_eq!(value("brand=AND"), value("brand='AND'"));
}

#[test]
fn a_name_that_begins_like_a_keyword_is_a_name() {
    assert!(problem("ORDER=1").1.starts_with("there is no field"));
    assert!(problem("NOTE=1").1.starts_with("there is no field"));
}

#[test]
fn an_unknown_field_is_named_with_the_ones_there_are() {
    let (at, problem) = problem("state=OPEN AND text=x");
    assert_eq!(at, 15);
    assert!(problem.contains("lease.agent"), "{problem}");
    // The audit trail has fields of its own.
    assert!(Filter::audit("state=OPEN").is_err());
    assert!(Filter::audit("actor=system").is_ok());
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    for (filter, at, says) in [
        ("state", 5, "is wanted"),
        ("state=", 6, "value"),
        ("state=SLEEPING", 0, "no value of this name"),
        ("brand<a", 0, "no order"),
        ("label!=HATE", 0, "NOT label"),
        ("breached=maybe", 0, "true or false"),
        ("create_time>yesterday", 0, "a time"),
        ("(brand=a", 8, "`)` is missing"),
        ("brand=a)", 7, "too many"),
        ("brand='a", 6, "quote"),
        ("AND", 0, "no field"),
        ("brand=a OR", 10, "name is wanted"),
    ] {
        let (place, problem) = problem(filter);
        assert!(problem.contains(says), "{filter}: {problem}");
        assert_eq!(place, at, "{filter}");
    }
}

#[test]
fn too_long_and_too_deep_filters_are_refused() {
    let long = format!("brand={}", "x".repeat(FILTER_LIMIT));
    assert!(problem(&long).1.contains("bytes"));
    let deep = format!("{}brand=a{}", "(".repeat(1_000), ")".repeat(1_000));
    assert!(problem(&deep).1.contains("deep"));
    let denied = format!("{}brand=a", "-".repeat(1_000));
    assert!(problem(&denied).1.contains("deep"));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_fall_over(text in "\\PC{0,60}") {
        drop(Filter::cases(&text));
    }

    #[test]
    fn values_never_reach_the_sql_text(value in "[^\"\\\\*]{1,20}") {
        let text = sql(&format!("brand=\"{value}\" AND reason:\"{value}\""));
        prop_assert_eq!(text, "(brand=$1 AND reasons LIKE $2 ESCAPE '!')");
    }
}
