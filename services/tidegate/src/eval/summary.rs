//! Figures of scored rows, by label and for any part of the rows.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use tidegate_core::{Label, Scores};

use super::{
    metrics::{Confusion, Pair, auc, average_precision, calibration_error, mean},
    rows::Row,
};

/// The labels that decide where a message goes; the headline is the mean of their F1.
pub(crate) const ROUTING: [Label; 6] = [
    Label::PurchaseIntent,
    Label::Support,
    Label::Spam,
    Label::Abuse,
    Label::Risk,
    Label::Collab,
];

/// Thresholds, label by label.
pub(crate) type Thresholds = [f32; Label::COUNT];

/// How well one label is found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    pub(crate) label: Label,
    /// Rows of which it is known whether they have the label.
    pub(crate) rows: usize,
    /// Rows that have it.
    pub(crate) positive: u64,
    pub(crate) precision: Option<f64>,
    pub(crate) recall: Option<f64>,
    /// Of the rows without it, the share that is right.
    pub(crate) specificity: Option<f64>,
    pub(crate) f1: Option<f64>,
    pub(crate) average_precision: Option<f64>,
    pub(crate) auc: Option<f64>,
    pub(crate) calibration_error: Option<f64>,
    #[serde(flatten)]
    pub(crate) confusion: Confusion,
}

/// How well all labels are found in a part of the rows.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) rows: usize,
    /// Mean F1 of the routing labels that occur; with only some of the six it is no headline.
    pub(crate) macro_f1: Option<f64>,
    /// How many of the six it is the mean of.
    pub(crate) macro_labels: usize,
    /// Labels that are known somewhere in this part.
    pub(crate) labels: Vec<Figures>,
}

impl Part {
    pub(crate) fn of(&self, label: Label) -> Option<&Figures> {
        self.labels.iter().find(|figures| figures.label == label)
    }
}

/// A row with its scores and the thresholds that hold for it.
#[derive(Clone, Copy)]
pub(crate) struct Judged<'a> {
    pub(crate) row: &'a Row,
    pub(crate) scores: &'a Scores,
    pub(crate) thresholds: &'a Thresholds,
}

/// The figures of these rows.
pub(crate) fn part<'a>(name: &str, rows: impl Iterator<Item = Judged<'a>> + Clone) -> Part {
    let labels: Vec<Figures> = Label::ALL
        .iter()
        .filter_map(|&label| figures(label, rows.clone()))
        .collect();
    let routing = || {
        let routing = labels.iter().filter(|f| ROUTING.contains(&f.label));
        routing.map(|figures| figures.f1)
    };
    Part {
        name: name.to_owned(),
        rows: rows.count(),
        macro_f1: mean(routing()),
        macro_labels: routing().flatten().count(),
        labels,
    }
}

fn figures<'a>(label: Label, rows: impl Iterator<Item = Judged<'a>>) -> Option<Figures> {
    let (mut confusion, mut pairs) = (Confusion::default(), Vec::<Pair>::new());
    for judged in rows {
        let Some(there) = judged.row.gold[label.index()] else {
            continue;
        };
        let score = judged.scores[label].get();
        confusion.add(score >= judged.thresholds[label.index()], there);
        pairs.push((score, there));
    }
    (!pairs.is_empty()).then(|| Figures {
        label,
        rows: pairs.len(),
        positive: confusion.tp + confusion.r#fn,
        precision: confusion.precision(),
        recall: confusion.recall(),
        specificity: confusion.specificity(),
        f1: confusion.f1(),
        average_precision: average_precision(&pairs),
        auc: auc(&pairs),
        calibration_error: calibration_error(&pairs),
        confusion,
    })
}

/// The figures of each group of rows, in the order of the groups' names.
pub(crate) fn parts<'a>(
    rows: impl Iterator<Item = Judged<'a>>,
    group: impl Fn(&Row) -> Arc<str>,
) -> Vec<Part> {
    let mut groups: BTreeMap<Arc<str>, Vec<Judged<'a>>> = BTreeMap::new();
    for judged in rows {
        groups.entry(group(judged.row)).or_default().push(judged);
    }
    let each = groups.iter();
    each.map(|(name, rows)| part(name, rows.iter().copied()))
        .collect()
}

#[cfg(test)]
mod tests {
    use tidegate_core::Channel;

    use super::*;

    fn row(source: &str, spam: Option<bool>) -> Row {
        let mut gold = [None; Label::COUNT];
        gold[Label::Spam.index()] = spam;
        Row {
            text: String::new(),
            lang: "en".into(),
            source: source.into(),
            channel: Channel::Comment,
            gold,
        }
    }

    #[test]
    fn only_rows_that_know_a_label_count_for_it_and_groups_stand_apart() {
        let rows = [
            (row("a", Some(true)), 0.9),
            (row("a", Some(false)), 0.2),
            (row("b", Some(false)), 0.8),
            (row("b", None), 0.9),
        ];
        let scores = rows.clone().map(|(_, spam)| {
            let mut row = [0.0; Label::COUNT];
            row[Label::Spam.index()] = spam;
            Scores::new(row).unwrap()
        });
        let thresholds = [0.5; Label::COUNT];
        let judged = || {
            rows.iter().zip(&scores).map(|((row, _), scores)| Judged {
                row,
                scores,
                thresholds: &thresholds,
            })
        };
        let all = part("all", judged());
        assert_eq!((all.rows, all.labels.len(), all.macro_labels), (4, 1, 1));
        let spam = all.of(Label::Spam).unwrap();
        assert_eq!(
            (spam.rows, spam.positive, spam.precision),
            (3, 1, Some(0.5))
        );
        let by_source = parts(judged(), |row| row.source.clone());
        assert_eq!(by_source.len(), 2);
        assert_eq!(by_source[0].macro_f1, Some(1.0));
        assert_eq!(by_source[1].of(Label::Spam).unwrap().specificity, Some(0.0));
    }
}
