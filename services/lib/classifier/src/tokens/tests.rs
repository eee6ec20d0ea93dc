//! Our tokens are those of Hugging Face's `tokenizers`, for any text.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::manifest::Manifest;

/// The same file read by both.
struct Both {
    ours: Tokenizer,
    theirs: tokenizers::Tokenizer,
}

impl Both {
    fn new(json: &[u8], lowercase: bool) -> Self {
        let part = TokenizerPart {
            file: String::new(),
            sha256: String::new(),
            max_tokens: 128,
            stride: 96,
            pad_id: 0,
            specials: None,
            lowercase,
        };
        let mut theirs = tokenizers::Tokenizer::from_bytes(json).unwrap();
        theirs.with_padding(None);
        theirs.with_truncation(None).unwrap();
        Self {
            ours: Tokenizer::new(json, &part).unwrap(),
            theirs,
        }
    }

    /// The tokenizers of the shipped models.
    fn shipped() -> Vec<Self> {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models");
        ["screen", "deep"]
            .into_iter()
            .map(|name| models.join(name))
            .filter(|folder| folder.join("manifest.toml").exists())
            .map(|folder| {
                let part = Manifest::read(&folder.join("manifest.toml"))
                    .unwrap()
                    .tokenizer;
                let json = std::fs::read(folder.join(&part.file)).unwrap();
                Self::new(&json, part.lowercase)
            })
            .collect()
    }

    fn ids(&mut self, text: &str) -> (Vec<i32>, Vec<i32>) {
        let mut ours = Vec::new();
        self.ours.encode(text, &mut ours);
        let theirs = self.theirs.encode_fast(text, false).unwrap();
        let theirs = theirs.get_ids().iter().map(|&id| id as i32).collect();
        (ours, theirs)
    }

    fn assert_same(&mut self, text: &str) {
        let (ours, theirs) = self.ids(text);
        assert_eq!(ours, theirs, "{text:?}");
    }
}

/// A small vocabulary that has few of the letters, so that unknown words are frequent.
fn small(lowercase: bool, strip_accents: &str) -> Both {
    let words = "[PAD] [UNK] [CLS] [SEP] a ab abc ##a ##b ##bc ##é é e ##e , . ! # ## i ı ß ss \
                 σ ς ##σ ##ς 中 😀 ##😀 ﬁ fi ##ı Ā A B ##B";
    let vocab: serde_json::Map<_, _> = words
        .split_whitespace()
        .enumerate()
        .map(|(id, word)| (word.to_owned(), id.into()))
        .collect();
    let added: Vec<_> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
        .iter()
        .enumerate()
        .map(|(id, content)| {
            serde_json::json!({"id": id, "content": content, "single_word": false,
                "lstrip": false, "rstrip": false, "normalized": false, "special": true})
        })
        .collect();
    let strip: serde_json::Value = serde_json::from_str(strip_accents).unwrap();
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": strip, "lowercase": lowercase},
        "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": null,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab},
    });
    Both::new(&serde_json::to_vec(&json).unwrap(), lowercase)
}

fn all() -> Vec<Both> {
    let mut all = Both::shipped();
    all.extend([
        small(true, "null"),
        small(false, "null"),
        small(true, "false"),
    ]);
    all
}

#[test]
fn every_character_gives_the_tokens_of_hugging_face() {
    // Planes 4 to 13 are empty and 15 and 16 are private: some of each will do.
    let characters: Vec<char> = (0..0x4_0000)
        .chain((0x4_0000..0x11_0000).step_by(199))
        .chain(0xe_0000..0xe_0200)
        .filter_map(char::from_u32)
        .collect();
    let mut shipped = Both::shipped();
    shipped.truncate(1);
    for both in shipped.iter_mut().chain([&mut small(false, "null")]) {
        for some in characters.chunks(32) {
            let text: String = some
                .iter()
                .flat_map(|&character| ['a', character, 'b', ' ', character, ' '])
                .collect();
            both.assert_same(&text);
        }
    }
}

