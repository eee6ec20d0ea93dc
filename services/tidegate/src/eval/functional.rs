//! Functional cases: short texts, each of which asks for one thing that telling hate speech takes.

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

/// One text, and whether it is hate speech.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) function: String,
    pub(crate) hateful: bool,
    pub(crate) text: String,
}

/// How many cases of a function are right.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FunctionResult {
    pub(crate) function: String,
    pub(crate) hateful: bool,
    pub(crate) cases: usize,
    pub(crate) right: usize,
}

impl FunctionResult {
    pub(crate) fn accuracy(&self) -> f64 {
        self.right as f64 / self.cases as f64
    }
}

/// Reads the cases: function, `hate` or `other`, text; with tabs between.
///
/// # Errors
/// The file can't be read, or a line has another form.
pub(crate) fn read(file: &Path) -> anyhow::Result<Vec<Case>> {
    let content =
        std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let lines = content
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty());
    lines
        .map(|(index, line)| {
            case(line).with_context(|| {
                format!(
                    "{}, line {}: not function, hate or other, text",
                    file.display(),
                    index + 1
                )
            })
        })
        .collect()
}

fn case(line: &str) -> Option<Case> {
    let mut fields = line.splitn(3, '\t');
    let (function, half, text) = (fields.next()?, fields.next()?, fields.next()?);
    let hateful = match half {
        "hate" => true,
        "other" => false,
        _ => return None,
    };
    Some(Case {
        function: function.to_owned(),
        hateful,
        text: text.to_owned(),
    })
}

/// Counts the cases that are right, function by function in the order of the file.
pub(crate) fn results(cases: &[Case], called_hate: impl Fn(usize) -> bool) -> Vec<FunctionResult> {
    let mut results: Vec<FunctionResult> = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let right = usize::from(called_hate(index) == case.hateful);
        let same =
            |r: &&mut FunctionResult| r.function == case.function && r.hateful == case.hateful;
        match results.iter_mut().find(same) {
            Some(result) => {
                result.cases += 1;
                result.right += right;
            }
            None => results.push(FunctionResult {
                function: case.function.clone(),
                hateful: case.hateful,
                cases: 1,
                right,
            }),
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_right_when_the_call_is_what_its_half_asks_for() {
        let line = |line| case(line).unwrap();
        let cases = [
            line("a\thate\tx"),
            line("a\thate\ty\tz"),
            line("b\tother\tx"),
        ];
        assert_eq!(cases[1].text, "y\tz");
        let results = results(&cases, |index| index == 0);
        let counts: Vec<_> = results.iter().map(|r| (r.cases, r.right)).collect();
        assert_eq!(counts, [(2, 1), (1, 1)]);
        assert_eq!(case("a\tmaybe\tx"), None);
        assert_eq!(case("a\thate"), None);
    }
}
