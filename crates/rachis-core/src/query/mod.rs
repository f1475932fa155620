//! Queries: what callers ask for ([`Query`]), and the engine that checks and answers it ([`Filter`]).
//!
//! The engine understands the syntax common to Feathers' database adapters. [`MemoryService`](crate::MemoryService)
//! runs on it; a service over a store of its own may too. [`Filter::evaluate`] keeps long queries off the threads of the
//! runtime, and ends those whose callers have gone.
//!
//! ```
//! use rachis::query::{Filter, Query};
//! use serde_json::json;
//!
//! let query = Query::new().with("age", json!({ "$gte": 18 })).with("$sort", json!({ "age": -1 })).with("$limit", 1);
//! let filter = Filter::parse(&query)?;
//!
//! let people = [json!({ "name": "Ada", "age": 36 }), json!({ "name": "Bo", "age": 7 }), json!({ "name": "Cy", "age": 50 })];
//! let found = filter.find(people.iter().filter_map(|person| person.as_object()), filter.limit());
//! assert_eq!((found.total, found.records.len()), (2, 1));
//! assert_eq!(found.records[0]["name"], "Cy");
//! # Ok::<(), rachis::Error>(())
//! ```

mod compare;
mod evaluation;
mod filter;
mod limits;
mod matcher;
mod narrow;
mod path;
mod select;
mod set;
mod sort;
mod syntax;

pub use compare::{equal, order};
pub use evaluation::Evaluation;
#[cfg(test)]
pub(crate) use evaluation::all_turns;
pub use filter::{Filter, Found};
pub use limits::Limits;
pub use matcher::{Condition, Matcher, Relation, Test};
pub use path::Path;
pub use select::Select;
pub use set::Set;
pub use sort::Sort;
pub use syntax::Syntax;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::ops::{Deref, DerefMut};

/// The query of a call: a JSON object such as `{ "done": false, "$limit": 10 }`.
///
/// It dereferences to the map. What its keys mean is up to the service; [`MemoryService`](crate::MemoryService)
/// understands Feathers' common syntax, of which [`Filter`] tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Query(Map<String, Value>);

impl Query {
    /// A query that asks for everything.
    pub fn new() -> Self {
        Query::default()
    }

    /// Adds or replaces one key.
    ///
    /// ```
    /// use rachis::Query;
    ///
    /// let query = Query::new().with("done", true).with("$limit", 10);
    /// assert_eq!(query.len(), 2);
    /// ```
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }
}

impl Deref for Query {
    type Target = Map<String, Value>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Query {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl From<Map<String, Value>> for Query {
    fn from(map: Map<String, Value>) -> Self {
        Query(map)
    }
}

impl From<Value> for Query {
    fn from(value: Value) -> Self {
        match value {
            Value::Object(map) => Query(map),
            _ => Query::default(),
        }
    }
}

impl From<Query> for Value {
    fn from(query: Query) -> Value {
        Value::Object(query.0)
    }
}
