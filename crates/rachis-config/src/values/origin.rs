//! Where each value comes from.

use figment::value::{Dict, Value};
use std::{collections::BTreeMap, fmt};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The key is not set anywhere.
    Default,
    /// A file.
    File {
        /// Its path, as it was given.
        path: String,
        /// The line of the key, counted from 1.
        line: usize,
    },
    /// The environment variable of this name.
    Variable(String),
    /// [`Loader::overrides`](crate::Loader::overrides), which is where a command line ends up.
    CommandLine,
    /// [`Loader::overrides_of`](crate::Loader::overrides_of), with the name that was given there.
    Program(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{path}:{line}"),
            Origin::Variable(name) => f.write_str(name),
            Origin::CommandLine => f.write_str("command line"),
            Origin::Program(name) => f.write_str(name),
        }
    }
}

/// Where each value of a configuration comes from; begun by [`Loader::explain`](crate::Loader::explain).
///
/// ```
/// use rachis::{Config, config::Origin};
///
/// let (config, origins) = Config::loader().env([("PORT", "8080")]).explain()?;
/// assert_eq!(config.gateway.listen, "127.0.0.1:8080");
/// assert_eq!(origins.of("gateway.listen"), &Origin::Variable("PORT".into()));
/// assert_eq!(origins.of("gateway.prefix"), &Origin::Default);
/// # Ok::<_, rachis::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Where the value at a dotted key comes from; [`Origin::Default`] for a key that is not set. The names that TOML
    /// would quote are quoted: `service."api/todos".events`.
    pub fn of(&self, key: &str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }

    /// Every key that is set, by its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.0.iter().map(|(key, origin)| (key.as_str(), origin))
    }

    /// Notes that `source` brought `values`.
    pub(crate) fn note(&mut self, source: &Source, values: &Dict) {
        self.note_below("", source, values);
    }

    fn note_below(&mut self, above: &str, source: &Source, values: &Dict) {
        for (name, value) in values {
            let key = dotted(above, name);
            match value {
                Value::Dict(_, values) => self.note_below(&key, source, values),
                _ => drop(self.0.insert(key.clone(), source.at(&key))),
            }
        }
    }
}

/// The key of `name` in the section `above`. Paths of services stand there as [`Config`](crate::Config) has them.
fn dotted(above: &str, name: &str) -> String {
    let name = if above == "service" { name.trim_matches('/') } else { name };
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    let name = if bare { name.to_owned() } else { format!("{name:?}") };
    if above.is_empty() { name } else { format!("{above}.{name}") }
}

/// One layer.
#[derive(Clone)]
pub(crate) enum Source {
    Defaults,
    /// Text of this name, and the lines of its keys.
    Toml(String, BTreeMap<String, usize>),
    Variable(String),
    CommandLine,
    Program(String),
}

impl Source {
    /// TOML that has been read without error.
    pub(crate) fn toml(name: &str, text: &str) -> Self {
        let mut lines = BTreeMap::new();
        if let Ok(table) = toml::de::DeTable::parse(text) {
            let starts: Vec<usize> =
                text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
            note_lines("", table.get_ref(), &|at| 1 + starts.partition_point(|newline| *newline < at), &mut lines);
        }
        Source::Toml(name.to_owned(), lines)
    }

    /// As errors call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Source::Defaults => "default.toml".into(),
            Source::Toml(name, _) => name.clone(),
            Source::Variable(name) => format!("environment variable {name}"),
            Source::CommandLine => "command line".into(),
            Source::Program(name) => name.clone(),
        }
    }

    fn at(&self, key: &str) -> Origin {
        match self {
            Source::Defaults => Origin::Default,
            Source::Toml(path, lines) => {
                Origin::File { path: path.clone(), line: lines.get(key).copied().unwrap_or(1) }
            }
            Source::Variable(name) => Origin::Variable(name.clone()),
            Source::CommandLine => Origin::CommandLine,
            Source::Program(name) => Origin::Program(name.clone()),
        }
    }
}

fn note_lines(
    above: &str,
    table: &toml::de::DeTable<'_>,
    line: &impl Fn(usize) -> usize,
    lines: &mut BTreeMap<String, usize>,
) {
    for (name, value) in table {
        let key = dotted(above, name.get_ref());
        match value.get_ref() {
            toml::de::DeValue::Table(table) => note_lines(&key, table, line, lines),
            _ => drop(lines.insert(key, line(name.span().start))),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Config, tests::file};
    use serde_json::json;

    #[test]
    fn each_value_is_known_with_the_layer_that_brought_it() {
        let text =
            "app = 'a'\nkey = 'a'\n\n[limits]\nmax_queue = 1\n\n[service.'/api/todos/']\nevents = [\n  'created',\n]\n";
        let (_folder, path) = file(text);
        let secret = path.with_file_name("secret");
        std::fs::write(&secret, "hunter2").unwrap();
        let (config, origins) = Config::loader()
            .file(&path)
            .env([("DISTRIBUTION_KEY", "b"), ("REDIS_PASSWORD_FILE", secret.to_str().unwrap()), ("PORT", "1")])
            .overrides(json!({ "namespace": "c", "timeout": null }))
            .explain()
            .unwrap();
        let line = |line| format!("{}:{line}", path.display());
        for (key, origin) in [
            ("app", line(1)),
            ("key", "DISTRIBUTION_KEY".into()),
            ("limits.max_queue", line(5)),
            ("limits.event_log", "default".into()),
            ("service.\"api/todos\".events", line(8)),
            ("redis.password", "REDIS_PASSWORD_FILE".into()),
            ("redis.username", "default".into()),
            ("gateway.listen", "PORT".into()),
            ("namespace", "command line".into()),
            ("timeout", "default".into()),
        ] {
            assert_eq!(origins.of(key).to_string(), origin, "{key}");
        }
        assert_eq!((config.key.as_str(), config.namespace.as_str()), ("b", "c"));
        assert!(!format!("{origins:?}").contains("hunter2"));
    }
}
