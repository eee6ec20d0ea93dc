//! Where a verdict goes besides the verdicts' own topic, and what is written there.

use serde::Serialize;

use crate::{
    event::Event,
    labels::Label,
    names::{Set, closed_names},
    verdict::Verdict,
};

closed_names! {
    /// A topic of its own for verdicts of a sort.
    Route {
        /// Spam, with its event.
        Spam = "spam",
        /// Hate speech, with its event.
        Hate = "hate",
        /// Someone wants to buy, with the event.
        PurchaseIntent = "purchase_intent",
        /// A person must see it, or a case can be closed because its message is gone.
        Escalation = "escalation",
    }
}

/// Some of the routes.
pub type Routes = Set<Route>;

/// The routes that a verdict takes.
#[must_use]
pub fn routes(verdict: &Verdict<'_>) -> Routes {
    [
        (Route::Spam, verdict.labels.contains(Label::Spam)),
        (Route::Hate, verdict.labels.contains(Label::Hate)),
        (
            Route::PurchaseIntent,
            verdict.labels.contains(Label::PurchaseIntent),
        ),
        (
            Route::Escalation,
            verdict.review.is_some() || verdict.withdrawn,
        ),
    ]
    .into_iter()
    .filter_map(|(route, takes)| takes.then_some(route))
    .collect()
}

/// Appends an event's own fields with the verdict beside them under `verdict`, as one JSON object.
pub fn write_routed_json(event: &Event<'_>, verdict: &Verdict<'_>, out: &mut Vec<u8>) {
    crate::json::write_routed(event, verdict, out);
}

/// What the escalation service reads: a case to open, or one to close because its message is gone.
///
/// `'v` is the verdict's own: a [`Verdict`] is invariant in its lifetime.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Escalation<'a, 'v> {
    /// The message is gone: nothing is left to decide, and there is no event.
    pub withdrawn: bool,
    /// The message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<&'a Event<'a>>,
    /// Queue, priority and due time under `review`, and the reasons.
    pub verdict: &'a Verdict<'v>,
}

impl<'a, 'v> Escalation<'a, 'v> {
    /// The escalation of a verdict; `event` is `None` for a withdrawal.
    #[must_use]
    pub fn new(event: Option<&'a Event<'a>>, verdict: &'a Verdict<'v>) -> Self {
        Self {
            withdrawn: verdict.withdrawn,
            event,
            verdict,
        }
    }

    /// Appends it as one JSON object.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        crate::json::write_escalation(self, out);
    }
}
