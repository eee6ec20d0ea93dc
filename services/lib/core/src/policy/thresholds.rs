//! Thresholds, and what overrides them for a brand, a platform or a channel.

use std::collections::HashMap;

use crate::{
    event::{Channel, Event},
    labels::{Label, Threshold},
};

/// For whom an override holds; `None` is everyone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) brand: Option<String>,
    pub(super) platform: Option<String>,
    pub(super) channel: Option<Channel>,
}

impl Scope {
    /// Which of two scopes that both hold wins: brand counts more than platform, and platform more
    /// than channel. Two different scopes that both hold for an event are never equal in this.
    fn weight(&self) -> u8 {
        u8::from(self.brand.is_some()) << 2
            | u8::from(self.platform.is_some()) << 1
            | u8::from(self.channel.is_some())
    }

    /// Whether it holds for an event of its brand.
    fn holds(&self, event: &Event<'_>) -> bool {
        self.platform
            .as_deref()
            .is_none_or(|platform| platform == event.platform)
            && self.channel.is_none_or(|channel| channel == event.channel)
    }
}

/// Thresholds that differ for some.
#[derive(Clone, Debug)]
pub(super) struct Override {
    pub(super) scope: Scope,
    pub(super) thresholds: Vec<(Label, Threshold)>,
}

/// All of a policy's thresholds.
#[derive(Clone, Debug)]
pub(super) struct Thresholds {
    base: [Threshold; Label::COUNT],
    /// For every brand, the least specific first.
    general: Vec<Override>,
    /// For one brand, the least specific first. A policy may serve thousands of brands.
    by_brand: HashMap<String, Vec<Override>>,
}

impl Thresholds {
    pub(super) fn new(base: [Threshold; Label::COUNT], mut overrides: Vec<Override>) -> Self {
        overrides.sort_by_key(|one| one.scope.weight());
        let mut general = Vec::new();
        let mut by_brand = HashMap::<_, Vec<_>>::new();
        for one in overrides {
            match one.scope.brand.clone() {
                Some(brand) => by_brand.entry(brand).or_default().push(one),
                None => general.push(one),
            }
        }
        Self {
            base,
            general,
            by_brand,
        }
    }

    /// The thresholds for one event: for each label the most specific that names it.
    pub(super) fn of(&self, event: &Event<'_>) -> [Threshold; Label::COUNT] {
        let mut thresholds = self.base;
        let brand = match self.by_brand.is_empty() {
            true => None,
            false => self.by_brand.get(event.brand.as_str()),
        };
        let overrides = self.general.iter().chain(brand.into_iter().flatten());
        for one in overrides.filter(|one| one.scope.holds(event)) {
            for (label, threshold) in &one.thresholds {
                thresholds[label.index()] = *threshold;
            }
        }
        thresholds
    }
}
