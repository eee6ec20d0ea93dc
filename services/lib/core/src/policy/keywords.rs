//! Phrases of all rules in one automaton: a message is read once, however many phrases there are.

use aho_corasick::{AhoCorasick, AhoCorasickKind, BuildError};
use smallvec::SmallVec;

use crate::normalize::{Text, fold_phrase};

/// A phrase that a rule looks for.
#[derive(Clone, Copy, Debug)]
struct Phrase {
    rule: usize,
    /// It must be the whole message, but for signs around it.
    is_whole: bool,
}

/// The phrases of a policy, and the automaton that finds them.
#[derive(Clone, Debug)]
pub(super) struct Keywords {
    phrases: Vec<Phrase>,
    automaton: AhoCorasick,
}

/// The rules of which a phrase was found.
#[derive(Debug, Default)]
pub(crate) struct Found(SmallVec<[u64; 2]>);

impl Found {
    /// Whether a phrase of the rule at this index was found.
    pub(crate) fn contains(&self, rule: usize) -> bool {
        self.0
            .get(rule / 64)
            .is_some_and(|bits| bits & 1 << (rule % 64) != 0)
    }

    fn insert(&mut self, rule: usize) {
        if self.0.len() <= rule / 64 {
            self.0.resize(rule / 64 + 1, 0);
        }
        self.0[rule / 64] |= 1 << (rule % 64);
    }
}

/// Collects phrases.
#[derive(Default)]
pub(super) struct KeywordsBuilder {
    phrases: Vec<Phrase>,
    patterns: Vec<String>,
}

impl KeywordsBuilder {
    /// Adds a phrase of the rule at index `rule`; `false` if nothing of it is left to look for.
    pub(super) fn add(&mut self, rule: usize, phrase: &str, is_whole: bool) -> bool {
        let pattern = fold_phrase(phrase);
        let has_content = pattern.chars().any(|c| !c.is_whitespace());
        if has_content {
            self.phrases.push(Phrase { rule, is_whole });
            self.patterns.push(pattern);
        }
        has_content
    }

    pub(super) fn build(self) -> Result<Keywords, BuildError> {
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(&self.patterns)?;
        Ok(Keywords {
            phrases: self.phrases,
            automaton,
        })
    }
}

impl Keywords {
    /// The rules of which a phrase occurs in the text, folded or with its disguise undone.
    pub(super) fn find(&self, text: &Text<'_>) -> Found {
        let mut found = Found::default();
        if self.phrases.is_empty() {
            return found;
        }
        self.find_in(&text.folded(), &mut found);
        if let Some(undisguised) = text.undisguised() {
            self.find_in(&undisguised, &mut found);
        }
        found
    }

    fn find_in(&self, text: &str, found: &mut Found) {
        for at in self.automaton.find_overlapping_iter(text) {
            let phrase = self.phrases[at.pattern().as_usize()];
            let (before, after) = (&text[..at.start()], &text[at.end()..]);
            let fits = if phrase.is_whole {
                !before.contains(char::is_alphanumeric) && !after.contains(char::is_alphanumeric)
            } else {
                is_boundary(before, &text[at.start()..]) && is_boundary(&text[..at.end()], after)
            };
            if fits {
                found.insert(phrase.rule);
            }
        }
    }
}

/// Whether a word ends between the two.
fn is_boundary(before: &str, after: &str) -> bool {
    match (before.chars().next_back(), after.chars().next()) {
        (Some(left), Some(right)) => {
            !(left.is_alphanumeric() && right.is_alphanumeric())
                || is_unspaced(left)
                || is_unspaced(right)
        }
        _ => true,
    }
}

/// Scripts that put no spaces between words, or whose particles follow without one: Thai and its
/// neighbours, kana, Han, Hangul.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1100}'..='\u{11ff}'
        | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7af}' | '\u{20000}'..='\u{3ffff}')
}
