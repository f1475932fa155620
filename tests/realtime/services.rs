//! Services that show what reached them, and an authentication service that believes everybody.

use rachis::{App, Context, Error, Id, MemoryService, Method, Params, Registration, Result, Service, ServiceExt};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;

pub(crate) fn app() -> App {
    App::new()
        .register("todos", todos())
        .register("notes", todos())
        .register("echo", Echo)
        .register("orgs/:orgId/echo", Echo)
        .register("failures", Failures)
        .register("dispatch", Echo.after(Method::Get, dispatch))
        .register("readonly", Registration::from(Echo).methods([Method::Find]))
        .register("authentication", Authentication)
}

pub(crate) fn todos() -> MemoryService {
    MemoryService::new().multi(true)
}

/// Returns what it was called with.
pub(crate) struct Echo;

impl Service for Echo {
    const METHODS: &[Method] = &[
        Method::Find,
        Method::Get,
        Method::Create,
        Method::Update,
        Method::Patch,
        Method::Remove,
        Method::custom("inspect"),
    ];

    async fn find(&self, params: Params) -> Result<Value> {
        Ok(seen("find", None, Value::Null, &params))
    }

    async fn get(&self, id: Id, params: Params) -> Result<Value> {
        Ok(seen("get", Some(id), Value::Null, &params))
    }

    async fn create(&self, data: Value, params: Params) -> Result<Value> {
        Ok(seen("create", None, data, &params))
    }

    async fn update(&self, id: Option<Id>, data: Value, params: Params) -> Result<Value> {
        Ok(seen("update", id, data, &params))
    }

    async fn patch(&self, id: Option<Id>, data: Value, params: Params) -> Result<Value> {
        Ok(seen("patch", id, data, &params))
    }

    async fn remove(&self, id: Option<Id>, params: Params) -> Result<Value> {
        Ok(seen("remove", id, Value::Null, &params))
    }

    async fn custom(&self, method: &str, data: Value, params: Params) -> Result<Value> {
        Ok(seen(method, None, data, &params))
    }
}

fn seen(method: &str, id: Option<Id>, data: Value, params: &Params) -> Value {
    json!({
        "method": method,
        "id": id,
        "data": data,
        "query": params.query,
        "route": params.route,
        "provider": params.provider,
        "test": params.headers.get("x-test"),
        "authentication": params.authentication,
        "authenticated": params.authenticated,
        "user": params.user,
    })
}

/// Sets the external view to what the id names.
async fn dispatch(mut context: Context) -> Result<Context> {
    context.dispatch = match context.id.as_ref().map(Id::to_string).as_deref() {
        Some("null") => Some(Value::Null),
        Some("zero") => Some(json!(0)),
        Some("object") => Some(json!({ "external": true })),
        _ => None,
    };
    Ok(context)
}

/// `get` waits until something is created.
#[derive(Default)]
pub(crate) struct Gate(Notify);

impl Service for Gate {
    const METHODS: &[Method] = &[Method::Get, Method::Create];

    async fn get(&self, _: Id, _: Params) -> Result<Value> {
        self.0.notified().await;
        Ok(json!("passed"))
    }

    async fn create(&self, _: Value, _: Params) -> Result<Value> {
        self.0.notify_one();
        Ok(json!("open"))
    }
}

struct Failures;

impl Service for Failures {
    const METHODS: &[Method] = &[Method::Get];

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        match id.to_string().as_str() {
            "panic" => panic!("this panic is part of the test"),
            _ => Err(Error::unprocessable("Can not").with_data(json!({ "a": 1 })).with_errors(json!({ "b": "bad" }))),
        }
    }
}

/// The token of `{ name, ttl }` is `NAME`; anybody called `nobody` is unknown, and others fail as they are called.
pub(crate) struct Authentication;

impl Service for Authentication {
    const METHODS: &[Method] = &[Method::Create, Method::Remove];

    async fn create(&self, data: Value, _: Params) -> Result<Value> {
        let name = data.get("name").or_else(|| data.get("accessToken")).cloned().unwrap_or_default();
        match name.as_str() {
            Some("nobody") => return Err(Error::not_authenticated("Invalid login")),
            Some("unavailable") => return Err(Error::unavailable("Not now")),
            Some("timeout") => return Err(Error::timeout("Not now")),
            Some("busy") => return Err(Error::too_many_requests("Not now")),
            Some("broken") => return Err(Error::general("Not now")),
            Some("panic") => panic!("this panic is part of the test"),
            _ => {}
        }
        let ttl = Duration::from_millis(data["ttl"].as_u64().unwrap_or(60_000));
        let expiry = SystemTime::UNIX_EPOCH.elapsed().unwrap() + ttl;
        Ok(json!({
            "accessToken": name,
            "authentication": { "strategy": data["strategy"], "payload": { "exp": expiry.as_secs_f64() } },
            "user": { "name": name },
        }))
    }

    async fn remove(&self, id: Option<Id>, params: Params) -> Result<Value> {
        let own = params.authentication.map(|own| own["accessToken"].clone()).unwrap_or_default();
        Ok(json!({ "accessToken": id.map_or(own, Value::from) }))
    }
}
