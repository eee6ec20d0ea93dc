//! Reads `tokenizer.json` in Hugging Face's form, and refuses what it would not follow exactly.

use std::collections::HashMap;
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use serde::Deserialize;

use super::bert::Rules;
use super::pieces::Pieces;

/// Why a tokenizer file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// It is not JSON, or entries are missing or of another type.
    #[error("it is not a tokenizer of the BERT kind: {0}")]
    Form(#[from] serde_json::Error),
    /// It asks for something that is not done here.
    #[error("its {0} is not supported: only WordPiece with BertNormalizer and BertPreTokenizer is")]
    Unsupported(&'static str),
    /// The token for unknown words is not in the vocabulary.
    #[error("its vocabulary lacks the token that stands for unknown words")]
    NoUnknown,
    /// It treats case otherwise than the manifest says.
    #[error("its lowercase is {file}, but the manifest says {manifest}")]
    Case {
        /// What the file says.
        file: bool,
        /// What the manifest says.
        manifest: bool,
    },
}

#[derive(Deserialize)]
struct Json {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    normalizer: Normalizer,
    pre_tokenizer: Kind,
    model: Model,
}

#[derive(Deserialize)]
struct AddedToken {
    id: i32,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Normalizer {
    #[serde(rename = "type")]
    kind: String,
    clean_text: bool,
    handle_chinese_chars: bool,
    strip_accents: Option<bool>,
    lowercase: bool,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: String,
    unk_token: String,
    continuing_subword_prefix: String,
    max_input_chars_per_word: usize,
    vocab: HashMap<String, i32>,
}

/// What a file holds.
pub(super) struct File {
    pub(super) rules: Rules,
    pub(super) pieces: Pieces,
    pub(super) added: Option<Added>,
}

/// Tokens that are found in the text as it stands, before any rule is applied.
pub(super) struct Added {
    matcher: AhoCorasick,
    ids: Vec<i32>,
}

impl Added {
    /// Where such tokens stand in a text, and their ids.
    pub(super) fn find(&self, text: &str) -> impl Iterator<Item = (Range<usize>, i32)> {
        self.matcher
            .find_iter(text)
            .map(|found| (found.range(), self.ids[found.pattern().as_usize()]))
    }
}

pub(super) fn read(json: &[u8]) -> Result<File, TokenizerError> {
    let json: Json = serde_json::from_slice(json)?;
    if json.normalizer.kind != "BertNormalizer" {
        return Err(TokenizerError::Unsupported("normalizer"));
    }
    if json.pre_tokenizer.kind != "BertPreTokenizer" {
        return Err(TokenizerError::Unsupported("pre_tokenizer"));
    }
    if json.model.kind != "WordPiece" {
        return Err(TokenizerError::Unsupported("model"));
    }
    let rules = Rules {
        clean_text: json.normalizer.clean_text,
        handle_chinese_chars: json.normalizer.handle_chinese_chars,
        strip_accents: json
            .normalizer
            .strip_accents
            .unwrap_or(json.normalizer.lowercase),
        lowercase: json.normalizer.lowercase,
    };
    let model = json.model;
    let unknown = *model
        .vocab
        .get(&model.unk_token)
        .ok_or(TokenizerError::NoUnknown)?;
    if model.vocab.values().any(|&id| id < 0) {
        return Err(TokenizerError::Unsupported("negative id"));
    }
    Ok(File {
        rules,
        pieces: Pieces::new(
            model.vocab.into_iter(),
            &model.continuing_subword_prefix,
            unknown,
            model.max_input_chars_per_word,
        ),
        added: added(&json.added_tokens)?,
    })
}

fn added(tokens: &[AddedToken]) -> Result<Option<Added>, TokenizerError> {
    if tokens.is_empty() {
        return Ok(None);
    }
    let plain = |token: &AddedToken| {
        !token.single_word && !token.lstrip && !token.rstrip && !token.normalized && token.id >= 0
    };
    if !tokens.iter().all(plain) {
        return Err(TokenizerError::Unsupported("added_tokens"));
    }
    let matcher = AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .build(tokens.iter().map(|token| &token.content))
        .map_err(|_| TokenizerError::Unsupported("added_tokens"))?;
    Ok(Some(Added {
        matcher,
        ids: tokens.iter().map(|token| token.id).collect(),
    }))
}
