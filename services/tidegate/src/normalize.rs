//! `tidegate normalize`: texts as the classifier reads them, for those who train its models.

use std::io::{BufRead, BufWriter, Write};

use anyhow::Context;
use tidegate_chassis::exit::Exit;
use tidegate_core::normalize;

/// Reads JSON strings, one a line, and writes each as the classifier would read it.
///
/// # Errors
/// A line is no JSON string, or stdin or stdout is gone.
pub(crate) fn run() -> anyhow::Result<Exit> {
    lines(std::io::stdin().lock(), std::io::stdout().lock())?;
    Ok(Exit::Clean)
}

fn lines(input: impl BufRead, output: impl Write) -> anyhow::Result<()> {
    let mut output = BufWriter::new(output);
    for (index, line) in input.lines().enumerate() {
        let original: String = serde_json::from_str(&line?)
            .with_context(|| format!("line {} is not a JSON string", index + 1))?;
        serde_json::to_writer(&mut output, normalize(&original).scored())?;
        output.write_all(b"\n")?;
    }
    Ok(output.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_comes_out_as_the_classifier_reads_it_and_in_order() {
        let mut out = Vec::new();
        lines(&b"\"fr\\u200bee   now\"\n\"sooooooo good\"\n"[..], &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"free now\"\n\"sooo good\"\n"
        );
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_and_not_by_its_text() {
        let error = lines(&b"\"a\"\nsecret\n"[..], Vec::new()).unwrap_err();
        let shown = format!("{error:#}");
        assert!(
            shown.contains("line 2") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
