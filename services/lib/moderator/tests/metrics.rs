//! The names that dashboards, alerts and scalers rely on.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use std::sync::Arc;

use common::{WordScorer, pipeline, topics};
use tidegate_chassis::metrics::Metrics;
use tidegate_classifier::ClassifierStats;
use tidegate_core::Label;
use tidegate_kafka::{Batch, Outbox, Processor, RecordOffset};
use tidegate_moderator::{
    metrics::{self, LaneMetrics},
    service::Service,
    settings::Settings,
    tally::now_ms,
};

#[test]
fn the_catalogue_follows_the_naming_rules() {
    assert_eq!(metrics::catalogue().faults(), Vec::<String>::new());
}

#[test]
fn a_cascade_shows_its_share_and_what_its_models_disagree_about() {
    let exported = Metrics::build(&metrics::catalogue()).unwrap();
    exported.scope(|| {
        let mut stats = ClassifierStats::default();
        (stats.screen.texts, stats.deep.texts, stats.corrected) = (200, 20, 5);
        stats.disagreed[Label::Hate.index()] = 3;
        LaneMetrics::new("test-0").classified(&stats);
    });
    let scrape = exported.render();
    for line in [
        "tidegate_texts_scored_total{tier=\"screen\"} 200",
        "tidegate_texts_scored_total{tier=\"deep\"} 20",
        "tidegate_cascade_corrected_texts_total 5",
        "tidegate_cascade_disagreements_total{label=\"hate\"} 3",
        "tidegate_cascade_disagreements_total{label=\"spam\"} 0",
    ] {
        assert!(scrape.contains(line), "{line} is missing in\n{scrape}");
    }
}

/// The band's share that a metric shows, and that the scorer was told, when events are this old.
fn band_at(age_ms: i64) -> (f32, f32) {
    let exported = Metrics::build(&metrics::catalogue()).unwrap();
    let scorer = WordScorer::default();
    let told = scorer.narrowed_to.clone();
    exported.scope(|| {
        let mut batch = Batch::default();
        let (topic, at): (Arc<str>, _) = ("comments.v1".into(), now_ms() - age_ms);
        batch.push(&topic, 0, RecordOffset(0), Some(at), None, Some(b"{}"), []);
        let mut pipeline = pipeline(Service::Comments, scorer, None);
        pipeline.process(&batch, &mut Outbox::new(topics()));
    });
    let scrape = exported.render();
    let line = scrape
        .lines()
        .find(|line| line.starts_with("tidegate_cascade_band_ratio{"))
        .unwrap();
    let shown = line.rsplit(' ').next().unwrap().parse().unwrap();
    (shown, *told.lock().unwrap())
}

#[test]
fn fewer_texts_go_to_the_deep_model_while_events_are_older_than_the_target() {
    let target = Settings::default().lane.target_age.as_millis() as i64;
    assert_eq!(band_at(0), (1.0, 1.0));
    assert_eq!(band_at(target * 3), (0.0, 0.0));
    let (shown, told) = band_at(target * 3 / 2);
    assert!(
        (0.0..=0.5).contains(&shown) && shown == told,
        "{shown} {told}"
    );
    assert_eq!(
        band_at(-60_000),
        (1.0, 1.0),
        "a clock that is behind narrows nothing"
    );
}

#[test]
fn a_processed_batch_exports_only_catalogued_names_and_balances() {
    let catalogue = metrics::catalogue();
    let exported = Metrics::build(&catalogue).unwrap();
    exported.scope(|| {
        let mut batch = Batch::default();
        let topic: Arc<str> = "comments.v1".into();
        for (offset, payload) in [b"broken".as_slice(), b"{}"].into_iter().enumerate() {
            let offset = RecordOffset(offset as i64);
            batch.push(&topic, 0, offset, Some(1), None, Some(payload), []);
        }
        let mut pipeline = pipeline(Service::Comments, WordScorer::default(), None);
        pipeline.process(&batch, &mut Outbox::new(topics()));
        let before = exported.render();
        assert!(
            !before.contains("tidegate_records_consumed_total{"),
            "counted before the commit"
        );
        pipeline.sealed();
        pipeline.committed();
        metrics::model_in_use("screen", "1", "abc");
        metrics::policy_reloaded("refused");
        metrics::policy_in_force("default-3", None);
    });
    let scrape = exported.render();
    assert_eq!(catalogue.breaches(&scrape), Vec::<String>::new());
    for line in [
        "tidegate_records_consumed_total{topic=\"comments.v1\"} 2",
        "tidegate_dead_letters_total{reason=\"invalid_json\"} 1",
        "tidegate_dead_letters_total{reason=\"missing_field\"} 1",
        "tidegate_policy_info{version=\"default-3\"} 1",
    ] {
        assert!(scrape.contains(line), "{line} is missing in\n{scrape}");
    }
}
