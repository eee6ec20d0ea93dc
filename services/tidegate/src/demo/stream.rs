//! A seeded stream of realistic events: messages written for Tidegate, and now and then what a
//! real feed also brings — broken, hostile and unknown ones.

use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::BaseRecord,
};
use serde_json::{Value, json};

/// Messages written for Tidegate, one a line: labels that lead somewhere, language, channel, platform,
/// text. The labels are by their codes in `models/train/labels.py`, as the writer sees them; `-` is none.
const MESSAGES: &str = include_str!("../../data/messages.tsv");

/// How many of a hundred messages lead somewhere: most of what a brand is told is praise and chatter.
/// Half of the file's lines do, so that the stream does not repeat itself.
const LEADING: u32 = 20;

/// Hateful messages, written for the stream so that the route is exercised; none is a real post.
const HATEFUL: [&str; 8] = [
    "immigrants are vermin and should be thrown out of this country",
    "all muslims are terrorists, ban them from your stores",
    "gay people are disgusting and do not deserve to live",
    "women are too stupid to run a company, send them back to the kitchen",
    "jews control everything and they should be wiped out",
    "black people are animals, stop putting them in your ads",
    "disabled people are a burden, get rid of them all",
    "trans people are sick freaks and should be locked up",
];

pub(crate) const BRANDS: [&str; 4] = ["northlight", "casa-verde", "pulse-audio", "marlowe"];
pub(crate) const GIVEN: [&str; 8] = [
    "Noor", "Ines", "Tom", "Yuki", "Amara", "Luca", "Defne", "Wes",
];
pub(crate) const FAMILY: [&str; 8] = [
    "Okafor",
    "Lindqvist",
    "Moreau",
    "Tan",
    "Reyes",
    "Baptiste",
    "Aksoy",
    "Hart",
];

