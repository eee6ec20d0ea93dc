//! What a brand wants done: thresholds, rules and outcomes, out of one YAML document.
//!
//! The shipped default, `services/lib/core/policy/default.yaml`, explains every part of the form.

mod expression;
mod keywords;
mod read;
mod thresholds;
mod yaml;

use std::fmt;

use crate::{
    event::{Channel, Event},
    labels::{Label, LabelSet, Scores, Threshold},
    normalize::Text,
    verdict::{Action, Priority},
};
use expression::Expression;
use keywords::Keywords;
use thresholds::Thresholds;

/// The default policy's document.
pub const DEFAULT_POLICY: &str = include_str!("../../policy/default.yaml");

/// A checked policy.
#[derive(Clone, Debug)]
pub struct Policy {
    version: String,
    thresholds: Thresholds,
    labels: [LabelPolicy; Label::COUNT],
    low_confidence: Outcome,
    not_scored: Outcome,
    language_not_shown: Option<Outcome>,
    negative_floor: Option<(Threshold, Outcome)>,
    /// Milliseconds until a case is due, by channel.
    deadlines_ms: [i64; Channel::ALL.len()],
    rules: Vec<Rule>,
    keywords: Keywords,
}

/// What a label leads to.
#[derive(Clone, Debug)]
pub(crate) struct LabelPolicy {
    /// From here up to the label's threshold a person is asked.
    pub(crate) unsure_from: Option<Threshold>,
    pub(crate) outcome: Outcome,
}

/// What a reason leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) action: Action,
    pub(crate) queue: String,
    pub(crate) priority: Priority,
    pub(crate) deadline_ms: Option<i64>,
}

/// A rule of the policy: everything that it names must hold.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    channels: Vec<Channel>,
    langs: Vec<String>,
    platforms: Vec<String>,
    brands: Vec<String>,
    has_phrases: bool,
    when: Option<Expression>,
    pub(crate) outcome: Outcome,
}

impl Policy {
    /// Reads and checks a document.
    ///
    /// # Errors
    /// Every mistake in it, each with its line.
    pub fn parse(yaml: &str) -> Result<Self, PolicyErrors> {
        read::policy(yaml)
    }

    /// The policy that is shipped.
    ///
    /// # Panics
    /// Never: a test reads the same document.
    #[must_use]
    pub fn default_policy() -> Self {
        Self::parse(DEFAULT_POLICY).expect("a test reads the same document")
    }

    /// Its version, which is in every verdict.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The thresholds for one event's brand, platform and channel, in the labels' order.
    #[must_use]
    pub fn thresholds(&self, event: &Event<'_>) -> [Threshold; Label::COUNT] {
        self.thresholds.of(event)
    }

    pub(crate) fn label(&self, label: Label) -> &LabelPolicy {
        &self.labels[label.index()]
    }

    pub(crate) const fn low_confidence(&self) -> &Outcome {
        &self.low_confidence
    }

    pub(crate) const fn not_scored(&self) -> &Outcome {
        &self.not_scored
    }

    pub(crate) const fn language_not_shown(&self) -> Option<&Outcome> {
        self.language_not_shown.as_ref()
    }

    pub(crate) const fn negative_floor(&self) -> Option<&(Threshold, Outcome)> {
        self.negative_floor.as_ref()
    }

    /// Milliseconds until a case with this outcome is due.
    pub(crate) fn deadline_ms(&self, outcome: &Outcome, channel: Channel) -> i64 {
        outcome
            .deadline_ms
            .unwrap_or(self.deadlines_ms[channel.index()])
    }

    /// The rules that hold for a message.
    pub(crate) fn rules_for<'p>(
        &'p self,
        event: &Event<'_>,
        text: &Text<'_>,
        scored: Option<(&Scores, LabelSet)>,
    ) -> impl Iterator<Item = &'p Rule> {
        let found = self.keywords.find(text, event.channel);
        self.rules
            .iter()
            .enumerate()
            .filter_map(move |(index, rule)| {
                rule.holds(event, found.contains(index), scored)
                    .then_some(rule)
            })
    }
}

impl Rule {
    /// Whether it rests on scores: then it is only as good as these.
    pub(crate) const fn reads_scores(&self) -> bool {
        self.when.is_some()
    }

    /// Whether it is looked at on this channel.
    fn is_for(&self, channel: Channel) -> bool {
        self.channels.is_empty() || self.channels.contains(&channel)
    }

    fn holds(
        &self,
        event: &Event<'_>,
        is_phrase_found: bool,
        scored: Option<(&Scores, LabelSet)>,
    ) -> bool {
        let is_any = |names: &[String], name: &str| {
            names.is_empty() || names.iter().any(|known| known.eq_ignore_ascii_case(name))
        };
        // `pt-BR` is `pt`.
        let lang = event.lang.as_deref().unwrap_or_default();
        let lang = lang.split(['-', '_']).next().unwrap_or_default();
        (!self.has_phrases || is_phrase_found)
            && self.is_for(event.channel)
            && is_any(&self.langs, lang)
            && is_any(&self.platforms, &event.platform)
            && is_any(&self.brands, event.brand.as_str())
            && self.when.as_ref().is_none_or(|when| {
                scored.is_some_and(|(scores, reached)| when.holds(scores, reached))
            })
    }
}

/// One mistake in a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The line it is on, from 1; 0 where there is none.
    pub line: u64,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Every mistake in a policy, in the order of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyErrors(pub Vec<Mistake>);

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(
            f,
            "the policy has {count} mistake{}",
            if count == 1 { "" } else { "s" }
        )?;
        for Mistake { line, message } in &self.0 {
            write!(f, "\n  line {line}: {message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyErrors {}

#[cfg(test)]
mod tests;
