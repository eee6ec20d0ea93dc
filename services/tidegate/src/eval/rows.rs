//! Labelled texts from files, and which of them no model was trained on.

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tidegate_core::{Channel, Label};
use unicode_categories::UnicodeCategories as _;

/// The name of the rows that were written for this project.
pub(crate) const AUTHORED: &str = "authored";

/// A text, and which labels it certainly has or lacks.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) text: String,
    pub(crate) lang: Arc<str>,
    pub(crate) source: Arc<str>,
    pub(crate) channel: Channel,
    /// `None` where nobody said, or not for sure.
    pub(crate) gold: [Option<bool>; Label::COUNT],
}

/// Which rows are wanted.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Rows that models were trained on, too.
    pub(crate) all: bool,
    /// Only these sources; all where it is empty.
    pub(crate) only: Vec<String>,
    /// At most this many rows of each source, chosen by a hash.
    pub(crate) limit: Option<usize>,
}

/// Reads the rows of `places`: folders as models are trained from (`authored/*.tsv`,
/// `train/*.jsonl.gz`), or single files (`.tsv`, `.jsonl`, either also with `.gz`), of which every
/// row is wanted.
///
/// # Errors
/// A file can't be read, or a line is none of its form; lines are named by their numbers.
pub(crate) fn read(places: &[PathBuf], wanted: &Wanted) -> anyhow::Result<Vec<Row>> {
    let mut by_source: BTreeMap<Arc<str>, Vec<(u32, Row)>> = BTreeMap::new();
    for place in places {
        let is_folder = place.is_dir();
        let files = if is_folder {
            folder(place)?
        } else {
            vec![place.clone()]
        };
        for file in files {
            let keep =
                |row: &Row| wanted.only.is_empty() || wanted.only.contains(&row.source.to_string());
            for read in rows(&file).with_context(|| format!("read {}", file.display()))? {
                if keep(&read.row) && (wanted.all || !is_folder || read.is_held_out) {
                    let rows = by_source.entry(read.row.source.clone()).or_default();
                    rows.push((read.order, read.row));
                }
            }
        }
    }
    let found: HashSet<&str> = by_source.keys().map(AsRef::as_ref).collect();
    if let Some(unknown) = wanted
        .only
        .iter()
        .find(|name| !found.contains(name.as_str()))
    {
        bail!("there are no rows of a source named `{unknown}`");
    }
    if let Some(limit) = wanted.limit {
        for rows in by_source.values_mut() {
            rows.sort_by_key(|(order, _)| *order);
            rows.truncate(limit);
        }
    }
    let rows: Vec<Row> = by_source
        .into_values()
        .flatten()
        .map(|(_, row)| row)
        .collect();
    if rows.is_empty() {
        bail!(
            "there are no rows: --data names a folder with authored/*.tsv and train/*.jsonl.gz, or files .tsv and .jsonl"
        );
    }
    Ok(rows)
}

