//! Reads a filter: AND, OR (which binds tighter), NOT, parentheses, and comparisons.

use super::{
    Expression, FILTER_LIMIT,
    fields::{Comparison, Field},
};
use crate::error::Refusal;

/// How deep parentheses may stand in each other.
const DEPTH_LIMIT: usize = 16;

pub(super) fn parse(fields: &'static [Field], text: &str) -> Result<Expression, Refusal> {
    let mut parser = Parser {
        fields,
        text,
        at: 0,
        depth: 0,
    };
    if text.len() > FILTER_LIMIT {
        return Err(parser.bad(&format!("it has more than {FILTER_LIMIT} bytes")));
    }
    parser.skip_space();
    if parser.rest().is_empty() {
        return Ok(Expression::default());
    }
    let expression = parser.all()?;
    if parser.rest().is_empty() {
        Ok(expression)
    } else {
        Err(parser.bad("a `)` too many"))
    }
}

struct Parser<'a> {
    fields: &'static [Field],
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn bad(&self, problem: &str) -> Refusal {
        Refusal::BadFilter {
            at: self.at,
            problem: problem.to_owned(),
        }
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// Takes a symbol, with the space after it.
    fn take(&mut self, symbol: &str) -> bool {
        let there = self.rest().starts_with(symbol);
        if there {
            self.at += symbol.len();
            self.skip_space();
        }
        there
    }

    /// Takes a keyword: one that ends where a word ends.
    fn take_word(&mut self, word: &str) -> bool {
        let after = self.rest().strip_prefix(word);
        let ends = after.is_some_and(|after| !after.starts_with(is_word));
        ends && self.take(word)
    }

    /// Parts with AND, or nothing but space, between them.
    fn all(&mut self) -> Result<Expression, Refusal> {
        let mut parts = vec![self.any()?];
        while !self.rest().is_empty() && !self.rest().starts_with(')') {
            self.take_word("AND");
            parts.push(self.any()?);
        }
        Ok(one_or(parts, Expression::All))
    }

    fn any(&mut self) -> Result<Expression, Refusal> {
        let mut parts = vec![self.term()?];
        while self.take_word("OR") {
            parts.push(self.term()?);
        }
        Ok(one_or(parts, Expression::Any))
    }

    fn term(&mut self) -> Result<Expression, Refusal> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(self.bad("parentheses stand too deep in each other"));
        }
        let term = if self.take_word("NOT") || self.take("-") {
            Expression::Not(Box::new(self.term()?))
        } else if self.take("(") {
            let inner = self.all()?;
            if !self.take(")") {
                return Err(self.bad("a `)` is missing"));
            }
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(term)
    }

    fn comparison(&mut self) -> Result<Expression, Refusal> {
        let start = self.at;
        let name: &str = {
            let rest = self.rest();
            &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())]
        };
        if name.is_empty() {
            return Err(self.bad("a field's name is wanted"));
        }
        let Some(field) = self.fields.iter().find(|field| field.name == name) else {
            let known: Vec<_> = self.fields.iter().map(|field| field.name).collect();
            return Err(self.bad(&format!(
                "there is no field with this name; there are {}",
                known.join(", ")
            )));
        };
        self.at += name.len();
        self.skip_space();
        let comparisons = [
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("<", Comparison::Less),
            (">", Comparison::More),
            ("=", Comparison::Equal),
            (":", Comparison::Has),
        ];
        let Some((_, comparison)) = comparisons.into_iter().find(|(sign, _)| self.take(sign))
        else {
            return Err(self.bad("one of = != < <= > >= : is wanted"));
        };
        let value = self.value()?;
        let term = field.term(comparison, &value);
        term.map(Expression::Term)
            .map_err(|problem| Refusal::BadFilter { at: start, problem })
    }

    fn value(&mut self) -> Result<String, Refusal> {
        let quote = self
            .rest()
            .chars()
            .next()
            .filter(|c| matches!(c, '"' | '\''));
        let Some(quote) = quote else {
            let rest = self.rest();
            let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"' | '\''));
            let word = &rest[..end.unwrap_or(rest.len())];
            if word.is_empty() {
                return Err(self.bad("a value is wanted"));
            }
            self.at += word.len();
            self.skip_space();
            return Ok(word.to_owned());
        };
        let mut value = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
                c if c == quote => {
                    self.at += at + 1;
                    self.skip_space();
                    return Ok(value);
                }
                c => value.push(c),
            }
        }
        Err(self.bad("the closing quote is missing"))
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.')
}

fn one_or(mut parts: Vec<Expression>, many: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            many(parts)
        }
    }
}
