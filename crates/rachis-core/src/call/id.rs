//! What names one record of a service.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// The id of a record: a whole number or a string.
///
/// Ids that come in over REST are strings, since a URL knows no types; [`MemoryService`](crate::MemoryService)
/// therefore finds record `1` by `"1"` too. A call about many records has no id (`None`).
///
/// ```
/// use rachis::Id;
///
/// assert_eq!(Id::from(7).to_string(), "7");
/// assert_ne!(Id::from(7), Id::from("7"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Id {
    /// A whole number.
    Number(i64),
    /// Any text.
    String(String),
}

impl Id {
    /// Reads an id out of JSON: integers and strings are ids, and so is the text of any other number or boolean.
    /// `null`, arrays and objects are none.
    pub fn from_json(value: &Value) -> Option<Id> {
        match value {
            Value::Number(number) => Some(number.as_i64().map_or_else(|| Id::String(number.to_string()), Id::Number)),
            Value::String(text) => Some(Id::String(text.clone())),
            Value::Bool(flag) => Some(Id::String(flag.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Number(number) => number.fmt(f),
            Id::String(text) => text.fmt(f),
        }
    }
}

impl From<Id> for Value {
    fn from(id: Id) -> Value {
        match id {
            Id::Number(number) => number.into(),
            Id::String(text) => text.into(),
        }
    }
}

impl From<&str> for Id {
    fn from(text: &str) -> Id {
        Id::String(text.to_owned())
    }
}

impl From<String> for Id {
    fn from(text: String) -> Id {
        Id::String(text)
    }
}

impl From<&Id> for Id {
    fn from(id: &Id) -> Id {
        id.clone()
    }
}

macro_rules! from_integers {
    ($($integer:ty),*) => { $(
        impl From<$integer> for Id {
            fn from(number: $integer) -> Id {
                Id::Number(number.into())
            }
        }
    )* };
}
from_integers!(i64, i32, u32, u16, u8);
