//! What was concluded about one record, and how it is written.

use serde::{Serialize, Serializer};
use smallvec::SmallVec;

use crate::{
    event::{Channel, Kind},
    ids::{OutputId, Source},
    labels::{Label, LabelSet, Probability, Scores, Threshold},
    names::{Set, closed_names},
    normalize::TextFlag,
};

closed_names! {
    /// What is to be done with a message.
    Action {
        /// Nothing: it stays.
        Allow = "allow",
        /// It is hidden from others.
        Hide = "hide",
        /// It stays, and a person looks at it.
        Review = "review",
        /// It is hidden until a person has looked at it.
        HideAndReview = "hide_and_review",
    }
}

impl Action {
    /// Whether it hides.
    #[must_use]
    pub const fn hides(self) -> bool {
        matches!(self, Self::Hide | Self::HideAndReview)
    }

    /// Whether it asks for a person.
    #[must_use]
    pub const fn reviews(self) -> bool {
        matches!(self, Self::Review | Self::HideAndReview)
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self::of(
            self.hides() || other.hides(),
            self.reviews() || other.reviews(),
        )
    }

    /// What can be done on this channel: a direct message has one reader, from whom nothing is to
    /// be hidden, so a person looks instead.
    #[must_use]
    pub const fn on(self, channel: Channel) -> Self {
        match channel {
            Channel::Dm => Self::of(false, self.hides() || self.reviews()),
            Channel::Comment | Channel::Live => self,
        }
    }

    /// The same without hiding.
    #[must_use]
    pub const fn without_hiding(self) -> Self {
        Self::of(false, self.reviews())
    }

    const fn of(hides: bool, reviews: bool) -> Self {
        match (hides, reviews) {
            (false, false) => Self::Allow,
            (true, false) => Self::Hide,
            (false, true) => Self::Review,
            (true, true) => Self::HideAndReview,
        }
    }
}

closed_names! {
    /// How soon a person should look, relative to other cases.
    Priority {
        /// When there is time.
        Low = "low",
        /// In turn.
        Normal = "normal",
        /// Before others.
        High = "high",
        /// Now.
        Urgent = "urgent",
    }
}

closed_names! {
    /// Which model scored a message.
    Tier {
        /// None did.
        None = "none",
        /// The fast one, which sees every message.
        Screen = "screen",
        /// The thorough one, which sees what the screen is unsure of.
        Deep = "deep",
    }
}

/// Why a verdict is what it is. Borrows its texts from the policy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Reason<'a> {
    /// A label's name, a rule's id, or one of `low_confidence`, `negative_floor`, `not_scored`,
    /// `language_not_shown`.
    pub code: &'a str,
    /// The label that it rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// What the label scored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<Probability>,
    /// What it had to reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Threshold>,
}

/// Where a case goes, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Review<'a> {
    /// The queue's name.
    pub queue: &'a str,
    /// How soon, relative to others.
    pub priority: Priority,
    /// Until when a person should have looked: milliseconds since the Unix epoch.
    #[serde(rename = "due_at")]
    pub due_at_ms: i64,
}

/// What was concluded about one record. Borrows from the event and the policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict<'a> {
    /// Deterministic: the same record and policy give the same id.
    pub id: OutputId,
    /// The message's id.
    pub event_id: &'a str,
    /// What happened to the message.
    pub kind: Kind,
    /// The brand it was written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brand: Option<&'a str>,
    /// The platform's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<&'a str>,
    /// Where it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// The conversation it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<&'a str>,
    /// The event's time, from which deadlines run: milliseconds since the Unix epoch.
    #[serde(rename = "event_time", skip_serializing_if = "Option::is_none")]
    pub event_time_ms: Option<i64>,
    /// What is to be done.
    pub action: Action,
    /// The message is gone; nothing was scored.
    pub withdrawn: bool,
    /// The labels that reached their thresholds.
    pub labels: LabelSet,
    /// All scores; `None` where scoring was impossible or not needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores: Option<Scores>,
    /// What led to the action, the gravest first.
    #[serde(serialize_with = "as_list")]
    pub reasons: SmallVec<[Reason<'a>; 4]>,
    /// What was noticed about the text.
    pub text_flags: Set<TextFlag>,
    /// The sender's clock is ahead of the record's.
    pub clock_ahead: bool,
    /// Where the case goes, if a person is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<Review<'a>>,
    /// Which model scored it.
    pub tier: Tier,
    /// In how many windows the text was scored; more than one if it was too long for the model.
    pub windows: u32,
    /// The model's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_version: Option<&'a str>,
    /// The policy's version.
    pub policy_version: &'a str,
    /// The record that it is about.
    pub source: Source<'a>,
}

impl Verdict<'_> {
    /// Appends it as one JSON object.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        crate::json::write_verdict(self, out);
    }
}

fn as_list<S: Serializer>(
    reasons: &SmallVec<[Reason<'_>; 4]>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(reasons)
}
