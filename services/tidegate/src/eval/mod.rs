//! `tidegate eval`: how good the models are, on labelled texts that they were not trained on.

mod functional;
mod metrics;
mod perturb;
mod report;
mod rows;
mod summary;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::bail;
use tidegate_chassis::exit::Exit;
use tidegate_classifier::{Classifier, ClassifierSettings, Mode, Scored, score_readings};
use tidegate_core::{Label, Policy, normalize};
use tidegate_moderator::policy_file;

use self::{
    metrics::Confusion,
    perturb::Perturbation,
    report::{Cascade, Perturbed, Report},
    rows::{Row, Wanted},
    summary::{Judged, Thresholds},
};
use crate::models;

/// Texts that are scored together.
const BATCH: usize = 1_024;
/// How often a person who waits is told how far it is.
const PATIENCE: Duration = Duration::from_secs(5);
/// The functional cases, in the folder of the models.
const FUNCTIONAL: &str = "functional/cases.tsv";

/// What to evaluate, and on what.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Labelled texts: a folder with authored/*.tsv and train/*.jsonl.gz, of which only rows that
    /// were kept from training are read, or files .tsv or .jsonl, of which all rows are
    #[arg(long, value_name = "PATH", num_args = 1.., required_unless_present = "functional")]
    data: Vec<PathBuf>,
    /// Which models score: screen, deep or cascade (default: cascade where there is a deep model)
    #[arg(long)]
    model: Option<Mode>,
    /// The folder that holds the models
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Only rows of these sources: `authored`, or the name of a public set
    #[arg(long, value_name = "SOURCE", value_delimiter = ',')]
    only: Vec<String>,
    /// At most this many rows of each source; always the same ones
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Rows that the models were trained on, too
    #[arg(long)]
    all: bool,
    /// Take a policy's thresholds instead of those in the model's manifest: `default`, or a file
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Also score the texts written in ways that hide them from filters
    #[arg(long)]
    perturb: bool,
    /// Also run the functional cases of hate speech (from functional/cases.tsv beside the models)
    #[arg(long)]
    functional: bool,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// The rows can't be read, or the models can't be used.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let folder = models::folder(args.models.as_deref())?;
    let wanted = Wanted {
        all: args.all,
        only: args.only.clone(),
        limit: args.limit,
    };
    let rows = match args.data.is_empty() {
        true => Vec::new(),
        false => rows::read(&args.data, &wanted)?,
    };
    let mode = args.model.unwrap_or_else(|| Mode::best(&folder));
    let mut settings = ClassifierSettings::new(&folder, mode);
    // Each text costs what it costs the first time.
    settings.cache_capacity = 0;
    let mut judge = Judge::new(Classifier::load(&settings)?, args.policy.as_deref())?;
    let report = judge.report(args, &folder, &rows)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.tables());
    }
    Ok(Exit::Clean)
}

/// Scores rows and calls labels.
struct Judge {
    classifier: Classifier,
    policy: Option<Policy>,
}

impl Judge {
    fn new(classifier: Classifier, policy: Option<&Path>) -> anyhow::Result<Self> {
        let policy = match policy {
            Some(name) if name == Path::new("default") => Some(Policy::default_policy()),
            Some(file) => Some(policy_file::read(file)?),
            None => None,
        };
        Ok(Self { classifier, policy })
    }

    fn report(&mut self, args: &Args, folder: &Path, rows: &[Row]) -> anyhow::Result<Report> {
        let began = Instant::now();
        let texts: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
        let scored = self.score(&texts, "scored")?;
        let seconds = began.elapsed().as_secs_f64();
        let cascade = self.cascade();
        let thresholds: Vec<Thresholds> = rows.iter().map(|row| self.thresholds(row)).collect();
        let judged = || {
            rows.iter()
                .zip(&scored)
                .zip(&thresholds)
                .map(|((row, scored), thresholds)| Judged {
                    row,
                    scores: &scored.scores,
                    thresholds,
                })
        };
        let overall = (!rows.is_empty()).then(|| summary::part("all", judged()));
        let by_source = summary::parts(judged(), |row| row.source.clone());
        let by_language = summary::parts(judged(), |row| row.lang.clone());
        let perturbed = match args.perturb {
            true => self.perturb(rows, &scored, &thresholds)?,
            false => Vec::new(),
        };
        let functional = match args.functional {
            true => self.functional(&folder.join(FUNCTIONAL))?,
            false => Vec::new(),
        };
        let names = self.classifier.models();
        let names: Vec<_> = names
            .iter()
            .map(|model| format!("{}-{}", model.name, model.version))
            .collect();
        Ok(Report {
            model: format!("{} ({})", self.classifier.mode(), names.join(", ")),
            rows: rows.len(),
            texts_per_second: if rows.is_empty() {
                0.0
            } else {
                rows.len() as f64 / seconds
            },
            thresholds: *self.classifier.thresholds(),
            cascade,
            overall,
            by_source,
            by_language,
            perturbed,
            functional,
        })
    }

