//! How single values are read: by what they say, whatever shape of TOML or text they come in.

use serde::de::{self, Unexpected};
use serde_json::Value;

/// Implements `Deserialize` by `read(&Value) -> Option<Self>`; the text says what is expected where it returns `None`.
macro_rules! deserialize_by_reading {
    ($type:ty, $expected:expr) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                let value = serde_json::Value::deserialize(deserializer)?;
                <$type>::read(&value).ok_or_else(|| crate::values::value::wrong(&value, $expected))
            }
        }
    };
}
pub(crate) use deserialize_by_reading;

/// The error for a value that is not what was expected. It carries the value apart from the words, so that code that
/// prints it can hide a secret.
pub(crate) fn wrong<E: de::Error>(found: &Value, expected: &str) -> E {
    let unexpected = match found {
        Value::Null => Unexpected::Unit,
        Value::Bool(bool) => Unexpected::Bool(*bool),
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(unsigned), _) => Unexpected::Unsigned(unsigned),
            (None, Some(signed)) => Unexpected::Signed(signed),
            (None, None) => Unexpected::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
    };
    E::invalid_value(unexpected, &expected)
}

/// A list of strings, or nothing if any of it is something else.
pub(crate) fn strings(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}
