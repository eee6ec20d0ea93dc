//! What the core must never depend on: it is pure.

use std::process::Command;

#[test]
fn the_core_knows_neither_kafka_nor_async_nor_generated_types_nor_metrics() {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "-p",
            "tidegate-core",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
        ])
        .args(["--format", "{p}", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    let tree = String::from_utf8(tree.stdout).expect("cargo writes UTF-8");
    let names: Vec<_> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(names.contains(&"tidegate-core"), "{tree}");
    for forbidden in [
        "rdkafka", "tokio", "prost", "metrics", "tracing", "rand", "futures",
    ] {
        assert!(
            !names.contains(&forbidden),
            "the core depends on {forbidden}:\n{tree}"
        );
    }
    let ours = names.iter().filter(|name| name.starts_with("tidegate-"));
    assert!(ours.clone().all(|name| *name == "tidegate-core"), "{tree}");
}
