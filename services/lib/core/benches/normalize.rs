//! How fast texts are read. Target: two million short texts a second on one core.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidegate_core::normalize;

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("normalize");
    group.throughput(Throughput::Elements(1));
    for (name, text) in [
        ("plain", "how much is the green one with the pearl buttons?"),
        (
            "masked",
            "hey @northlight see https://example.com/a or mail me at me@example.com",
        ),
        ("emoji", "TAKE. MY. MONEY. 😭💸 soooooo good"),
        ("accents", "¿Dónde está mi pedido? Está tardando muchísimo"),
        ("hindi", "मेरा ऑर्डर कहाँ है, बहुत देर हो गई"),
        ("disguised", "fr\u{200b}ee mоney, f r e e v1agra"),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| normalize(black_box(text)).scored().len())
        });
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
