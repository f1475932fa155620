//! What the operations of all services are put together in.

use super::components::Components;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The parts of a document that services add to.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) components: Components,
    /// By name.
    pub(super) parameters: Map<String, Value>,
    /// The operations, by path and verb.
    pub(super) paths: Map<String, Value>,
    /// How often each id was wanted.
    operation_ids: BTreeMap<String, usize>,
}

impl Parts {
    /// Adds an operation. Its id is made of what it does and of the service's path.
    pub(super) fn operation(&mut self, key: &str, verb: &str, name: &str, mut operation: Value) {
        let uses = self.operation_ids.entry(name.to_owned()).or_default();
        *uses += 1;
        operation["operationId"] = if *uses == 1 { name.into() } else { format!("{name}{uses}").into() };
        let item = self.paths.entry(key).or_insert_with(|| json!({}));
        item[verb] = operation;
    }
}
