//! How fast a message is decided about and the verdict written. Target: a microsecond to write.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tidegate_core::{
    Author, BrandId, Channel, Event, EventId, Kind, OutputId, Policy, Scored, Scores, Source, Tier,
    decide, normalize,
};

fn bench(criterion: &mut Criterion) {
    let event = Event {
        id: EventId::from("evt-00000001"),
        kind: Kind::Created,
        platform: "instagram".into(),
        brand: BrandId::from("northlight"),
        channel: Channel::Dm,
        conversation_id: Some("instagram-4711".into()),
        parent_id: None,
        post_id: None,
        author: Author::default(),
        text: "how much is the green one with the pearl buttons, and do you ship to Tasmania?"
            .into(),
        lang: Some("en".into()),
        created_at_ms: 1_731_000_000_000,
        recorded_at_ms: Some(1_731_000_000_000),
        context: Vec::new(),
    };
    let source = Source {
        topic: "comments.v1",
        partition: 3,
        offset: 123_456,
    };
    let row = [
        0.0123, 0.0045, 0.0301, 0.9712, 0.1201, 0.0031, 0.0009, 0.9534, 0.0456, 0.2003,
    ];
    let scored = Scored {
        scores: Scores::new(row).expect("probabilities"),
        tier: Tier::Screen,
        windows: 1,
        model_version: "screen-1",
        is_language_shown: true,
    };
    let policy = Policy::default_policy();
    let text = normalize(&event.text);
    let verdict = decide(&event, &text, Some(&scored), &policy, source);
    let mut out = Vec::with_capacity(4096);

    criterion.bench_function("output_id", |bencher| {
        bencher.iter(|| OutputId::new(black_box(source), policy.version()));
    });
    criterion.bench_function("decide", |bencher| {
        bencher.iter(|| decide(black_box(&event), &text, Some(&scored), &policy, source).action);
    });
    criterion.bench_function("write_json", |bencher| {
        bencher.iter(|| {
            out.clear();
            verdict.write_json(black_box(&mut out));
            out.len()
        });
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
