//! Scores and policy to a verdict with its reasons.

use std::cmp::Reverse;

use smallvec::SmallVec;

use crate::{
    event::{Event, Kind, Withdrawal},
    ids::{OutputId, Source},
    labels::{Label, LabelSet, Scores},
    names::Set,
    normalize::Text,
    policy::{Outcome, Policy},
    verdict::{Action, Reason, Review, Tier, Verdict},
};

/// What the classifier said about one message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored<'a> {
    /// One probability for each label.
    pub scores: Scores,
    /// Which model said it.
    pub tier: Tier,
    /// In how many windows the text was read.
    pub windows: u32,
    /// The model's version.
    pub model_version: &'a str,
    /// `false` where the message is in a language in which nobody has shown how good the model is:
    /// then its scores hide nothing by themselves. What was not looked at is `true`.
    pub is_language_shown: bool,
}

/// Decides about a message. `scored` is `None` where scoring was impossible: then a person is
/// asked, and the rules that need no scores still hold.
#[must_use]
pub fn decide<'a>(
    event: &'a Event<'_>,
    text: &Text<'_>,
    scored: Option<&Scored<'a>>,
    policy: &'a Policy,
    source: Source<'a>,
) -> Verdict<'a> {
    let mut labels = LabelSet::default();
    let mut case = Case::default();
    match scored {
        Some(scored) => {
            if !scored.is_language_shown {
                case.instead_of_hiding = policy.language_not_shown();
            }
            case.judge_scores(event, &scored.scores, policy, &mut labels);
        }
        None => case.add(plain("not_scored"), policy.not_scored()),
    }
    let scores = scored.map(|scored| (&scored.scores, labels));
    for rule in policy.rules_for(event, text, scores) {
        if rule.reads_scores() {
            case.add_scored(plain(&rule.id), &rule.outcome);
        } else {
            case.add(plain(&rule.id), &rule.outcome);
        }
    }

    case.ask_instead_of_hiding();
    case.sort(event, policy);
    let action = case.action.on(event.channel);
    Verdict {
        id: OutputId::new(source, policy.version()),
        event_id: event.id.as_str(),
        kind: event.kind,
        brand: Some(event.brand.as_str()),
        platform: Some(&event.platform),
        channel: Some(event.channel),
        conversation_id: event.conversation_id.as_deref(),
        event_time_ms: Some(event.event_time_ms()),
        action,
        withdrawn: false,
        labels,
        scores: scored.map(|scored| scored.scores),
        review: action
            .reviews()
            .then(|| case.review(event, policy))
            .flatten(),
        reasons: case.into_reasons(),
        text_flags: text.flags(),
        clock_ahead: event.clock_ahead(),
        tier: scored.map_or(Tier::None, |scored| scored.tier),
        windows: scored.map_or(0, |scored| scored.windows),
        model_version: scored.map(|scored| scored.model_version),
        policy_version: policy.version(),
        source,
    }
}

/// Concludes that a message is gone: nothing is scored, and its case can be closed.
#[must_use]
pub fn withdraw<'a>(
    withdrawal: &'a Withdrawal<'_>,
    policy: &'a Policy,
    source: Source<'a>,
) -> Verdict<'a> {
    Verdict {
        id: OutputId::new(source, policy.version()),
        event_id: withdrawal.id.as_str(),
        kind: Kind::Deleted,
        brand: withdrawal.brand.as_ref().map(|brand| brand.as_str()),
        platform: withdrawal.platform.as_deref(),
        channel: withdrawal.channel,
        conversation_id: withdrawal.conversation_id.as_deref(),
        event_time_ms: withdrawal.at_ms,
        action: Action::Allow,
        withdrawn: true,
        labels: LabelSet::default(),
        scores: None,
        reasons: SmallVec::new(),
        text_flags: Set::default(),
        clock_ahead: false,
        review: None,
        tier: Tier::None,
        windows: 0,
        model_version: None,
        policy_version: policy.version(),
        source,
    }
}

