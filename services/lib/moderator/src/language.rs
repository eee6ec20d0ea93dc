//! Whether a message is in a language in which its model was shown to be good, asked only where
//! its scores would hide it: to guess a language costs more than to score a text.

use tidegate_core::{Event, Policy, Scored, Source, Text, Verdict, decide};
use whatlang::{Lang, detect, detect_script};

/// Decides about a message as [`decide`] does. Before anything is hidden its language is looked at:
/// `shown` are those (ISO 639-1) that the model's manifest names. Without any, all count as shown.
#[must_use]
pub fn judge<'a>(
    event: &'a Event<'_>,
    text: &Text<'_>,
    scored: Option<Scored<'a>>,
    shown: &[String],
    policy: &'a Policy,
    source: Source<'a>,
) -> Verdict<'a> {
    let verdict = decide(event, text, scored.as_ref(), policy, source);
    let Some(scored) = scored.filter(|_| verdict.action.hides() && !is_shown(event, text, shown))
    else {
        return verdict;
    };
    let scored = Scored {
        is_language_shown: false,
        ..scored
    };
    decide(event, text, Some(&scored), policy, source)
}

/// Whether a message is in one of the languages `shown`, as its sender says or else as its text
/// looks. A text that could be in any language counts as in one of them.
fn is_shown(event: &Event<'_>, text: &Text<'_>, shown: &[String]) -> bool {
    let is_named = |lang: &str| shown.iter().any(|shown| shown.eq_ignore_ascii_case(lang));
    // `pt-BR` is `pt`.
    let said = event.lang.as_deref().unwrap_or_default();
    match said.split(['-', '_']).next().unwrap_or_default() {
        _ if shown.is_empty() => true,
        "" | "und" | "mul" | "zxx" => {
            let words = words(text.scored());
            match detect(&words).filter(whatlang::Info::is_reliable) {
                Some(guess) => is_named(code(guess.lang())),
                // Of some languages the script says enough.
                None => detect_script(&words)
                    .is_none_or(|script| script.langs().iter().any(|lang| is_named(code(*lang)))),
            }
        }
        lang => is_named(lang),
    }
}

/// The text without links and handles, which are in no language.
fn words(text: &str) -> String {
    let words = text.split(' ').filter(|word| !word.contains(['@', '/']));
    words.collect::<Vec<_>>().join(" ")
}

/// The language's code of two letters, which manifests use; of three where it has none or none
/// that a model here was ever shown in.
fn code(lang: Lang) -> &'static str {
    match lang {
        Lang::Ara => "ar",
        Lang::Ben => "bn",
        Lang::Cmn => "zh",
        Lang::Deu => "de",
        Lang::Eng => "en",
        Lang::Fra => "fr",
        Lang::Hin => "hi",
        Lang::Ind => "id",
        Lang::Ita => "it",
        Lang::Jpn => "ja",
        Lang::Kor => "ko",
        Lang::Nld => "nl",
        Lang::Pol => "pl",
        Lang::Por => "pt",
        Lang::Rus => "ru",
        Lang::Spa => "es",
        Lang::Tur => "tr",
        Lang::Ukr => "uk",
        Lang::Urd => "ur",
        Lang::Vie => "vi",
        other => other.code(),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use tidegate_core::{
        Action, Author, BrandId, Channel, EventId, Kind, Label, Scores, Tier, normalize,
    };

    use super::*;

    const ENGLISH: &str =
        "win a new phone today, just send us your card number and claim the prize";
    const RUSSIAN: &str = "выиграй новый телефон сегодня, просто пришли нам номер своей карты";
    const VIETNAMESE: &str = "hãy gửi cho chúng tôi số thẻ của bạn để nhận chiếc điện thoại mới";

    fn judged(text: &'static str, lang: Option<&'static str>, shown: &[&str]) -> Action {
        let event = Event {
            id: EventId::from("e"),
            kind: Kind::Created,
            platform: "x".into(),
            brand: BrandId::from("b"),
            channel: Channel::Comment,
            conversation_id: None,
            parent_id: None,
            post_id: None,
            author: Author::default(),
            text: text.into(),
            lang: lang.map(Cow::from),
            created_at_ms: 0,
            recorded_at_ms: None,
            context: Vec::new(),
        };
        let mut row = [0.0; Label::COUNT];
        row[Label::Spam.index()] = 0.99;
        let scored = Scored {
            scores: Scores::new(row).unwrap(),
            tier: Tier::Screen,
            windows: 1,
            model_version: "m",
            is_language_shown: true,
        };
        let shown: Vec<String> = shown.iter().map(|&lang| lang.to_owned()).collect();
        let (policy, source) = (
            Policy::default_policy(),
            Source {
                topic: "",
                partition: 0,
                offset: 0,
            },
        );
        judge(
            &event,
            &normalize(text),
            Some(scored),
            &shown,
            &policy,
            source,
        )
        .action
    }

    #[test]
    fn spam_in_a_shown_language_is_hidden_whether_the_sender_names_it_or_not() {
        for lang in [
            Some("en"),
            Some("EN-gb"),
            Some("en_US"),
            Some("und"),
            Some(""),
            None,
        ] {
            assert_eq!(
                judged(ENGLISH, lang, &["de", "en"]),
                Action::Hide,
                "{lang:?}"
            );
        }
    }

    #[test]
    fn spam_in_another_language_goes_to_a_person() {
        assert_eq!(judged(ENGLISH, Some("nl"), &["de", "en"]), Action::Review);
        for text in [RUSSIAN, VIETNAMESE] {
            assert_eq!(judged(text, None, &["de", "en"]), Action::Review, "{text}");
        }
    }

    #[test]
    fn a_few_words_in_a_script_that_no_shown_language_has_are_enough() {
        assert_eq!(judged("казино", None, &["en"]), Action::Review);
        assert_eq!(judged("赌", None, &["en"]), Action::Review);
        assert_eq!(judged("казино", None, &["ru"]), Action::Hide);
    }

    #[test]
    fn what_could_be_any_language_counts_as_shown() {
        for text in ["", "🔥🔥🔥", "http://a.example @someone", "ok", "4711"] {
            assert_eq!(judged(text, None, &["en"]), Action::Hide, "{text}");
        }
    }

    #[test]
    fn without_a_list_of_languages_all_count_as_shown() {
        assert_eq!(judged(RUSSIAN, Some("ru"), &[]), Action::Hide);
    }
}
