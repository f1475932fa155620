//! A service that only fails, in every way there is.

use rachis::{Error, ErrorKind, Id, Method, Params, Result, Service};
use serde_json::{Value, json};
use std::fmt;

pub(crate) struct Failures;

impl Service for Failures {
    const METHODS: &'static [Method] = &[Method::Find, Method::Get, Method::Create];

    async fn find(&self, _: Params) -> Result<Value> {
        Err(Error::forbidden("no data"))
    }

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        let id = id.to_string();
        Err(match id.as_str() {
            "plain" => Error::other("plain failure"),
            "custom" => Error::other(MyError),
            "bare" => ErrorKind::NotFound.into(),
            _ => match ErrorKind::ALL.iter().find(|kind| kind.name() == id) {
                Some(kind) => Error::new(*kind, format!("failure {id}"))
                    .with_data(json!({ "reason": id, "nested": { "deep": true } }))
                    .with_errors(json!({ "field": "invalid" })),
                None => Error::not_found(format!("No failure is called '{id}'")),
            },
        })
    }

    async fn create(&self, _: Value, _: Params) -> Result<Value> {
        Err(Error::conflict("array data").with_data(json!(["a", "b"])))
    }
}

/// An error of the application's own, which knows nothing of services.
#[derive(Debug)]
struct MyError;

impl fmt::Display for MyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("custom failure")
    }
}

impl std::error::Error for MyError {}
