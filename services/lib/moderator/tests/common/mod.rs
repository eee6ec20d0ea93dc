//! A pipeline without a model, for the tests of what surrounds it.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::sync::{Arc, LazyLock, Mutex};

use tidegate_classifier::{Scored, Tier};
use tidegate_core::labels::{Label, Scores};
use tidegate_moderator::{
    lanes::LastCommitted,
    metrics::LaneMetrics,
    pipeline::{Pipeline, PipelineSettings, Scorer, Watch},
    policy_file::PolicyInForce,
    service::Service,
    settings::Settings,
};

/// Finds a label wherever its name stands in the text, and fails when told to.
#[derive(Default)]
pub struct WordScorer {
    pub fails: bool,
    /// What it was last told about the cascade's band.
    pub narrowed_to: Arc<Mutex<f32>>,
}

impl Scorer for WordScorer {
    fn score(&mut self, texts: &[&str], out: &mut Vec<Scored>) -> Result<(), String> {
        out.clear();
        if self.fails {
            return Err("the model is broken".to_owned());
        }
        out.extend(texts.iter().map(|text| {
            let score = |label: Label| {
                if text.contains(label.as_str()) {
                    0.99
                } else {
                    0.01
                }
            };
            let row = std::array::from_fn(|index| score(Label::ALL[index]));
            Scored {
                scores: Scores::new(row).unwrap(),
                tier: Tier::Screen,
                windows: 1,
            }
        }));
        Ok(())
    }

    fn narrow(&mut self, ratio: f32) {
        *self.narrowed_to.lock().unwrap() = ratio;
    }

    fn version(&self, _tier: Tier) -> &str {
        "words-1"
    }
}

/// Read once: a simulated lane starts anew after each crash.
static POLICY: LazyLock<PolicyInForce> = LazyLock::new(|| PolicyInForce::load(None).unwrap());

/// The topics in the order of the outbox.
pub fn topics() -> Vec<String> {
    Settings::default()
        .topics
        .names()
        .map(str::to_owned)
        .to_vec()
}

pub fn pipeline(
    service: Service,
    scorer: WordScorer,
    watch: Option<Watch>,
) -> Pipeline<WordScorer> {
    Pipeline::new(
        PipelineSettings::new(&Settings::default(), service),
        scorer,
        POLICY.clone(),
        Arc::new(Mutex::new(LaneMetrics::new("test-0"))),
        LastCommitted::default(),
        watch,
    )
}
