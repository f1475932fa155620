//! A service with two methods, and no others.

use rachis::{Id, Method, Params, Result, Service};
use serde_json::{Value, json};

pub(crate) struct Readonly;

impl Service for Readonly {
    const METHODS: &'static [Method] = &[Method::Find, Method::Get];

    async fn find(&self, _: Params) -> Result<Value> {
        Ok(json!([]))
    }

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        Ok(json!({ "id": id }))
    }
}
