//! What is to be published, described before it is done; one buffer for a whole batch.

use std::ops::Range;

use crate::batch::Headers;

/// One record to publish, borrowed from an [`Outbox`].
#[derive(Clone, Copy, Debug)]
pub struct OutRecord<'a> {
    /// The topic to write to.
    pub topic: &'a str,
    /// The key, which picks the partition.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: Headers<'a>,
}

/// Records to publish, in order, each to one of the topics named when the outbox was made.
#[derive(Debug)]
pub struct Outbox {
    topics: Vec<String>,
    bytes: Vec<u8>,
    headers: Vec<crate::batch::HeaderSpan>,
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    topic: usize,
    key: Option<Range<usize>>,
    payload: Option<Range<usize>>,
    headers: Range<usize>,
}

impl Outbox {
    /// An empty outbox that can write to `topics`; records name them by index.
    #[must_use]
    pub fn new(topics: Vec<String>) -> Self {
        Self {
            topics,
            bytes: Vec::new(),
            headers: Vec::new(),
            slots: Vec::new(),
        }
    }

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

    /// How many bytes of keys, values and headers it holds.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Adds a record for the topic at index `topic`. `payload` writes the value's bytes to the end
    /// of the buffer it is given (and must not touch what is there), or is `None` for a tombstone.
    ///
    /// # Panics
    /// When there is no topic at that index.
    pub fn push<'h>(
        &mut self,
        topic: usize,
        key: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h str, Option<&'h [u8]>)>,
        payload: Option<impl FnOnce(&mut Vec<u8>)>,
    ) {
        assert!(topic < self.topics.len(), "the outbox has no topic {topic}");
        let key = key.map(|bytes| self.copy(bytes));
        let first_header = self.headers.len();
        for (name, value) in headers {
            let name = self.copy(name.as_bytes());
            let value = value.map(|bytes| self.copy(bytes));
            self.headers.push(crate::batch::HeaderSpan { name, value });
        }
        let payload = payload.map(|write| {
            let start = self.bytes.len();
            write(&mut self.bytes);
            start..self.bytes.len()
        });
        self.slots.push(Slot {
            topic,
            key,
            payload,
            headers: first_header..self.headers.len(),
        });
    }

    /// Where the value of the record at `index` lies in the outbox, to publish the same bytes
    /// again under another topic without writing them twice.
    pub fn push_copy(&mut self, topic: usize, index: usize) {
        assert!(topic < self.topics.len(), "the outbox has no topic {topic}");
        let Slot {
            key,
            payload,
            headers,
            ..
        } = &self.slots[index];
        let copy = Slot {
            topic,
            key: key.clone(),
            payload: payload.clone(),
            headers: headers.clone(),
        };
        self.slots.push(copy);
    }

    /// The records, in the order they were added.
    pub fn records(&self) -> impl ExactSizeIterator<Item = OutRecord<'_>> {
        self.slots.iter().map(|slot| OutRecord {
            topic: &self.topics[slot.topic],
            key: slot.key.clone().map(|range| &self.bytes[range]),
            payload: slot.payload.clone().map(|range| &self.bytes[range]),
            headers: Headers {
                bytes: &self.bytes,
                spans: &self.headers[slot.headers.clone()],
            },
        })
    }

    fn copy(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }
}
