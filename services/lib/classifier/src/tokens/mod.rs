//! Turns texts into token ids, and long ones into overlapping windows, cutting nothing away.
//!
//! The ids are exactly those of Hugging Face's `tokenizers`, with which the models are trained; a
//! test compares the two over all of Unicode.

mod bert;
mod file;
mod memo;
mod pieces;
mod windows;
mod word;

pub use file::TokenizerError;
pub use windows::{Window, Windows};

use crate::manifest::TokenizerPart;

/// A model's tokenizer, with its buffers and its memory of words seen lately.
pub struct Tokenizer {
    rules: bert::Rules,
    pieces: pieces::Pieces,
    added: Option<file::Added>,
    memo: memo::Memo,
    scratch: bert::Scratch,
    width: usize,
    stride: usize,
}

impl Tokenizer {
    /// Reads a tokenizer from Hugging Face's JSON form. It must be of the BERT kind, which all of
    /// Tidegate's models use.
    pub fn new(json: &[u8], part: &TokenizerPart) -> Result<Self, TokenizerError> {
        let file = file::read(json)?;
        if file.rules.lowercase != part.lowercase {
            return Err(TokenizerError::Case {
                file: file.rules.lowercase,
                manifest: part.lowercase,
            });
        }
        Ok(Self {
            rules: file.rules,
            pieces: file.pieces,
            added: file.added,
            memo: memo::Memo::default(),
            scratch: bert::Scratch::default(),
            width: part.width(),
            stride: part.stride,
        })
    }

    /// Appends a text's windows to `windows`. A text without tokens has one empty window.
    pub fn tokenize(&mut self, text: &str, windows: &mut Windows) {
        let (width, stride) = (self.width, self.stride);
        windows.push(width, stride, |ids| self.encode(text, ids));
    }

    /// Appends a text's token ids, without start and end token.
    pub fn encode(&mut self, text: &str, ids: &mut Vec<i32>) {
        let Some(added) = self.added.take() else {
            return self.encode_plain(text, ids);
        };
        let mut rest = 0;
        for (range, id) in added.find(text) {
            self.encode_plain(&text[rest..range.start], ids);
            ids.push(id);
            rest = range.end;
        }
        self.encode_plain(&text[rest..], ids);
        self.added = Some(added);
    }

    fn encode_plain(&mut self, text: &str, ids: &mut Vec<i32>) {
        // Nothing that the rules do reaches across these four characters, so the chunks between
        // them can be looked up as they are.
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let len = gap(&bytes[at..]);
            if len > 0 {
                self.encode_chunk(&text[at..at + len], ids);
            }
            at += len + 1;
        }
    }

    fn encode_chunk(&mut self, chunk: &str, ids: &mut Vec<i32>) {
        if self.memo.recall(chunk, ids) {
            return;
        }
        let before = ids.len();
        let pieces = &self.pieces;
        self.rules
            .words(chunk, &mut self.scratch, |word| pieces.split(word, ids));
        self.memo.keep(chunk, &ids[before..]);
    }

    /// One more than the greatest id.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.pieces.vocabulary()
    }
}

/// How many bytes stand before the first white space of ASCII's four. Eight at a time.
fn gap(bytes: &[u8]) -> usize {
    const fn each(byte: u8) -> u64 {
        u64::from_le_bytes([byte; 8])
    }
    let is_gap = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let (words, _) = bytes.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        // The highest bit is set of the first byte that is at most a space, and of none before it.
        let low = word.wrapping_sub(each(b'!')) & !word & each(0x80);
        if low != 0 {
            at += low.trailing_zeros() as usize / 8;
            break;
        }
        at += 8;
    }
    let rest = &bytes[at..];
    at + rest.iter().position(is_gap).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests;
