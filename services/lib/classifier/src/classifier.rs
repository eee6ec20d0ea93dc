//! Scores batches of texts: each text once, with the screen model, the deep model or a cascade.

use std::path::{Path, PathBuf};

use tidegate_core::labels::LabelSet;

use crate::cache::{Key, KeyMap, Keyer, ScoreCache};
use crate::cascade::Band;
use crate::error::{ClassifyError, LoadError};
use crate::labels::Row;
use crate::model::{Model, ModelInfo, TextScores};
use crate::scored::{Scored, Tier};
use crate::stats::ClassifierStats;

/// Which models score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The screen model scores all texts.
    Screen,
    /// The deep model scores all texts.
    Deep,
    /// The screen model scores all texts, and the deep model those that the screen is unsure of.
    #[default]
    Cascade,
}

impl Mode {
    /// What scores best with the models that are in the folder `models`: a cascade where there is
    /// a deep model.
    #[must_use]
    pub fn best(models: &Path) -> Self {
        match models.join("deep/manifest.toml").is_file() {
            true => Self::Cascade,
            false => Self::Screen,
        }
    }
}

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "screen" => Ok(Self::Screen),
            "deep" => Ok(Self::Deep),
            "cascade" => Ok(Self::Cascade),
            _ => Err("mode must be screen, deep or cascade".to_owned()),
        }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Screen => "screen",
            Self::Deep => "deep",
            Self::Cascade => "cascade",
        })
    }
}

/// What a classifier loads and how much memory it may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassifierSettings {
    /// Which models score.
    pub mode: Mode,
    /// Folder of the screen model. Not read in mode `deep`.
    pub screen: PathBuf,
    /// Folder of the deep model. Not read in mode `screen`.
    pub deep: PathBuf,
    /// Texts whose scores are remembered, about 80 bytes each; 0 turns this off.
    pub cache_capacity: usize,
    /// Most padded tokens in one run of the screen model.
    pub screen_tokens: usize,
    /// Most padded tokens in one run of the deep model.
    pub deep_tokens: usize,
}

impl ClassifierSettings {
    /// Settings for the models in the folders `screen` and `deep` of `models`.
    #[must_use]
    pub fn new(models: &Path, mode: Mode) -> Self {
        Self {
            mode,
            screen: models.join("screen"),
            deep: models.join("deep"),
            cache_capacity: 65_536,
            // So many that what a call costs by itself is little; 32,768 were slower again.
            screen_tokens: 8192,
            deep_tokens: 256,
        }
    }
}

/// Models, buffers and remembered scores of one lane.
pub struct Classifier {
    mode: Mode,
    screen: Option<Model>,
    deep: Option<Model>,
    band: Band,
    thresholds: Row,
    keyer: Keyer,
    cache: ScoreCache<Scored>,
    seen: KeyMap<u32>,
    /// For each text of the batch, the number of its scores in `unique`.
    unique_of: Vec<u32>,
    unique: Vec<Unique>,
    /// Numbers in `unique` that wait for a model.
    waiting: Vec<u32>,
    unsure: Vec<u32>,
    /// The labels that the screen model gave to each of `unsure`.
    screened: Vec<LabelSet>,
    rows: Vec<TextScores>,
    stats: ClassifierStats,
}

/// A text that differs from those before it in its batch.
#[derive(Debug, Clone, Copy)]
struct Unique {
    /// Where it stands in the batch.
    text: u32,
    key: Key,
    scored: Scored,
}

impl Classifier {
    /// Loads and checks the models that the mode needs, and warms them up. Fetches ONNX Runtime
    /// when this machine has none yet.
    pub fn load(settings: &ClassifierSettings) -> Result<Self, LoadError> {
        crate::runtime::ensure()?;
        let model = |wanted: bool, folder: &Path, tokens: usize| {
            wanted.then(|| Model::load(folder, tokens)).transpose()
        };
        let screen = model(
            settings.mode != Mode::Deep,
            &settings.screen,
            settings.screen_tokens,
        )?;
        let deep = model(
            settings.mode != Mode::Screen,
            &settings.deep,
            settings.deep_tokens,
        )?;
        let leading = screen.as_ref().or(deep.as_ref()).map(Model::manifest);
        let (ranges, thresholds) = leading.map_or_else(Default::default, |manifest| {
            (manifest.cascade, manifest.thresholds)
        });
        let band = Band::new(ranges, &thresholds);
        if settings.mode == Mode::Cascade && band.is_empty() {
            return Err(LoadError::NoBand {
                path: settings.screen.join("manifest.toml"),
            });
        }
        for model in screen.iter().chain(&deep) {
            let info = model.info();
            tracing::info!(
                model = info.name,
                version = info.version,
                sha256 = info.sha256,
                "model is warm"
            );
        }
        Ok(Self {
            mode: settings.mode,
            // The deep model's thresholds count where it is there: it decides the unsure cases.
            thresholds: deep
                .as_ref()
                .map_or(thresholds, |deep| deep.manifest().thresholds),
            screen,
            deep,
            band,
            keyer: Keyer::default(),
            cache: ScoreCache::new(settings.cache_capacity),
            seen: KeyMap::default(),
            unique_of: Vec::new(),
            unique: Vec::new(),
            waiting: Vec::new(),
            unsure: Vec::new(),
            screened: Vec::new(),
            rows: Vec::new(),
            stats: ClassifierStats::default(),
        })
    }

    /// Scores `texts`, which have been normalized. `out` afterwards has one entry for each, in
    /// their order. After an error `out` is empty and the classifier can be used again.
    pub fn classify(&mut self, texts: &[&str], out: &mut Vec<Scored>) -> Result<(), ClassifyError> {
        out.clear();
        self.find_unique(texts);
        self.score_waiting(texts)?;
        out.extend(
            self.unique_of
                .iter()
                .map(|&unique| self.unique[unique as usize].scored),
        );
        Ok(())
    }

