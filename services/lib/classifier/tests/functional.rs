//! What it takes to tell hate speech, function by function, in texts as they stand under a brand's
//! posts. `models/functional/cases.tsv` holds them; `floors.tsv` beside it says what each function
//! must reach today, and what it is to reach one day.
#![allow(
    clippy::unwrap_used,
    reason = "what helps a test may stop it, as the test itself may"
)]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use support::shipped;
use tidegate_classifier::{Classifier, ClassifierSettings, Mode, score_readings};
use tidegate_core::{labels::Label, normalize::normalize};

/// Function and half; `all` is every function of its half.
type Key = (String, String);

fn lines(name: &str) -> Vec<Vec<String>> {
    let file = shipped().join("functional").join(name);
    let content = std::fs::read_to_string(file).unwrap();
    let fields = |line: &str| line.split('\t').map(str::to_owned).collect();
    content.lines().map(fields).collect()
}

/// The function, the half (`hate` or `other`) and the text of each case.
fn cases() -> Vec<[String; 3]> {
    lines("cases.tsv")
        .into_iter()
        .map(|fields| fields.try_into().unwrap())
        .collect()
}

/// For each function and half, the shares in percent that a mode must reach and is to reach.
fn floors(mode: Mode) -> BTreeMap<Key, (f64, f64)> {
    let mut lines = lines("floors.tsv").into_iter();
    let head = lines.next().unwrap();
    let column = head
        .iter()
        .position(|name| *name == mode.to_string())
        .unwrap();
    let goal = head.iter().position(|name| name == "goal").unwrap();
    let floor = |fields: Vec<String>| {
        let number = |column: usize| fields[column].parse::<f64>().unwrap();
        let shares = (number(column), number(goal));
        ((fields[0].clone(), fields[1].clone()), shares)
    };
    lines.map(floor).collect()
}

/// Cases that are right, and all cases, by function and half.
fn measure(mode: Mode) -> BTreeMap<Key, (usize, usize)> {
    let cases = cases();
    let mut classifier = Classifier::load(&ClassifierSettings::new(&shipped(), mode)).unwrap();
    let threshold = classifier.thresholds()[Label::Hate.index()];
    let texts: Vec<_> = cases.iter().map(|[_, _, text]| normalize(text)).collect();
    let mut scored = Vec::new();
    score_readings(texts.iter(), &mut scored, |texts, out| {
        classifier.classify(texts, out)
    })
    .unwrap();
    let mut counts: BTreeMap<Key, (usize, usize)> = BTreeMap::new();
    for ([function, half, _], scored) in cases.into_iter().zip(&scored) {
        let is_called = scored.scores[Label::Hate].get() >= threshold;
        for function in [function, "all".to_owned()] {
            let count = counts.entry((function, half.clone())).or_default();
            count.0 += usize::from(is_called == (half == "hate"));
            count.1 += 1;
        }
    }
    counts
}

/// Every function must reach its floor; the table is shown if one does not.
fn holds(mode: Mode) {
    let floors = floors(mode);
    let mut table = format!("{mode}, right in %\n");
    let mut is_below = false;
    for ((function, half), (right, cases)) in measure(mode) {
        let (floor, goal) = floors[&(function.clone(), half.clone())];
        let share = right as f64 * 100.0 / cases as f64;
        let mark = if share < floor { "BELOW" } else { "" };
        is_below |= share < floor;
        writeln!(
            table,
            "{function:<36} {half:<5} {share:>5.1} of {cases:>3}, floor {floor}, goal {goal} {mark}"
        )
        .unwrap();
    }
    assert!(!is_below, "{table}");
}

#[test]
fn the_cascade_reaches_the_floor_of_every_function() {
    holds(Mode::Cascade);
}

#[test]
fn the_deep_model_reaches_the_floor_of_every_function() {
    holds(Mode::Deep);
}

#[test]
fn every_function_has_enough_cases_and_a_floor_and_no_text_occurs_twice() {
    let cases = cases();
    let mut counts: BTreeMap<Key, usize> = BTreeMap::new();
    for [function, half, _] in &cases {
        assert!(
            ["hate", "other"].contains(&half.as_str()),
            "{function}: {half}"
        );
        *counts.entry((function.clone(), half.clone())).or_default() += 1;
    }
    assert!(counts.len() >= 25, "{} functions", counts.len());
    for (key, count) in &counts {
        assert!(*count >= 12, "{key:?} has {count}");
    }
    let mut floors: Vec<_> = floors(Mode::Cascade).into_keys().collect();
    floors.retain(|(function, _)| function != "all");
    assert_eq!(floors, counts.into_keys().collect::<Vec<_>>());
    let mut texts: Vec<_> = cases
        .iter()
        .map(|[_, _, text]| text.to_lowercase())
        .collect();
    let all = texts.len();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), all);
}
