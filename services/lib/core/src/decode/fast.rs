//! The usual event, read in one pass over its bytes. Whatever is unusual, and every mistake, is left
//! to [`json`](super::json), whose rules are the ones that count; a test compares the two.

use std::borrow::Cow;

use super::{Fields, time};
use crate::event::{Author, MAX_CONTEXT_ENTRIES};

/// An event's fields; `None` where an escape, an unusual number, a deeper structure or a mistake
/// asks for the thorough reader.
pub(super) fn read(text: &str) -> Option<Fields<'_>> {
    let mut scan = Scan { text, at: 0 };
    let mut fields = Fields::default();
    scan.object(|scan, key| {
        let field = match key {
            "id" => &mut fields.id,
            "kind" => &mut fields.kind,
            "platform" => &mut fields.platform,
            "brand" => &mut fields.brand,
            "channel" => &mut fields.channel,
            "conversation_id" => &mut fields.conversation_id,
            "parent_id" => &mut fields.parent_id,
            "post_id" => &mut fields.post_id,
            "text" => &mut fields.text,
            "lang" => &mut fields.lang,
            "created_at" => {
                fields.created_at_ms = Some(match scan.value()? {
                    Value::Text(text) => time::from_text(text)?,
                    Value::Number(digits) => time::from_number(digits.parse().ok()?),
                    _ => return None,
                });
                return Some(());
            }
            "author" => {
                fields.author = scan.author()?;
                return Some(());
            }
            "context" => {
                fields.context = scan.context()?;
                return Some(());
            }
            _ => return scan.value().map(|_| ()),
        };
        *field = scan.maybe_text()?;
        Some(())
    })?;
    scan.space();
    (scan.at == text.len()).then_some(fields)
}

/// What is no object and no list.
enum Value<'a> {
    Text(&'a str),
    /// Digits, few enough for an `i64`.
    Number(&'a str),
    Truth(bool),
    Null,
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Takes `byte`, which must stand here, perhaps after white space.
    fn take(&mut self, byte: u8) -> Option<()> {
        self.space();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Hands each name of an object to `field`, which takes the value.
    fn object(&mut self, mut field: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.space();
            let name = self.string()?;
            self.take(b':')?;
            self.space();
            field(self, name)?;
            self.space();
            let end = self.peek()?;
            self.at += 1;
            match end {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// A text without escapes.
    fn string(&mut self) -> Option<&'a str> {
        if self.peek()? != b'"' {
            return None;
        }
        let start = self.at + 1;
        let end = start + special(&self.text.as_bytes()[start..])?;
        if self.text.as_bytes()[end] != b'"' {
            return None;
        }
        self.at = end + 1;
        self.text.get(start..end)
    }

    fn value(&mut self) -> Option<Value<'a>> {
        let rest = &self.text.as_bytes()[self.at..];
        let (length, value) = match rest.first()? {
            b'"' => return self.string().map(Value::Text),
            b'n' if rest.starts_with(b"null") => (4, Value::Null),
            b't' if rest.starts_with(b"true") => (4, Value::Truth(true)),
            b'f' if rest.starts_with(b"false") => (5, Value::Truth(false)),
            _ => return self.digits().map(Value::Number),
        };
        self.at += length;
        Some(value)
    }

    /// A number that is neither negative, nor broken, nor too large for an `i64`.
    fn digits(&mut self) -> Option<&'a str> {
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let is_usual = (1..=18).contains(&length) && (length == 1 || rest[0] != b'0');
        if !is_usual || matches!(rest.get(length), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        let digits = self.text.get(self.at..self.at + length);
        self.at += length;
        digits
    }

    fn maybe_text(&mut self) -> Option<Option<Cow<'a, str>>> {
        match self.value()? {
            Value::Text(text) => Some(Some(Cow::Borrowed(text))),
            Value::Null => Some(None),
            Value::Number(_) | Value::Truth(_) => None,
        }
    }

    fn author(&mut self) -> Option<Author<'a>> {
        let mut author = Author::default();
        self.object(|scan, key| {
            match key {
                "id" => author.id = scan.maybe_text()?,
                "name" => author.name = scan.maybe_text()?,
                "followers" => {
                    author.followers = match scan.value()? {
                        Value::Number(digits) => Some(digits.parse().ok()?),
                        Value::Null => None,
                        Value::Text(_) | Value::Truth(_) => return None,
                    }
                }
                "is_creator" => {
                    author.is_creator = match scan.value()? {
                        Value::Truth(value) => value,
                        Value::Null => false,
                        Value::Text(_) | Value::Number(_) => return None,
                    }
                }
                _ => {
                    scan.value()?;
                }
            }
            Some(())
        })?;
        Some(author)
    }

    fn context(&mut self) -> Option<Vec<(Cow<'a, str>, Cow<'a, str>)>> {
        let mut entries: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        self.object(|scan, key| {
            let value = match scan.value()? {
                Value::Text(text) | Value::Number(text) => text,
                Value::Truth(true) => "true",
                Value::Truth(false) => "false",
                Value::Null => return Some(()),
            };
            match entries.iter_mut().find(|(name, _)| name == key) {
                Some((_, earlier)) => *earlier = Cow::Borrowed(value),
                None => entries.push((Cow::Borrowed(key), Cow::Borrowed(value))),
            }
            if entries.len() > MAX_CONTEXT_ENTRIES {
                return None;
            }
            Some(())
        })?;
        Some(entries)
    }
}

/// Where the first character is that JSON escapes in a string: a quote, a backslash or a control
/// character. Eight bytes at a time.
pub(crate) fn special(bytes: &[u8]) -> Option<usize> {
    const fn each(byte: u8) -> u64 {
        u64::from_le_bytes([byte; 8])
    }
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The highest bit of a byte is set where it is below; above the first such byte the
        // subtraction may borrow, which does not matter.
        let below = |word: u64, limit: u8| word.wrapping_sub(each(limit)) & !word & each(0x80);
        let found = below(word, b' ') | below(word ^ each(b'"'), 1) | below(word ^ each(b'\\'), 1);
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let is_special = |byte: &u8| *byte < b' ' || matches!(byte, b'"' | b'\\');
    let at = rest.iter().position(is_special)?;
    Some(words.len() * 8 + at)
}

#[cfg(test)]
mod tests;
