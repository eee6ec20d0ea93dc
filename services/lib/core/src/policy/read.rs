//! From the document's tree to a policy, noting every mistake on the way.

use super::{
    Expression, LabelPolicy, Outcome, Policy, PolicyErrors, Rule,
    keywords::KeywordsBuilder,
    thresholds::{Override, Scope, Thresholds},
    yaml::{self, Map, Node, Reader},
};
use crate::{
    event::Channel,
    labels::{Label, Threshold},
    verdict::{Action, Priority},
};

const OUTCOME_KEYS: [&str; 4] = ["action", "queue", "priority", "deadline"];

pub(super) fn policy(yaml: &str) -> Result<Policy, PolicyErrors> {
    let root = yaml::parse(yaml)?;
    let mut document = Document::default();
    let policy = document.policy(&root);
    let mut mistakes = document.reader.mistakes;
    match policy {
        Some(policy) if mistakes.is_empty() => Ok(policy),
        _ => {
            mistakes.sort_by_key(|mistake| mistake.line);
            Err(PolicyErrors(mistakes))
        }
    }
}

/// What is known while a document is read.
#[derive(Default)]
struct Document {
    reader: Reader,
    queues: Vec<String>,
}

impl Document {
    /// `None` only if there are mistakes.
    fn policy(&mut self, root: &Node) -> Option<Policy> {
        let keys = [
            "version",
            "queues",
            "deadlines",
            "labels",
            "overrides",
            "low_confidence",
            "negative_floor",
            "not_scored",
            "language_not_shown",
            "rules",
        ];
        let root = self.reader.map(root, &keys);
        let version = root.require("version", &mut self.reader);
        let version = version
            .and_then(|node| self.reader.text(node))
            .map(str::to_owned);
        if let Some(node) = root.require("queues", &mut self.reader) {
            for node in self.reader.list(node) {
                self.queues
                    .extend(self.reader.text(node).map(str::to_owned));
            }
        }
        let deadlines_ms = self.deadlines(&root);
        let labels = self.labels(&root);
        let overrides = self.overrides(&root);
        let low_confidence = self.required_outcome(&root, "low_confidence");
        let not_scored = self.required_outcome(&root, "not_scored");
        let language_not_shown = self.language_not_shown(&root);
        let negative_floor = root
            .get("negative_floor")
            .map(|node| self.negative_floor(node));
        let (rules, keywords) = self.rules(&root);
        let keywords = match keywords.build(&rules) {
            Ok(keywords) => keywords,
            Err(error) => {
                self.reader
                    .mistake(0, format!("the phrases are too many: {error}"));
                return None;
            }
        };
        let (base, labels): (Vec<_>, Vec<_>) = labels?.into_iter().unzip();
        Some(Policy {
            version: version?,
            thresholds: Thresholds::new(base.try_into().ok()?, overrides),
            labels: labels.try_into().ok()?,
            low_confidence: low_confidence?,
            not_scored: not_scored?,
            language_not_shown,
            negative_floor: match negative_floor {
                Some(floor) => Some(floor?),
                None => None,
            },
            deadlines_ms: deadlines_ms?,
            rules,
            keywords,
        })
    }

    fn deadlines(&mut self, root: &Map<'_>) -> Option<[i64; Channel::ALL.len()]> {
        let node = root.require("deadlines", &mut self.reader)?;
        let keys: Vec<_> = Channel::ALL
            .iter()
            .map(|channel| channel.as_str())
            .collect();
        let map = self.reader.map(node, &keys);
        let mut deadlines = [0; Channel::ALL.len()];
        let mut is_complete = true;
        for channel in Channel::ALL {
            let node = map.require(channel.as_str(), &mut self.reader);
            match node.and_then(|node| self.duration_ms(node)) {
                Some(deadline) => deadlines[channel.index()] = deadline,
                None => is_complete = false,
            }
        }
        is_complete.then_some(deadlines)
    }

    fn labels(&mut self, root: &Map<'_>) -> Option<Vec<(Threshold, LabelPolicy)>> {
        let node = root.require("labels", &mut self.reader)?;
        let keys: Vec<_> = Label::ALL.iter().map(|label| label.as_str()).collect();
        let map = self.reader.map(node, &keys);
        let labels: Vec<_> = Label::ALL
            .iter()
            .map(|label| {
                let node = map.require(label.as_str(), &mut self.reader)?;
                self.label(node)
            })
            .collect();
        labels.into_iter().collect()
    }