    /// Sorts the batch into texts that are new, remembered, or equal to an earlier one.
    fn find_unique(&mut self, texts: &[&str]) {
        self.seen.clear();
        self.unique_of.clear();
        self.unique.clear();
        self.waiting.clear();
        self.unsure.clear();
        let is_cascade = self.mode == Mode::Cascade;
        for (text, words) in texts.iter().enumerate() {
            let key = self.keyer.key(words);
            let next = self.unique.len() as u32;
            let number = *self.seen.entry(key).or_insert(next);
            self.unique_of.push(number);
            if number != next {
                continue;
            }
            let remembered = self.cache.get(key);
            match remembered {
                None => self.waiting.push(next),
                // Remembered from a time when the band was narrower than now.
                Some(scored)
                    if is_cascade
                        && scored.tier == Tier::Screen
                        && self.band.contains(&scored.scores) =>
                {
                    self.unsure.push(next);
                }
                Some(_) => {}
            }
            self.stats.cache_hits += u64::from(remembered.is_some());
            self.unique.push(Unique {
                text: text as u32,
                key,
                scored: remembered.unwrap_or_default(),
            });
        }
        self.stats.texts += texts.len() as u64;
        self.stats.deduplicated += (texts.len() - self.unique.len()) as u64;
        self.stats.cache_lookups += self.unique.len() as u64;
    }

    fn score_waiting(&mut self, texts: &[&str]) -> Result<(), ClassifyError> {
        let (unique, rows) = (&mut self.unique, &mut self.rows);
        match (&mut self.screen, &mut self.deep) {
            (Some(screen), None) => {
                score(screen, Tier::Screen, &self.waiting, texts, unique, rows)?;
            }
            (None, Some(deep)) => score(deep, Tier::Deep, &self.waiting, texts, unique, rows)?,
            (Some(screen), Some(deep)) => {
                score(screen, Tier::Screen, &self.waiting, texts, unique, rows)?;
                for &number in &self.waiting {
                    if self.band.contains(&unique[number as usize].scored.scores) {
                        self.unsure.push(number);
                    }
                }
                self.screened.clear();
                self.screened.extend(
                    self.unsure.iter().map(|&number| {
                        reached(&unique[number as usize].scored, screen.thresholds())
                    }),
                );
                score(deep, Tier::Deep, &self.unsure, texts, unique, rows)?;
                for (&number, &before) in self.unsure.iter().zip(&self.screened) {
                    let now = reached(&unique[number as usize].scored, deep.thresholds());
                    self.stats.compare(before, now);
                }
            }
            (None, None) => {}
        }
        for &number in self.waiting.iter().chain(&self.unsure) {
            let unique = &self.unique[number as usize];
            if unique.scored.is_worth_keeping() {
                self.cache.insert(unique.key, unique.scored);
            }
        }
        Ok(())
    }

    /// Which models score.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The loaded models: screen first, then deep.
    #[must_use]
    pub fn models(&self) -> Vec<ModelInfo> {
        self.screen
            .iter()
            .chain(&self.deep)
            .map(Model::info)
            .collect()
    }

    /// The model that scores at a tier, if it is loaded.
    #[must_use]
    pub fn model(&self, tier: Tier) -> Option<ModelInfo> {
        match tier {
            Tier::Screen => self.screen.as_ref(),
            Tier::Deep => self.deep.as_ref(),
        }
        .map(Model::info)
    }

    /// The thresholds that the models' makers recommend, label by label.
    #[must_use]
    pub fn thresholds(&self) -> &Row {
        &self.thresholds
    }

    /// Sets how much of the cascade's band is in use: 1 is all of it, 0 sends nothing to the deep
    /// model. Lower it while events wait too long.
    pub fn set_band_scale(&mut self, scale: f32) {
        self.band.set_scale(scale);
    }

    /// How much of the cascade's band is in use, 0 to 1.
    #[must_use]
    pub fn band_scale(&self) -> f32 {
        self.band.scale()
    }

    /// What was done since this was called last.
    pub fn take_stats(&mut self) -> ClassifierStats {
        let mut stats = std::mem::take(&mut self.stats);
        if let Some(screen) = &mut self.screen {
            stats.screen = std::mem::take(&mut screen.stats);
        }
        if let Some(deep) = &mut self.deep {
            stats.deep = std::mem::take(&mut deep.stats);
        }
        stats
    }

    pub(crate) fn loaded(&mut self) -> impl Iterator<Item = &mut Model> {
        self.screen.iter_mut().chain(&mut self.deep)
    }
}

/// The labels whose thresholds are reached.
fn reached(scored: &Scored, thresholds: &Row) -> LabelSet {
    let mut labels = LabelSet::default();
    for (label, score) in scored.scores.iter() {
        if score.get() >= thresholds[label.index()] {
            labels.insert(label);
        }
    }
    labels
}

/// Scores the texts numbered in `numbers` with one model.
fn score(
    model: &mut Model,
    tier: Tier,
    numbers: &[u32],
    texts: &[&str],
    unique: &mut [Unique],
    rows: &mut Vec<TextScores>,
) -> Result<(), ClassifyError> {
    if numbers.is_empty() {
        return Ok(());
    }
    let words = numbers
        .iter()
        .map(|&number| texts[unique[number as usize].text as usize]);
    model.score(words, rows)?;
    for (&number, scores) in numbers.iter().zip(rows.iter()) {
        unique[number as usize].scored =
            Scored::new(scores, tier).ok_or_else(|| model.not_finite())?;
    }
    Ok(())
}
