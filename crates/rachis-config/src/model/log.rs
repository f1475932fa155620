//! The table `log`: what a program says while it runs.

use crate::values::value;
use serde::{Deserialize, Serialize};

/// What is said while running.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// A level, or a filter such as `info,rachis=debug`. Default `info`.
    pub level: String,
    /// In which form. Default [`LogFormat::Auto`].
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people in a terminal, as JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

// Not derived: figment would also take 0, 1 and 2.
impl LogFormat {
    fn read(value: &serde_json::Value) -> Option<Self> {
        match value.as_str()? {
            "auto" => Some(LogFormat::Auto),
            "human" => Some(LogFormat::Human),
            "json" => Some(LogFormat::Json),
            _ => None,
        }
    }
}

value::deserialize_by_reading!(LogFormat, "\"auto\", \"human\" or \"json\"");
