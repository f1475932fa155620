//! What is let through: paths by globs, names by lists.

use crate::{ConfigError, values::value};
use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;

/// Which paths are meant: a list of globs, or `true` (all) or `false` (none).
///
/// `*` matches any text, slashes included, so `api/*` is everything below `api` and `*` is everything; `?` is one
/// character, `{a,b}` either, `[a-z]` a range. A glob that begins with `!` takes paths out again, wherever in the list
/// it stands. A list of nothing but exclusions begins with everything; an empty list lets nothing through.
///
/// ```
/// use rachis::config::PathFilter;
///
/// let filter = PathFilter::new(["api/*", "!api/secret/*"])?;
/// assert!(filter.allows("api/v1/todos"));
/// assert!(!filter.allows("api/secret/keys"));
/// assert!(!filter.allows("users"));
/// # Ok::<_, rachis::config::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PathFilter {
    globs: Vec<String>,
    wanted: GlobSet,
    unwanted: GlobSet,
}

impl PathFilter {
    /// The filter of those globs; fails if one of them is not a glob.
    pub fn new<G: AsRef<str>>(globs: impl IntoIterator<Item = G>) -> Result<Self, ConfigError> {
        let globs = globs.into_iter().map(|glob| glob.as_ref().to_owned()).collect();
        PathFilter::compile(globs).map_err(ConfigError::new)
    }

    /// Lets every path through.
    pub fn all() -> Self {
        // The glob `*` always compiles.
        PathFilter::new(["*"]).unwrap_or_else(|_| PathFilter::none())
    }

    /// Lets no path through.
    pub fn none() -> Self {
        PathFilter { globs: Vec::new(), wanted: GlobSet::empty(), unwanted: GlobSet::empty() }
    }

    /// Whether `path` is let through; slashes at its ends do not matter.
    pub fn allows(&self, path: &str) -> bool {
        let path = path.trim_matches('/');
        self.wanted.is_match(path) && !self.unwanted.is_match(path)
    }

    fn compile(globs: Vec<String>) -> Result<Self, String> {
        let mut wanted = Vec::new();
        let mut unwanted = Vec::new();
        for glob in &globs {
            match glob.strip_prefix('!') {
                Some(glob) => unwanted.push(glob),
                None => wanted.push(glob.as_str()),
            }
        }
        if wanted.is_empty() && !unwanted.is_empty() {
            wanted.push("*");
        }
        Ok(PathFilter { wanted: set(&wanted)?, unwanted: set(&unwanted)?, globs })
    }
}

fn set(globs: &[&str]) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for text in globs {
        let stripped = text.trim_matches('/');
        if stripped.is_empty() {
            return Err("contains an empty glob: remove it, or use \"*\" for every path".into());
        }
        // A literal separator is off by default: `*` crosses slashes.
        set.add(Glob::new(stripped).map_err(|error| format!("contains {text:?}, not a glob: {}", error.kind()))?);
    }
    set.build().map_err(|error| format!("cannot be compiled: {}", error.kind()))
}

impl PartialEq for PathFilter {
    fn eq(&self, other: &Self) -> bool {
        self.globs == other.globs
    }
}

impl Serialize for PathFilter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.globs.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PathFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = Value::deserialize(deserializer)?;
        match (&found, value::strings(&found)) {
            (Value::Bool(true), _) => Ok(PathFilter::all()),
            (Value::Bool(false), _) => Ok(PathFilter::none()),
            (_, Some(globs)) => PathFilter::compile(globs).map_err(D::Error::custom),
            _ => Err(value::wrong(&found, "a list of globs such as [\"api/*\", \"!api/secret\"], or true or false")),
        }
    }
}

/// Which names of events or methods are meant: `true` (all a service declares), `false` (none), or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameFilter {
    /// Whatever the service declares.
    All,
    /// Of what the service declares, only these.
    Only(Vec<String>),
}

impl NameFilter {
    /// Whether `name` is let through.
    pub fn allows(&self, name: &str) -> bool {
        match self {
            NameFilter::All => true,
            NameFilter::Only(names) => names.iter().any(|allowed| allowed == name),
        }
    }

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(true) => Some(NameFilter::All),
            Value::Bool(false) => Some(NameFilter::Only(Vec::new())),
            list => value::strings(list).map(NameFilter::Only),
        }
    }
}

impl Serialize for NameFilter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            NameFilter::All => serializer.serialize_bool(true),
            NameFilter::Only(names) => names.serialize(serializer),
        }
    }
}

value::deserialize_by_reading!(NameFilter, "a list of names such as [\"created\", \"removed\"], or true or false");

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn globs_let_through_what_they_match() {
        let cases: [(&[&str], &str, bool); 17] = [
            (&["*"], "todos", true),
            (&["*"], "api/v1/todos", true),
            (&["api/*"], "api/todos", true),
            (&["api/*"], "api/v1/todos", true),
            (&["api/*"], "/api/todos/", true),
            (&["api/*"], "api", false),
            (&["api/*"], "users", false),
            (&["/users/"], "users", true),
            (&["users"], "users/1", false),
            (&["api/*", "users"], "users", true),
            (&["{users,todos}"], "todos", true),
            (&["v?"], "v2", true),
            (&["*", "!secret/*"], "secret/keys", false),
            (&["!secret/*", "*"], "secret/keys", false),
            (&["!secret/*"], "todos", true),
            (&["!secret/*"], "secret/keys", false),
            (&[], "todos", false),
        ];
        for (globs, path, allowed) in cases {
            assert_eq!(PathFilter::new(globs).unwrap().allows(path), allowed, "{globs:?} and {path}");
        }
    }

    #[test]
    fn true_and_false_stand_for_all_and_none() {
        let filter = |written| serde_json::from_value::<PathFilter>(written).unwrap();
        assert!(filter(json!(true)).allows("api/todos"));
        assert!(!filter(json!(false)).allows("api/todos"));
        assert_eq!(filter(json!(true)), filter(json!(["*"])));
    }

    #[test]
    fn what_is_not_a_glob_is_named_in_the_error() {
        let error = PathFilter::new(["api/*", "api/[a"]).unwrap_err().to_string();
        assert!(error.starts_with("contains \"api/[a\", not a glob: "), "{error}");
        for empty in ["", "!", "/"] {
            let error = PathFilter::new([empty]).unwrap_err().to_string();
            assert_eq!(error, "contains an empty glob: remove it, or use \"*\" for every path");
        }
    }

    #[test]
    fn a_name_filter_is_a_list_or_all_or_none() {
        let cases = [
            (json!(true), "created", true),
            (json!(false), "created", false),
            (json!(["created"]), "created", true),
            (json!(["created"]), "removed", false),
            (json!([]), "created", false),
        ];
        for (written, name, allowed) in cases {
            assert_eq!(NameFilter::read(&written).unwrap().allows(name), allowed, "{written}");
        }
        assert_eq!(NameFilter::read(&json!("created")), None);
        assert_eq!(NameFilter::read(&json!(["created", 1])), None);
    }
}
