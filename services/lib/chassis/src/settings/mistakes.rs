//! What is wrong with the settings, all of it, each with the place that it came from.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;

use super::node::{Origin, Path};

/// A type that can say which of its values do not make sense.
pub trait Validate {
    /// Adds a mistake for every value that is out of its range or does not go with another.
    fn validate(&self, mistakes: &mut Mistakes);
}

/// A collector of mistakes, which knows the section that is being looked at.
#[derive(Debug, Default)]
pub struct Mistakes {
    section: Path,
    found: Vec<Mistake>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub(super) path: Path,
    pub(super) message: String,
    pub(super) origin: Option<Origin>,
}

impl Mistakes {
    /// Adds a mistake about `key` of this section. The message completes "KEY: …", as in "must be
    /// at least 1".
    pub fn add(&mut self, key: &str, message: impl Into<String>) {
        self.found.push(Mistake {
            path: self.section.key(key),
            message: message.into(),
            origin: None,
        });
    }

    /// Adds a mistake about `key` unless `holds`.
    pub fn require(&mut self, holds: bool, key: &str, message: impl Into<String>) {
        if !holds {
            self.add(key, message);
        }
    }

    /// Adds a mistake unless `value` lies in `range`, both ends included.
    pub fn in_range<T: PartialOrd + Display>(
        &mut self,
        key: &str,
        value: T,
        range: RangeInclusive<T>,
    ) {
        if !range.contains(&value) {
            let (low, high) = (range.start(), range.end());
            self.add(key, format!("must be from {low} to {high}, not {value}"));
        }
    }

    /// Looks at a section inside this one: `mistakes.within("kafka", |m| self.kafka.validate(m))`.
    pub fn within(&mut self, section: &str, look: impl FnOnce(&mut Self)) {
        let inner = self.section.key(section);
        self.inside(inner, look);
    }

    /// Looks at each item of a list in this section.
    pub fn each<T>(
        &mut self,
        list: &str,
        items: impl IntoIterator<Item = T>,
        mut look: impl FnMut(T, &mut Self),
    ) {
        let list = self.section.key(list);
        for (index, item) in items.into_iter().enumerate() {
            self.inside(list.index(index), |inner| look(item, inner));
        }
    }

    fn inside(&mut self, section: Path, look: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.section, section);
        look(self);
        self.section = outer;
    }

    /// True when nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn into_found(self) -> Vec<Mistake> {
        self.found
    }
}

impl Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path != Path::default() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.origin {
            Some(origin) => write!(f, " (from {origin})"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with the settings, found in one run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SettingsErrors(pub(super) Vec<Mistake>);

impl SettingsErrors {
    /// One line for each mistake.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(Mistake::to_string)
    }
}

impl Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "1 setting is wrong:")?,
            n => write!(f, "{n} settings are wrong:")?,
        }
        self.0.iter().try_for_each(|m| write!(f, "\n  {m}"))
    }
}
