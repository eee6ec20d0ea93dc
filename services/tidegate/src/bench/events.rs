//! Events to measure with: realistic ones of about 400 bytes, each with a text of its own.

use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tidegate_moderator::tally::now_ms;

use crate::demo::stream::{BRANDS, FAMILY, GIVEN, messages};

/// A time that stands in a prepared event until it is known: it has as many digits as any.
const TIME: &str = "1000000000000";
/// The number that stands in a prepared event's id.
const NUMBER: &str = "e-0000000000";

/// How many of a hundred events lead somewhere: to a topic of their own, or to a person. Most of what
/// a brand is told is praise, chatter and questions; about seven in a hundred want to buy, and spam,
/// complaints and abuse are as many again.
const LEADING: u32 = 15;

/// The messages that events are made of, sorted by what becomes of them.
#[derive(Clone)]
pub(super) struct Messages {
    /// They get a verdict, and that is all.
    quiet: Vec<[&'static str; 4]>,
    /// They also take a route.
    leading: Vec<[&'static str; 4]>,
}

impl Messages {
    /// Sorts them: `leads` says for each whether it leads somewhere.
    pub(super) fn sort(leads: impl FnOnce(&[[&'static str; 4]]) -> Vec<bool>) -> Self {
        let all = messages();
        let leads = leads(&all);
        let (leading, quiet): (Vec<_>, Vec<_>) =
            all.into_iter().zip(leads).partition(|(_, leads)| *leads);
        let texts =
            |list: Vec<([&'static str; 4], bool)>| list.into_iter().map(|(m, _)| m).collect();
        Self {
            quiet: texts(quiet),
            leading: texts(leading),
        }
    }
}

/// An event's bytes, and the key of its conversation.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) key: String,
    pub(super) payload: Vec<u8>,
    number_at: usize,
    time_at: usize,
}

impl Prepared {
    /// Makes it another event: with this number in its id, and written at `now_ms`.
    pub(super) fn stamp(&mut self, number: u64, now_ms: i64) {
        let digits = format!("{number:010}");
        let end = self.number_at + NUMBER.len();
        self.payload[end - digits.len()..end].copy_from_slice(digits.as_bytes());
        let time = now_ms.to_string();
        self.payload[self.time_at..self.time_at + time.len()].copy_from_slice(time.as_bytes());
    }
}

/// A seeded source of events: the same seed gives the same ones.
pub(super) struct Events<'m> {
    rng: ChaCha8Rng,
    messages: &'m Messages,
    words: Vec<&'static str>,
    count: u64,
}

impl<'m> Events<'m> {
    pub(super) fn new(messages: &'m Messages, seed: u64) -> Self {
        // A word that leads somewhere would take the message with it.
        let words = messages
            .quiet
            .iter()
            .flat_map(|[.., text]| text.split_whitespace())
            .collect();
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            messages,
            words,
            count: 0,
        }
    }

    /// A text of the size of a tweet that is like no other: a message in which two words are
    /// others, one of them at times misspelled, so that no memory of words or texts knows it.
    pub(super) fn short_text(&mut self) -> String {
        self.message().1
    }

    fn message(&mut self) -> ([&'static str; 4], String) {
        let messages = match self.rng.random_ratio(LEADING, 100) {
            true => &self.messages.leading,
            false => &self.messages.quiet,
        };
        let message = *messages
            .choose(&mut self.rng)
            .unwrap_or(&["en", "comment", "x", "hi"]);
        let mut words: Vec<&str> = message[3].split_whitespace().collect();
        let (first, second) = (self.word(), self.word());
        let misspelled = self.misspell(second);
        let second = if self.rng.random_ratio(1, 2) {
            second
        } else {
            &misspelled
        };
        for word in [first, second] {
            if words.len() < 4 {
                words.push(word);
            } else {
                let at = self.rng.random_range(0..words.len());
                words[at] = word;
            }
        }
        (message, words.join(" "))
    }

    fn word(&mut self) -> &'static str {
        self.words.choose(&mut self.rng).copied().unwrap_or("hi")
    }

    fn misspell(&mut self, word: &str) -> String {
        let mut letters: Vec<char> = word.chars().collect();
        let at = self.rng.random_range(0..=letters.len());
        let letter = char::from(self.rng.random_range(b'a'..=b'z'));
        letters.insert(at, letter);
        letters.into_iter().collect()
    }

    /// A text of mixed length: mostly short, some of a paragraph, few very long.
    fn mixed_text(&mut self) -> String {
        let wanted = match self.rng.random_range(0..1_000) {
            0..700 => return self.short_text(),
            700..900 => self.rng.random_range(300..1_000),
            900..990 => self.rng.random_range(1_000..8_000),
            990..999 => self.rng.random_range(8_000..40_000),
            _ => self.rng.random_range(40_000..100_000),
        };
        let mut text = self.short_text();
        while text.len() < wanted {
            text.push(' ');
            text.push_str(&self.short_text());
        }
        text
    }

    /// An event with a short text: about 400 bytes.
    pub(super) fn short(&mut self) -> Prepared {
        let (message, text) = self.message();
        self.event(message, &text)
    }

    /// An event with a text of mixed length.
    pub(super) fn mixed(&mut self) -> Prepared {
        let (message, _) = self.message();
        let text = self.mixed_text();
        self.event(message, &text)
    }

    fn event(&mut self, message: [&str; 4], text: &str) -> Prepared {
        let [lang, _, platform, _] = message;
        self.count += 1;
        let conversation = self.rng.random_range(0..5_000);
        let key = format!("{platform}-{conversation}");
        let given = GIVEN[self.rng.random_range(0..GIVEN.len())];
        let family = FAMILY[self.rng.random_range(0..FAMILY.len())];
        let event = json!({
            "id": NUMBER,
            "kind": "created",
            "platform": platform,
            "brand": BRANDS[conversation % BRANDS.len()],
            "channel": "comment",
            "conversation_id": key,
            "post_id": format!("post-{}", conversation % 97),
            "author": {
                "id": format!("u{}", self.rng.random_range(0..20_000)),
                "name": format!("{given} {family}"),
                "followers": 10_u64.pow(self.rng.random_range(1..6)),
                "is_creator": self.rng.random_ratio(1, 20),
            },
            "text": text,
            "lang": lang,
            "created_at": 0,
            "context": { "utm_source": platform, "utm_campaign": "spring-launch" },
        });
        let body = event
            .to_string()
            .replace("\"created_at\":0", &format!("\"created_at\":{TIME}"));
        let position = |of: &str| body.find(of).unwrap_or_default();
        let mut prepared = Prepared {
            key,
            number_at: position(NUMBER),
            time_at: position(TIME),
            payload: body.into_bytes(),
        };
        prepared.stamp(self.count, now_ms());
        prepared
    }
}

/// A message as an event of few fields.
pub(super) fn bare([lang, _, platform, text]: [&str; 4]) -> serde_json::Value {
    json!({
        "id": NUMBER,
        "platform": platform,
        "brand": BRANDS[0],
        "channel": "comment",
        "text": text,
        "lang": lang,
        "created_at": 1,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;

    fn unsorted() -> Messages {
        Messages::sort(|all| (0..all.len()).map(|at| at % 3 == 0).collect())
    }

    #[test]
    fn fifteen_of_a_hundred_events_are_made_of_messages_that_lead_somewhere() {
        let messages = unsorted();
        let mut events = Events::new(&messages, 4);
        let leading: HashSet<_> = messages.leading.iter().map(|[.., text]| *text).collect();
        let of_them = (0..10_000).filter(|_| leading.contains(events.message().0[3]));
        assert!((1_400..1_600).contains(&of_them.count()));
    }

    #[test]
    fn events_are_about_400_bytes_and_no_two_have_the_same_text() {
        let messages = unsorted();
        let mut events = Events::new(&messages, 1);
        let prepared: Vec<_> = (0..5_000).map(|_| events.short()).collect();
        let bytes: usize = prepared.iter().map(|event| event.payload.len()).sum();
        let mean = bytes / prepared.len();
        assert!((380..=440).contains(&mean), "{mean} bytes");
        let texts: HashSet<_> = prepared
            .iter()
            .map(|event| serde_json::from_slice::<Value>(&event.payload).unwrap()["text"].clone())
            .collect();
        assert!(texts.len() > 4_990, "{} different texts", texts.len());
    }

    #[test]
    fn a_stamp_gives_an_event_another_id_and_time_and_leaves_the_rest() {
        let mut event = Events::new(&unsorted(), 2).short();
        let before: Value = serde_json::from_slice(&event.payload).unwrap();
        event.stamp(1_234_567_890, 1_700_000_000_123);
        let after: Value = serde_json::from_slice(&event.payload).unwrap();
        assert_eq!(after["id"], "e-1234567890");
        assert_eq!(after["created_at"], 1_700_000_000_123_i64);
        assert_eq!(after["text"], before["text"]);
    }

    #[test]
    fn mixed_texts_are_mostly_short_and_sometimes_very_long() {
        let messages = unsorted();
        let mut events = Events::new(&messages, 3);
        let lengths: Vec<_> = (0..3_000).map(|_| events.mixed_text().len()).collect();
        assert!(lengths.iter().filter(|length| **length < 400).count() > 1_800);
        assert!(lengths.iter().any(|length| *length > 8_000));
    }
}
