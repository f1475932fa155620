//! A query as it came in: not yet checked, not yet applied.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::ops::{Deref, DerefMut};

/// The query of a call: a JSON object such as `{ "done": false, "$limit": 10 }`.
///
/// It dereferences to the map. What its keys mean is up to the service; [`MemoryService`](crate::MemoryService)
/// understands Feathers' common syntax.
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
