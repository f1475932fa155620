//! A service that says what came.

use rachis::{Error, Id, Method, Params, Result, Service};
use serde_json::{Map, Value, json};

pub(crate) struct Echo;

impl Service for Echo {
    // All but `internalOnly`, which stays for code of this process.
    const METHODS: &'static [Method] = &[
        Method::Find,
        Method::Get,
        Method::Create,
        Method::Update,
        Method::Patch,
        Method::Remove,
        Method::custom("inspect"),
    ];

    async fn find(&self, params: Params) -> Result<Value> {
        Ok(said("find", None, None, &params))
    }

    async fn get(&self, id: Id, params: Params) -> Result<Value> {
        Ok(said("get", Some(Some(id)), None, &params))
    }

    async fn create(&self, data: Value, params: Params) -> Result<Value> {
        Ok(said("create", None, Some(data), &params))
    }

    async fn update(&self, id: Option<Id>, data: Value, params: Params) -> Result<Value> {
        Ok(said("update", Some(id), Some(data), &params))
    }

    async fn patch(&self, id: Option<Id>, data: Value, params: Params) -> Result<Value> {
        Ok(said("patch", Some(id), Some(data), &params))
    }

    async fn remove(&self, id: Option<Id>, params: Params) -> Result<Value> {
        Ok(said("remove", Some(id), None, &params))
    }

    async fn custom(&self, method: &str, data: Value, params: Params) -> Result<Value> {
        match method {
            "inspect" | "internalOnly" => Ok(said(method, None, Some(data), &params)),
            _ => Err(Error::method_not_allowed(format!("echo has no method {method}"))),
        }
    }
}

/// `id` is missing for methods that take none, and null for many records.
fn said(method: &str, id: Option<Option<Id>>, data: Option<Value>, params: &Params) -> Value {
    let headers: Map<String, Value> = ["x-compat", "authorization"]
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), params.headers.get(*name)?.as_str().into())))
        .collect();
    let mut said = json!({
        "method": method,
        "query": Value::from(params.query.clone()),
        "route": params.route,
        "provider": params.provider,
        "headers": headers,
        "authentication": params.authentication,
        "authenticated": params.authenticated,
        "hasUser": params.user.is_some(),
        "ip": params.ip(),
    });
    if let Some(id) = id {
        said["id"] = id.map_or(Value::Null, Value::from);
    }
    if let Some(data) = data {
        said["data"] = data;
    }
    said
}
