//! The names that dashboards, alerts and scalers rely on.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use std::sync::Arc;

use common::{WordScorer, pipeline, topics};
use tidegate_chassis::metrics::Metrics;
use tidegate_kafka::{Batch, Outbox, Processor, RecordOffset};
use tidegate_moderator::{metrics, service::Service};

#[test]
fn the_catalogue_follows_the_naming_rules() {
    assert_eq!(metrics::catalogue().faults(), Vec::<String>::new());
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
        pipeline.committed();
        metrics::model_in_use("screen", "1", "abc");
        metrics::policy_reloaded("refused");
        metrics::policy_in_force("default-1", None);
    });
    let scrape = exported.render();
    assert_eq!(catalogue.breaches(&scrape), Vec::<String>::new());
    for line in [
        "tidegate_records_consumed_total{topic=\"comments.v1\"} 2",
        "tidegate_dead_letters_total{reason=\"invalid_json\"} 1",
        "tidegate_dead_letters_total{reason=\"missing_field\"} 1",
        "tidegate_policy_info{version=\"default-1\"} 1",
    ] {
        assert!(scrape.contains(line), "{line} is missing in\n{scrape}");
    }
}
