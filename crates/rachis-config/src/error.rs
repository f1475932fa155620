//! What is wrong with a configuration: where it is written, which key it is, and what to do.

use crate::values::secret::mask_url;
use figment::error::{Actual, Kind};
use serde::Serialize;
use std::fmt;

/// Why a configuration cannot be used. It names the source (a file or an environment variable), the key, and what was
/// expected; it never contains a secret.
///
/// ```
/// use rachis::Config;
///
/// let error = Config::from_toml("heartbeat_intervall = '1s'").unwrap_err();
/// assert_eq!(error.to_string(), "TOML text: unknown key `heartbeat_intervall`; did you mean `heartbeat_interval`?");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    origin: Option<String>,
    key: Option<String>,
    unknown: bool,
    /// Whether the value had the right type, so that the message is about what it says.
    precise: bool,
    message: String,
}

impl ConfigError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        ConfigError { origin: None, key: None, unknown: false, precise: false, message: message.into() }
    }

    pub(super) fn at(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    pub(super) fn written_in(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Says in our words what figment found at `key` of the layer `origin`.
    pub(super) fn explain(origin: &str, error: &figment::Error) -> Self {
        let key = error.path.join(".");
        let (unknown, message) = match &error.kind {
            Kind::UnknownField(_, known) => (true, hint(&key, known)),
            kind => (false, explain_kind(&key, kind)),
        };
        let precise = matches!(error.kind, Kind::Message(_));
        ConfigError { origin: Some(origin.to_owned()), key: Some(key), unknown, precise, message }
    }

    /// Where the mistake is written: the path of a file, an environment variable, the command line; `None` if a
    /// program made it.
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// The dotted key, e.g. `limits.max_queue`; `None` if a whole source cannot be read.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// How much an error says, to be compared: of several readings of one text, the one that came furthest was meant.
    pub(super) fn weight(&self) -> (usize, bool) {
        (self.key.as_deref().map_or(0, |key| key.matches('.').count()), self.precise)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        match &self.key {
            Some(key) if self.unknown => write!(f, "unknown key `{key}`; {}", self.message),
            Some(key) => write!(f, "`{key}` {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for rachis_core::Error {
    fn from(error: ConfigError) -> Self {
        rachis_core::Error::bad_request(error.to_string())
    }
}

fn explain_kind(key: &str, kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => message.clone(),
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            format!("is {}, expected {}", shown(key, found), plain(expected))
        }
        Kind::MissingField(name) => format!("lacks `{name}`: add it"),
        // Whatever else figment reports could quote the value, which could be a secret.
        _ => "cannot be read as what this key holds: see default.toml".into(),
    }
}

/// The longest value that an error quotes whole, in characters.
const QUOTED: usize = 60;

fn shown(key: &str, found: &Actual) -> String {
    match found {
        // Not even the length of it.
        _ if is_secret(key) => "something else".into(),
        Actual::Str(text) if text.contains("://") => format!("{:?}", mask_url(text)),
        Actual::Str(text) => match text.char_indices().nth(QUOTED) {
            Some((end, _)) => format!("{:?}…", &text[..end]),
            None => format!("{text:?}"),
        },
        Actual::Bool(bool) => bool.to_string(),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Seq => "a list".into(),
        Actual::Map => "a section".into(),
        _ => "something else".into(),
    }
}

/// Sections that hold a secret are one themselves, since people write `redis = "redis://:password@host"`; so are user
/// names, in whose place passwords end up, and what is called like a secret wherever it is written.
fn is_secret(key: &str) -> bool {
    let holds = |secret: &str| secret.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let secrets = crate::ENV.iter().filter(|row| row.usage == crate::EnvUse::Secret);
    let name = key.rsplit('.').next().unwrap_or(key);
    key == "gateway.auth.jwt"
        || ["secret", "password", "username"].iter().any(|word| name.ends_with(word))
        || secrets.map(|row| row.key).any(holds)
}

/// Rust's names of types, in the words of the configuration.
fn plain(expected: &str) -> &str {
    match expected {
        "a boolean" => "true or false",
        "usize" | "u64" | "u32" | "u16" => "a whole number, 0 or more",
        "a sequence" => "a list",
        "a map" => "a section",
        _ if expected.starts_with("struct ") => "a section, that is keys with values",
        _ => expected,
    }
}

/// What the unknown `key` was probably meant to be, or else which keys are known at that place.
fn hint(key: &str, known: &[&str]) -> String {
    match nearest(key) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// The known key most like `key`, whether it is misspelled, in camel case, or in the wrong section.
fn nearest(key: &str) -> Option<String> {
    let written = letters(key);
    let name = letters(key.rsplit('.').next().unwrap_or(key));
    let distance = |known: &String| {
        let whole = distance(&written, &letters(known));
        // The same name in another section is as good as a near miss of the whole.
        let misplaced = letters(known.rsplit('.').next().unwrap_or(known)) == name;
        if misplaced { whole.min(1) } else { whole }
    };
    let limit = if written.len() < 6 { 1 } else { 2 };
    let (distance, known) = known_keys().into_iter().map(|known| (distance(&known), known)).min()?;
    (distance <= limit).then_some(known)
}

/// Only what tells keys apart: `heartbeatInterval` and `heartbeat_interval` are one. Cut short, since no typing
/// error is longer, and comparing takes the product of both lengths.
fn letters(key: &str) -> Vec<char> {
    key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).take(64).collect()
}

/// How many letters have to be changed, added or left out to make `a` of `b` (Levenshtein).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Every key there is, dotted, those without a default included.
pub(super) fn known_keys() -> Vec<String> {
    fn collect(prefix: &str, value: &serde_json::Value, keys: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(section) if !section.is_empty() => {
                for (name, value) in section {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    collect(&format!("{prefix}{dot}{name}"), value, keys);
                }
            }
            _ => keys.push(prefix.to_owned()),
        }
    }
    let mut keys = Vec::new();
    // Serializing the defaults cannot fail: all keys are strings.
    let defaults = crate::Config::default().serialize(serde_json::value::Serializer).unwrap_or_default();
    collect("", &defaults, &mut keys);
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_found_by_spelling_case_or_section() {
        let cases = [
            ("heartbeat_intervall", Some("heartbeat_interval")),
            ("heartbeatInterval", Some("heartbeat_interval")),
            ("remoteServicePath", Some("remote_service_path")),
            ("redis_url", Some("redis.url")),
            ("max_in_flight", Some("limits.max_in_flight")),
            ("redis.pasword", Some("redis.password")),
            ("limits.max_que", Some("limits.max_queue")),
            ("url", Some("redis.url")),
            ("timeuot", Some("timeout")),
            ("banana", None),
            ("", None),
        ];
        for (written, meant) in cases {
            assert_eq!(nearest(written).as_deref(), meant, "{written}");
        }
    }

    #[test]
    fn a_configuration_error_becomes_a_bad_request_with_its_text() {
        let error = rachis_core::Error::from(ConfigError::new("is wrong").at("key").written_in("a.toml"));
        assert_eq!(error.to_string(), "BadRequest: a.toml: `key` is wrong");
    }
}
