//! What was measured, as a table for people and as JSON for machines.

use serde::Serialize;

use super::machine::Machine;

/// One measured number.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    /// `None` where it can't be had here.
    pub(super) value: Option<f64>,
}

/// What a row should reach, and whether it did.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Goal {
    pub(super) text: String,
    pub(super) met: bool,
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) section: &'static str,
    pub(super) name: String,
    pub(super) figures: Vec<Figure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) goal: Option<Goal>,
}

impl Row {
    pub(super) fn new(section: &'static str, name: impl Into<String>) -> Self {
        Self {
            section,
            name: name.into(),
            figures: Vec::new(),
            goal: None,
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<Option<f64>>) -> Self {
        let value = value.into();
        self.figures.push(Figure { name, value });
        self
    }

    pub(super) fn goal(mut self, text: impl Into<String>, met: bool) -> Self {
        let text = text.into();
        self.goal = Some(Goal { text, met });
        self
    }

    /// A goal that `value` must reach.
    pub(super) fn at_least(self, what: &str, value: f64, least: f64) -> Self {
        self.goal(format!("{what} ≥ {}", number(least)), value >= least)
    }

    /// A goal that `value` must stay within.
    pub(super) fn at_most(self, what: &str, value: f64, most: f64) -> Self {
        self.goal(format!("{what} ≤ {}", number(most)), value <= most)
    }
}

/// Everything that one run of the command found out.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) rows: Vec<Row>,
}

impl Report {
    /// The report as a table.
    pub(super) fn table(&self) -> String {
        let mut out = format!("{}\n", self.machine);
        for rows in self.rows.chunk_by(|a, b| a.section == b.section) {
            section(&mut out, rows);
        }
        out
    }
}

fn section(out: &mut String, rows: &[Row]) {
    let mut columns: Vec<&str> = Vec::new();
    for figure in rows.iter().flat_map(|row| &row.figures) {
        if !columns.contains(&figure.name) {
            columns.push(figure.name);
        }
    }
    let title = rows.first().map_or("", |row| row.section);
    let names = rows.iter().map(|row| row.name.chars().count());
    let first = names.chain([title.chars().count()]).max().unwrap_or(0);
    let widths: Vec<_> = columns.iter().map(|c| c.chars().count().max(9)).collect();
    out.push_str(&format!("\n{title:<first$}"));
    for (column, width) in columns.iter().zip(&widths) {
        out.push_str(&format!("  {column:>width$}"));
    }
    out.push('\n');
    for row in rows {
        out.push_str(&format!("{:<first$}", row.name));
        for (column, width) in columns.iter().zip(&widths) {
            let figure = row.figures.iter().find(|figure| figure.name == *column);
            let text = figure.map_or_else(String::new, |figure| {
                figure.value.map_or_else(|| "?".to_owned(), number)
            });
            out.push_str(&format!("  {text:>width$}"));
        }
        if let Some(goal) = &row.goal {
            let mark = if goal.met { "met" } else { "MISSED" };
            out.push_str(&format!("  goal {}: {mark}", goal.text));
        }
        out.push('\n');
    }
}

/// A number with about three digits that matter, and thousands apart.
fn number(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => {
            let digits = format!("{:.0}", value.abs());
            let mut text = String::new();
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at).is_multiple_of(3) {
                    text.push(',');
                }
                text.push(digit);
            }
            format!("{}{text}", if value < 0.0 { "-" } else { "" })
        }
    }
}

/// The middle one of several measurements; `None` of none.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_thousands_stand_apart() {
        let cases = [
            (1.234, "1.23"),
            (43.21, "43.2"),
            (999.6, "1,000"),
            (1_234_567.0, "1,234,567"),
            (-1_500.0, "-1,500"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_middle_two() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([]), None);
    }

    #[test]
    fn a_missed_goal_shows_in_its_row() {
        let mut out = String::new();
        let row = Row::new("core", "decode")
            .with("per second", 10.0)
            .at_least("per second", 10.0, 20.0);
        section(&mut out, &[row]);
        assert!(out.contains("goal per second ≥ 20.0: MISSED"), "{out}");
    }
}