fn folder(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for (part, ending) in [("authored", ".tsv"), ("train", ".jsonl.gz")] {
        let part = folder.join(part);
        let entries =
            std::fs::read_dir(&part).with_context(|| format!("look into {}", part.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(ending) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// A row, whether it was kept from training, and its place among the rows of its source when only
/// some are taken.
struct Found {
    row: Row,
    is_held_out: bool,
    order: u32,
}

fn rows(file: &Path) -> anyhow::Result<Vec<Found>> {
    let name = file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let open: Box<dyn Read> = match name.ends_with(".gz") {
        true => Box::new(flate2::read::MultiGzDecoder::new(File::open(file)?)),
        false => Box::new(File::open(file)?),
    };
    let lines = BufReader::new(open).lines();
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    match (plain.strip_suffix(".tsv"), plain.strip_suffix(".jsonl")) {
        (Some(stem), _) => {
            let is_authored = file
                .parent()
                .is_some_and(|parent| parent.ends_with(AUTHORED));
            tsv(lines, if is_authored { AUTHORED } else { stem })
        }
        (_, Some(stem)) => jsonl(lines, stem),
        _ => bail!("its name ends neither in .tsv nor in .jsonl, nor in these with .gz"),
    }
}

type Lines<'a> = &'a mut dyn Iterator<Item = std::io::Result<String>>;

/// Codes of labels or `-`, language, channel, platform, text. Every label is known.
fn tsv(
    mut lines: impl Iterator<Item = std::io::Result<String>>,
    source: &str,
) -> anyhow::Result<Vec<Found>> {
    let source: Arc<str> = source.into();
    each(&mut lines, |line| {
        let [codes, lang, channel, _platform, text] =
            <[&str; 5]>::try_from(line.splitn(5, '\t').collect::<Vec<_>>()).ok()?;
        let mut gold = [Some(false); Label::COUNT];
        for code in codes.split(',').filter(|code| *code != "-") {
            gold[label_of(code)?.index()] = Some(true);
        }
        let hash = Hash::of(text);
        Some(Found {
            is_held_out: hash.bucket() < 15,
            order: hash.order(),
            row: Row {
                text: text.to_owned(),
                lang: lang.into(),
                source: source.clone(),
                channel: channel.parse().ok()?,
                gold,
            },
        })
    })
    .map_err(|number| {
        anyhow::anyhow!("line {number} is not: labels (S,H,A,P,U,R,C,Q,N,G or -), language, channel, platform, text, with tabs between")
    })
}

fn label_of(code: &str) -> Option<Label> {
    let at = ["S", "H", "A", "P", "U", "R", "C", "Q", "N", "G"]
        .iter()
        .position(|known| *known == code)?;
    Label::ALL.get(at).copied()
}

#[derive(Deserialize)]
struct Item {
    text: String,
    #[serde(default)]
    lang: Option<String>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    split: Option<String>,
    labels: BTreeMap<Label, u8>,
}

/// One object a line, with `text`, and `labels` as a map from name to 0 or 1.
fn jsonl(
    mut lines: impl Iterator<Item = std::io::Result<String>>,
    stem: &str,
) -> anyhow::Result<Vec<Found>> {
    let items = each(&mut lines, |line| {
        let item: Item = serde_json::from_str(line).ok()?;
        item.labels
            .values()
            .all(|value| *value <= 1)
            .then_some(item)
    })
    .map_err(|number| {
        anyhow::anyhow!(
            "line {number} is no object with \"text\" and \"labels\" (label names, each 0 or 1)"
        )
    })?;
    let is_train = |item: &Item| item.split.as_deref().is_none_or(|split| split == "train");
    // A set that has rows for development of its own is held out by these.
    let has_own = items.iter().filter(|item| !is_train(item)).count() >= 300;
    let mut names: BTreeMap<String, Arc<str>> = BTreeMap::new();
    let mut shared = |name: &str| {
        names
            .entry(name.to_owned())
            .or_insert_with(|| name.into())
            .clone()
    };
    let rows = items.into_iter().map(|item| {
        let hash = Hash::of(&item.text);
        let is_held_out = match has_own {
            true => !is_train(&item) && !hash.bucket().is_multiple_of(3),
            false => hash.bucket() < 8,
        };
        let mut gold = [None; Label::COUNT];
        for (label, value) in &item.labels {
            gold[label.index()] = Some(*value == 1);
        }
        Found {
            is_held_out,
            order: hash.order(),
            row: Row {
                lang: shared(item.lang.as_deref().unwrap_or("und")),
                source: shared(item.source.as_deref().unwrap_or(stem)),
                text: item.text,
                channel: Channel::Comment,
                gold,
            },
        }
    });
    Ok(rows.collect())
}

/// Reads each line that is not empty; the error is the number of the first that can't be read.
fn each<T>(lines: Lines<'_>, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, usize> {
    let mut all = Vec::new();
    for (index, line) in lines.enumerate() {
        let line = line.map_err(|_| index + 1)?;
        if !line.is_empty() {
            all.push(read(&line).ok_or(index + 1)?);
        }
    }
    Ok(all)
}

/// The hash by which training and evaluation share rows out. It sees a text's letters only, so that
/// near copies fall on the same side. `models/train/data.py` has the same.
struct Hash([u8; 32]);

impl Hash {
    fn of(text: &str) -> Self {
        let folded = unicase::UniCase::unicode(text).to_folded_case();
        let letters: String = folded.chars().filter(|c| c.is_letter()).collect();
        let hashed = if letters.is_empty() { text } else { &letters };
        Self(Sha256::digest(hashed).into())
    }

    /// 0 to 99.
    fn bucket(&self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d]) % 100
    }

    fn order(&self) -> u32 {
        let [_, _, _, _, a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `bucket` of `models/train/data.py` gives: models are judged by the rows that it kept
    /// from them.
    const SHARED_OUT_IN_TRAINING: [(&str, u32); 13] = [
        ("How much is the blue one?", 38),
        ("HOW MUCH is the blue one!!! 3", 38),
        ("Straße", 26),
        ("ΣΊΣΥΦΟΣ", 10),
        ("İstanbul ışık", 23),
        ("कितने का है", 25),
        ("0123 ...", 50),
        ("", 10),
        ("你好，这个多少钱？", 28),
        ("ﬁne ﬂow", 16),
        ("كم السعر؟", 48),
        ("naïve cafe\u{301}", 81),
        ("🔥🔥", 48),
    ];

    #[test]
    fn rows_are_shared_out_as_in_training() {
        for (text, bucket) in SHARED_OUT_IN_TRAINING {
            assert_eq!(Hash::of(text).bucket(), bucket, "{text}");
        }
    }

    fn file(name: &str, content: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    fn all(path: &Path) -> anyhow::Result<Vec<Row>> {
        read(&[path.to_owned()], &Wanted::default())
    }

    #[test]
    fn a_table_knows_every_label_and_json_lines_only_those_that_they_name() {
        let (_kept, table) = file(
            "mine.tsv",
            "S,N\ten\tdm\tx\tbuy\tnow\n-\tde\tcomment\tx\thallo\n",
        );
        let rows = all(&table).unwrap();
        assert_eq!(rows[0].text, "buy\tnow");
        assert_eq!(rows[0].channel, Channel::Dm);
        assert_eq!(rows[0].gold[Label::Spam.index()], Some(true));
        assert!(rows[1].gold.iter().all(|gold| *gold == Some(false)));
        let line = r#"{"text":"x","labels":{"hate":1,"abuse":0},"weak":{"spam":1}}"#;
        let (_kept, lines) = file("mine.jsonl", line);
        let row = &all(&lines).unwrap()[0];
        assert_eq!((&*row.source, &*row.lang), ("mine", "und"));
        assert_eq!(row.gold[..3], [None, Some(true), Some(false)]);
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_and_not_by_its_text() {
        for (name, content) in [
            ("a.tsv", "-\ten\tdm\tx\tfine\nZ\ten\tdm\tx\tsecret\n"),
            ("a.tsv", "-\ten\tdm\tx\tfine\nsecret\n"),
            (
                "a.jsonl",
                "{\"text\":\"\",\"labels\":{}}\n{\"text\":\"secret\",\"labels\":{\"rude\":1}}\n",
            ),
            (
                "a.jsonl",
                "{\"text\":\"\",\"labels\":{}}\n{\"text\":\"secret\",\"labels\":{\"hate\":2}}\n",
            ),
        ] {
            let (_kept, path) = file(name, content);
            let error = format!("{:#}", all(&path).unwrap_err());
            assert!(
                error.contains("line 2 ") && !error.contains("secret"),
                "{error}"
            );
        }
    }

    /// A folder with ten authored rows and a public set.
    fn folder(public: &str) -> tempfile::TempDir {
        use std::io::Write as _;
        let folder = tempfile::tempdir().unwrap();
        for part in [AUTHORED, "train"] {
            std::fs::create_dir(folder.path().join(part)).unwrap();
        }
        let authored: String = (b'a'..=b'z')
            .map(|c| format!("-\ten\tdm\tx\t{}\n", char::from(c)))
            .collect();
        std::fs::write(folder.path().join("authored/a.tsv"), authored).unwrap();
        let packed = File::create(folder.path().join("train/pub.jsonl.gz")).unwrap();
        let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
        packed.write_all(public.as_bytes()).unwrap();
        packed.finish().unwrap();
        folder
    }

    fn lines(texts: impl Iterator<Item = usize>, split: &str) -> String {
        let name = |number: usize| {
            number
                .to_string()
                .bytes()
                .map(|digit| char::from(digit + 49))
                .collect::<String>()
        };
        texts
            .map(|number| format!("{{\"text\":\"{}\",\"split\":\"{split}\",\"labels\":{{\"hate\":0}},\"source\":\"pub\"}}\n", name(number)))
            .collect()
    }

    fn of(folder: &tempfile::TempDir, wanted: &Wanted) -> Vec<Row> {
        read(&[folder.path().to_owned()], wanted).unwrap()
    }

    #[test]
    fn of_a_folder_only_what_was_kept_from_training_is_read() {
        let folder = folder(&lines(0..1_000, "train"));
        let rows = of(&folder, &Wanted::default());
        let own: Vec<_> = rows.iter().filter(|row| &*row.source == AUTHORED).collect();
        assert!(!own.is_empty() && own.iter().all(|row| Hash::of(&row.text).bucket() < 15));
        let public = rows.len() - own.len();
        assert!(
            (40..130).contains(&public),
            "{public} of 1,000 where 8 % are held out"
        );
        let all = Wanted {
            all: true,
            ..Wanted::default()
        };
        assert_eq!(of(&folder, &all).len(), 1_026);
    }

    #[test]
    fn of_a_set_with_development_rows_two_thirds_of_these_are_read() {
        let folder = folder(&(lines(0..600, "train") + &lines(600..900, "dev")));
        let only = vec!["pub".to_owned()];
        let rows = of(
            &folder,
            &Wanted {
                only,
                ..Wanted::default()
            },
        );
        assert!((150..250).contains(&rows.len()), "{}", rows.len());
    }

    #[test]
    fn a_limit_takes_the_same_rows_each_time_and_an_unknown_source_is_named() {
        let folder = folder(&lines(0..1_000, "train"));
        let wanted = Wanted {
            limit: Some(3),
            only: vec!["pub".to_owned()],
            ..Wanted::default()
        };
        let texts = |rows: Vec<Row>| rows.into_iter().map(|row| row.text).collect::<Vec<_>>();
        assert_eq!(of(&folder, &wanted).len(), 3);
        assert_eq!(texts(of(&folder, &wanted)), texts(of(&folder, &wanted)));
        let only = vec!["pup".to_owned()];
        let error = read(
            &[folder.path().to_owned()],
            &Wanted {
                only,
                ..Wanted::default()
            },
        );
        assert!(error.unwrap_err().to_string().contains("`pup`"));
    }
}
