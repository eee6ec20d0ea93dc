//! Generates the Rust types of the contracts; needs no `protoc`.

use std::{env, fs, path::PathBuf};

const EVENTS: [&str; 3] = [
    "tidegate/events/v1/event.proto",
    "tidegate/events/v1/verdict.proto",
    "tidegate/events/v1/escalation.proto",
];
const ESCALATION: [&str; 8] = [
    "tidegate/escalation/v1/case.proto",
    "tidegate/escalation/v1/case_service.proto",
    "tidegate/escalation/v1/resolution.proto",
    "tidegate/escalation/v1/queue_service.proto",
    "tidegate/escalation/v1/agent_service.proto",
    "tidegate/escalation/v1/audit_service.proto",
    "tidegate/escalation/v1/privacy_service.proto",
    "tidegate/escalation/v1/scoring_service.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for file in EVENTS.iter().chain(&ESCALATION) {
        println!("cargo:rerun-if-changed={file}");
    }
    config().compile_fds(protox::compile(EVENTS, ["."])?)?;
    if env::var_os("CARGO_FEATURE_GRPC").is_some() {
        let descriptors = protox::compile(ESCALATION, ["."])?;
        let out = PathBuf::from(env::var("OUT_DIR")?);
        // What server reflection answers from.
        fs::write(
            out.join("escalation.bin"),
            prost::Message::encode_to_vec(&descriptors),
        )?;
        let mut config = config();
        config.extern_path(".tidegate.events.v1", "crate::events::v1");
        tonic_prost_build::configure().compile_fds_with_config(descriptors, config)?;
    }
    Ok(())
}

fn config() -> prost_build::Config {
    let mut config = prost_build::Config::new();
    config
        // In the order of keys, so that the same event always gives the same bytes.
        .btree_map(["."])
        // Text and names must not reach a log line by way of `{:?}`.
        .skip_debug([
            "tidegate.events.v1.Event",
            "tidegate.events.v1.Author",
            "tidegate.escalation.v1.CaseEvent",
            "tidegate.escalation.v1.Decision",
            "tidegate.escalation.v1.Note",
            "tidegate.escalation.v1.Hold",
            "tidegate.escalation.v1.Appeal",
            "tidegate.escalation.v1.Resolution",
            "tidegate.escalation.v1.AuditEntry",
            "tidegate.escalation.v1.Subject",
            "tidegate.escalation.v1.CreateCaseRequest",
            "tidegate.escalation.v1.ReleaseCaseRequest",
            "tidegate.escalation.v1.HoldCaseRequest",
            "tidegate.escalation.v1.AssignCaseRequest",
            "tidegate.escalation.v1.AddNoteRequest",
            "tidegate.escalation.v1.ResolveCaseRequest",
            "tidegate.escalation.v1.OpenAppealRequest",
            "tidegate.escalation.v1.DecideAppealRequest",
            "tidegate.escalation.v1.RotateTokenResponse",
        ]);
    config
}
