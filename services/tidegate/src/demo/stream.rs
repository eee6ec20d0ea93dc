//! A seeded stream of realistic events: messages written for Tidegate, and now and then what a
//! real feed also brings — broken, hostile and unknown ones.

use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::BaseRecord,
};
use serde_json::{Value, json};

/// Messages written for Tidegate, one a line: language, channel, platform, text.
const MESSAGES: &str = include_str!("../../data/messages.tsv");

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

/// The messages: language, channel, platform, text.
pub(crate) fn messages() -> Vec<[&'static str; 4]> {
    MESSAGES
        .lines()
        .filter_map(|line| line.splitn(4, '\t').collect::<Vec<_>>().try_into().ok())
        .collect()
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
    messages: Vec<[&'static str; 4]>,
    count: u64,
}

impl Stream {
    /// A stream that starts from `seed`.
    #[must_use]
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            messages: messages(),
            count: 0,
        }
    }

    /// The next record; `now_ms` becomes its `created_at`, in milliseconds since the Unix epoch.
    pub(crate) fn next(&mut self, now_ms: i64) -> Fed {
        self.count += 1;
        let id = format!("evt-{:08}", self.count);
        let [lang, channel, platform, mut text] = self
            .messages
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
    fn every_line_of_the_message_file_has_four_fields() {
        let stream = Stream::new(1);
        assert_eq!(stream.messages.len(), MESSAGES.lines().count());
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
