//! `$select`: which fields.

use crate::{Error, Result};
use serde_json::{Map, Value};

/// What `$select` asks for: some fields, or all when it was not given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Select {
    fields: Option<Vec<String>>,
}

impl Select {
    /// Reads a list of field names, or a single one.
    ///
    /// # Errors
    /// `BadRequest` for anything else.
    pub fn parse(value: &Value) -> Result<Self> {
        let items = match value {
            Value::Array(items) => items.as_slice(),
            single => std::slice::from_ref(single),
        };
        Ok(Select { fields: Some(items.iter().map(name).collect::<Result<_>>()?) })
    }

    /// Does it want all fields?
    pub fn is_all(&self) -> bool {
        self.fields.is_none()
    }

    /// A copy of `record` with the fields asked for, in the order they were asked for, and always with `id`.
    pub fn pick(&self, record: &Map<String, Value>, id: &str) -> Value {
        let Some(fields) = &self.fields else { return Value::Object(record.clone()) };
        let names = fields.iter().map(String::as_str).chain([id]);
        names.filter_map(|name| Some((name.to_owned(), record.get(name)?.clone()))).collect()
    }
}

fn name(value: &Value) -> Result<String> {
    match value {
        Value::String(name) => Ok(name.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(Error::bad_request("Invalid value for $select: use a list of field names")),
    }
}
