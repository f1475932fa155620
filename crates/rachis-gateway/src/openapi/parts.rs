//! What the operations of all services are put together in.

use super::{components::Components, names};
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
    /// What gets its place once those of all services are known.
    custom: Vec<Custom>,
}

/// The operation of a custom method.
pub(super) struct Custom {
    /// The path of its service.
    pub(super) path: String,
    /// What the method is called.
    pub(super) method: String,
    /// What its id is made of.
    pub(super) name: String,
    pub(super) operation: Value,
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

    /// Adds the operation of a custom method.
    pub(super) fn custom(&mut self, custom: Custom) {
        self.custom.push(custom);
    }

    /// Gives custom methods their places: below the paths of their services, by their names.
    ///
    /// Where that is the path of another service, or no one segment, the method is named by a header, and what stands behind a
    /// `#`, which no client sends, keeps the methods apart: one path has one `POST`.
    pub(super) fn place_custom(&mut self) {
        for Custom { path, method, name, mut operation } in std::mem::take(&mut self.custom) {
            let below = format!("{}/{}", path.trim_end_matches('/'), names::encoded(&method));
            if !method.contains('/') && !self.paths.contains_key(&below) {
                self.operation(&below, "post", &name, operation);
                continue;
            }
            if let Some(parameters) = operation["parameters"].as_array_mut() {
                parameters.push(json!({
                    "name": "X-Service-Method",
                    "in": "header",
                    "required": true,
                    "description": "Names the method: without it, a POST creates",
                    "schema": { "type": "string", "enum": [method] },
                }));
            }
            self.operation(&format!("{path}#{}", names::encoded(&method)), "post", &name, operation);
        }
    }
}
