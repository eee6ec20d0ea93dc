//! One model folder at work: tokenizer, session and calibration together.

use std::path::{Path, PathBuf};
use std::time::Instant;

use tidegate_core::labels::Label;

use crate::batch::{Buckets, Plan, buckets};
use crate::checksum::sha256_hex;
use crate::error::{ClassifyError, LoadError};
use crate::labels::Row;
use crate::manifest::Manifest;
use crate::session::Session;
use crate::stats::ModelStats;
use crate::tokens::{Tokenizer, Windows};

/// Which model is at work, for metrics and verdicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// SHA-256 of the graph, lower-case hex.
    pub sha256: String,
    /// Languages that it was trained and measured for.
    pub languages: Vec<String>,
}

/// Scores of one text, and how many windows they were taken from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TextScores {
    pub(crate) row: Row,
    pub(crate) windows: u16,
}

/// A loaded model.
pub(crate) struct Model {
    manifest: Manifest,
    folder: PathBuf,
    tokenizer: Tokenizer,
    session: Session,
    buckets: Vec<usize>,
    token_budget: usize,
    windows: Windows,
    plan: Plan,
    pub(crate) stats: ModelStats,
}

fn read(path: &Path, expected: &str) -> Result<Vec<u8>, LoadError> {
    let bytes = std::fs::read(path).map_err(|source| LoadError::Read {
        path: path.to_path_buf(),
        source,
    })?;
    let found = sha256_hex(&bytes);
    if found == expected {
        Ok(bytes)
    } else {
        Err(LoadError::Checksum {
            path: path.to_path_buf(),
            expected: expected.to_owned(),
            found,
        })
    }
}

impl Model {
    /// Loads the model in `folder`, checks it and runs it once in every shape, so that the first
    /// real batch is as fast as any. A run takes at most `token_budget` padded tokens.
    pub(crate) fn load(folder: &Path, token_budget: usize) -> Result<Self, LoadError> {
        let manifest = Manifest::read(&folder.join("manifest.toml"))?;
        let tokenizer_path = folder.join(&manifest.tokenizer.file);
        let json = read(&tokenizer_path, &manifest.tokenizer.sha256)?;
        let tokenizer =
            Tokenizer::new(&json, &manifest.tokenizer).map_err(|source| LoadError::Tokenizer {
                path: tokenizer_path,
                source,
            })?;
        let path = folder.join(&manifest.model.file);
        let bytes = read(&path, &manifest.model.sha256)?;
        let session = Session::new(&bytes, &path, &manifest)?;
        // A graph with a mask reads words in their order; one without sums them.
        let kind = match manifest.model.attention_mask {
            Some(_) => Buckets::Fine,
            None => Buckets::Coarse,
        };
        let mut model = Self {
            buckets: buckets(kind, manifest.tokenizer.max_tokens),
            manifest,
            folder: folder.to_path_buf(),
            tokenizer,
            session,
            token_budget,
            windows: Windows::default(),
            plan: Plan::default(),
            stats: ModelStats::default(),
        };
        model
            .warm_up()
            .map_err(|source| LoadError::Probe { path, source })?;
        model.stats = ModelStats::default();
        Ok(model)
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(crate) fn thresholds(&self) -> &Row {
        &self.manifest.thresholds
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn info(&self) -> ModelInfo {
        ModelInfo {
            name: self.manifest.name.clone(),
            version: self.manifest.version.clone(),
            sha256: self.manifest.model.sha256.clone(),
            languages: self.manifest.languages.clone(),
        }
    }

    /// The error for a score that is not a number.
    pub(crate) fn not_finite(&self) -> ClassifyError {
        ClassifyError::NotFinite {
            model: self.manifest.name.clone(),
        }
    }

    /// Runs every token of the vocabulary (a damaged weight shows as a score that is not a number)
    /// and then every shape at its greatest size (memory is taken now and not later).
    fn warm_up(&mut self) -> Result<(), ClassifyError> {
        let mut rows = Vec::new();
        let vocabulary = self.tokenizer.vocabulary() as i32;
        let (width, stride) = (
            self.manifest.tokenizer.width(),
            self.manifest.tokenizer.stride,
        );
        self.windows.clear();
        for begin in (0..vocabulary).step_by(width) {
            let end = (begin + width as i32).min(vocabulary);
            self.windows
                .push(width, stride, |ids| ids.extend(begin..end));
        }
        self.score_windows(&mut rows)?;
        self.windows.clear();
        let specials = self.manifest.tokenizer.max_tokens - width;
        for &bucket in &self.buckets {
            for _ in 0..(self.token_budget / bucket).max(1) {
                let len = bucket.saturating_sub(specials);
                self.windows
                    .push(width, stride, |ids| ids.resize(ids.len() + len, 1));
            }
        }
        self.score_windows(&mut rows)
    }

    /// Scores texts; `rows` afterwards has one entry for each, in their order.
    pub(crate) fn score<'t>(
        &mut self,
        texts: impl Iterator<Item = &'t str>,
        rows: &mut Vec<TextScores>,
    ) -> Result<(), ClassifyError> {
        let begin = Instant::now();
        self.windows.clear();
        for text in texts {
            self.tokenizer.tokenize(text, &mut self.windows);
        }
        self.stats.tokenize += begin.elapsed();
        self.score_windows(rows)
    }

    fn score_windows(&mut self, rows: &mut Vec<TextScores>) -> Result<(), ClassifyError> {
        let begin = Instant::now();
        let windows = &self.windows;
        let all = windows.all();
        rows.clear();
        rows.resize(
            windows.texts(),
            TextScores {
                row: [0.0; Label::COUNT],
                windows: 0,
            },
        );
        let lengths = all.iter().map(|&window| self.session.length(window));
        self.plan.make(lengths, &self.buckets, self.token_budget);
        let calibration = &self.manifest.calibration;
        for run in self.plan.runs() {
            let entries = &self.plan.order()[run.entries.clone()];
            self.session
                .run(windows, entries, run.length, |window, logits| {
                    let text = &mut rows[all[window as usize].text as usize];
                    text.windows = text.windows.saturating_add(1);
                    // What is in any part of a text is in the text.
                    for (label, (score, &logit)) in text.row.iter_mut().zip(logits).enumerate() {
                        *score = score.max(calibration.probability(label, logit));
                    }
                })?;
            self.stats.padded_tokens += (entries.len() * run.length) as u64;
            self.stats.runs += 1;
        }
        let tokens: usize = all.iter().map(|&window| self.session.length(window)).sum();
        self.stats.tokens += tokens as u64;
        self.stats.windows += all.len() as u64;
        self.stats.texts += windows.texts() as u64;
        self.stats.infer += begin.elapsed();
        Ok(())
    }
}