    fn label(&mut self, node: &Node) -> Option<(Threshold, LabelPolicy)> {
        let keys = [&["threshold", "unsure_from"][..], &OUTCOME_KEYS].concat();
        let map = self.reader.map(node, &keys);
        let threshold = map.require("threshold", &mut self.reader);
        let threshold = threshold.and_then(|node| self.threshold(node));
        let unsure_from = map.get("unsure_from").and_then(|node| {
            let unsure_from = self.threshold(node)?;
            if threshold.is_some_and(|threshold| unsure_from >= threshold) {
                self.reader
                    .mistake(node.line, "`unsure_from` must be below `threshold`");
            }
            Some(unsure_from)
        });
        let outcome = self.outcome(&map)?;
        Some((
            threshold?,
            LabelPolicy {
                unsure_from,
                outcome,
            },
        ))
    }

    fn overrides(&mut self, root: &Map<'_>) -> Vec<Override> {
        let mut overrides: Vec<Override> = Vec::new();
        let Some(node) = root.get("overrides") else {
            return overrides;
        };
        for node in self.reader.list(node) {
            let map = self.reader.map(node, &["for", "thresholds"]);
            let scope = map
                .require("for", &mut self.reader)
                .map(|node| self.scope(node));
            let thresholds = map.require("thresholds", &mut self.reader);
            let thresholds = thresholds.map(|node| self.override_thresholds(node));
            let (Some(scope), Some(thresholds)) = (scope, thresholds) else {
                continue;
            };
            if overrides.iter().any(|other| other.scope == scope) {
                self.reader
                    .mistake(node.line, "an override for the same is already above");
            }
            overrides.push(Override { scope, thresholds });
        }
        overrides
    }

    fn scope(&mut self, node: &Node) -> Scope {
        let map = self.reader.map(node, &["brand", "platform", "channel"]);
        let mut text = |key| {
            let node = map.get(key)?;
            self.reader.text(node).map(str::to_owned)
        };
        let (brand, platform) = (text("brand"), text("platform"));
        let channel = map
            .get("channel")
            .and_then(|node| self.reader.name(node, "channel"));
        let scope = Scope {
            brand,
            platform,
            channel,
        };
        if scope == Scope::default() {
            let message = "`for` names no brand, platform or channel; change `labels` instead";
            self.reader.mistake(node.line, message);
        }
        scope
    }

    fn override_thresholds(&mut self, node: &Node) -> Vec<(Label, Threshold)> {
        let mut thresholds = Vec::new();
        for (name, line, node) in self.reader.entries(node) {
            let label = self.reader.known(name, line, "label");
            thresholds.extend(label.zip(self.threshold(node)));
        }
        thresholds
    }

    fn negative_floor(&mut self, node: &Node) -> Option<(Threshold, Outcome)> {
        let keys = [&["threshold"][..], &OUTCOME_KEYS].concat();
        let map = self.reader.map(node, &keys);
        let threshold = map.require("threshold", &mut self.reader);
        let threshold = threshold.and_then(|node| self.threshold(node));
        let outcome = self.outcome(&map);
        threshold.zip(outcome)
    }

    fn rules(&mut self, root: &Map<'_>) -> (Vec<Rule>, KeywordsBuilder) {
        let mut rules: Vec<Rule> = Vec::new();
        let mut keywords = KeywordsBuilder::default();
        let Some(node) = root.get("rules") else {
            return (rules, keywords);
        };
        for node in self.reader.list(node) {
            let Some(rule) = self.rule(node, rules.len(), &mut keywords) else {
                continue;
            };
            if rules.iter().any(|other| other.id == rule.id) {
                let message = format!("a rule with the id `{}` is already above", rule.id);
                self.reader.mistake(node.line, message);
            }
            rules.push(rule);
        }
        (rules, keywords)
    }

