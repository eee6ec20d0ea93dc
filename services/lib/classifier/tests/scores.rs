//! What texts are scored as, by which model, and how often.
#![allow(
    clippy::unwrap_used,
    reason = "what helps a test may stop it, as the test itself may"
)]

mod support;

use support::{Tiny, shipped, tiny};
use tidegate_classifier::{Classifier, ClassifierSettings, Mode, Scored, Tier};
use tidegate_core::labels::Label;

fn classify(classifier: &mut Classifier, texts: &[&str]) -> Vec<Scored> {
    let mut out = Vec::new();
    classifier.classify(texts, &mut out).unwrap();
    assert_eq!(out.len(), texts.len());
    out
}

fn score(scored: &Scored, label: Label) -> f32 {
    scored.scores[label].get()
}

fn cascade() -> Classifier {
    let (_folder, settings) = tiny(Mode::Cascade, Tiny::screen(), Tiny::deep());
    Classifier::load(&settings).unwrap()
}

fn farthest(a: &Scored, b: &Scored) -> f32 {
    a.scores
        .0
        .iter()
        .zip(&b.scores.0)
        .map(|(a, b)| (a.get() - b.get()).abs())
        .fold(0.0, f32::max)
}

/// The shipped models, each alone.
fn each_shipped(mut test: impl FnMut(&mut Classifier, f32)) {
    // Dynamic quantisation looks at a whole run, so a text's neighbours move its scores a little.
    for (mode, tolerance) in [(Mode::Screen, 1e-5), (Mode::Deep, 1e-2)] {
        let mut settings = ClassifierSettings::new(&shipped(), mode);
        settings.cache_capacity = 0;
        test(&mut Classifier::load(&settings).unwrap(), tolerance);
    }
}

fn authored(count: usize) -> Vec<&'static str> {
    include_str!("../benches/texts.txt")
        .lines()
        .take(count)
        .collect()
}

#[test]
fn each_text_gets_its_own_scores_in_the_order_of_the_texts() {
    let mut classifier = cascade();
    let texts: Vec<String> = Label::ALL
        .iter()
        .map(|label| label.as_str().replace('_', ""))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for (label, scored) in Label::ALL.iter().zip(classify(&mut classifier, &texts)) {
        for &other in Label::ALL.iter() {
            assert_eq!(score(&scored, other) > 0.5, other == *label);
        }
    }
}

#[test]
fn only_texts_that_the_screen_is_unsure_of_are_scored_by_the_deep_model() {
    let mut classifier = cascade();
    let scored = classify(&mut classifier, &["spam", "half", "maybe"]);
    let tiers: Vec<Tier> = scored.iter().map(|scored| scored.tier).collect();
    assert_eq!(tiers, [Tier::Screen, Tier::Deep, Tier::Screen]);
    assert!(
        score(&scored[1], Label::Spam) > 0.8,
        "the deep model is surer"
    );
    let stats = classifier.take_stats();
    assert_eq!((stats.screen.texts, stats.deep.texts), (3, 1));
    assert!((stats.deep_share() - 1.0 / 3.0).abs() < 1e-9);
}

#[test]
fn a_text_on_which_the_two_models_disagree_is_counted_by_label() {
    let screen = Tiny {
        base: -4.2,
        ..Tiny::screen()
    };
    let (_folder, settings) = tiny(Mode::Cascade, screen, Tiny::deep());
    let mut classifier = Classifier::load(&settings).unwrap();
    classify(&mut classifier, &["half", "spam", "maybe"]);
    let stats = classifier.take_stats();
    assert_eq!(
        stats.corrected, 1,
        "the screen says no to `half`, the deep model yes"
    );
    assert_eq!(stats.disagreed, [1; Label::COUNT]);
    classify(&mut classifier, &["half"]);
    assert_eq!(
        classifier.take_stats().corrected,
        0,
        "what is remembered is not counted again"
    );
}

#[test]
fn a_band_of_no_width_leaves_all_texts_to_the_screen() {
    let mut classifier = cascade();
    classifier.set_band_scale(0.0);
    assert_eq!(classify(&mut classifier, &["half"])[0].tier, Tier::Screen);
    classifier.set_band_scale(1.0);
    assert_eq!(
        classify(&mut classifier, &["half"])[0].tier,
        Tier::Deep,
        "the screen's scores are not remembered"
    );
    assert_eq!(classifier.take_stats().screen.texts, 2);
}

