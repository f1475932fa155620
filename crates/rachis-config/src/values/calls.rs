//! Which calls are meant: paths by globs, methods by name.

use crate::{ConfigError, values::value};
use globset::{Glob, GlobMatcher};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;

/// Which calls are meant: a list of globs over paths, each with or without `:method` at its end.
///
/// `users` is every method of `users`, `users:create` only that one; `api/*` is everything below `api`, `api/*:find`
/// every list there. `*` crosses slashes, as in [`PathFilter`](crate::PathFilter). What begins with `!` takes calls out
/// again, wherever in the list it stands. Nothing is meant that is not named: an empty list means no call.
///
/// Paths are those that are called, so `orgs/*/news` is what a service `orgs/:orgId/news` is written as.
///
/// ```
/// use rachis::config::CallFilter;
///
/// let filter = CallFilter::new(["users:create", "news", "!news:remove"])?;
/// assert!(filter.allows("users", "create") && !filter.allows("users", "find"));
/// assert!(filter.allows("news", "find") && !filter.allows("news", "remove"));
/// # Ok::<_, rachis::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct CallFilter {
    written: Vec<String>,
    wanted: Vec<Rule>,
    unwanted: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    path: GlobMatcher,
    /// `None`: every method.
    method: Option<String>,
}

impl CallFilter {
    /// The filter of those texts; fails for one that is no glob or names no method behind its colon, and for a list of
    /// nothing but exclusions, which says too little of what is let through.
    pub fn new<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, ConfigError> {
        CallFilter::compile(texts.into_iter().map(|text| text.as_ref().to_owned()).collect()).map_err(ConfigError::new)
    }

    /// Whether a call of `method` at `path` is meant; slashes at the ends of the path do not matter.
    pub fn allows(&self, path: &str, method: &str) -> bool {
        let path = path.trim_matches('/');
        let any = |rules: &[Rule]| rules.iter().any(|rule| rule.matches(path, method));
        any(&self.wanted) && !any(&self.unwanted)
    }

    fn compile(written: Vec<String>) -> Result<Self, String> {
        let mut filter = CallFilter::default();
        for text in &written {
            match text.strip_prefix('!') {
                Some(rest) => filter.unwanted.push(Rule::read(rest, text)?),
                None => filter.wanted.push(Rule::read(text, text)?),
            }
        }
        if filter.wanted.is_empty() && !filter.unwanted.is_empty() {
            return Err("has nothing but exclusions: add what they are taken from, e.g. \"*\"".into());
        }
        Ok(CallFilter { written, ..filter })
    }
}

impl Rule {
    fn read(rule: &str, text: &str) -> Result<Self, String> {
        let (path, method) = match rule.rsplit_once(':') {
            Some((path, method)) if !path.is_empty() && !path.ends_with('/') && !method.contains('/') => {
                (path, Some(method))
            }
            None => (rule, None),
            Some(_) => return Err(format!("contains {text:?}: write * for a placeholder, since calls have none")),
        };
        let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-$".contains(c));
        if method.is_some_and(|method| !is_name(method)) {
            return Err(format!(
                "contains {text:?}, which names no method: write path:method, or the path alone for all methods"
            ));
        }
        let stripped = path.trim_matches('/');
        if stripped.is_empty() {
            return Err("contains an empty glob: remove it, or use \"*\" for every path".into());
        }
        let glob = Glob::new(stripped).map_err(|error| format!("contains {text:?}, not a glob: {}", error.kind()))?;
        Ok(Rule { path: glob.compile_matcher(), method: method.map(str::to_owned) })
    }

    fn matches(&self, path: &str, method: &str) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted == method) && self.path.is_match(path)
    }
}

impl PartialEq for CallFilter {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for CallFilter {}

impl Serialize for CallFilter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CallFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = Value::deserialize(deserializer)?;
        match value::strings(&found) {
            Some(texts) => CallFilter::compile(texts).map_err(D::Error::custom),
            None => Err(value::wrong(&found, "a list of globs such as [\"news\", \"users:create\"]")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        CallFilter::new([text]).unwrap_err().to_string()
    }

    #[test]
    fn no_call_is_meant_that_is_not_named() {
        assert!(!CallFilter::new::<&str>([]).unwrap().allows("users", "find"));
        let filter = CallFilter::new(["/news/", "users:create"]).unwrap();
        for (path, method) in [("news", "find"), ("/news/", "shout"), ("users", "create")] {
            assert!(filter.allows(path, method), "{path} {method}");
        }
        for (path, method) in [("news/1", "find"), ("xnews", "find"), ("News", "find"), ("users", "find"), ("", "get")]
        {
            assert!(!filter.allows(path, method), "{path} {method}");
        }
    }

    #[test]
    fn globs_cross_slashes_and_exclusions_win_wherever_they_stand() {
        let filter = CallFilter::new(["!api/keys", "api/*:find", "!*:remove", "open/*"]).unwrap();
        assert!(filter.allows("api/v1/todos", "find") && filter.allows("open/a", "patch"));
        assert!(!filter.allows("api/v1/todos", "get") && !filter.allows("api/keys", "find"));
        assert!(!filter.allows("open/a", "remove"));
    }

    #[test]
    fn what_makes_no_sense_says_what_to_write() {
        for (text, words) in [
            ("users:", "names no method"),
            ("users:*", "names no method"),
            ("users:a b", "names no method"),
            ("orgs/:orgId", "write * for a placeholder"),
            ("orgs/:orgId/news", "write * for a placeholder"),
            (":tenant", "write * for a placeholder"),
            ("", "empty glob"),
            ("/", "empty glob"),
            ("api/[a", "not a glob"),
            ("!news", "nothing but exclusions"),
        ] {
            assert!(refusal(text).contains(words), "{text}: {}", refusal(text));
        }
    }
}
