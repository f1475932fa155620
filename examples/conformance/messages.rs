//! A collection with methods and an event of its own.

use rachis::{Error, MemoryService, Params, Registration, Result, ServiceExt, schema::Schemas};
use serde_json::{Value, json};

pub(crate) fn messages() -> Registration {
    MemoryService::new()
        .multi(true)
        .paginate(10, 50)
        .method("shout", shout)
        .method("announce", announce)
        .events(["announced"])
        .schemas(Schemas::new())
}

async fn shout(_: &MemoryService, data: Value, params: Params) -> Result<Value> {
    if data["fail"].as_bool().unwrap_or_default() {
        return Err(Error::unprocessable("Can not shout").with_errors(json!({ "text": "too quiet" })));
    }
    let text = data["text"].as_str().unwrap_or_default().to_uppercase();
    Ok(json!({ "text": text, "provider": params.provider, "query": Value::from(params.query.clone()) }))
}

async fn announce(_: &MemoryService, data: Value, params: Params) -> Result<Value> {
    params.service("messages").emit("announced", json!({ "text": data["text"] }))?;
    Ok(json!({ "announced": true }))
}
