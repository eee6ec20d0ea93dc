//! Fetching, against a stand-in for Python.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::checksum::sha256_hex;

const LIBRARY: &[u8] = b"the library";

/// A Python whose pip runs `pip` with the target folder as `$dest`, and which unpacks by copying.
fn python(folder: &Path, pip: &str) -> PathBuf {
    let path = folder.join("python");
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = -c ]; then cp \"$3\" \"$5\"; exit; fi\n\
         for dest in \"$@\"; do :; done\necho run >> \"{}\"\n{pip}\n",
        folder.join("runs").display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

const GOOD_PIP: &str = "printf 'the library' > \"$dest/x.whl\"";

fn wheel(content: &[u8]) -> Wheel {
    Wheel {
        os: "here",
        arch: "this",
        platform: "here_this",
        sha256: sha256_hex(content).leak(),
        member: "inner/lib.so",
        bytes: content.len() as u64,
    }
}

/// Fetches into a fresh folder; gives the outcome and what the folder then holds.
fn fetched(wheel: &Wheel, pip: &str) -> (Result<(), RuntimeError>, Vec<String>) {
    let tools = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let outcome = fetch(
        wheel,
        cache.path(),
        &cache.path().join("lib.so"),
        &python(tools.path(), pip),
    );
    let mut left: Vec<String> = fs::read_dir(cache.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    (outcome, left)
}

#[test]
fn a_fetched_library_is_all_that_stays() {
    let (outcome, left) = fetched(&wheel(LIBRARY), GOOD_PIP);
    outcome.unwrap();
    assert_eq!(left, ["fetch.lock", "lib.so"]);
}

#[test]
fn a_wheel_with_another_checksum_is_refused_and_removed() {
    let (outcome, left) = fetched(&wheel(b"another lib"), GOOD_PIP);
    assert!(matches!(outcome, Err(RuntimeError::Checksum { .. })));
    assert_eq!(left, ["fetch.lock"]);
}

#[test]
fn what_pip_said_last_is_told_on_one_line() {
    let (outcome, left) = fetched(
        &wheel(LIBRARY),
        "echo 'ERROR: No matching distribution' >&2; echo >&2; exit 1",
    );
    let message = outcome.unwrap_err().to_string();
    assert!(message.contains("No matching distribution"));
    assert!(message.contains("ORT_DYLIB_PATH") && !message.contains('\n'));
    assert_eq!(left, ["fetch.lock"]);
}

#[test]
fn pip_that_leaves_no_wheel_is_an_error() {
    let (outcome, _) = fetched(&wheel(LIBRARY), "exit 0");
    assert!(matches!(outcome, Err(RuntimeError::Fetch { .. })));
}

#[test]
fn a_missing_python_says_what_to_install() {
    let cache = tempfile::tempdir().unwrap();
    let outcome = fetch(
        &wheel(LIBRARY),
        cache.path(),
        &cache.path().join("lib.so"),
        Path::new("/nowhere/python3"),
    );
    let message = outcome.unwrap_err().to_string();
    assert!(message.contains("/nowhere/python3") && message.contains("install Python 3 with pip"));
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let blocked = tempfile::NamedTempFile::new().unwrap();
    let folder = blocked.path().join("onnxruntime");
    let outcome = fetch(
        &wheel(LIBRARY),
        &folder,
        &folder.join("lib.so"),
        Path::new("python3"),
    );
    assert!(matches!(outcome, Err(RuntimeError::Cache { .. })));
}

#[test]
fn of_several_that_fetch_at_once_one_does_it_and_all_have_it() {
    let tools = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let python = python(tools.path(), GOOD_PIP);
    let (wheel, path) = (wheel(LIBRARY), cache.path().join("lib.so"));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                fetch(&wheel, cache.path(), &path, &python).unwrap();
                assert_eq!(fs::read(&path).unwrap(), LIBRARY);
            });
        }
    });
    let runs = fs::read_to_string(tools.path().join("runs")).unwrap();
    assert_eq!(runs.lines().count(), 1);
}

#[test]
fn a_library_of_another_size_counts_as_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lib.so");
    assert!(!is_complete(&path, &wheel(LIBRARY)));
    fs::write(&path, &LIBRARY[1..]).unwrap();
    assert!(!is_complete(&path, &wheel(LIBRARY)));
    fs::write(&path, LIBRARY).unwrap();
    assert!(is_complete(&path, &wheel(LIBRARY)));
}

#[test]
fn a_machine_without_a_wheel_is_told_to_bring_its_own_library() {
    assert!(wheel_for("linux", "x86_64").is_ok());
    assert!(wheel_for("linux", "aarch64").is_ok());
    assert!(wheel_for("macos", "aarch64").is_ok());
    let message = wheel_for("plan9", "mips").unwrap_err().to_string();
    assert!(message.contains("plan9 mips") && message.contains("ORT_DYLIB_PATH"));
}