/// The reasons found so far, each with what it leads to.
struct Case<'a> {
    action: Action,
    /// What scores lead to where they would hide but prove nothing.
    instead_of_hiding: Option<&'a Outcome>,
    is_held_back: bool,
    reasons: SmallVec<[(Reason<'a>, &'a Outcome); 4]>,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self {
            action: Action::Allow,
            instead_of_hiding: None,
            is_held_back: false,
            reasons: SmallVec::new(),
        }
    }
}

impl<'a> Case<'a> {
    /// A reason that leads to nothing is none.
    fn add(&mut self, reason: Reason<'a>, outcome: &'a Outcome) {
        if outcome.action != Action::Allow {
            self.action = self.action.and(outcome.action);
            self.reasons.push((reason, outcome));
        }
    }

    /// A reason that rests on scores.
    fn add_scored(&mut self, reason: Reason<'a>, outcome: &'a Outcome) {
        if self.instead_of_hiding.is_none() || !outcome.action.hides() {
            return self.add(reason, outcome);
        }
        self.action = self.action.and(outcome.action.without_hiding());
        self.reasons.push((reason, outcome));
        self.is_held_back = true;
    }

    /// Says why nothing was hidden, and what is done instead.
    fn ask_instead_of_hiding(&mut self) {
        if let Some(outcome) = self.instead_of_hiding.filter(|_| self.is_held_back) {
            self.action = self.action.and(outcome.action);
            self.reasons.push((plain("language_not_shown"), outcome));
        }
    }

    fn judge_scores(
        &mut self,
        event: &Event<'_>,
        scores: &Scores,
        policy: &'a Policy,
        labels: &mut LabelSet,
    ) {
        let thresholds = policy.thresholds(event);
        for (label, score) in scores.iter() {
            let threshold = thresholds[label.index()];
            let of = |code, threshold| Reason {
                code,
                label: Some(label),
                score: Some(score),
                threshold: Some(threshold),
            };
            let label_policy = policy.label(label);
            if score.reaches(threshold) {
                labels.insert(label);
                self.add_scored(of(label.as_str(), threshold), &label_policy.outcome);
            } else if let Some(from) = label_policy.unsure_from.filter(|from| score.reaches(*from))
            {
                self.add(of("low_confidence", from), policy.low_confidence());
            }
        }
        if let Some((threshold, outcome)) = policy.negative_floor()
            && scores[Label::Negative].reaches(*threshold)
        {
            let reason = Reason {
                code: "negative_floor",
                label: Some(Label::Negative),
                score: Some(scores[Label::Negative]),
                threshold: Some(*threshold),
            };
            self.add(reason, outcome);
        }
    }

    /// The gravest reason first: the highest priority, and of several the one due first.
    fn sort(&mut self, event: &Event<'_>, policy: &Policy) {
        self.reasons.sort_by_key(|(_, outcome)| {
            (
                Reverse(outcome.priority),
                policy.deadline_ms(outcome, event.channel),
            )
        });
    }

    /// The queue is that of the gravest reason that asks for a person; the case is due when the
    /// first of its reasons is.
    fn review(&self, event: &Event<'_>, policy: &Policy) -> Option<Review<'a>> {
        let deadline = |outcome: &Outcome| policy.deadline_ms(outcome, event.channel);
        let reviewed = || {
            let outcomes = self.reasons.iter().map(|(_, outcome)| *outcome);
            outcomes.filter(|outcome| outcome.action.on(event.channel).reviews())
        };
        let first = reviewed().next()?;
        let deadline_ms = reviewed().map(deadline).min()?;
        Some(Review {
            queue: &first.queue,
            priority: first.priority,
            due_at_ms: event.event_time_ms().saturating_add(deadline_ms),
        })
    }

    fn into_reasons(self) -> SmallVec<[Reason<'a>; 4]> {
        self.reasons.into_iter().map(|(reason, _)| reason).collect()
    }
}

fn plain(code: &str) -> Reason<'_> {
    Reason {
        code,
        label: None,
        score: None,
        threshold: None,
    }
}

#[cfg(test)]
mod tests;
