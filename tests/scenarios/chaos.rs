//! The chaos command itself, small: consumers are killed, fenced and restarted on a real broker,
//! and the numbers that it prints must say that nothing was lost, doubled or out of order.

use std::{
    path::PathBuf,
    process::{Command, ExitCode, ExitStatus, Stdio},
};

use anyhow::Context;
use serde::Deserialize;
use tidegate_tests::{Part, StartError, Suite, program};

/// The exit status for "something that is needed is not there".
const UNAVAILABLE: i32 = 69;

fn main() -> ExitCode {
    let program = Part::new(|| program().map_err(StartError::from));
    Suite::default()
        .case(
            "consumers_that_are_killed_lose_double_and_reorder_nothing",
            &program,
            exactly_once,
        )
        .case(
            "without_transactions_the_same_proof_fails_with_duplicates",
            &program,
            at_least_once,
        )
        .run()
}

/// The last line of `tidegate chaos --json`.
#[derive(Debug, Deserialize)]
struct Report {
    consumed: u64,
    verdicts: u64,
    dead_letters: u64,
    lost: u64,
    duplicated: u64,
    reordered: u64,
    aborted: u64,
}

fn exactly_once(program: &PathBuf) -> anyhow::Result<()> {
    let (report, status, said) = chaos(program, &["--events", "20000", "--kills", "4"])?;
    let found = (report.lost, report.duplicated, report.reordered);
    assert_eq!(found, (0, 0, 0), "{report:?}\n{said}");
    assert!(report.aborted > 0, "nothing was interrupted: {report:?}");
    assert_eq!(report.consumed, 20_000, "{said}");
    assert_eq!(report.verdicts + report.dead_letters, 20_000);
    assert!(status.success(), "{status}:\n{said}");
    Ok(())
}

/// Without this a proof that always succeeds would go unnoticed.
fn at_least_once(program: &PathBuf) -> anyhow::Result<()> {
    let few = ["--events", "4000", "--kills", "1"];
    let weaker = ["--set", "kafka.delivery=at_least_once"];
    let (report, status, said) = chaos(program, &[&few[..], &weaker].concat())?;
    assert!(
        report.duplicated > 0,
        "the kill repeated nothing: {report:?}\n{said}"
    );
    assert_eq!(report.lost, 0, "{said}");
    assert!(!status.success(), "duplicates went through:\n{said}");
    Ok(())
}

fn chaos(program: &PathBuf, options: &[&str]) -> anyhow::Result<(Report, ExitStatus, String)> {
    let output = Command::new(program)
        .args(["chaos", "--seed", "7", "--json"])
        .args(options)
        .stdin(Stdio::null())
        .output()
        .context("run the chaos command")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(UNAVAILABLE) {
        let reason = said.lines().last().unwrap_or_default().to_owned();
        return Err(StartError::Missing(reason).into());
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    let last = printed.lines().last();
    let last = last.with_context(|| format!("no result ({}):\n{said}", output.status))?;
    let report = serde_json::from_str(last).context("read the result")?;
    Ok((report, output.status, said))
}
