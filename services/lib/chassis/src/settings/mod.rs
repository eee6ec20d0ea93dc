//! Settings in layers: defaults, then a TOML file, then the environment, then `--set` flags.
//!
//! A setting is a field of a struct with `#[serde(default)]`, in a section that is a field of the
//! outermost struct. `kafka.group_id` is written as `group_id` under `[kafka]` in the file, as
//! `TIDEGATE_KAFKA__GROUP_ID` in the environment and as `--set kafka.group_id=…` on the command
//! line. [`load`] reads everything once and reports every mistake, each with its place.
//! A key with dots in it (a client's own property) is written `--set kafka.client."linger.ms"=5`.
//!
//! Structs need no `deny_unknown_fields`. `#[serde(flatten)]` and `#[serde(tag)]` hide the names
//! from the check of unknown keys; use sections, and enums as serde writes them by default.

mod access;
pub mod duration;
mod fault;
mod mistakes;
mod node;
mod read;
mod secret;
mod sources;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use mistakes::{Mistake, Mistakes, SettingsErrors, Validate};
pub use secret::{Secret, SecretError, secret_from};
pub use sources::{SettingsArgs, Sources};

use fault::{Fault, ReadError};
use node::{Node, Origin, Path};
use read::{Notes, Reader, Unknown};

/// Reads, merges and checks the settings.
///
/// # Errors
/// Every mistake that there is: unreadable files, unknown keys, wrong types, and whatever
/// [`Validate`] finds in the values that could be read.
pub fn load<T: DeserializeOwned + Validate>(sources: &Sources) -> Result<T, SettingsErrors> {
    let mut mistakes = Vec::new();
    let written = sources.merge(&mut mistakes);
    let notes = RefCell::new(Notes::default());
    let value: Option<T> = read_all(&written, &notes, &mut mistakes);
    let notes = notes.into_inner();

    for (wrong, meant) in sources.near_misses(notes.sections) {
        mistakes.push(Mistake {
            path: Path::default(),
            message: format!("{wrong} is not read: did you mean {meant}, with two underscores?"),
            origin: None,
        });
    }
    let known: Vec<Path> = mistakes.iter().map(|m| m.path.clone()).collect();
    mistakes.extend(unknown_keys(&notes));
    if let Some(value) = &value {
        let mut found = Mistakes::default();
        value.validate(&mut found);
        // A value that could not be read was replaced; its range says nothing.
        let fresh = found.into_found().into_iter();
        mistakes.extend(
            fresh
                .filter(|m| !known.iter().any(|wrong| m.path.is_within(wrong)))
                .map(|mut m| {
                    m.origin.get_or_insert_with(|| written.origin_of(&m.path));
                    m
                }),
        );
    }
    match value {
        Some(value) if mistakes.is_empty() => Ok(value),
        _ => Err(SettingsErrors(mistakes)),
    }
}

/// Reads as often as there are wrong values, each time with the last wrong one taken out, so that
/// all are found and the right ones can still be checked.
fn read_all<T: DeserializeOwned>(
    written: &Node,
    notes: &RefCell<Notes>,
    mistakes: &mut Vec<Mistake>,
) -> Option<T> {
    let mut tree = written.clone();
    let mut attempts = BTreeMap::<Path, u8>::new();
    loop {
        let reader = Reader {
            node: &tree,
            path: Path::default(),
            notes,
        };
        let ReadError { path, fault } = match T::deserialize(reader) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let mut path = path.unwrap_or_default();
        let (message, blank) = match fault {
            Fault::Wrong(message) => (message, false),
            Fault::Missing(field) => {
                path = path.key(field);
                ("is required".to_owned(), true)
            }
        };
        let fresh = !attempts.keys().any(|reported| path.is_within(reported));
        let tried = attempts.entry(path.clone()).or_default();
        *tried += 1;
        if fresh {
            mistakes.push(Mistake {
                origin: Some(written.origin_of(&path)).filter(|o| *o != Origin::Default),
                path: path.clone(),
                message,
            });
        }
        // A list that was written as one raw text has no elements to take out: take it whole.
        while *tried <= 3 && !tree.clear(&path, blank) {
            path.0.pop()?;
        }
        if *tried > 3 {
            return None;
        }
    }
}

fn unknown_keys(notes: &Notes) -> Vec<Mistake> {
    let mut seen = BTreeSet::new();
    let fresh = notes.unknown.iter().filter(|u| seen.insert(&u.path));
    fresh
        .map(|unknown| Mistake {
            path: unknown.path.clone(),
            message: format!("there is no such setting{}", hint(unknown)),
            origin: Some(unknown.origin.clone()),
        })
        .collect()
}

/// The key that was probably meant, or all that there are.
fn hint(unknown: &Unknown) -> String {
    let Some((node::Step::Key(key), section)) = unknown.path.0.split_last() else {
        return String::new();
    };
    match nearest(key, unknown.known) {
        Some(name) => {
            let meant = Path(section.to_vec()).key(name);
            format!(": did you mean {meant}?")
        }
        None => format!("; those here are {}", unknown.known.join(", ")),
    }
}

/// The name most like `key`, when one is near enough to be what was meant.
fn nearest(key: &str, names: &'static [&'static str]) -> Option<&'static str> {
    let near = |name: &&str| strsim::damerau_levenshtein(key, name);
    names
        .iter()
        .copied()
        .min_by_key(near)
        .filter(|name| near(name) <= (name.len() / 3).max(2))
}

/// The settings in effect as TOML, for `--print-settings`. A [`Secret`] shows as `***`.
///
/// # Errors
/// The type cannot be written as TOML (a map with keys that are not text, for example).
pub fn effective<T: Serialize>(settings: &T) -> Result<String, toml::ser::Error> {
    toml::to_string_pretty(settings)
}

#[cfg(test)]
mod tests;