    fn rule(&mut self, node: &Node, index: usize, keywords: &mut KeywordsBuilder) -> Option<Rule> {
        let own = [
            "id",
            "channels",
            "langs",
            "platforms",
            "brands",
            "phrases",
            "whole",
            "when",
        ];
        let map = self.reader.map(node, &[&own[..], &OUTCOME_KEYS].concat());
        let id = map
            .require("id", &mut self.reader)
            .and_then(|node| self.reader.text(node));
        let mut has_phrases = false;
        for (key, is_whole) in [("phrases", false), ("whole", true)] {
            let Some(node) = map.get(key) else { continue };
            has_phrases = true;
            for node in self.reader.list(node) {
                let Some(phrase) = self.reader.text(node) else {
                    continue;
                };
                if !keywords.add(index, phrase, is_whole) {
                    self.reader
                        .mistake(node.line, "nothing is left of this phrase to look for");
                }
            }
        }
        let when = map.get("when").and_then(|node| {
            let parsed = Expression::parse(self.reader.text(node)?);
            parsed
                .map_err(|error| self.reader.mistake(node.line, format!("`when`: {error}")))
                .ok()
        });
        if !has_phrases && map.get("when").is_none() {
            let message = "a rule needs `phrases`, `whole` or `when`, or it holds for everything";
            self.reader.mistake(node.line, message);
        }
        let channels = map.get("channels").map_or_else(Vec::new, |node| {
            let nodes = self.reader.list(node);
            nodes
                .iter()
                .filter_map(|node| self.reader.name(node, "channel"))
                .collect()
        });
        let mut texts = |key| {
            let nodes = map.get(key).map_or(&[][..], |node| self.reader.list(node));
            nodes
                .iter()
                .filter_map(|n| self.reader.text(n))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let (langs, platforms, brands) = (texts("langs"), texts("platforms"), texts("brands"));
        let outcome = self.outcome(&map);
        Some(Rule {
            id: id?.to_owned(),
            channels,
            langs,
            platforms,
            brands,
            has_phrases,
            when,
            outcome: outcome?,
        })
    }

    fn language_not_shown(&mut self, root: &Map<'_>) -> Option<Outcome> {
        let map = self
            .reader
            .map(root.get("language_not_shown")?, &OUTCOME_KEYS);
        let outcome = self.outcome(&map)?;
        if outcome.action.hides() {
            let message =
                "`language_not_shown` can't hide; leave it out, and every language is hidden in";
            self.reader.mistake(map.line, message);
        }
        Some(outcome)
    }

    fn required_outcome(&mut self, root: &Map<'_>, key: &str) -> Option<Outcome> {
        let node = root.require(key, &mut self.reader)?;
        let map = self.reader.map(node, &OUTCOME_KEYS);
        self.outcome(&map)
    }

    fn outcome(&mut self, map: &Map<'_>) -> Option<Outcome> {
        let action = map.require("action", &mut self.reader);
        let action = action.and_then(|node| self.reader.name(node, "action"));
        let queue = map.get("queue").and_then(|node| self.queue(node));
        let priority = map
            .get("priority")
            .map(|node| self.reader.name(node, "priority"));
        let deadline = map.get("deadline").map(|node| self.duration_ms(node));
        // What is hidden elsewhere is reviewed in direct messages, so it needs a queue as well.
        if action.is_some_and(|action| action != Action::Allow) && map.get("queue").is_none() {
            self.reader
                .mistake(map.line, "`queue` is missing here: only `allow` needs none");
        }
        Some(Outcome {
            action: action?,
            queue: queue.unwrap_or_default(),
            priority: priority.unwrap_or(Some(Priority::Normal))?,
            deadline_ms: match deadline {
                Some(deadline) => Some(deadline?),
                None => None,
            },
        })
    }

    fn queue(&mut self, node: &Node) -> Option<String> {
        let name = self.reader.text(node)?;
        if !self.queues.iter().any(|queue| queue == name) {
            let known = self.queues.join(", ");
            self.reader.mistake(
                node.line,
                format!("unknown queue `{name}`; `queues` lists {known}"),
            );
        }
        Some(name.to_owned())
    }

    fn threshold(&mut self, node: &Node) -> Option<Threshold> {
        let number = self.reader.number(node)?;
        match Threshold::new(number as f32) {
            Ok(threshold) => Some(threshold),
            Err(error) => {
                self.reader.mistake(node.line, error.to_string());
                None
            }
        }
    }

    /// `30s`, `15m`, `2h` or `1d`, in milliseconds.
    fn duration_ms(&mut self, node: &Node) -> Option<i64> {
        let text = self.reader.text(node)?;
        let parsed = text.char_indices().next_back().and_then(|(last, unit)| {
            let factor = match unit {
                's' => 1_000,
                'm' => 60_000,
                'h' => 3_600_000,
                'd' => 86_400_000,
                _ => return None,
            };
            text[..last]
                .parse::<u32>()
                .ok()
                .map(|count| i64::from(count) * factor)
        });
        if parsed.is_none() {
            self.reader.mistake(
                node.line,
                format!("`{text}` is no duration like 30s, 15m, 2h or 1d"),
            );
        }
        parsed
    }
}
