//! How fast events are read. Target: a million a second on one core.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidegate_core::{DecodeOptions, Incoming, Rejection, RejectionReason, decode, decode::Fields};

const SHORT: &str = r#"{"id":"evt-00000001","kind":"created","platform":"instagram","brand":"northlight","channel":"comment","conversation_id":"instagram-4711","text":"how much is the green one?","created_at":1731000000000}"#;
const USUAL: &str = r#"{"id":"evt-00000001","kind":"created","platform":"instagram","brand":"northlight","channel":"comment","conversation_id":"instagram-4711","post_id":"post-17","author":{"id":"u1234","name":"Noor Okafor","followers":1200,"is_creator":false},"text":"how much is the green one with the pearl buttons, and do you ship to Tasmania?","lang":"en","created_at":1731000000000}"#;
const WITH_CONTEXT: &str = r#"{"id":"evt-00000001","platform":"messenger","brand":"northlight","channel":"dm","conversation_id":"messenger-4711","author":{"id":"u1234","name":"Noor \"N\" Okafor"},"text":"caf\u00e9 cups came broken\nwhat now?","created_at":"2024-11-07T17:20:00Z","context":{"order_id":"A10017","product_name":"Cup"}}"#;

fn no_protobuf(_: &[u8]) -> Result<Fields<'static>, Rejection> {
    Err(Rejection::new(RejectionReason::InvalidProtobuf, "not here"))
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    let options = DecodeOptions::default();
    let headers: [(&str, &[u8]); 2] = [
        (
            "traceparent",
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("content-type", b"application/json"),
    ];
    for (name, payload) in [
        ("short", SHORT),
        ("usual", USUAL),
        ("with_context", WITH_CONTEXT),
    ] {
        let record = Incoming {
            payload: Some(payload.as_bytes()),
            key: None,
            timestamp_ms: Some(0),
        };
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("{name}_{}_bytes", payload.len()), |bencher| {
            bencher.iter(|| decode(black_box(record), &headers, &options, no_protobuf).is_ok());
        });
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
