//! The environment: every variable of a name of its own in one table, and `DISTRIBUTION__SECTION__KEY` for the rest.

use crate::{ConfigError, load::layers::Layers, values::origin::Source};
use figment::value::{Dict, Value};
use std::{collections::BTreeMap, ffi::OsString, fs};

/// Two underscores, not one: for a Service called `distribution`, Kubernetes sets variables such as `DISTRIBUTION_PORT`.
const PREFIX: &str = "DISTRIBUTION__";
const SEPARATOR: &str = "__";
/// No key lies deeper. Without a bound, a long name could nest values until the stack ends.
const DEEPEST: usize = 4;

/// An environment variable that has a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvName {
    /// The name of the variable.
    pub name: &'static str,
    /// The dotted key it sets; empty if it sets none.
    pub key: &'static str,
    /// What is done with its value.
    pub usage: EnvUse,
}

/// What is done with the value of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnvUse {
    /// It is the value of the key.
    Value,
    /// It is the value of the key; or the variable of that name and `_FILE` is the path of a file that holds it.
    Secret,
    /// It replaces the port of the key.
    Port,
    /// If it has any value, Rachis logs at level debug, besides what the key says.
    Debug,
    /// Nothing: it is no longer needed, and a warning says so.
    Unneeded,
}

/// Every environment variable that has a name of its own. Of two that set one key, the later in this table wins;
/// `DISTRIBUTION__SECTION__KEY` wins over both, except for the port. A variable without a value does nothing.
///
/// Lists are written with commas (`api/*,users`), or as TOML (`["api/*", "users"]`).
pub const ENV: &[EnvName] = &[
    // The names of feathers-distributed come first, so that ours win.
    row("COTE_DELAY", "start_delay", EnvUse::Value),
    row("COTE_LOG", "log.level", EnvUse::Debug),
    row("COMPONENT_DELAY", "", EnvUse::Unneeded),
    row("BASE_PORT", "", EnvUse::Unneeded),
    row("HIGHEST_PORT", "", EnvUse::Unneeded),
    row("DISTRIBUTION_KEY", "key", EnvUse::Value),
    row("DISTRIBUTION_APP", "app", EnvUse::Value),
    row("DISTRIBUTION_NAMESPACE", "namespace", EnvUse::Value),
    row("DISTRIBUTION_VERSION", "version", EnvUse::Value),
    row("DISTRIBUTION_TIMEOUT", "timeout", EnvUse::Value),
    row("PUBLICATION_DELAY", "publication_delay", EnvUse::Value),
    row("START_DELAY", "start_delay", EnvUse::Value),
    row("HEARTBEAT_INTERVAL", "heartbeat_interval", EnvUse::Value),
    row("REDIS_URL", "redis.url", EnvUse::Secret),
    row("REDIS_USERNAME", "redis.username", EnvUse::Value),
    row("REDIS_PASSWORD", "redis.password", EnvUse::Secret),
    row("REDIS_SENTINEL_USERNAME", "redis.sentinel_username", EnvUse::Value),
    row("REDIS_SENTINEL_PASSWORD", "redis.sentinel_password", EnvUse::Secret),
    row("MESH_SECRET", "mesh.secret", EnvUse::Secret),
    row("MESH_PREVIOUS_SECRET", "mesh.previous_secret", EnvUse::Secret),
    row("JWT_SECRET", "gateway.auth.secret", EnvUse::Secret),
    row("JWT_PREVIOUS_SECRET", "gateway.auth.previous_secret", EnvUse::Secret),
    row("METRICS_LISTEN", "metrics.listen", EnvUse::Value),
    row("METRICS_TOKEN", "metrics.token", EnvUse::Secret),
    row("PORT", "gateway.listen", EnvUse::Port),
    row("RUST_LOG", "log.level", EnvUse::Value),
];

const fn row(name: &'static str, key: &'static str, usage: EnvUse) -> EnvName {
    EnvName { name, key, usage }
}

/// Puts what `variables` say on top of `layers`.
pub(crate) fn add(layers: &mut Layers, variables: Vec<(OsString, OsString)>) -> Result<(), ConfigError> {
    let variables = Variables::new(variables);
    for row in ENV.iter().filter(|row| row.usage != EnvUse::Port) {
        variables.add_row(layers, row)?;
    }
    for name in variables.0.keys().filter(|name| name.starts_with(PREFIX)) {
        if let Some(text) = variables.get(name)? {
            add_text(layers, name, &key_of(name)?, &text)?;
        }
    }
    // Last, since a port without a host has to find the host that was decided on.
    for row in ENV.iter().filter(|row| row.usage == EnvUse::Port) {
        variables.add_row(layers, row)?;
    }
    variables.warn_of_unneeded(layers);
    Ok(())
}

struct Variables(BTreeMap<String, OsString>);

impl Variables {
    fn new(variables: Vec<(OsString, OsString)>) -> Self {
        // Sorted, so that the outcome does not depend on the order the system gives. None of our names is not UTF-8.
        let ours = variables.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Variables(ours.filter(|(_, value)| !value.is_empty()).collect())
    }

