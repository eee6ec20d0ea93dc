//! Turns texts into token ids, and long ones into overlapping windows, cutting nothing away.

use crate::manifest::TokenizerPart;

/// A stretch of a text's tokens that is scored as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The text's number within the batch.
    pub text: u32,
    /// Where its tokens start in [`Windows::ids`].
    pub start: u32,
    /// How many tokens of the text it has; start and end token are not among them.
    pub len: u32,
}

/// The windows of a batch of texts. Kept between batches so that its buffers are used again.
#[derive(Debug, Default)]
pub struct Windows {
    ids: Vec<i32>,
    windows: Vec<Window>,
    texts: u32,
}

impl Windows {
    /// Forgets all texts.
    pub fn clear(&mut self) {
        self.ids.clear();
        self.windows.clear();
        self.texts = 0;
    }

    /// All windows, in the order of their texts.
    #[must_use]
    pub fn all(&self) -> &[Window] {
        &self.windows
    }

    /// How many texts there are.
    #[must_use]
    pub fn texts(&self) -> usize {
        self.texts as usize
    }

    /// The tokens of one window.
    #[must_use]
    pub fn ids(&self, window: Window) -> &[i32] {
        let start = window.start as usize;
        &self.ids[start..start + window.len as usize]
    }

    /// Adds a text whose tokens `fill` appends, in windows of at most `width` tokens that begin
    /// `stride` tokens apart. The last window is the first that reaches the end.
    pub fn push(&mut self, width: usize, stride: usize, fill: impl FnOnce(&mut Vec<i32>)) {
        let begin = self.ids.len();
        fill(&mut self.ids);
        let mut start = begin;
        loop {
            let len = (self.ids.len() - start).min(width);
            self.windows.push(Window {
                text: self.texts,
                start: start as u32,
                len: len as u32,
            });
            if start + width >= self.ids.len() {
                break;
            }
            start += stride;
        }
        self.texts += 1;
    }
}

/// A model's tokenizer.
pub struct Tokenizer {
    inner: tokie::Tokenizer,
    width: usize,
    stride: usize,
}

impl Tokenizer {
    /// Reads a tokenizer in Hugging Face's JSON form.
    pub fn new(json: &[u8], part: &TokenizerPart) -> Result<Self, String> {
        let json = std::str::from_utf8(json).map_err(|_| "it is not UTF-8".to_owned())?;
        let inner = tokie::hf::from_json_str(json).map_err(|error| error.to_string())?;
        Ok(Self {
            inner,
            width: part.width(),
            stride: part.stride,
        })
    }

    /// Appends a text's windows to `windows`. A text without tokens has one empty window.
    pub fn tokenize(&mut self, text: &str, windows: &mut Windows) {
        let ids = self.inner.encode_ids(text, false);
        windows.push(self.width, self.stride, |out| {
            out.extend(ids.iter().map(|&id| id as i32));
        });
    }

    /// How many different tokens there are.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.inner.vocab_size()
    }
}