#[test]
fn awkward_texts_give_the_tokens_of_hugging_face() {
    let long = [
        "x".repeat(99),
        "x".repeat(100),
        "x".repeat(101),
        "é".repeat(100),
    ]
    .map(|word| word + " b");
    let texts = [
        "",
        " \t\r\n",
        "\u{0}",
        "a\u{0}b \u{b} \u{c}\u{85}c\u{1c}d",
        "[CLS] [SEP][PAD]x [cls] [UNK",
        "e\u{301}e \u{301} a\u{300}\u{327}\u{301}b",
        "ΑΣ ΑΣΑ İI ıß ẞ ﬁ",
        "\u{1b44}\u{302e}\u{1d165}\u{1d16d}a\u{302e}\u{1b44}",
        "中文abc中 한국어 ひらがな",
        "👨‍👩‍👧‍👦 👍🏽 🇩🇪 ❤️",
        "right\u{202e}to\u{200f}left \u{feff}x\u{ad}y\u{200b}z",
        "don't -- ¿qué? «a» “b” 1,000.50€",
        "\u{2028}a\u{2029}b\u{3000}c\u{a0}d",
        "\u{d7ff}\u{fffd}\u{10ffff}\u{e0041}\u{f0000}",
    ];
    for both in &mut all() {
        for text in texts.iter().copied().chain(long.iter().map(String::as_str)) {
            both.assert_same(text);
        }
    }
}

#[test]
fn the_bench_texts_give_the_tokens_of_hugging_face_a_second_time_too() {
    let texts = include_str!("../../benches/texts.txt");
    for both in &mut Both::shipped() {
        for _ in 0..2 {
            texts.lines().for_each(|text| both.assert_same(text));
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[a-eA-E]{1,8}",
        2 => "[ -~]{1,12}",
        2 => "\\PC{1,12}",
        1 => proptest::collection::vec(any::<char>(), 1..12)
            .prop_map(|characters| characters.into_iter().collect()),
        1 => "[\u{300}-\u{36f}a-eé\u{302e}\u{1b44}]{1,10}",
        1 => "[😀-🙏\u{1f3fb}-\u{1f3ff}\u{200d}\u{fe0f}]{1,6}",
        1 => "[\u{200b}-\u{200f}\u{202a}-\u{202e}\u{0}-\u{1f}\u{fffd}]{1,4}",
        1 => "[\u{4e00}-\u{4e20}\u{3040}-\u{30ff}\u{ac00}-\u{ac20}\u{f900}-\u{f910}]{1,8}",
        1 => "[ΑΣςİıßẞǅﬁ]{1,6}",
        1 => "(\\[CLS\\]|\\[SEP\\]|\\[PAD|#|##a){1,3}",
        1 => (90usize..130).prop_map(|length| "ab".repeat(length)),
    ];
    let gap = prop_oneof![
        Just(""),
        Just(" "),
        Just("\t"),
        Just("\n"),
        Just("\u{a0}"),
        Just("\u{2003}")
    ];
    proptest::collection::vec((part, gap), 0..8)
        .prop_map(|parts| parts.into_iter().map(|(part, gap)| part + gap).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn any_text_gives_the_tokens_of_hugging_face(texts in proptest::collection::vec(text(), 1..8)) {
        thread_local! {
            static BOTH: std::cell::RefCell<Vec<Both>> = std::cell::RefCell::new(all());
        }
        BOTH.with_borrow_mut(|all| {
            for both in all {
                for text in &texts {
                    let (ours, theirs) = both.ids(text);
                    prop_assert_eq!(ours, theirs, "{:?}", text);
                }
            }
            Ok(())
        })?;
    }
}

#[test]
fn a_tokenizer_of_another_kind_is_refused_and_says_what_is_not_supported() {
    let part = Manifest::parse(
        include_str!("../../tests/data/manifest.toml"),
        Path::new("m"),
    )
    .unwrap()
    .tokenizer;
    let refused = |json: &str| {
        Tokenizer::new(json.as_bytes(), &part)
            .err()
            .unwrap()
            .to_string()
    };
    let file = |normalizer: &str, model: &str| {
        format!(
            r###"{{"normalizer":{{"type":"{normalizer}","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true}},"pre_tokenizer":{{"type":"BertPreTokenizer"}},"model":{{"type":"{model}","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{{"a":0}}}}}}"###
        )
    };
    assert!(refused("{").contains("not a tokenizer"));
    assert!(refused(&file("NFC", "WordPiece")).contains("normalizer"));
    assert!(refused(&file("BertNormalizer", "BPE")).contains("model"));
    assert!(refused(&file("BertNormalizer", "WordPiece")).contains("unknown words"));
}
