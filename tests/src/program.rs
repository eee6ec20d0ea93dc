//! The command line's program, for scenarios that run whole processes.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};

/// The program, built from what is in the checkout now and with the profile of this test. It is
/// another package's, so cargo does not hand over its path.
///
/// # Errors
/// It can't be built, or is missing where cargo is.
pub fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    // …/target/PROFILE/deps/chaos-HASH
    let folder = own.ancestors().nth(2).context("a folder above the test")?;
    let program = folder.join("tidegate");
    let Some(cargo) = std::env::var_os("CARGO") else {
        ensure!(
            program.is_file(),
            "{} is missing: build it with `cargo build -p tidegate`",
            program.display()
        );
        return Ok(program);
    };
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let built = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--package",
            "tidegate",
            "--bin",
            "tidegate",
        ])
        .args(["--profile", profile])
        .arg("--target-dir")
        .arg(folder.parent().context("the target folder")?)
        .current_dir(workspace)
        .stdin(Stdio::null())
        .output()
        .context("build the program")?;
    ensure!(
        built.status.success(),
        "the program can't be built:\n{}",
        String::from_utf8_lossy(&built.stderr)
    );
    Ok(program)
}
