//! Conditions over labels, as text: `negative >= 0.8 and not (positive >= 0.5 or spam)`.
//!
//! A label alone means that it reached its threshold. `not` binds tighter than `and`, and `and`
//! tighter than `or`.

use crate::labels::{Label, LabelSet, Scores, Threshold};

/// How deep parentheses and `not` may nest.
const MAX_DEPTH: usize = 16;

/// A condition over one message's scores.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Reached(Label),
    AtLeast(Label, Threshold),
    Below(Label, Threshold),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

impl Expression {
    /// Reads an expression; the error says what was expected, and where.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser {
            tokens: tokens(text),
            at: 0,
            depth: 0,
        };
        let expression = parser.any()?;
        match parser.next() {
            None => Ok(expression),
            Some(token) => Err(format!("expected `and`, `or` or the end, found `{token}`")),
        }
    }

    /// Whether it holds.
    pub(super) fn holds(&self, scores: &Scores, reached: LabelSet) -> bool {
        match self {
            Self::Reached(label) => reached.contains(*label),
            Self::AtLeast(label, threshold) => scores[*label].reaches(*threshold),
            Self::Below(label, threshold) => !scores[*label].reaches(*threshold),
            Self::Not(inner) => !inner.holds(scores, reached),
            Self::All(all) => all.iter().all(|one| one.holds(scores, reached)),
            Self::Any(any) => any.iter().any(|one| one.holds(scores, reached)),
        }
    }
}

/// Words, numbers, comparisons and parentheses.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with(">=") || rest.starts_with("<=") {
            2
        } else {
            first.len_utf8()
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

struct Parser<'t> {
    tokens: Vec<&'t str>,
    at: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn next(&mut self) -> Option<&'t str> {
        let token = self.tokens.get(self.at).copied();
        self.at += 1;
        token
    }

    fn takes(&mut self, token: &str) -> bool {
        let is_next = self.tokens.get(self.at) == Some(&token);
        self.at += usize::from(is_next);
        is_next
    }

    fn any(&mut self) -> Result<Expression, String> {
        let mut any = vec![self.all()?];
        while self.takes("or") {
            any.push(self.all()?);
        }
        Ok(if any.len() == 1 {
            any.remove(0)
        } else {
            Expression::Any(any)
        })
    }

    fn all(&mut self) -> Result<Expression, String> {
        let mut all = vec![self.one()?];
        while self.takes("and") {
            all.push(self.one()?);
        }
        Ok(if all.len() == 1 {
            all.remove(0)
        } else {
            Expression::All(all)
        })
    }

    fn one(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("nests deeper than {MAX_DEPTH}"));
        }
        let one = if self.takes("not") {
            Expression::Not(Box::new(self.one()?))
        } else if self.takes("(") {
            let inner = self.any()?;
            if !self.takes(")") {
                return Err("a parenthesis is not closed".to_owned());
            }
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(one)
    }

    fn comparison(&mut self) -> Result<Expression, String> {
        let name = self.next().ok_or("expected a label, found the end")?;
        let label = name
            .parse::<Label>()
            .map_err(|_| format!("unknown label `{name}`"))?;
        if self.takes(">=") {
            Ok(Expression::AtLeast(label, self.threshold()?))
        } else if self.takes("<") {
            Ok(Expression::Below(label, self.threshold()?))
        } else if self.takes(">") || self.takes("<=") || self.takes("=") {
            Err("compare with `>=` or `<`".to_owned())
        } else {
            Ok(Expression::Reached(label))
        }
    }

    fn threshold(&mut self) -> Result<Threshold, String> {
        let token = self.next().ok_or("expected a number, found the end")?;
        let number = token
            .parse()
            .map_err(|_| format!("expected a number, found `{token}`"))?;
        Threshold::new(number).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str) -> bool {
        let mut scores = Scores::default();
        scores.0[Label::Negative.index()] = crate::Probability::new(0.85).unwrap();
        scores.0[Label::Spam.index()] = crate::Probability::new(0.4).unwrap();
        Expression::parse(text)
            .unwrap()
            .holds(&scores, [Label::Negative].into_iter().collect())
    }

    #[test]
    fn labels_are_compared_with_numbers_or_with_their_thresholds() {
        assert!(holds("negative >= 0.8"));
        assert!(!holds("negative >= 0.9"));
        assert!(holds("negative>=0.85"), "the bound itself counts");
        assert!(holds("spam < 0.5"));
        assert!(holds("negative"));
        assert!(!holds("spam"));
    }

    #[test]
    fn not_binds_tighter_than_and_and_and_tighter_than_or() {
        assert!(holds("negative >= 0.8 and not positive >= 0.5"));
        assert!(holds("negative or spam and spam"));
        assert!(!holds("(negative or spam) and spam"));
        assert!(!holds("not negative or spam"));
        assert!(holds("not (negative and spam)"));
    }

    #[test]
    fn what_is_no_expression_says_what_was_expected() {
        for (text, part) in [
            ("", "expected a label"),
            ("nice >= 0.5", "unknown label `nice`"),
            ("spam >= 1.5", "not between 0 and 1"),
            ("spam >= high", "expected a number, found `high`"),
            ("spam > 0.5", "compare with"),
            ("spam hate", "expected `and`"),
            ("(spam", "not closed"),
            ("spam and", "expected a label, found the end"),
        ] {
            let error = Expression::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(Expression::parse(&"(".repeat(10_000)).is_err());
    }
}
