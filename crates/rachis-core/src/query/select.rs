//! `$select`: which fields.

use super::{Filter, Query};
use crate::{Error, Params, Result};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// What `$select` asks for: some fields, or all when it was not given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Select {
    // Each with its place among the others.
    fields: Option<HashMap<String, usize>>,
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
        let mut fields = HashMap::new();
        for item in items {
            let place = fields.len();
            fields.entry(name(item)?).or_insert(place);
        }
        Ok(Select { fields: Some(fields) })
    }

    /// Reads the `$select` of a call, and nothing else of its query.
    ///
    /// # Errors
    /// `BadRequest` for anything but a list of names within the limits of the call.
    pub fn of(params: &Params) -> Result<Self> {
        match params.query.get("$select") {
            Some(names) => {
                let query = Query::new().with("$select", names.clone());
                Ok(Filter::parse_within(&query, &params.query_limits())?.into_select())
            }
            None => Ok(Select::default()),
        }
    }

    /// Reduces a record, a list or a page to the fields asked for, and `id`; other values stay as they are.
    pub(crate) fn reduce(&self, result: Value, id: &str) -> Value {
        if self.is_all() {
            return result;
        }
        match result {
            Value::Object(record) => self.pick(&record, id),
            Value::Array(records) => records.into_iter().map(|record| self.reduce(record, id)).collect(),
            other => other,
        }
    }

    /// Returns `true` if all fields are selected.
    pub fn is_all(&self) -> bool {
        self.fields.is_none()
    }

    /// Returns `true` if `name` is among the fields asked for.
    pub fn names(&self, name: &str) -> bool {
        self.fields.as_ref().is_none_or(|fields| fields.contains_key(name))
    }

    /// A copy of `record` with the fields asked for, in the order they were asked for, and always with `id`.
    pub fn pick(&self, record: &Map<String, Value>, id: &str) -> Value {
        let Some(fields) = &self.fields else { return Value::Object(record.clone()) };
        // By what the record has, so that a long list of names costs no more than the record.
        let mut picked: Vec<_> = record
            .iter()
            .filter_map(|(name, value)| {
                let place = fields.get(name).copied();
                place.or((name == id).then_some(usize::MAX)).map(|place| (place, name, value))
            })
            .collect();
        picked.sort_unstable_by_key(|(place, ..)| *place);
        picked.into_iter().map(|(_, name, value)| (name.clone(), value.clone())).collect()
    }
}

fn name(value: &Value) -> Result<String> {
    match value {
        Value::String(name) => Ok(name.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(Error::bad_request("Invalid value for $select: use a list of field names")),
    }
}
