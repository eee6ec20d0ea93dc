//! The training kit runs from rows to a model folder that this program can use.
//!
//! It needs the packages of `models/train/requirements.txt`, some gigabytes. `TIDEGATE_TRAIN_PYTHON`
//! names an interpreter that has them. Where it is not set and `CI` is, they are installed once into
//! the target directory; elsewhere the case is ignored.
#![allow(
    clippy::unwrap_used,
    reason = "what helps a test may stop it, as the test itself may"
)]

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::Context as _;
use serde_json::json;
use tidegate_classifier::{Classifier, ClassifierSettings, Mode};
use tidegate_tests::{Part, StartError, Suite};

fn main() -> ExitCode {
    let python = Part::new(python);
    Suite::default()
        .case(
            "the_kit_makes_a_screen_model_that_loads_and_scores_as_it_did_in_training",
            &python,
            |python| makes_a_model(python),
        )
        .case(
            "the_kit_goes_on_with_a_deep_model_where_a_brands_own_labels_have_come",
            &python,
            |python| goes_on(python),
        )
        .run()
}

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models")
}

/// An interpreter that has what the kit needs.
fn python() -> Result<PathBuf, StartError> {
    if let Some(named) = std::env::var_os("TIDEGATE_TRAIN_PYTHON") {
        return Ok(named.into());
    }
    if std::env::var_os("CI").is_none() {
        let missing =
            "TIDEGATE_TRAIN_PYTHON names no Python that has models/train/requirements.txt";
        return Err(StartError::Missing(missing.to_owned()));
    }
    Ok(install()?)
}

/// Makes an environment in the target directory, unless it is there and of the same packages.
fn install() -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("train-venv");
    let python = folder.join("bin/python");
    let needs = models().join("train/requirements.txt");
    let (kept, wanted) = (folder.join("requirements.txt"), std::fs::read(&needs)?);
    if std::fs::read(&kept).is_ok_and(|kept| kept == wanted) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
        "-r",
    ]);
    run(pip.arg(&needs)).context("install what the kit needs")?;
    std::fs::write(&kept, wanted)?;
    Ok(python)
}

/// Runs a command and gives what it printed; what it complained of is the error if it fails.
fn run(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("start {name}"))?;
    let written = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(
        output.status.success(),
        "{name}: {}\n{written}",
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn makes_a_model(python: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    write_rows(&folder.path().join("data"))?;
    run(&mut kit(python, folder.path(), "screen", "screen"))?;
    loads(folder.path(), Mode::Screen)?;
    let table = run(&mut kit(python, folder.path(), "left-out", "screen"))?;
    for part in ["video 0", "video 1", "all in turn"] {
        let begins = format!("| `youtube_spam` | {part} | ");
        anyhow::ensure!(table.contains(&begins), "{part} is missing: {table}");
    }
    Ok(())
}

fn goes_on(python: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    write_rows(&folder.path().join("data"))?;
    run(&mut kit(python, folder.path(), "deep", "deep"))?;
    let own = folder.path().join("own.jsonl");
    let lines = (0..60).map(|line| {
        let text = format!("my subscription number {line} was charged twice");
        json!({"text": text, "labels": {"support": 1, "spam": 0}}).to_string() + "\n"
    });
    std::fs::write(&own, lines.collect::<String>())?;
    // The brand has what is shipped, and nothing of what it was made from.
    std::fs::remove_dir_all(folder.path().join("work"))?;
    run(kit(python, folder.path(), "further", "deep")
        .arg("--from")
        .arg(folder.path().join("deep"))
        .arg("--own")
        .arg(&own))?;
    loads(folder.path(), Mode::Deep)
}

/// The kit's command `what`, on a few of the rows in `folder`, for the model `out` there.
fn kit(python: &Path, folder: &Path, what: &str, out: &str) -> Command {
    let mut kit = Command::new(python);
    kit.current_dir(models())
        .env("TIDEGATE", env!("CARGO_BIN_EXE_tidegate"))
        .args(["-m", "train", what, "--smoke", "--data"])
        .arg(folder.join("data"))
        .arg("--out")
        .arg(folder.join(out))
        .arg("--work")
        .arg(folder.join("work"));
    kit
}

/// The model loads and scores as it did in training.
fn loads(folder: &Path, mode: Mode) -> anyhow::Result<()> {
    let golden = Classifier::load(&ClassifierSettings::new(folder, mode))?.verify_golden()?;
    anyhow::ensure!(golden >= 100, "only {golden} golden texts");
    Ok(())
}

/// Rows enough for every step to have something to do: each label has words of its own.
fn write_rows(data: &Path) -> anyhow::Result<()> {
    const WORDS: [(&str, &str); 11] = [
        ("S", "claim your free crypto prize now"),
        ("A", "you are a clown and a liar"),
        ("P,Q", "how much is the blue one in medium"),
        ("U", "my parcel never arrived please help"),
        ("R", "the charger burned my hand and i call a lawyer"),
        ("C", "i have an audience and would like to partner"),
        ("Q", "when do you open on sundays"),
        ("N", "worst quality ever so disappointed"),
        ("G", "love it thank you so much"),
        ("-", "my cousin sat on the green sofa"),
        ("U,N", "refund me this broke after a day"),
    ];
    const ENDS: [&str; 9] = [
        "", "ok", "hello", "today", "again", "please", "friend", "there", "really",
    ];
    std::fs::create_dir_all(data.join("authored"))?;
    std::fs::create_dir_all(data.join("train"))?;
    for file in 0..6 {
        let lines = (0..60).map(|line| {
            let (codes, words) = WORDS[(line + file) % WORDS.len()];
            let (begin, end) = (ENDS[(line + file * 7) % 9], ENDS[(line / 9 + file) % 9]);
            format!("{codes}\ten\tcomment\tx\t{begin} {words} {end}\n")
        });
        let table: String = lines.collect();
        std::fs::write(data.join(format!("authored/{file}.tsv")), table)?;
    }
    let sets = [
        ("hatexplain", "hate", ["fine people", "awful people"]),
        (
            "youtube_spam",
            "spam",
            ["great song", "my channel pays you"],
        ),
    ];
    let mut cards = Vec::new();
    for (name, label, words) in sets {
        let file = format!("train/{name}.jsonl.gz");
        let lines = (0..40).map(|line| {
            let (is, video) = (line % 2, line / 2 % 2);
            let text = format!("{} like that {}", words[is], ENDS[line % 9]);
            let orig = format!("{is}|video {video}");
            let row = json!({ "text": text, "lang": "en", "split": "train", "labels": { label: is }, "orig": orig });
            format!("{row}\n")
        });
        let packed = std::fs::File::create(data.join(&file))?;
        let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, lines.collect::<String>().as_bytes())?;
        packed.finish()?;
        cards.push(json!({ "name": name, "file": file, "commercial_ok": "yes" }));
    }
    let manifest = json!({ "datasets": cards }).to_string();
    std::fs::write(data.join("manifest.json"), manifest)?;
    Ok(())
}