    fn get(&self, name: &str) -> Result<Option<String>, ConfigError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let text = value.to_str().ok_or_else(|| problem(name, "is not UTF-8: set it to plain text"))?;
        Ok(Some(text.to_owned()))
    }

    fn add_row(&self, layers: &mut Layers, row: &EnvName) -> Result<(), ConfigError> {
        let name = row.name;
        match (row.usage, self.get(name)?) {
            (EnvUse::Unneeded, _) => Ok(()),
            (EnvUse::Secret, text) => self.add_secret(layers, row, text),
            (_, None) => Ok(()),
            (EnvUse::Value, Some(text)) => add_text(layers, name, row.key, &text),
            (EnvUse::Debug, Some(_)) => {
                let level = format!("{},rachis=debug", layers.text(row.key));
                add_value(layers, &origin(name), row.key, Value::from(level))
            }
            (EnvUse::Port, Some(text)) => {
                let port: u16 = text
                    .trim()
                    .parse()
                    .map_err(|_| problem(name, format!("is {text:?}, expected a port: a number from 0 to 65535")))?;
                let listen = layers.text(row.key);
                let host = listen.rsplit_once(':').map_or(listen.as_str(), |(host, _)| host);
                add_value(layers, &origin(name), row.key, Value::from(format!("{host}:{port}")))
            }
        }
    }

    fn add_secret(&self, layers: &mut Layers, row: &EnvName, text: Option<String>) -> Result<(), ConfigError> {
        let name = format!("{}_FILE", row.name);
        let (name, text) = match (text, self.get(&name)?) {
            (Some(_), Some(_)) => return Err(problem(&name, format!("is set as well as {}: set only one", row.name))),
            (Some(text), None) => (row.name.to_owned(), text),
            (None, Some(path)) => (name.clone(), read_secret(&name, &path)?),
            (None, None) => return Ok(()),
        };
        add_value(layers, &origin(&name), row.key, Value::from(text))
    }

    fn warn_of_unneeded(&self, layers: &mut Layers) {
        let unneeded = ENV.iter().filter(|row| row.usage == EnvUse::Unneeded && self.0.contains_key(row.name));
        let names: Vec<_> = unneeded.map(|row| row.name).collect();
        if !names.is_empty() {
            let names = names.join(", ");
            layers.warnings.push(format!(
                "no longer needed, and without effect: {names}. Nodes meet in Redis and open no ports for each other; \
                 remove what is named here from the environment"
            ));
        }
    }
}

fn read_secret(name: &str, path: &str) -> Result<String, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|error| problem(name, format!("names {path:?}, which cannot be read ({error}): check the path")))?;
    // Editors and `echo` end a file with a newline; it belongs to no secret.
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(problem(name, format!("names {path:?}, which is empty: write the secret into it")));
    }
    Ok(text.to_owned())
}

/// The key that `DISTRIBUTION__SECTION__KEY` sets.
fn key_of(name: &str) -> Result<String, ConfigError> {
    let parts: Vec<_> =
        name.strip_prefix(PREFIX).unwrap_or(name).split(SEPARATOR).map(str::to_ascii_lowercase).collect();
    if parts.len() > DEEPEST || parts.iter().any(String::is_empty) {
        return Err(problem(name, "names no key: write DISTRIBUTION__KEY or DISTRIBUTION__SECTION__KEY"));
    }
    Ok(parts.join("."))
}

/// A variable has no type, so the key decides: text if it takes text (a password of digits stays one), else what the
/// text says as TOML, else a list with commas.
fn add_text(layers: &mut Layers, name: &str, key: &str, text: &str) -> Result<(), ConfigError> {
    let origin = origin(name);
    let mut best: Option<ConfigError> = None;
    for value in readings(text) {
        match add_value(layers, &origin, key, value) {
            Ok(()) => return Ok(()),
            Err(error) => {
                if best.as_ref().is_none_or(|best| error.weight() > best.weight()) {
                    best = Some(error);
                }
            }
        }
    }
    best.map_or(Ok(()), Err)
}

fn readings(text: &str) -> impl Iterator<Item = Value> {
    let toml = text.trim().parse::<toml::Value>().ok().and_then(|value| Value::serialize(value).ok());
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let list = Value::from(items.map(Value::from).collect::<Vec<_>>());
    [Some(Value::from(text)), toml, Some(list)].into_iter().flatten()
}

fn add_value(layers: &mut Layers, origin: &Source, key: &str, value: Value) -> Result<(), ConfigError> {
    let nested = key.rsplit('.').fold(value, |value, part| Value::from(Dict::from([(part.to_owned(), value)])));
    layers.add(origin, nested.into_dict().unwrap_or_default())
}

fn origin(name: &str) -> Source {
    Source::Variable(name.to_owned())
}

fn problem(name: &str, message: impl Into<String>) -> ConfigError {
    ConfigError::new(message).written_in(origin(name).name())
}