/// A message: language, channel, platform, text.
type Message = [&'static str; 4];

/// The messages.
pub(crate) fn messages() -> Vec<Message> {
    labelled().map(|(_, message)| message).collect()
}

/// The messages, each with whether it leads somewhere.
fn labelled() -> impl Iterator<Item = (bool, Message)> {
    MESSAGES.lines().filter_map(|line| {
        let (labels, message) = line.split_once('\t')?;
        let message = message.splitn(4, '\t').collect::<Vec<_>>();
        Some((labels != "-", message.try_into().ok()?))
    })
}

/// One record to feed.
#[derive(Debug)]
pub(crate) struct Fed {
    /// Whether it goes to the DM topic rather than to the comment topic.
    pub is_dm: bool,
    /// The conversation, which keeps its order.
    pub key: String,
    /// The `content-type` header.
    pub content_type: &'static str,
    /// The bytes; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
}

impl Fed {
    /// The record as a producer sends it.
    pub(crate) fn record<'a>(&'a self, topic: &'a str) -> BaseRecord<'a, str, [u8]> {
        let headers = OwnedHeaders::new().insert(Header {
            key: "content-type",
            value: Some(self.content_type),
        });
        let record = BaseRecord::to(topic)
            .key(self.key.as_str())
            .headers(headers);
        match &self.payload {
            Some(payload) => record.payload(payload),
            None => record,
        }
    }
}

/// The stream. The same seed and clock give the same records.
pub(crate) struct Stream {
    rng: ChaCha8Rng,
    leading: Vec<Message>,
    quiet: Vec<Message>,
    count: u64,
}

impl Stream {
    /// A stream that starts from `seed`.
    #[must_use]
    pub(crate) fn new(seed: u64) -> Self {
        let (leading, quiet): (Vec<_>, Vec<_>) = labelled().partition(|(leads, _)| *leads);
        let messages = |list: Vec<(bool, Message)>| list.into_iter().map(|(_, it)| it).collect();
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            leading: messages(leading),
            quiet: messages(quiet),
            count: 0,
        }
    }

    /// The next record; `now_ms` becomes its `created_at`, in milliseconds since the Unix epoch.
    pub(crate) fn next(&mut self, now_ms: i64) -> Fed {
        self.count += 1;
        let id = format!("evt-{:08}", self.count);
        let messages = match self.rng.random_ratio(LEADING, 100) {
            true => &self.leading,
            false => &self.quiet,
        };
        let [lang, channel, platform, mut text] = messages
            .choose(&mut self.rng)
            .copied()
            .unwrap_or(["en", "comment", "x", "hi"]);
        let mut channel = channel;
        if self.rng.random_ratio(1, 60) {
            text = HATEFUL.choose(&mut self.rng).copied().unwrap_or(text);
            channel = "comment";
        }
        let is_dm = channel == "dm";
        let conversation = self.rng.random_range(0..5_000);
        let key = format!("{platform}-{conversation}");
        let given = GIVEN[self.rng.random_range(0..GIVEN.len())];
        let family = FAMILY[self.rng.random_range(0..FAMILY.len())];
        let mut event = json!({
            "id": id,
            "kind": if self.rng.random_ratio(1, 50) { "edited" } else { "created" },
            "platform": platform,
            "brand": BRANDS[conversation % BRANDS.len()],
            "channel": channel,
            "conversation_id": key,
            "author": {
                "id": format!("u{}", self.rng.random_range(0..20_000)),
                "name": format!("{given} {family}"),
                "followers": 10_u64.pow(self.rng.random_range(1..6)),
                "is_creator": self.rng.random_ratio(1, 20),
            },
            "text": text,
            "lang": lang,
            "created_at": now_ms,
        });
        if is_dm {
            event["context"] = json!({ "order_id": format!("A{}", 10_000 + conversation) });
        } else {
            event["post_id"] = json!(format!("post-{}", conversation % 97));
        }
        let (content_type, payload) = if self.rng.random_ratio(1, 80) {
            self.spoil(event)
        } else {
            (JSON, body(&event))
        };
        Fed {
            is_dm,
            key,
            content_type,
            payload,
        }
    }

    /// What a real feed also brings: each of these has a named outcome.
    fn spoil(&mut self, mut event: Value) -> (&'static str, Option<Vec<u8>>) {
        let mut whole = event.to_string().into_bytes();
        match self.rng.random_range(0..10) {
            0 => whole.truncate(whole.len() / 2),
            1 => {
                let middle = whole.len() / 2;
                whole[middle] = 0xff;
            }
            2 => whole.clear(),
            3 => {
                if let Some(fields) = event.as_object_mut() {
                    fields.remove("id");
                }
                return (JSON, body(&event));
            }
            4 => {
                event["text"] = json!(42);
                return (JSON, body(&event));
            }
            5 => {
                event["kind"] = json!("reacted");
                return (JSON, body(&event));
            }
            6 => whole = [vec![b'['; 5_000], vec![b']'; 5_000]].concat(),
            7 => return ("application/x-protobuf", Some(vec![0x0a, 0x7f, b'a'])),
            8 => {
                event["kind"] = json!("deleted");
                return (JSON, body(&event));
            }
            _ => return ("image/png", Some(whole)),
        }
        (JSON, Some(whole))
    }
}

const JSON: &str = "application/json";

fn body(event: &Value) -> Option<Vec<u8>> {
    Some(event.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_message_file_is_a_message_and_half_lead_somewhere() {
        let stream = Stream::new(1);
        let (leading, quiet) = (stream.leading.len(), stream.quiet.len());
        assert_eq!(leading + quiet, MESSAGES.lines().count());
        assert!(leading > 500 && quiet > 500, "{leading} and {quiet}");
    }

    #[test]
    fn the_same_seed_gives_the_same_records() {
        let (mut a, mut b) = (Stream::new(7), Stream::new(7));
        for _ in 0..500 {
            assert_eq!(a.next(1_000).payload, b.next(1_000).payload);
        }
    }

    #[test]
    fn comments_dms_and_spoiled_records_all_occur() {
        let mut stream = Stream::new(3);
        let fed: Vec<_> = (0..2_000).map(|_| stream.next(1_000)).collect();
        let spoiled = |fed: &&Fed| {
            fed.payload
                .as_deref()
                .is_none_or(|p| serde_json::from_slice::<Value>(p).is_err())
        };
        assert!(fed.iter().any(|f| f.is_dm) && fed.iter().any(|f| !f.is_dm));
        assert!(fed.iter().filter(spoiled).count() > 5);
    }
}
