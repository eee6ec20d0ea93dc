//! JSON written by hand: verdicts are most of what a lane writes, and serde writes them in thrice
//! the time. The types' own `Serialize` says what must come out; a test compares the two.

use crate::{
    decode::special,
    event::{Author, Event},
    labels::{Label, Probability, Scores},
    route::Escalation,
    verdict::{Reason, Verdict},
};

/// What one record takes at most, usually: memory is asked for once.
const USUAL_BYTES: usize = 1_536;

/// A label's name as a field of `scores`, with the comma before it; and how long that is.
type Field = ([u8; 24], usize);

/// Of each label, in their order.
const FIELDS: [Field; Label::COUNT] = {
    let mut fields = [([0; 24], 0); Label::COUNT];
    let mut label = 0;
    while label < Label::COUNT {
        fields[label] = field(Label::ALL[label].as_str().as_bytes());
        label += 1;
    }
    fields
};

const fn field(name: &[u8]) -> Field {
    let mut bytes = [0; 24];
    [bytes[0], bytes[1]] = *b",\"";
    let mut at = 0;
    while at < name.len() {
        bytes[2 + at] = name[at];
        at += 1;
    }
    [bytes[2 + at], bytes[3 + at]] = *b"\":";
    (bytes, at + 4)
}

/// Appends to a buffer.
struct Json<'o>(&'o mut Vec<u8>);

