//! The binary: it starts, answers, and ends in order.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use tidegate_proto::escalation::v1::ListQueuesRequest;
use tonic::transport::Endpoint;

use crate::support::Client;

fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tidegate-escalation"))
}

#[test]
fn a_printed_token_is_one_that_the_settings_take() {
    let printed = binary().arg("token").output().unwrap();
    let token = String::from_utf8(printed.stdout).unwrap();
    assert!(tidegate_escalation::auth::token::is_token(token.trim()));
}

#[test]
fn wrong_settings_end_the_process_with_78_before_anything_is_opened() {
    let ended = binary()
        .args(["--set", "store.readers=0", "--set", "limits.burst=0"])
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(78), "{said}");
    assert!(
        said.contains("store.readers") && said.contains("limits.burst"),
        "{said}"
    );
}

#[tokio::test]
async fn the_process_answers_the_bootstrap_token_and_ends_clean_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let token = tidegate_escalation::auth::token::generate().unwrap();
    let secret = folder.path().join("token");
    std::fs::write(&secret, &token).unwrap();
    let file = folder.path().join("cases.db");
    let mut process = binary()
        .env("TIDEGATE_AUTH__BOOTSTRAP_TOKEN_FILE", &secret)
        .env("TIDEGATE_STORE__URL", format!("sqlite:{}", file.display()))
        .args([
            "--set",
            "server.listen=127.0.0.1:0",
            "--set",
            "admin.listen=127.0.0.1:0",
        ])
        .args(["--set", "log.format=json", "--set", "server.leave_wait=0s"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let address = loop {
        let line = lines.next().expect("the process ended").unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        if line["message"] == "started" {
            break line["address"].as_str().unwrap().to_owned();
        }
    };
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = loop {
        match endpoint.connect().await {
            Ok(channel) => break channel,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    };
    let mut admin = Client::new(channel, Some(&token));
    admin
        .queues
        .list_queues(ListQueuesRequest::default())
        .await
        .unwrap();
    let killed = Command::new("kill")
        .arg(process.id().to_string())
        .status()
        .unwrap();
    assert!(killed.success());
    let ended = tokio::task::spawn_blocking(move || {
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        (process.wait().unwrap(), rest)
    });
    let (status, rest) = ended.await.unwrap();
    assert!(status.success(), "{status}: {rest:?}");
    assert!(
        rest.iter().any(|line| line.contains("ended: clean")),
        "{rest:?}"
    );
    assert!(!rest.iter().any(|line| line.contains(&token)));
}
