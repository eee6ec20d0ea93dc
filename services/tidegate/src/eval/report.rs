//! What was found out, as tables for people and as JSON for machines.

use serde::Serialize;
use tidegate_core::Label;

use super::{
    functional::FunctionResult,
    metrics::{BINS, mean},
    summary::{Figures, Part, Thresholds},
};

/// Everything that one run of the command found out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Which models scored, with their versions.
    pub(crate) model: String,
    pub(crate) rows: usize,
    /// Texts that were scored each second, from normalisation to scores.
    pub(crate) texts_per_second: f64,
    pub(crate) thresholds: Thresholds,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cascade: Option<Cascade>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) overall: Option<Part>,
    pub(crate) by_source: Vec<Part>,
    pub(crate) by_language: Vec<Part>,
    pub(crate) perturbed: Vec<Perturbed>,
    pub(crate) functional: Vec<FunctionResult>,
}

/// What the two models of a cascade did.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Cascade {
    /// The share of texts that the deep model scored.
    pub(crate) deep_share: f64,
    /// Of these, the share on which it disagreed with the screen about some label.
    pub(crate) disagreement: Option<f64>,
}

/// What a way of writing does to the scores of rows whose spam or hate is known.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Perturbed {
    pub(crate) name: &'static str,
    pub(crate) spam_f1: Option<f64>,
    pub(crate) hate_f1: Option<f64>,
    /// Of texts without the label, the share that is called.
    pub(crate) spam_false_alarms: Option<f64>,
    pub(crate) hate_false_alarms: Option<f64>,
}

impl Report {
    /// The report as tables.
    pub(crate) fn tables(&self) -> String {
        let mut out = String::new();
        let rate = self.texts_per_second;
        out.push_str(&format!(
            "{}: {} rows, {rate:.0} texts a second\n",
            self.model, self.rows
        ));
        if let Some(cascade) = &self.cascade {
            let (share, disagreement) = (
                percent(Some(cascade.deep_share)),
                percent(cascade.disagreement),
            );
            out.push_str(&format!(
                "cascade: {share} % scored by deep; of these {disagreement} % have other labels than screen gave\n"
            ));
        }
        if let Some(overall) = &self.overall {
            let table = figures([overall].into_iter(), |part, label| {
                format!("{label} ({} known)", part.rows)
            });
            out.push_str(&table);
            out.push_str("Shares in %. `other` is the share of rows without the label that is right, `ap` average\n");
            out.push_str(&format!(
                "precision, `ece` the calibration error over {BINS} bins.\n"
            ));
            for (what, parts) in [("source", &self.by_source), ("language", &self.by_language)] {
                out.push_str(&headline(what, parts));
                // A single part has the figures that stand above.
                if parts.len() > 1 {
                    out.push_str(&figures(parts.iter(), |part, label| {
                        format!("{} {label}", part.name)
                    }));
                }
            }
            out.push_str(&halves(&self.by_source));
        }
        if !self.perturbed.is_empty() {
            out.push_str(&perturbed(&self.perturbed));
        }
        if !self.functional.is_empty() {
            out.push_str(&functional(&self.functional));
        }
        out
    }
}

