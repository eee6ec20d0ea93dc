//! Records as read, held in one buffer per batch: no allocation per record once it is warm.

use std::{ops::Range, sync::Arc};

use crate::offsets::{RecordOffset, TopicPartition};

/// One record, borrowed from a [`Batch`].
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The topic it came from.
    pub topic: &'a Arc<str>,
    /// The partition it came from.
    pub partition: i32,
    /// Where it was.
    pub offset: RecordOffset,
    /// Milliseconds since the Unix epoch, as the broker or the producer stamped it.
    pub timestamp_ms: Option<i64>,
    /// The key's bytes, if there is a key.
    pub key: Option<&'a [u8]>,
    /// The value's bytes; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: Headers<'a>,
}

impl Record<'_> {
    /// The partition that the record came from, by name.
    #[must_use]
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition {
            topic: self.topic.clone(),
            partition: self.partition,
        }
    }
}

/// The headers of one record, in order; a name may occur more than once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) spans: &'a [HeaderSpan],
}

impl<'a> Headers<'a> {
    /// Every header: name and value (`None` where the value is null).
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + use<'a> {
        let Self { bytes, spans } = *self;
        spans.iter().map(move |span| {
            let name = std::str::from_utf8(&bytes[span.name.clone()]).unwrap_or_default();
            (name, span.value.clone().map(|value| &bytes[value]))
        })
    }

    /// The last value under `name`, as Kafka's own `lastHeader` does.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter()
            .filter(|(n, _)| *n == name)
            .last()
            .and_then(|(_, value)| value)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct HeaderSpan {
    pub(crate) name: Range<usize>,
    pub(crate) value: Option<Range<usize>>,
}

#[derive(Clone, Debug)]
struct Slot {
    topic: Arc<str>,
    partition: i32,
    offset: RecordOffset,
    timestamp_ms: Option<i64>,
    key: Option<Range<usize>>,
    payload: Option<Range<usize>>,
    headers: Range<usize>,
}

/// Records read together, in the order they were read.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    headers: Vec<HeaderSpan>,
    slots: Vec<Slot>,
}

impl Batch {
    /// Forgets the records; keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.headers.clear();
        self.slots.clear();
    }

    /// How many records it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes of keys, values and headers held.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Copies a record in. `headers` gives names and values in order.
    #[expect(
        clippy::too_many_arguments,
        reason = "these are the parts of a Kafka record"
    )]
    pub fn push<'h>(
        &mut self,
        topic: &Arc<str>,
        partition: i32,
        offset: RecordOffset,
        timestamp_ms: Option<i64>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) {
        let key = key.map(|bytes| self.copy(bytes));
        let payload = payload.map(|bytes| self.copy(bytes));
        let first_header = self.headers.len();
        for (name, value) in headers {
            let name = self.copy(name.as_bytes());
            let value = value.map(|bytes| self.copy(bytes));
            self.headers.push(HeaderSpan { name, value });
        }
        let headers = first_header..self.headers.len();
        self.slots.push(Slot {
            topic: topic.clone(),
            partition,
            offset,
            timestamp_ms,
            key,
            payload,
            headers,
        });
    }

    /// The record at `index`, in reading order.
    ///
    /// # Panics
    /// When `index` is not below [`len`](Self::len).
    #[must_use]
    pub fn get(&self, index: usize) -> Record<'_> {
        let slot = &self.slots[index];
        Record {
            topic: &slot.topic,
            partition: slot.partition,
            offset: slot.offset,
            timestamp_ms: slot.timestamp_ms,
            key: slot.key.clone().map(|range| &self.bytes[range]),
            payload: slot.payload.clone().map(|range| &self.bytes[range]),
            headers: Headers {
                bytes: &self.bytes,
                spans: &self.headers[slot.headers.clone()],
            },
        }
    }

    /// The records, in reading order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        (0..self.slots.len()).map(|index| self.get(index))
    }

    fn copy(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }
}
