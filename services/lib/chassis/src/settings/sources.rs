//! Where settings are written: a file, the environment, flags. Later ones win.

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use super::mistakes::Mistake;
use super::node::{Node, Origin, Path, Step, Value, from_table, line_of};

const PREFIX: &str = "TIDEGATE_";
const CONFIG: &str = "TIDEGATE_CONFIG";

/// The flags that each process takes; flatten it into the process's own arguments.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SettingsArgs {
    /// Read settings from this TOML file; TIDEGATE_CONFIG does the same
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one setting, over file and environment (may be repeated)
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    /// Print the settings that result from all of this, secrets hidden, and end
    #[arg(long)]
    pub print_settings: bool,
}

impl SettingsArgs {
    /// The flags and this process's environment.
    #[must_use]
    pub fn sources(&self) -> Sources {
        let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
        self.sources_in(std::env::vars_os().map(|(name, value)| (text(name), text(value))))
    }

    /// The flags and an environment that is given, as tests do.
    #[must_use]
    pub fn sources_in(&self, environment: impl IntoIterator<Item = (String, String)>) -> Sources {
        Sources {
            file: self.config.clone(),
            environment: environment.into_iter().collect(),
            set: self.set.clone(),
        }
    }
}

/// Everything that settings are read from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    file: Option<PathBuf>,
    environment: BTreeMap<String, String>,
    set: Vec<String>,
}

impl Sources {
    /// No source at all: every setting has its default.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a TOML file.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Adds an environment variable, such as `TIDEGATE_KAFKA__BROKERS`.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Adds a flag's text, such as `kafka.brokers=localhost:9092`.
    #[must_use]
    pub fn set(mut self, assignment: impl Into<String>) -> Self {
        self.set.push(assignment.into());
        self
    }

    /// All layers laid upon each other; what cannot be read at all becomes a mistake.
    pub(super) fn merge(&self, mistakes: &mut Vec<Mistake>) -> Node {
        let mut root = Node::root();
        let named = self.environment.get(CONFIG).filter(|v| !v.is_empty());
        let file = match (&self.file, named) {
            (Some(path), _) => Some((path.as_path(), "--config")),
            (None, Some(path)) => Some((FilePath::new(path), CONFIG)),
            (None, None) => None,
        };
        if let Some((path, asked_by)) = file {
            root.overlay(read_file(path, asked_by, mistakes));
        }
        for (name, value) in &self.environment {
            if let Some(path) = variable_path(name) {
                let node = Node::new(Value::Raw(value.clone()), Origin::Variable(name.clone()));
                root.overlay(Node::nested(&path, node));
            }
        }
        for (at, assignment) in self.set.iter().enumerate() {
            let parts = assignment.split_once('=');
            match parts.and_then(|(key, value)| Some((Path::parse(key.trim())?, value))) {
                Some((path, value)) => {
                    let origin = Origin::Flag(path.to_string());
                    let node = Node::new(Value::Raw(value.to_owned()), origin);
                    root.overlay(Node::nested(&path, node));
                }
                None => mistakes.push(Mistake {
                    path: Path::default(),
                    // Its text is not shown: without a key there is no telling a secret.
                    message: format!(
                        "--set flag {}: must be written as SECTION.KEY=VALUE",
                        at + 1
                    ),
                    origin: None,
                }),
            }
        }
        root
    }

    /// Variables that look like a setting of one of the sections but for a single underscore,
    /// with the name that was probably meant. Names that an orchestrator makes for its services
    /// (`TIDEGATE_ADMIN_SERVICE_HOST`, `TIDEGATE_ADMIN_PORT_9000_TCP`) are left alone.
    pub(super) fn near_misses(&self, sections: &[&str]) -> Vec<(String, String)> {
        let made_by_orchestrator =
            |rest: &str| rest == "PORT" || rest.starts_with("PORT_") || rest.contains("SERVICE_");
        let mut found = Vec::new();
        for name in self.environment.keys().filter(|name| !name.contains("__")) {
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            for section in sections.iter().map(|s| s.to_uppercase()) {
                let key = rest
                    .strip_prefix(section.as_str())
                    .and_then(|rest| rest.strip_prefix('_'));
                if let Some(key) = key.filter(|key| !key.is_empty() && !made_by_orchestrator(key)) {
                    found.push((name.clone(), format!("{PREFIX}{section}__{key}")));
                }
            }
        }
        found
    }
}

/// `TIDEGATE_SECTION__KEY` as `section.key`. A variable without `__` is not a setting: an
/// orchestrator puts its own `TIDEGATE_…` variables beside ours.
fn variable_path(name: &str) -> Option<Path> {
    let rest = name.strip_prefix(PREFIX)?;
    if !rest.contains("__") {
        return None;
    }
    let steps = rest
        .split("__")
        .map(|part| Step::Key(part.to_lowercase()))
        .collect();
    Some(Path(steps))
}

fn read_file(path: &FilePath, asked_by: &str, mistakes: &mut Vec<Mistake>) -> Node {
    let shared: Arc<FilePath> = path.into();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            mistakes.push(Mistake {
                path: Path::default(),
                message: format!(
                    "{asked_by} {}: the file cannot be read: {error}",
                    path.display()
                ),
                origin: None,
            });
            return Node::root();
        }
    };
    let origin = |at: usize| Origin::File(shared.clone(), line_of(&text, at));
    let (table, errors) = DeTable::parse_recoverable(&text);
    mistakes.extend(errors.iter().map(|error| Mistake {
        path: Path::default(),
        message: format!("this is not TOML: {}", error.message()),
        origin: Some(origin(error.span().map_or(0, |span| span.start))),
    }));
    Node::new(from_table(table.get_ref(), &origin), origin(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Args {
        #[command(flatten)]
        settings: SettingsArgs,
    }

    #[test]
    fn the_flags_of_a_process_are_config_set_and_print_settings() {
        let line = "t --config t.toml --set a.b=1 --set a.c=x=y --print-settings";
        let args = Args::try_parse_from(line.split(' ')).unwrap().settings;
        assert_eq!(args.config.as_deref(), Some(FilePath::new("t.toml")));
        assert_eq!(args.set, ["a.b=1", "a.c=x=y"]);
        assert!(args.print_settings);
    }

    #[test]
    fn a_flag_is_split_at_its_first_equals_sign() {
        let mut mistakes = Vec::new();
        let root = Sources::none().set("a.c=x=y").merge(&mut mistakes);
        assert_eq!(mistakes, []);
        let path = Path::parse("a.c").unwrap();
        let found = path.0.iter().try_fold(&root, |node, step| node.child(step));
        assert!(matches!(&found.unwrap().value, Value::Raw(text) if text == "x=y"));
    }
}
