//! How broad a query may be.

use super::Syntax;
use crate::{Error, Result};
use serde_json::Value;

/// How deep a query may be nested, and how many names a path may have. Real ones stay below ten; without a bound, a hostile
/// one would exhaust the stack.
const DEPTH: usize = 32;
/// The longest value that an error carries along, in bytes of JSON.
const QUOTED: usize = 1024;

/// How broad a query may be; what exceeds a limit is refused with `BadRequest`, and nothing runs.
///
/// What a query costs is at most its conditions times the records it looks at. A node sets these limits for its services
/// by its configuration (`limits.query_conditions`, `query_items`, `query_sort_keys`); see
/// [`Params::query_limits`](crate::Params::query_limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Conditions, those within `$or` and `$and` among them: each operator of a field is one, and each array or object in
    /// the list of a `$in` or `$nin`. Default 1000.
    pub conditions: usize,
    /// Items of all lists together, and fields of all objects that are compared as a whole. Default 10,000.
    pub items: usize,
    /// Keys of `$sort`. Default 32.
    pub sort_keys: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { conditions: 1000, items: 10_000, sort_keys: 32 }
    }
}

/// What is left of the limits while a query is read, and what it may say.
pub(super) struct Budget {
    limits: Limits,
    syntax: Syntax,
    conditions: usize,
    items: usize,
}

impl Budget {
    pub(super) fn new(limits: &Limits, syntax: Syntax) -> Self {
        Budget { limits: *limits, syntax, conditions: limits.conditions, items: limits.items }
    }

    /// What the query may say beside Feathers' common syntax.
    pub(super) fn syntax(&self) -> Syntax {
        self.syntax
    }

    /// # Errors
    /// `BadRequest` when there are more conditions than the limit.
    pub(super) fn take_conditions(&mut self, count: usize) -> Result<()> {
        take(&mut self.conditions, count)
            .ok_or_else(|| exceeded("conditions", self.limits.conditions, "limits.query_conditions"))
    }

    /// # Errors
    /// `BadRequest` when there are more items than the limit.
    pub(super) fn take_items(&mut self, count: usize) -> Result<()> {
        take(&mut self.items, count)
            .ok_or_else(|| exceeded("items in its lists and objects", self.limits.items, "limits.query_items"))
    }

    /// # Errors
    /// `BadRequest` when there are more keys than the limit.
    pub(super) fn check_sort(&self, keys: usize) -> Result<()> {
        let most = self.limits.sort_keys;
        if keys > most { Err(exceeded("keys in $sort", most, "limits.query_sort_keys")) } else { Ok(()) }
    }
}

fn take(left: &mut usize, count: usize) -> Option<()> {
    *left = left.checked_sub(count)?;
    Some(())
}

fn exceeded(what: &str, most: usize, key: &str) -> Error {
    Error::bad_request(format!("The query has more than {most} {what}, which is the limit `{key}`"))
}

/// # Errors
/// `BadRequest` for what is nested too deep.
pub(super) fn check_depth(depth: usize) -> Result<()> {
    if depth > DEPTH {
        return Err(Error::bad_request(format!("The query is nested deeper than {DEPTH} levels")));
    }
    Ok(())
}

/// # Errors
/// `BadRequest` for a path of too many names.
pub(super) fn check_path(key: &str) -> Result<()> {
    check_depth(key.split('.').take(DEPTH + 1).count())
}

/// The error with the value it is about, unless that is large: an answer does not grow with what was asked.
pub(super) fn about(error: Error, value: &Value) -> Error {
    let is_small = serde_json::to_vec(value).is_ok_and(|json| json.len() <= QUOTED);
    if is_small { error.with_data(value.clone()) } else { error }
}