fn figures<'a>(
    parts: impl Iterator<Item = &'a Part>,
    name: impl Fn(&Part, Label) -> String,
) -> String {
    let columns = [
        "rows",
        "positive",
        "precision",
        "recall",
        "other",
        "f1",
        "ap",
        "auc",
        "ece",
        "tp",
        "fp",
        "fn",
        "tn",
    ];
    let row = |figures: &Figures| {
        let counts = figures.confusion;
        let shares = [
            figures.precision,
            figures.recall,
            figures.specificity,
            figures.f1,
            figures.average_precision,
            figures.auc,
            figures.calibration_error,
        ];
        let mut cells = vec![figures.rows.to_string(), figures.positive.to_string()];
        cells.extend(shares.map(percent));
        cells.extend([counts.tp, counts.fp, counts.r#fn, counts.tn].map(|count| count.to_string()));
        cells
    };
    let rows = parts.flat_map(|part| {
        let rows = part.labels.iter();
        rows.map(|figures| (name(part, figures.label), row(figures)))
            .collect::<Vec<_>>()
    });
    table("label", &columns, rows.collect())
}

/// Macro-F1 of each part in which all six routing labels occur or some of them.
fn headline(what: &str, parts: &[Part]) -> String {
    let rows = parts
        .iter()
        .filter(|part| part.macro_labels > 0)
        .map(|part| {
            let cells = vec![
                part.rows.to_string(),
                percent(part.macro_f1),
                part.macro_labels.to_string(),
            ];
            (part.name.clone(), cells)
        });
    table(what, &["rows", "macro-f1", "of labels"], rows.collect())
}

/// Accuracy on hateful rows and on the others, which one figure for both would hide.
fn halves(parts: &[Part]) -> String {
    let hate = || {
        parts
            .iter()
            .filter_map(|part| Some((part, part.of(Label::Hate)?)))
    };
    let both = || hate().filter(|(_, hate)| hate.recall.is_some() && hate.specificity.is_some());
    let row = |(part, hate): (&Part, &Figures)| {
        let right = hate.confusion.tp + hate.confusion.tn;
        let cells = [
            hate.recall,
            hate.specificity,
            Some(right as f64 / hate.rows as f64),
            hate.auc,
        ];
        (part.name.clone(), cells.map(percent).to_vec())
    };
    let mut rows: Vec<_> = both().map(row).collect();
    if rows.len() > 1 {
        let means = [
            mean(both().map(|(_, hate)| hate.recall)),
            mean(both().map(|(_, hate)| hate.specificity)),
            None,
            mean(both().map(|(_, hate)| hate.auc)),
        ];
        rows.push(("mean".to_owned(), means.map(percent).to_vec()));
    }
    table(
        "hate, right in %",
        &["hateful", "not hateful", "all", "auc"],
        rows,
    )
}

fn perturbed(all: &[Perturbed]) -> String {
    let plain = all.first();
    let fall = |of: fn(&Perturbed) -> Option<f64>, now: &Perturbed| Some(of(plain?)? - of(now)?);
    let rows = all.iter().map(|one| {
        let cells = [
            one.spam_f1,
            fall(|p| p.spam_f1, one),
            one.spam_false_alarms,
            one.hate_f1,
            fall(|p| p.hate_f1, one),
            one.hate_false_alarms,
        ];
        (one.name.to_owned(), cells.map(percent).to_vec())
    });
    let columns = [
        "spam f1",
        "fall",
        "false alarms",
        "hate f1",
        "fall",
        "false alarms",
    ];
    table("written with", &columns, rows.collect())
}

fn functional(results: &[FunctionResult]) -> String {
    let rows = results.iter().map(|result| {
        let half = if result.hateful {
            "hateful"
        } else {
            "not hateful"
        };
        let cells = vec![
            half.to_owned(),
            result.cases.to_string(),
            percent(Some(result.accuracy())),
        ];
        (result.function.clone(), cells)
    });
    let mut rows: Vec<_> = rows.collect();
    for (name, hateful) in [("all", true), ("all", false)] {
        let half = || results.iter().filter(|result| result.hateful == hateful);
        let (right, cases) = half().fold((0, 0), |sum, r| (sum.0 + r.right, sum.1 + r.cases));
        let share = (cases > 0).then(|| right as f64 / cases as f64);
        let half = if hateful { "hateful" } else { "not hateful" };
        rows.push((
            name.to_owned(),
            vec![half.to_owned(), cases.to_string(), percent(share)],
        ));
    }
    table("hate, by function", &["half", "cases", "right"], rows)
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1}", share * 100.0))
}

/// Rows under their columns; nothing without rows.
fn table(title: &str, columns: &[&str], rows: Vec<(String, Vec<String>)>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let width = |text: &str| text.chars().count();
    let first = rows
        .iter()
        .map(|(name, _)| width(name))
        .chain([width(title)])
        .max()
        .unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| {
            rows.iter()
                .map(|(_, cells)| width(&cells[at]))
                .chain([width(columns[at])])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = format!("\n{title:<first$}");
    for (column, width) in columns.iter().zip(&widths) {
        out.push_str(&format!("  {column:>width$}"));
    }
    out.push('\n');
    for (name, cells) in &rows {
        out.push_str(&format!("{name:<first$}"));
        for (cell, width) in cells.iter().zip(&widths) {
            out.push_str(&format!("  {cell:>width$}"));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_no_rows_are_no_table() {
        let rows = vec![
            ("a".to_owned(), vec!["1".to_owned(), "–".to_owned()]),
            (
                "longer".to_owned(),
                vec!["12345678".to_owned(), "9.0".to_owned()],
            ),
        ];
        let expected = "\nname        rows   f1\na              1    –\nlonger  12345678  9.0\n";
        assert_eq!(table("name", &["rows", "f1"], rows), expected);
        assert_eq!(table("name", &["rows"], Vec::new()), "");
    }

    #[test]
    fn the_functional_table_ends_with_both_halves() {
        let result = |hateful, right| FunctionResult {
            function: "negation".to_owned(),
            hateful,
            cases: 4,
            right,
        };
        let table = functional(&[result(true, 1), result(false, 3)]);
        let ends: Vec<&str> = table.lines().rev().take(2).collect();
        assert!(
            ends[1].ends_with("25.0") && ends[0].ends_with("75.0"),
            "{table}"
        );
    }
}
