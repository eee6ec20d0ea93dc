//! How many texts a second one core turns into tokens and into scores.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tidegate_classifier::manifest::Manifest;
use tidegate_classifier::tokens::{Tokenizer, Windows};
use tidegate_classifier::{Classifier, ClassifierSettings, Mode};

/// The processor time of this thread, which other work on the machine disturbs little.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the clock exists on Linux and macOS, and the pointer is to a local variable.
        let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
        assert_eq!(status, 0, "the clock of a thread can be read");
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    fn end(&self, begin: Duration) -> Duration {
        self.start() - begin
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn texts() -> Vec<&'static str> {
    include_str!("texts.txt").lines().collect()
}

/// Texts of at most 60 bytes, as most comments are.
fn short_texts() -> Vec<&'static str> {
    let mut texts = texts();
    texts.retain(|text| text.len() <= 60);
    texts
}

fn tokenize(criterion: &mut Criterion<CpuTime>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models/screen");
    let part = Manifest::read(&folder.join("manifest.toml"))
        .expect("the screen model is there")
        .tokenizer;
    let json = std::fs::read(folder.join(&part.file)).expect("the tokenizer is there");
    let mut tokenizer = Tokenizer::new(&json, &part).expect("the tokenizer is sound");
    let mut group = criterion.benchmark_group("tokenize");
    for (name, texts) in [("all", texts()), ("short", short_texts())] {
        group.throughput(Throughput::Elements(texts.len() as u64));
        group.bench_function(name, |bencher| {
            let mut windows = Windows::default();
            bencher.iter(|| {
                windows.clear();
                for text in &texts {
                    tokenizer.tokenize(text, &mut windows);
                }
                black_box(windows.all().len())
            });
        });
    }
    group.finish();
}

fn classify(criterion: &mut Criterion<CpuTime>) {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models");
    for mode in [Mode::Screen, Mode::Deep, Mode::Cascade] {
        if mode != Mode::Screen && !models.join("deep/manifest.toml").exists() {
            continue;
        }
        let mut settings = ClassifierSettings::new(&models, mode);
        // Each text is new: what is measured is the model.
        settings.cache_capacity = 0;
        let mut classifier = Classifier::load(&settings).expect("the models are sound");
        let mut group = criterion.benchmark_group(format!("classify/{mode}"));
        group.sample_size(20);
        for (name, mut texts) in [("all", texts()), ("short", short_texts())] {
            if mode != Mode::Screen {
                texts.truncate(200);
            }
            group.throughput(Throughput::Elements(texts.len() as u64));
            group.bench_function(name, |bencher| {
                bencher.iter_batched_ref(
                    Vec::new,
                    |out| classifier.classify(&texts, out).expect("texts are scored"),
                    BatchSize::SmallInput,
                );
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = tokenize, classify
}
criterion_main!(benches);
