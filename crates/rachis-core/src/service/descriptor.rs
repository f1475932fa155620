//! What a service says of itself to others.

use crate::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The face of a service: what discovery announces and predicates judge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its path, without outer slashes, with `:placeholders`.
    pub path: String,
    /// The methods that may be called from outside.
    pub methods: Vec<Method>,
    /// Its events, the standard ones included.
    pub events: Vec<String>,
    /// The methods, beside the standard idempotent ones, that may run twice with the effect of once.
    #[serde(default)]
    pub idempotent: Vec<Method>,
    /// Whatever else its application wants others to know.
    #[serde(default)]
    pub options: Map<String, Value>,
}

impl Descriptor {
    /// A face with these methods and nothing else. Its path is empty, until it is registered.
    pub fn new(methods: impl IntoIterator<Item = impl Into<Method>>) -> Self {
        Descriptor {
            path: String::new(),
            methods: methods.into_iter().map(Into::into).collect(),
            events: Vec::new(),
            idempotent: Vec::new(),
            options: Map::new(),
        }
    }

    /// Returns `true` if a call of `method` may be delivered again after its replica died.
    pub fn is_idempotent(&self, method: &Method) -> bool {
        method.is_idempotent() || self.idempotent.contains(method)
    }
}
