//! One record's end: a verdict with its routes, or a dead letter; written to the outbox, tallied.

use tidegate_chassis::build_info::VERSION;
use tidegate_classifier::Scored;
use tidegate_core::{
    decide::withdraw,
    decode::{Decoded, Rejection},
    event::Event,
    ids::Source,
    normalize::Text,
    policy::Policy,
    route::{Escalation, Route, routes, write_routed_json},
    verdict::Verdict,
};
use tidegate_kafka::{Outbox, Record};
use tidegate_proto as wire;

use crate::{dead_letter, language::judge, repeats::Repeats, settings::Encoding, tally::Tally};

/// The topics that are written to, in the order of [`crate::settings::Topics::names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Out {
    /// One verdict for every event.
    Verdicts,
    /// Spam.
    Spam,
    /// Hate speech.
    Hate,
    /// People who want to buy.
    PurchaseIntent,
    /// What a person must see.
    Escalations,
    /// What could not be read.
    DeadLetters,
}

impl From<Route> for Out {
    fn from(route: Route) -> Self {
        match route {
            Route::Spam => Self::Spam,
            Route::Hate => Self::Hate,
            Route::PurchaseIntent => Self::PurchaseIntent,
            Route::Escalation => Self::Escalations,
        }
    }
}

/// What may be carried from a record to everything that comes of it.
const CARRIED: [&str; 2] = ["traceparent", "tracestate"];

/// Where the records of a batch end.
pub(crate) struct Conclusions<'a> {
    pub outbox: &'a mut Outbox,
    pub tally: &'a mut Tally,
    pub repeats: &'a mut Repeats,
    pub policy: &'a Policy,
    pub output: Encoding,
}

/// What the model said of an event's text, with its version and the languages that it was shown
/// in; `None` where it failed.
pub(crate) type Judged<'a> = Option<(&'a Scored, &'a str, &'a [String])>;

impl Conclusions<'_> {
    /// Concludes about one record. `text` is there for an event, with what the model said of it.
    pub(crate) fn conclude(
        &mut self,
        record: &Record<'_>,
        decoded: &Result<Decoded<'_>, Rejection>,
        text: Option<&Text<'_>>,
        judged: Judged<'_>,
    ) {
        match (decoded, text) {
            (Ok(Decoded::Event(event)), Some(text)) => self.event(record, event, text, judged),
            (Ok(Decoded::Withdrawal(withdrawal)), _) => {
                let verdict = withdraw(withdrawal, self.policy, source(record));
                self.publish(record, None, &verdict, false);
            }
            (Err(rejection), _) => self.dead_letter(record, rejection),
            (Ok(Decoded::Event(_)), None) => unreachable!("every event has its text"),
        }
    }

    fn event(
        &mut self,
        record: &Record<'_>,
        event: &Event<'_>,
        text: &Text<'_>,
        judged: Judged<'_>,
    ) {
        let shown = judged.map_or(&[][..], |(.., shown)| shown);
        let scored = judged.map(|(scored, version, _)| scored.by_model(version));
        let verdict = judge(event, text, scored, shown, self.policy, source(record));
        let parts = [
            event.brand.as_str(),
            event.id.as_str(),
            event.kind.as_str(),
            &event.text,
        ];
        let is_repeat = self.repeats.is_repeat(parts);
        self.publish(record, Some(event), &verdict, is_repeat);
    }

    /// The verdict, and a record for each of its routes unless they were published before.
    fn publish(
        &mut self,
        record: &Record<'_>,
        event: Option<&Event<'_>>,
        verdict: &Verdict<'_>,
        is_repeat: bool,
    ) {
        self.tally
            .verdict(record, verdict.action.as_str(), verdict.tier.as_str());
        let output = self.output;
        self.push(record, verdict, Out::Verdicts, |out| match output {
            Encoding::Json => verdict.write_json(out),
            Encoding::Protobuf => wire::encode_verdict(verdict, out),
        });
        if is_repeat {
            self.tally.repeat();
            return;
        }
        // Spam, hate and purchase intent hold the same: it is written once.
        let mut written = None;
        for route in routes(verdict).iter() {
            self.tally.route(route.as_str());
            match (route, event, written) {
                (Route::Escalation, ..) => {
                    let escalation = Escalation::new(event, verdict);
                    self.push(record, verdict, route.into(), |out| match output {
                        Encoding::Json => escalation.write_json(out),
                        Encoding::Protobuf => wire::encode_escalation(&escalation, out),
                    });
                }
                (_, Some(_), Some(index)) => {
                    self.outbox.push_copy(Out::from(route) as usize, index);
                }
                (_, Some(event), None) => {
                    written = Some(self.outbox.len());
                    self.push(record, verdict, route.into(), |out| match output {
                        Encoding::Json => write_routed_json(event, verdict, out),
                        Encoding::Protobuf => wire::encode_routed(event, verdict, out),
                    });
                }
                // A withdrawal has no labels, so it takes none of these routes.
                (_, None, _) => {}
            }
        }
    }

    /// Keyed as the input was, or by conversation, so that a conversation keeps its order.
    fn push(
        &mut self,
        record: &Record<'_>,
        verdict: &Verdict<'_>,
        to: Out,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let key = record.key.or(verdict.conversation_id.map(str::as_bytes));
        let content_type = match self.output {
            Encoding::Json => "application/json",
            Encoding::Protobuf => "application/x-protobuf",
        };
        let carried = record
            .headers
            .iter()
            .filter(|(name, _)| CARRIED.contains(name));
        let headers = [("content-type", Some(content_type.as_bytes()))]
            .into_iter()
            .chain(carried);
        self.outbox.push(to as usize, key, headers, Some(write));
    }

    /// The record as it came, with the reason beside it.
    fn dead_letter(&mut self, record: &Record<'_>, rejection: &Rejection) {
        self.tally.dead_letter(record, rejection.reason.as_str());
        let [partition, offset, timestamp] = [
            record.partition.to_string(),
            record.offset.0.to_string(),
            record
                .timestamp_ms
                .map_or_else(String::new, |ms| ms.to_string()),
        ];
        let about = [
            (dead_letter::TOPIC, &**record.topic),
            (dead_letter::PARTITION, &partition),
            (dead_letter::OFFSET, &offset),
            (dead_letter::TIMESTAMP, &timestamp),
            (dead_letter::REASON, rejection.reason.as_str()),
            (dead_letter::DETAIL, &rejection.detail),
            (dead_letter::STAGE, "decode"),
            (dead_letter::VERSION, VERSION),
        ]
        .map(|(name, value)| (name, Some(value.as_bytes())));
        let headers = record.headers.iter().chain(about);
        let payload = record
            .payload
            .map(|bytes| move |out: &mut Vec<u8>| out.extend_from_slice(bytes));
        self.outbox
            .push(Out::DeadLetters as usize, record.key, headers, payload);
    }
}

fn source<'a>(record: &Record<'a>) -> Source<'a> {
    Source {
        topic: record.topic,
        partition: record.partition,
        offset: record.offset.0,
    }
}
