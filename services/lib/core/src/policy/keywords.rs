//! Phrases of all rules of a channel in one automaton: a message is read once, however many phrases
//! there are.

use aho_corasick::{AhoCorasick, AhoCorasickKind, BuildError};
use smallvec::SmallVec;

use super::Rule;
use crate::{
    event::Channel,
    normalize::{Text, fold_phrase},
};

/// A phrase that a rule looks for.
#[derive(Clone, Copy, Debug)]
struct Phrase {
    rule: usize,
    /// It must be the whole message, but for signs around it.
    is_whole: bool,
}

/// The phrases of a policy, for each channel by itself: a small automaton stays in a core's cache.
#[derive(Clone, Debug)]
pub(super) struct Keywords(Vec<Finder>);

/// Phrases, and the automaton that finds them.
#[derive(Clone, Debug)]
struct Finder {
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

    /// Makes an automaton for each channel. `rules` are those of the indices that were given.
    pub(super) fn build(self, rules: &[Rule]) -> Result<Keywords, BuildError> {
        let finder = |channel: &Channel| {
            let all = self.phrases.iter().zip(&self.patterns);
            let (phrases, patterns): (Vec<Phrase>, Vec<&String>) = all
                .filter(|(phrase, _)| {
                    let rule = rules.get(phrase.rule);
                    rule.is_none_or(|rule| rule.is_for(*channel))
                })
                .unzip();
            let automaton = AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .kind(Some(AhoCorasickKind::DFA))
                .build(patterns)?;
            Ok(Finder { phrases, automaton })
        };
        let finders = Channel::ALL.iter().map(finder);
        finders.collect::<Result<_, _>>().map(Keywords)
    }
}

impl Keywords {
    /// The rules of which a phrase occurs in the text, folded or with its disguise undone. Those
    /// that are not for this channel are not looked for.
    pub(super) fn find(&self, text: &Text<'_>, channel: Channel) -> Found {
        let finder = &self.0[channel.index()];
        let mut found = Found::default();
        if finder.phrases.is_empty() {
            return found;
        }
        finder.find_in(&text.folded(), &mut found);
        if let Some(undisguised) = text.undisguised() {
            finder.find_in(&undisguised, &mut found);
        }
        found
    }
}

impl Finder {
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
