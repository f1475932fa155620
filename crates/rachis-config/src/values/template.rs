//! The path under which a remote service is known here.

use crate::ConfigError;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// A template of `{path}`, `{key}` and `{app}`, and text that stays as it is.
///
/// `{path}` has to occur: without it, all remote services would get one path.
///
/// ```
/// use rachis::config::PathTemplate;
///
/// let template: PathTemplate = "remote/{path}".parse()?;
/// assert_eq!(template.apply("api/todos", "default", "todos"), "remote/api/todos");
/// # Ok::<_, rachis::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Path,
    Key,
    App,
}

impl PathTemplate {
    /// The local path of the remote service `path` of the app `key/app`, without slashes at its ends.
    pub fn apply(&self, path: &str, key: &str, app: &str) -> String {
        let fill = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Path => path.trim_matches('/').to_owned(),
            Part::Key => key.to_owned(),
            Part::App => app.to_owned(),
        };
        let filled: String = self.parts.iter().map(fill).collect();
        filled.trim_matches('/').to_owned()
    }

    /// Returns `true` if every path stays as it is.
    pub fn changes_nothing(&self) -> bool {
        self.parts == [Part::Path]
    }

    fn parse(mut rest: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        while let Some((text, after)) = rest.split_once('{') {
            parts.push(Part::literal(text)?);
            let Some((name, after)) = after.split_once('}') else {
                return Err("has a { without a }: close it".into());
            };
            parts.push(Part::placeholder(name)?);
            rest = after;
        }
        parts.push(Part::literal(rest)?);
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        if parts.contains(&Part::Path) {
            Ok(PathTemplate { parts })
        } else {
            Err("has no {path}: without it, all remote services would get one path".into())
        }
    }
}

impl Part {
    fn literal(text: &str) -> Result<Part, String> {
        if text.contains('}') { Err("has a } without a {: open it".into()) } else { Ok(Part::Text(text.to_owned())) }
    }

    fn placeholder(name: &str) -> Result<Part, String> {
        match name {
            "path" => Ok(Part::Path),
            "key" => Ok(Part::Key),
            "app" => Ok(Part::App),
            _ => Err(format!("has the unknown placeholder {{{name}}}: use {{path}}, {{key}} and {{app}}")),
        }
    }
}

impl FromStr for PathTemplate {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        PathTemplate::parse(text).map_err(ConfigError::new)
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Path => f.write_str("{path}"),
            Part::Key => f.write_str("{key}"),
            Part::App => f.write_str("{app}"),
        })
    }
}

impl Serialize for PathTemplate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PathTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PathTemplate::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in_and_slashes_at_the_ends_stripped() {
        let cases = [
            ("{path}", "api/todos"),
            ("remote/{path}", "remote/api/todos"),
            ("/{key}/{app}/{path}/", "blue/shop/api/todos"),
            ("{path}-{path}", "api/todos-api/todos"),
        ];
        for (template, expected) in cases {
            let template: PathTemplate = template.parse().unwrap();
            assert_eq!(template.apply("/api/todos/", "blue", "shop"), expected);
            assert_eq!(template.to_string().parse::<PathTemplate>().unwrap(), template);
        }
    }

    #[test]
    fn a_filled_in_value_is_not_read_as_a_template_again() {
        assert_eq!("{app}/{path}".parse::<PathTemplate>().unwrap().apply("{key}", "k", "{path}"), "{path}/{key}");
    }

    #[test]
    fn a_template_that_makes_no_sense_says_why() {
        let cases = [
            ("{path}/{name}", "has the unknown placeholder {name}: use {path}, {key} and {app}"),
            ("{path", "has a { without a }: close it"),
            ("path}", "has a } without a {: open it"),
            ("remote", "has no {path}: without it, all remote services would get one path"),
            ("", "has no {path}: without it, all remote services would get one path"),
        ];
        for (template, error) in cases {
            assert_eq!(template.parse::<PathTemplate>().unwrap_err().to_string(), error, "{template}");
        }
    }
}