    /// Scores texts as serving does, with a word on stderr now and then.
    fn score(&mut self, texts: &[&str], what: &str) -> anyhow::Result<Vec<Scored>> {
        let (mut all, mut some) = (Vec::with_capacity(texts.len()), Vec::new());
        let mut told = Instant::now();
        for batch in texts.chunks(BATCH) {
            let read: Vec<_> = batch.iter().map(|text| normalize(text)).collect();
            score_readings(read.iter(), &mut some, |texts, out| {
                self.classifier.classify(texts, out)
            })?;
            all.append(&mut some);
            if told.elapsed() > PATIENCE {
                eprintln!("eval: {what} {} of {} texts", all.len(), texts.len());
                told = Instant::now();
            }
        }
        Ok(all)
    }

    /// What the cascade did since this was asked last.
    fn cascade(&mut self) -> Option<Cascade> {
        let stats = self.classifier.take_stats();
        (self.classifier.mode() == Mode::Cascade && stats.screen.texts > 0).then(|| Cascade {
            deep_share: stats.deep_share(),
            disagreement: (stats.deep.texts > 0)
                .then(|| stats.corrected as f64 / stats.deep.texts as f64),
        })
    }

    fn thresholds(&self, row: &Row) -> Thresholds {
        match &self.policy {
            None => *self.classifier.thresholds(),
            Some(policy) => policy
                .thresholds(&crate::score::event_on(row.channel))
                .map(|threshold| threshold.get()),
        }
    }

    /// Scores the rows whose spam or hate is known once for each way of writing.
    fn perturb(
        &mut self,
        rows: &[Row],
        scored: &[Scored],
        thresholds: &[Thresholds],
    ) -> anyhow::Result<Vec<Perturbed>> {
        let is_known = |row: &Row| {
            [Label::Spam, Label::Hate]
                .iter()
                .any(|label| row.gold[label.index()].is_some())
        };
        let known: Vec<usize> = (0..rows.len()).filter(|&at| is_known(&rows[at])).collect();
        if known.is_empty() {
            bail!("--perturb needs rows of which spam or hate is known");
        }
        let figures = |name: &'static str, scored: &mut dyn Iterator<Item = &Scored>| {
            let (mut spam, mut hate) = (Confusion::default(), Confusion::default());
            for (scored, &at) in scored.zip(&known) {
                for (label, confusion) in [(Label::Spam, &mut spam), (Label::Hate, &mut hate)] {
                    if let Some(there) = rows[at].gold[label.index()] {
                        confusion.add(
                            scored.scores[label].get() >= thresholds[at][label.index()],
                            there,
                        );
                    }
                }
            }
            Perturbed {
                name,
                spam_f1: spam.f1(),
                hate_f1: hate.f1(),
                spam_false_alarms: spam.specificity().map(|right| 1.0 - right),
                hate_false_alarms: hate.specificity().map(|right| 1.0 - right),
            }
        };
        let mut all = vec![figures(
            "nothing changed",
            &mut known.iter().map(|&at| &scored[at]),
        )];
        for way in Perturbation::ALL {
            let changed: Vec<String> = known
                .iter()
                .map(|&at| way.apply(&rows[at].text, at as u64))
                .collect();
            let texts: Vec<&str> = changed.iter().map(String::as_str).collect();
            let scored = self.score(&texts, way.name())?;
            all.push(figures(way.name(), &mut scored.iter()));
        }
        Ok(all)
    }

    fn functional(&mut self, file: &Path) -> anyhow::Result<Vec<functional::FunctionResult>> {
        let cases = functional::read(file)?;
        let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
        let scored = self.score(&texts, "functional")?;
        let threshold = match &self.policy {
            None => self.classifier.thresholds()[Label::Hate.index()],
            Some(policy) => policy
                .thresholds(&crate::score::event_on(tidegate_core::Channel::Comment))
                [Label::Hate.index()]
            .get(),
        };
        let called = |index: usize| {
            let scored: Option<&Scored> = scored.get(index);
            scored.is_some_and(|scored| scored.scores[Label::Hate].get() >= threshold)
        };
        Ok(functional::results(&cases, called))
    }
}
