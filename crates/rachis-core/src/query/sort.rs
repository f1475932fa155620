//! `$sort`: in which order.

use super::{
    compare::order,
    filter::integer,
    limits::{Budget, check_path},
    path::Path,
};
use crate::{Error, Result, error::excerpt};
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// What `$sort` asks for: fields, the most significant first, each ascending (`1`) or descending (`-1`).
///
/// Records that are equal in all of them stay in the order they were in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sort {
    keys: Vec<(Path, bool)>,
}

impl Sort {
    /// Reads `{ age: -1, name: 1 }`; directions may be strings, as they are in URLs.
    pub(super) fn parse(value: &Value, budget: &Budget) -> Result<Self> {
        let fields = value.as_object().ok_or_else(|| {
            Error::bad_request("Invalid value for $sort: use an object of fields and directions, as in { age: -1 }")
        })?;
        budget.check_sort(fields.len())?;
        let mut keys = Vec::with_capacity(fields.len());
        for (field, direction) in fields {
            check_path(field)?;
            let direction = integer(direction).ok_or_else(|| {
                let field = excerpt(field);
                Error::bad_request(format!("Invalid value for $sort: the direction of '{field}' must be 1 or -1"))
            })?;
            if direction != 0 {
                keys.push((Path::new(field), direction < 0));
            }
        }
        Ok(Sort { keys })
    }

    /// Does it leave everything as it is?
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys there are.
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Sorts `records`, of which only the first `wanted` have to be right and are kept.
    ///
    /// Knowing how many are wanted spares most of the work for a page out of many.
    pub fn sort<'a>(&self, records: Vec<&'a Map<String, Value>>, wanted: usize) -> Vec<&'a Map<String, Value>> {
        if self.is_empty() {
            return records;
        }
        // Looked up once for each record, not once for each comparison.
        let values: Vec<&Value> = records
            .iter()
            .flat_map(|record| self.keys.iter().map(|(path, _)| path.get(record).unwrap_or(&Value::Null)))
            .collect();
        let width = self.keys.len();
        let row = |index: usize| &values[index * width..(index + 1) * width];
        // The position decides between equals, which makes an unstable sort stable.
        let compare = |a: &usize, b: &usize| self.compare(row(*a), row(*b)).then_with(|| a.cmp(b));

        let mut order: Vec<usize> = (0..records.len()).collect();
        if wanted < order.len() {
            order.select_nth_unstable_by(wanted, compare);
            order.truncate(wanted);
        }
        order.sort_unstable_by(compare);
        order.into_iter().map(|index| records[index]).collect()
    }

    fn compare(&self, a: &[&Value], b: &[&Value]) -> Ordering {
        let mut ordered = self.keys.iter().zip(a.iter().zip(b)).map(|((_, descending), (a, b))| match order(a, b) {
            ascending if *descending => ascending.reverse(),
            ascending => ascending,
        });
        ordered.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}
