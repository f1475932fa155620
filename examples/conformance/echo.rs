//! A service that says what came.

use rachis::{Answer, BoxFuture, Call, Descriptor, DynService, Error, Method, Result};
use serde_json::{Map, Value, json};
use std::future::ready;

pub(crate) struct Echo;

impl DynService for Echo {
    // All but `internalOnly`, which stays for code of this process.
    fn descriptor(&self) -> Descriptor {
        Descriptor::new(Method::STANDARD.iter().cloned().chain([Method::custom("inspect")]))
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer>> {
        Box::pin(ready(said(call).map(Answer::from)))
    }
}

fn said(Call { method, id, data, params, .. }: Call) -> Result<Value> {
    let headers: Map<String, Value> = ["x-compat", "authorization"]
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), params.headers.get(*name)?.as_str().into())))
        .collect();
    let mut said = json!({
        "method": method.name(),
        "query": Value::from(params.query.clone()),
        "route": params.route,
        "provider": params.provider,
        "headers": headers,
        "authentication": params.authentication,
        "authenticated": params.authenticated,
        "hasUser": params.user.is_some(),
        "ip": params.ip(),
    });
    if matches!(method, Method::Get | Method::Update | Method::Patch | Method::Remove) {
        // Null for many records.
        said["id"] = id.map_or(Value::Null, Value::from);
    }
    match (&method, method.name()) {
        (Method::Find | Method::Get | Method::Remove, _) => {}
        (Method::Create | Method::Update | Method::Patch, _) | (_, "inspect" | "internalOnly") => said["data"] = data,
        (_, name) => return Err(Error::method_not_allowed(format!("echo has no method {name}"))),
    }
    Ok(said)
}
