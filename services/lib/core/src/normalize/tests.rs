//! What a text becomes, and what holds for every text.

use std::borrow::Cow;

use proptest::prelude::*;

use super::*;

fn scored(text: &str) -> String {
    normalize(text).scored().to_owned()
}

fn flags(text: &str) -> Vec<TextFlag> {
    normalize(text).flags().iter().collect()
}

#[test]
fn plain_text_is_borrowed_as_it_is() {
    for text in [
        "",
        "how much for the green one?",
        "Size 10, or 11? It's $35 & worth it!!!",
        "a. B",
    ] {
        let normal = normalize(text);
        assert_eq!(normal.scored, Cow::Borrowed(text));
        assert!(matches!(normal.scored, Cow::Borrowed(_)), "{text}");
        assert!(normal.flags().is_empty(), "{text}");
    }
}

#[test]
fn invisible_characters_go() {
    assert_eq!(scored("fr\u{200b}ee\0 mon\u{202e}ey\u{feff}"), "free money");
    assert_eq!(flags("fr\u{200b}ee"), [TextFlag::InvisibleCharacters]);
}

#[test]
fn compatibility_forms_and_look_alikes_become_latin_inside_latin_words() {
    assert_eq!(scored("ＦＲＥＥ 𝓶𝓸𝓷𝓮𝔂 ﬁne"), "FREE money fine");
    assert_eq!(scored("pаypаl.cοm scаm"), "http://url scam");
    assert_eq!(flags("pаypal"), [TextFlag::Lookalikes]);
}

#[test]
fn real_words_of_other_scripts_stay() {
    for text in [
        "сосо",
        "привет мир",
        "καλημέρα",
        "iphone15про",
        "Ωmega 5μm",
        "नमस्ते दुनिया",
        "こんにちは",
    ] {
        assert_eq!(scored(text), text.replace('\u{b5}', "μ"));
        assert!(flags(text).is_empty(), "{text}");
    }
}

#[test]
fn repeats_are_cut_to_three_and_white_space_collapses() {
    assert_eq!(scored("sooooooo  good\n\n!!!!!!\t"), "sooo good !!!");
    assert_eq!(flags("soooo"), [TextFlag::Repeats]);
}

#[test]
fn links_addresses_and_handles_become_placeholders() {
    for (text, normal) in [
        ("see https://Example.com/a?b=c#d now", "see http://url now"),
        ("WWW.shop.example/x", "http://url"),
        (
            "go to bit.ly/3x or shop.example.com.",
            "go to http://url or http://url.",
        ),
        (
            "mail a.b+c@mail.example.org, please",
            "mail user@email, please",
        ),
        ("@some.body thanks @x!", "@user thanks @user!"),
        ("(@bob)", "(@user)"),
        (
            "I paid 3.50 to v2.0 e.g. yes.No",
            "I paid 3.50 to v2.0 e.g. yes.No",
        ),
        ("meet @ 5", "meet @ 5"),
        ("www. http:// www.?", "www. http:// www.?"),
        ("www._", "http://url"),
        ("c-@a_b-c.d", "c-@user"),
        ("a@b.me@u.me", "user@user@email"),
        ("ww@.w@u.me", "ww@.user@email"),
        ("shop.me+a@b.co", "user@email"),
        ("...bob@shop.co", "...user@email"),
        ("联系我bob@shop.co", "联系我 user@email"),
        ("schrijf-é-bob@shop.co", "schrijf-é-user@email"),
        ("user@email.co", "user@email"),
    ] {
        assert_eq!(scored(text), normal, "{text}");
    }
    assert_eq!(
        flags("a@b.co http://x @y"),
        [TextFlag::Link, TextFlag::Email, TextFlag::Handle]
    );
}

#[test]
fn disguises_are_noticed_and_undone_only_in_a_reading_of_their_own() {
    for (text, undone, flag) in [
        ("cheap v1agra", "cheap viagra", TextFlag::Leetspeak),
        ("get fr3e ca$h!", "get free cash!", TextFlag::Leetspeak),
        ("f r e e money", "free money", TextFlag::SpacedLetters),
        ("this is s.p.a.m!", "this is spam!", TextFlag::SpacedLetters),
        (
            "get fr🔥ee mo💰✨ney",
            "get free money",
            TextFlag::SpacedLetters,
        ),
        (
            "f❤️r❤️e❤️e c4sh 🔥",
            "free cash 🔥",
            TextFlag::SpacedLetters,
        ),
    ] {
        let normal = normalize(text);
        assert_eq!(normal.scored(), text);
        assert_eq!(normal.undisguised().as_deref(), Some(undone), "{text}");
        assert!(normal.flags().contains(flag), "{text}");
    }
    for text in [
        "iphone 13",
        "mp3 and 4k for $5",
        "the 2nd of 3",
        "I am a fan",
        "user@email",
        "a b",
        "so good🔥 love❤ it",
        "🔥sale, don’t miss it…now",
        "2🔥4 prêt❤à",
    ] {
        assert_eq!(normalize(text).undisguised(), None, "{text}");
    }
}

#[test]
fn folding_drops_accents_and_case_but_keeps_vowel_signs() {
    assert_eq!(
        normalize("Où EST ma Größe İade ılık").folded(),
        "ou est ma grosse iade ilik"
    );
    assert_eq!(normalize("हिन्दी").folded(), "हिन्दी");
}

#[test]
fn the_original_is_kept_and_never_shown() {
    let normal = normalize("secret\u{200b}");
    assert_eq!(normal.original(), "secret\u{200b}");
    assert!(!format!("{normal:?}").contains("secret"));
}

#[test]
fn a_long_hostile_text_takes_linear_time() {
    // Each would take minutes if any step looked ahead without a bound.
    for unit in [
        "a.", "@", "a-", "a@", "www.", "http://", "x y ", "аa", "1a", "a🔥", "🔥✨",
    ] {
        let text = unit.repeat(400_000 / unit.len());
        let normal = normalize(&text);
        assert_eq!(normalize(normal.scored()).scored(), normal.scored());
        drop(normal.undisguised());
    }
}

/// The longest that NFKC makes of one character: U+FDFA, from three bytes to thirty-three.
const MAX_GROWTH: usize = 11;

fn check(text: &str) -> Result<(), TestCaseError> {
    let once = normalize(text);
    let twice = normalize(once.scored());
    prop_assert_eq!(once.scored(), twice.scored());
    prop_assert!(once.scored().len() <= MAX_GROWTH * text.len());
    prop_assert!(!once.scored().contains(is_invisible));
    if fast::is_plain(text) {
        prop_assert_eq!(rewrite(text, &mut Set::default()), text);
    }
    drop(once.undisguised());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_text_is_normal_after_once_and_bounded(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn so_is_any_text_of_what_the_steps_look_for(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "http://", "http://url", "www.", "@", "user@email", "@user", ".", "com", "-", "_",
                "a", "bob", "1", "/", " ", "\"", ",", "а", "ж", "е", "\u{301}", "\u{308}", "\u{200d}",
                "é", "İ", "\u{fdfa}", "ﬁ", "Ａ", "o", "oooo", "\n", "。", "\u{1160}", "각", "ᄀ", "ᅡ",
                "😀", "\u{fe0f}", "?", "#", ":", "%", "+", "com.", "..", "co", "$", "!",
            ]),
            0..14,
        ),
    ) {
        check(&parts.concat())?;
    }
}
