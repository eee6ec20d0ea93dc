//! A stock client knows nothing but the address and a token: it learns the contract by reflection,
//! then lists, claims and resolves a case. It is Python with grpcio and grpcio-reflection.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tidegate_proto::escalation::v1::{CaseState, ListCasesRequest, Role};

use crate::support::World;

/// A Python with the packages, made beside the build's other output; why there is none, otherwise.
fn python() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stock-client");
    let python = folder.join("bin/python");
    let has_packages = |python: &Path| {
        Command::new(python)
            .args(["-c", "import grpc, grpc_reflection"])
            .output()
            .is_ok_and(|ended| ended.status.success())
    };
    if has_packages(&python) {
        return Ok(python);
    }
    for (what, command) in [
        (
            "a virtual environment",
            Command::new("python3").args(["-m", "venv"]).arg(&folder),
        ),
        (
            "its packages",
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet"])
                .args([
                    "grpcio==1.76.0",
                    "grpcio-reflection==1.76.0",
                    "protobuf>=6.31,<7",
                ]),
        ),
    ] {
        let ended = command
            .output()
            .map_err(|error| format!("{what}: {error}"))?;
        if !ended.status.success() {
            let said = String::from_utf8_lossy(&ended.stderr);
            return Err(format!("{what}: {}", said.trim()));
        }
    }
    Ok(python)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_client_lists_claims_and_resolves_a_case_by_reflection() {
    let python = match python() {
        Ok(python) => python,
        Err(why) if std::env::var_os("CI").is_none() => {
            eprintln!("not tried, there is no stock client here: {why}");
            return;
        }
        Err(why) => panic!("there is no stock client: {why}"),
    };
    let world = World::new().await;
    world.queue("conduct").await;
    world.open("conduct", "e1").await;
    let token = world.token("ana", Role::Agent, &["conduct"]).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/service/stock_client.py");
    let mut command = Command::new(python);
    command
        .arg(script)
        .arg(world.address.to_string())
        .env("TOKEN", token);
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    let mut admin = world.bootstrap().await;
    let cases = admin
        .cases
        .list_cases(ListCasesRequest::default())
        .await
        .unwrap();
    assert_eq!(cases.into_inner().cases[0].state(), CaseState::Resolved);
}
