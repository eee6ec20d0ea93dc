//! Generates the Rust types of the contracts; needs no `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "tidegate/events/v1/event.proto",
        "tidegate/events/v1/verdict.proto",
        "tidegate/events/v1/escalation.proto",
    ];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["."])?;
    prost_build::Config::new()
        // In the order of keys, so that the same event always gives the same bytes.
        .btree_map(["."])
        // Text and names must not reach a log line by way of `{:?}`.
        .skip_debug(["tidegate.events.v1.Event", "tidegate.events.v1.Author"])
        .compile_fds(descriptors)?;
    Ok(())
}