#[test]
fn an_over_long_text_that_was_remembered_while_the_band_was_narrow_goes_deep_when_it_is_not() {
    let mut classifier = cascade();
    let long = "maybe ".repeat(30) + "half" + &" maybe".repeat(30);
    classifier.set_band_scale(0.0);
    assert_eq!(classify(&mut classifier, &[&long])[0].tier, Tier::Screen);
    assert_eq!(classify(&mut classifier, &[&long])[0].tier, Tier::Screen);
    classifier.set_band_scale(1.0);
    assert_eq!(classify(&mut classifier, &[&long])[0].tier, Tier::Deep);
    let stats = classifier.take_stats();
    assert_eq!((stats.cache_hits, stats.screen.texts), (2, 1));
}

#[test]
fn equal_texts_are_scored_once() {
    let mut classifier = cascade();
    let first = classify(&mut classifier, &["spam", "hate", "spam", "spam"]);
    assert_eq!(first[0], first[2]);
    let stats = classifier.take_stats();
    assert_eq!(
        (stats.texts, stats.deduplicated, stats.cache_hits),
        (4, 2, 0)
    );
    assert_eq!(stats.screen.texts, 2);
}

#[test]
fn what_the_deep_model_scored_is_remembered_and_the_rest_is_scored_again() {
    let mut classifier = cascade();
    let first = classify(&mut classifier, &["half", "spam"]);
    classifier.take_stats();
    assert_eq!(classify(&mut classifier, &["spam", "half"])[1], first[0]);
    let stats = classifier.take_stats();
    assert_eq!((stats.cache_lookups, stats.cache_hits), (2, 1));
    assert_eq!((stats.screen.texts, stats.deep.texts), (1, 0));
    assert_eq!(classifier.take_stats(), Default::default());
}

#[test]
fn no_texts_give_no_scores_and_no_runs() {
    let mut classifier = cascade();
    assert!(classify(&mut classifier, &[]).is_empty());
    assert_eq!(classifier.take_stats().screen.runs, 0);
}

#[test]
fn an_over_long_text_has_the_highest_score_of_its_windows() {
    let mut classifier = cascade();
    let long = "maybe ".repeat(30) + "spam" + &" maybe".repeat(30);
    let scored = classify(&mut classifier, &[&long]);
    assert_eq!(scored[0].windows, 7, "16 tokens every 8, up to 61");
    assert!(score(&scored[0], Label::Spam) > 0.9);
    assert!(score(&scored[0], Label::Hate) < 0.1);
}

#[test]
fn an_empty_text_has_scores() {
    each_shipped(|classifier, _| {
        let texts = ["", " ", "\u{200b}", "\u{0}"];
        let scored = classify(classifier, &texts);
        assert!(scored.iter().all(|scored| scored.windows == 1));
        assert!(scored.iter().all(|each| farthest(each, &scored[0]) < 1e-6));
    });
}

#[test]
fn a_text_of_a_hundred_thousand_characters_is_scored_in_windows() {
    each_shipped(|classifier, _| {
        let long = "how much is it ".repeat(6_667);
        let scored = classify(classifier, &[&long]);
        assert!(scored[0].windows > 100);
        let word = "x".repeat(100_000);
        assert_eq!(classify(classifier, &[&word])[0].windows, 1);
    });
}

#[test]
fn a_script_that_no_model_knows_has_scores() {
    each_shipped(|classifier, _| {
        let scored = classify(classifier, &["𐎀𐎁𐎂 𐎃", "ᚠᚢᚦ", "\u{10ffff}", "🏴‍☠️🫠"]);
        assert!(scored.iter().all(|scored| scored.windows == 1));
    });
}

#[test]
fn a_text_scores_the_same_alone_and_in_any_batch() {
    each_shipped(|classifier, tolerance| {
        let texts = authored(300);
        let together = classify(classifier, &texts);
        for (text, expected) in texts.iter().zip(&together).step_by(3) {
            let alone = classify(classifier, &[text]);
            assert!(farthest(&alone[0], expected) <= tolerance);
        }
        let reversed: Vec<&str> = texts.iter().rev().copied().collect();
        for (found, expected) in classify(classifier, &reversed).iter().rev().zip(&together) {
            assert!(farthest(found, expected) <= tolerance);
        }
    });
}

#[test]
fn scores_are_the_same_bits_when_the_same_batch_is_scored_again() {
    each_shipped(|classifier, _| {
        let texts = authored(200);
        assert_eq!(classify(classifier, &texts), classify(classifier, &texts));
    });
}
