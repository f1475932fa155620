//! Fields of which no two records may have the same value.

use super::records::Record;
use crate::{Error, Result};
use serde_json::Value;
use std::collections::HashMap;

/// For each unique field, which record has a value.
#[derive(Debug, Default)]
pub(super) struct Unique {
    fields: Vec<(String, HashMap<String, u64>)>,
}

impl Unique {
    pub(super) fn new(fields: impl Iterator<Item = String>) -> Self {
        Unique { fields: fields.map(|field| (field, HashMap::new())).collect() }
    }

    /// Looks whether `record` may stand at `at`.
    ///
    /// # Errors
    /// `Conflict` if another record has one of its values.
    pub(super) fn check(&self, record: &Record, at: u64) -> Result<()> {
        for (field, taken) in &self.fields {
            if key(record, field).and_then(|key| taken.get(&key)).is_some_and(|owner| *owner != at) {
                return Err(conflict(field));
            }
        }
        Ok(())
    }

    /// Looks whether several records may have the fields of `data`.
    ///
    /// # Errors
    /// `Conflict` if one of them is unique.
    pub(super) fn check_shared(&self, data: &Record) -> Result<()> {
        match self.fields.iter().find(|(field, _)| key(data, field).is_some()) {
            Some((field, _)) => Err(conflict(field)),
            None => Ok(()),
        }
    }

    pub(super) fn add(&mut self, record: &Record, at: u64) {
        for (field, taken) in &mut self.fields {
            if let Some(key) = key(record, field) {
                taken.insert(key, at);
            }
        }
    }

    pub(super) fn remove(&mut self, record: &Record) {
        for (field, taken) in &mut self.fields {
            if let Some(key) = key(record, field) {
                taken.remove(&key);
            }
        }
    }
}

/// The value of a field as text, which differs where values do; `None` for one that does not count. Numbers are written as
/// JavaScript does, for which `7` and `7.0` are the same.
fn key(record: &Record, field: &str) -> Option<String> {
    match record.get(field)? {
        Value::Null => None,
        Value::Number(number) if number.as_f64().is_some_and(|float| float.fract() == 0.0) => Some(
            number
                .as_i64()
                .map_or_else(|| format!("{:.0}", number.as_f64().unwrap_or_default()), |whole| whole.to_string()),
        ),
        value => Some(value.to_string()),
    }
}

fn conflict(field: &str) -> Error {
    Error::conflict(format!("Another record has the same '{field}'"))
}
