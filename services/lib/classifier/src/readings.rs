//! What is scored of a text: its usual reading, and a second one where it hides words.
//!
//! `fr33 m0ney` and `f r e e` are read by no model as a person reads them. Such a text is scored a
//! second time with its disguise undone, and for the labels that people hide from filters the
//! higher score counts. Other labels keep the score of the usual reading, so that a product's name
//! with digits in it changes nothing about what its buyer wants.

use tidegate_core::{labels::Label, normalize::Text};

use crate::scored::{Scored, Tier};

/// The labels that people disguise.
const DISGUISED: [Label; 3] = [Label::Spam, Label::Hate, Label::Abuse];

/// Scores each text in all its readings with `score`, which gives one entry for each reading in
/// their order. `out` afterwards has one entry for each text.
///
/// # Errors
/// That of `score`; `out` is then whatever `score` left.
pub fn score_readings<'t, E>(
    texts: impl Iterator<Item = &'t Text<'t>>,
    out: &mut Vec<Scored>,
    score: impl FnOnce(&[&str], &mut Vec<Scored>) -> Result<(), E>,
) -> Result<(), E> {
    let mut disguised: Vec<(usize, String)> = Vec::new();
    let mut readings: Vec<&str> = Vec::with_capacity(texts.size_hint().0);
    for text in texts {
        let second = text.undisguised();
        disguised.extend(second.map(|second| (readings.len(), second)));
        readings.push(text.scored());
    }
    let texts = readings.len();
    readings.extend(disguised.iter().map(|(_, second)| second.as_str()));
    score(&readings, out)?;
    for (at, (text, _)) in disguised.iter().enumerate() {
        if let Some(&second) = out.get(texts + at) {
            out[*text].take_higher(second);
        }
    }
    out.truncate(texts);
    Ok(())
}

impl Scored {
    /// Takes over the scores of the second reading that are higher.
    fn take_higher(&mut self, second: Self) {
        let mut is_raised = false;
        for label in DISGUISED {
            let (known, new) = (&mut self.scores.0[label.index()], second.scores[label]);
            if new > *known {
                *known = new;
                is_raised = true;
            }
        }
        if is_raised && second.tier == Tier::Deep {
            self.tier = Tier::Deep;
        }
        self.windows = self.windows.max(second.windows);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tidegate_core::{labels::Scores, normalize::normalize};

    use super::*;

    /// Spam, and a wish to buy, wherever the plain word `free` is read.
    fn word_scorer(readings: &[&str], out: &mut Vec<Scored>) -> Result<(), Infallible> {
        out.clear();
        out.extend(readings.iter().map(|reading| {
            let score = if reading.contains("free") { 0.9 } else { 0.1 };
            let mut row = [0.0; Label::COUNT];
            row[Label::Spam.index()] = score;
            row[Label::PurchaseIntent.index()] = score;
            Scored {
                scores: Scores::new(row).unwrap(),
                tier: if score > 0.5 {
                    Tier::Deep
                } else {
                    Tier::Screen
                },
                windows: 1,
            }
        }));
        Ok(())
    }

    fn scored(texts: &[&str]) -> Vec<Scored> {
        let texts: Vec<_> = texts.iter().map(|text| normalize(text)).collect();
        let mut out = Vec::new();
        score_readings(texts.iter(), &mut out, word_scorer).unwrap();
        assert_eq!(out.len(), texts.len());
        out
    }

    #[test]
    fn a_disguised_word_counts_as_if_it_were_written_plainly() {
        let out = scored(&["nothing", "fr33 m0ney", "f r e e money", "free"]);
        let spam: Vec<f32> = out
            .iter()
            .map(|one| one.scores[Label::Spam].get())
            .collect();
        assert_eq!(spam, [0.1, 0.9, 0.9, 0.9]);
        assert_eq!(
            out[1].tier,
            Tier::Deep,
            "the tier is that of the score that counts"
        );
    }

    #[test]
    fn labels_that_nobody_disguises_keep_their_usual_score() {
        let out = scored(&["fr33 m0ney"]);
        assert_eq!(out[0].scores[Label::PurchaseIntent].get(), 0.1);
    }

    #[test]
    fn only_a_disguised_text_is_read_twice() {
        let texts = [
            "iphone 13",
            "3 x 4 = 12",
            "mp3",
            "2nd",
            "user@email",
            "save 50% now!",
        ];
        let texts: Vec<_> = texts.iter().map(|text| normalize(text)).collect();
        let mut readings = 0;
        let counting = |all: &[&str], out: &mut Vec<Scored>| {
            readings = all.len();
            word_scorer(all, out)
        };
        score_readings(texts.iter(), &mut Vec::new(), counting).unwrap();
        assert_eq!(readings, texts.len());
    }
}