impl Json<'_> {
    /// Names, brackets and commas, as they are. Inlined, a piece of known length is a few moves.
    #[inline]
    fn raw(&mut self, json: &str) -> &mut Self {
        self.0.extend_from_slice(json.as_bytes());
        self
    }

    /// The first `len` of some bytes: a fixed number is copied faster than the right one.
    #[inline]
    fn begin_of<const N: usize>(&mut self, bytes: &[u8; N], len: usize) -> &mut Self {
        let end = self.0.len() + len;
        self.0.extend_from_slice(bytes);
        self.0.truncate(end);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.0.push(b'"');
        match special(text.as_bytes()) {
            None => self.0.extend_from_slice(text.as_bytes()),
            Some(_) => text.bytes().for_each(|byte| self.escaped(byte)),
        }
        self.0.push(b'"');
        self
    }

    fn escaped(&mut self, byte: u8) {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            0..=0x1f => {
                let digit = |half: u8| b"0123456789abcdef"[usize::from(half)];
                self.raw("\\u00");
                return self.0.extend([digit(byte >> 4), digit(byte & 15)]);
            }
            _ => return self.0.push(byte),
        };
        self.0.extend([b'\\', short]);
    }

    fn integer(&mut self, number: impl itoa::Integer) -> &mut Self {
        self.raw(itoa::Buffer::new().format(number))
    }

    fn truth(&mut self, value: bool) -> &mut Self {
        self.raw(if value { "true" } else { "false" })
    }

    fn probability(&mut self, probability: Probability) -> &mut Self {
        let number = probability.ten_thousandths();
        if number.is_multiple_of(10_000) {
            return self.raw(if number == 0 { "0.0" } else { "1.0" });
        }
        let digit = |of: u16| b'0' + (number / of % 10) as u8;
        let zeros = [1_000, 100, 10, 1]
            .iter()
            .position(|of| number.is_multiple_of(*of));
        let digits = [
            b'0',
            b'.',
            digit(1_000),
            digit(100),
            digit(10),
            digit(1),
            0,
            0,
        ];
        self.begin_of(&digits, 3 + zeros.unwrap_or_default())
    }

    fn scores(&mut self, scores: &Scores) {
        let start = self.0.len();
        for ((name, len), score) in FIELDS.iter().zip(scores.0) {
            self.begin_of(name, *len).probability(score);
        }
        self.0[start] = b'{';
        self.0.push(b'}');
    }

    /// A list, each of whose items `write` appends.
    fn list<T>(&mut self, items: impl Iterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.0.push(b'[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.0.push(b',');
            }
            write(self, item);
        }
        self.0.push(b']');
    }

    /// A field that may be missing. `name` comes with what stands around it.
    fn optional(&mut self, name: &str, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.raw(name).text(text),
            None => self,
        }
    }

    fn reason(&mut self, reason: &Reason<'_>) {
        self.raw("{\"code\":").text(reason.code);
        if let Some(label) = reason.label {
            self.raw(",\"label\":\"").raw(label.as_str()).raw("\"");
        }
        if let Some(score) = reason.score {
            self.raw(",\"score\":").probability(score);
        }
        if let Some(threshold) = reason.threshold {
            self.raw(",\"threshold\":").probability(threshold.into());
        }
        self.raw("}");
    }

    fn verdict(&mut self, verdict: &Verdict<'_>) {
        let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
        let id = verdict.id.0.hyphenated().encode_lower(&mut id);
        self.raw("{\"id\":\"").raw(id);
        self.raw("\",\"event_id\":").text(verdict.event_id);
        self.raw(",\"kind\":\"").raw(verdict.kind.as_str());
        self.raw("\"");
        self.optional(",\"brand\":", verdict.brand);
        self.optional(",\"platform\":", verdict.platform);
        let channel = verdict.channel.map(|channel| channel.as_str());
        self.optional(",\"channel\":", channel);
        self.optional(",\"conversation_id\":", verdict.conversation_id);
        if let Some(time) = verdict.event_time_ms {
            self.raw(",\"event_time\":").integer(time);
        }
        self.raw(",\"action\":\"").raw(verdict.action.as_str());
        self.raw("\",\"withdrawn\":").truth(verdict.withdrawn);
        self.raw(",\"labels\":");
        self.list(verdict.labels.iter(), |json, label| {
            json.raw("\"").raw(label.as_str()).raw("\"");
        });
        if let Some(scores) = &verdict.scores {
            self.raw(",\"scores\":").scores(scores);
        }
        self.raw(",\"reasons\":");
        self.list(verdict.reasons.iter(), Self::reason);
        self.raw(",\"text_flags\":");
        self.list(verdict.text_flags.iter(), |json, flag| {
            json.raw("\"").raw(flag.as_str()).raw("\"");
        });
        self.raw(",\"clock_ahead\":").truth(verdict.clock_ahead);
        if let Some(review) = &verdict.review {
            self.raw(",\"review\":{\"queue\":").text(review.queue);
            self.raw(",\"priority\":\"").raw(review.priority.as_str());
            self.raw("\",\"due_at\":").integer(review.due_at_ms);
            self.raw("}");
        }
        self.raw(",\"tier\":\"").raw(verdict.tier.as_str());
        self.raw("\",\"windows\":").integer(verdict.windows);
        self.optional(",\"model_version\":", verdict.model_version);
        self.raw(",\"policy_version\":")
            .text(verdict.policy_version);
        let source = verdict.source;
        self.raw(",\"source\":{\"topic\":").text(source.topic);
        self.raw(",\"partition\":").integer(source.partition);
        self.raw(",\"offset\":").integer(source.offset);
        self.raw("}}");
    }

    fn author(&mut self, author: &Author<'_>) {
        self.raw(",\"author\":{");
        let start = self.0.len();
        self.optional("\"id\":", author.id.as_deref());
        let comma = |json: &mut Self| {
            if json.0.len() > start {
                json.0.push(b',');
            }
        };
        if let Some(name) = &author.name {
            comma(self);
            self.raw("\"name\":").text(name);
        }
        if let Some(followers) = author.followers {
            comma(self);
            self.raw("\"followers\":").integer(followers);
        }
        comma(self);
        self.raw("\"is_creator\":").truth(author.is_creator);
        self.raw("}");
    }

    /// All of an event but the bracket that closes it.
    fn open_event(&mut self, event: &Event<'_>) {
        self.raw("{\"id\":").text(event.id.as_str());
        self.raw(",\"kind\":\"").raw(event.kind.as_str());
        self.raw("\",\"platform\":").text(&event.platform);
        self.raw(",\"brand\":").text(event.brand.as_str());
        self.raw(",\"channel\":\"").raw(event.channel.as_str());
        self.raw("\"");
        self.optional(",\"conversation_id\":", event.conversation_id.as_deref());
        self.optional(",\"parent_id\":", event.parent_id.as_deref());
        self.optional(",\"post_id\":", event.post_id.as_deref());
        self.author(&event.author);
        self.raw(",\"text\":").text(&event.text);
        self.optional(",\"lang\":", event.lang.as_deref());
        self.raw(",\"created_at\":").integer(event.created_at_ms);
        if !event.context.is_empty() {
            let mut before = ",\"context\":{";
            for (name, value) in &event.context {
                self.raw(before).text(name).raw(":").text(value);
                before = ",";
            }
            self.raw("}");
        }
    }
}

/// Appends a verdict.
pub(crate) fn write_verdict(verdict: &Verdict<'_>, out: &mut Vec<u8>) {
    out.reserve(USUAL_BYTES);
    Json(out).verdict(verdict);
}

/// Appends an event's own fields with the verdict beside them.
pub(crate) fn write_routed(event: &Event<'_>, verdict: &Verdict<'_>, out: &mut Vec<u8>) {
    out.reserve(USUAL_BYTES + event.text.len());
    let mut json = Json(out);
    json.open_event(event);
    json.raw(",\"verdict\":").verdict(verdict);
    json.raw("}");
}

/// Appends an escalation.
pub(crate) fn write_escalation(escalation: &Escalation<'_, '_>, out: &mut Vec<u8>) {
    out.reserve(USUAL_BYTES);
    let mut json = Json(out);
    json.raw("{\"withdrawn\":").truth(escalation.withdrawn);
    if let Some(event) = escalation.event {
        json.raw(",\"event\":").open_event(event);
        json.raw("}");
    }
    json.raw(",\"verdict\":").verdict(escalation.verdict);
    json.raw("}");
}

#[cfg(test)]
mod tests;
