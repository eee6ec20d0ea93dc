//! What a transaction holds, counted while it is open and told when it is committed.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tidegate_kafka::Record;

/// Counts by a key with few values: a list is faster than a map here.
#[derive(Clone, Debug)]
struct Counts<K>(Vec<(K, u64)>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: PartialEq> Counts<K> {
    fn add(&mut self, key: K) {
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, count)) => *count += 1,
            None => self.0.push((key, 1)),
        }
    }

    fn sum(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }
}

/// Counts of one transaction. `consumed = verdicts + dead letters` holds after each record.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    consumed: Counts<Arc<str>>,
    verdicts: Counts<(&'static str, &'static str)>,
    dead_letters: Counts<&'static str>,
    routed: Counts<&'static str>,
    repeated: u64,
    /// Record timestamps in milliseconds, and how many records in a row had each.
    timestamps: Vec<(i64, usize)>,
}

impl Tally {
    /// Forgets everything; keeps the memory.
    pub fn clear(&mut self) {
        self.consumed.0.clear();
        self.verdicts.0.clear();
        self.dead_letters.0.clear();
        self.routed.0.clear();
        self.repeated = 0;
        self.timestamps.clear();
    }

    fn read(&mut self, record: &Record<'_>) {
        match self
            .consumed
            .0
            .iter_mut()
            .find(|(topic, _)| Arc::ptr_eq(topic, record.topic))
        {
            Some((_, count)) => *count += 1,
            None => self.consumed.add(record.topic.clone()),
        }
        let Some(timestamp) = record.timestamp_ms else {
            return;
        };
        match self.timestamps.last_mut() {
            Some((last, count)) if *last == timestamp => *count += 1,
            _ => self.timestamps.push((timestamp, 1)),
        }
    }

    /// A record became a verdict.
    pub fn verdict(&mut self, record: &Record<'_>, action: &'static str, tier: &'static str) {
        self.read(record);
        self.verdicts.add((action, tier));
    }

    /// A record became a dead letter.
    pub fn dead_letter(&mut self, record: &Record<'_>, reason: &'static str) {
        self.read(record);
        self.dead_letters.add(reason);
    }

    /// A verdict was also published on a route.
    pub fn route(&mut self, route: &'static str) {
        self.routed.add(route);
    }

    /// A verdict was a repeat.
    pub fn repeat(&mut self) {
        self.repeated += 1;
    }

    /// Records done, by topic.
    pub fn consumed(&self) -> impl Iterator<Item = (&Arc<str>, u64)> {
        self.consumed.0.iter().map(|(topic, count)| (topic, *count))
    }

    /// Records done.
    #[must_use]
    pub fn consumed_total(&self) -> u64 {
        self.consumed.sum()
    }

    /// Verdicts, by action and tier.
    pub fn verdicts(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        self.verdicts
            .0
            .iter()
            .map(|((action, tier), count)| (*action, *tier, *count))
    }

    /// Dead letters, by reason.
    pub fn dead_letters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.dead_letters.0.iter().copied()
    }

    /// Published records besides verdicts, by route.
    pub fn routed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.routed.0.iter().copied()
    }

    /// Verdicts on events that were delivered before.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// How old the records are at `now_ms` (milliseconds since the Unix epoch), and how many are
    /// as old. A clock that runs behind the broker's makes none younger than 0.
    pub fn ages(&self, now_ms: i64) -> impl Iterator<Item = (Duration, usize)> {
        self.timestamps.iter().map(move |(timestamp, count)| {
            let age = now_ms.saturating_sub(*timestamp).max(0);
            (Duration::from_millis(age.unsigned_abs()), *count)
        })
    }
}

/// Milliseconds since the Unix epoch, as [`Tally::ages`] wants them.
#[must_use]
pub fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use tidegate_kafka::{Batch, RecordOffset};

    use super::*;

    #[test]
    fn each_record_is_consumed_once_whatever_became_of_it() {
        let mut batch = Batch::default();
        let topic: Arc<str> = "comments.v1".into();
        for (offset, timestamp) in [(0, 10), (1, 10), (2, 30)] {
            batch.push(
                &topic,
                0,
                RecordOffset(offset),
                Some(timestamp),
                None,
                None,
                [],
            );
        }
        let mut tally = Tally::default();
        tally.verdict(&batch.get(0), "allow", "screen");
        tally.verdict(&batch.get(1), "hide", "screen");
        tally.route("spam");
        tally.dead_letter(&batch.get(2), "invalid_json");
        assert_eq!(tally.consumed_total(), 3);
        assert_eq!(tally.verdicts().map(|(.., n)| n).sum::<u64>(), 2);
        assert_eq!(
            tally.dead_letters().collect::<Vec<_>>(),
            [("invalid_json", 1)]
        );
        assert_eq!(tally.routed().collect::<Vec<_>>(), [("spam", 1)]);
        let ages: Vec<_> = tally
            .ages(25)
            .map(|(age, n)| (age.as_millis(), n))
            .collect();
        assert_eq!(ages, [(15, 2), (0, 1)]);
    }
}
