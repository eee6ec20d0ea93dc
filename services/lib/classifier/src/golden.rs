//! Checks that a model scores recorded texts as it did when it was made.

use std::path::{Path, PathBuf};

use crate::classifier::Classifier;
use crate::error::GoldenError;
use crate::labels::{Row, names};

/// How far a score may be from the recorded one.
pub const GOLDEN_TOLERANCE: f32 = 0.01;

#[derive(serde::Deserialize)]
struct Line {
    text: String,
    scores: Row,
}

impl Classifier {
    /// Scores the texts of each loaded model's `golden.jsonl` and compares with the recorded
    /// scores. Gives how many texts were compared; a model without the file adds none.
    pub fn verify_golden(&mut self) -> Result<usize, GoldenError> {
        let mut compared = 0;
        for model in self.loaded() {
            let path = model.folder().join("golden.jsonl");
            if !path.exists() {
                continue;
            }
            let lines = read(&path)?;
            let mut rows = Vec::new();
            model.score(lines.iter().map(|line| line.text.as_str()), &mut rows)?;
            for (number, (line, found)) in lines.iter().zip(&rows).enumerate() {
                compare(&path, number + 1, &line.scores, &found.row)?;
            }
            compared += lines.len();
        }
        Ok(compared)
    }
}

fn read(path: &Path) -> Result<Vec<Line>, GoldenError> {
    let text = std::fs::read_to_string(path).map_err(|source| GoldenError::Read {
        path: path.to_path_buf(),
        source,
    })?;
    let bad = |number: usize| GoldenError::Line {
        path: path.to_path_buf(),
        line: number + 1,
    };
    text.lines()
        .enumerate()
        .map(|(number, line)| serde_json::from_str(line).map_err(|_| bad(number)))
        .collect()
}

fn compare(path: &Path, line: usize, expected: &Row, found: &Row) -> Result<(), GoldenError> {
    for ((label, &expected), &found) in names().into_iter().zip(expected).zip(found) {
        if (expected - found).abs() > GOLDEN_TOLERANCE || found.is_nan() {
            return Err(GoldenError::Differs {
                path: PathBuf::from(path),
                line,
                label,
                expected,
                found,
            });
        }
    }
    Ok(())
}
