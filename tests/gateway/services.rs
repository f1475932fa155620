//! Small services that show what reached them, or answer in odd ways.

use rachis::{App, Context, Error, ErrorKind, Http, Id, Method, Params, Registration, Result, Service, ServiceExt};
use serde_json::{Value, json};

pub(crate) fn app() -> App {
    App::new()
        .register("echo", Echo)
        .register("api/v1/echo", Echo)
        .register("orgs/:orgId/echo", Echo)
        .register("caf\u{e9}", Echo)
        .register("meta", meta())
        .register("failures", Failures)
        .register("readonly", ReadOnly)
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
        "headers": params.headers,
        "authentication": params.authentication,
        "authenticated": params.authenticated,
        "user": params.user,
        "fromRemote": params.from_remote,
        "extra": params.extra,
    })
}

/// Answers by id with odd results and HTTP metadata.
struct Meta;

impl Service for Meta {
    const METHODS: &[Method] = &[Method::Get, Method::Create, Method::Remove];

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        Ok(match id.to_string().as_str() {
            "null" => Value::Null,
            "zero" => json!(0),
            "false" => json!(false),
            "empty" => json!(""),
            "array" => json!([1, 2, 3]),
            "string" => json!("text"),
            "panic" => panic!("a secret detail"),
            id => json!({ "id": id }),
        })
    }

    async fn create(&self, data: Value, _: Params) -> Result<Value> {
        Ok(if data["nothing"] == true { Value::Null } else { data })
    }

    async fn remove(&self, _: Option<Id>, _: Params) -> Result<Value> {
        Ok(Value::Null)
    }
}

fn meta() -> Registration {
    Meta.after(Method::Get, async |mut ctx: rachis::Context| {
        let id = ctx.id.as_ref().map(Id::to_string).unwrap_or_default();
        mark(&id, &mut ctx);
        Ok(ctx)
    })
    .after(Method::Create, async |mut ctx: rachis::Context| {
        let location = ctx.data["location"].as_str().map(str::to_owned);
        if let Some(http) = &mut ctx.http {
            http.location = location;
        }
        Ok(ctx)
    })
}

fn mark(id: &str, ctx: &mut Context) {
    match id {
        "dispatch" => ctx.dispatch = Some(json!({ "id": id, "external": true })),
        "hidden" => ctx.dispatch = Some(Value::Null),
        _ => {}
    }
    let Some(http) = &mut ctx.http else { return };
    match id {
        "status" => http.status = Some(202),
        "headers" => drop(http.headers.insert("X-Compat-Reply".into(), "yes".into())),
        "redirect" => http.location = Some("/messages?name=a b".into()),
        "found" => *http = Http { status: Some(302), location: Some("/x".into()), ..Http::default() },
        _ => {}
    }
}

/// Fails by id.
struct Failures;

impl Service for Failures {
    const METHODS: &[Method] = &[Method::Find, Method::Get, Method::Create];

    async fn find(&self, _: Params) -> Result<Value> {
        Err(Error::forbidden("no data"))
    }

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        let id = id.to_string();
        Err(match id.as_str() {
            "plain" => Error::other("plain failure"),
            "bare" => ErrorKind::NotFound.into(),
            "limited" => Error::method_not_allowed("Can not create multiple entries"),
            _ => Error::new(ErrorKind::from_name(&id), format!("failure {id}"))
                .with_data(json!({ "reason": id, "nested": { "deep": true } }))
                .with_errors(json!({ "field": "invalid" })),
        })
    }

    async fn create(&self, _: Value, _: Params) -> Result<Value> {
        Err(Error::conflict("array data").with_data(json!(["a", "b"])))
    }
}

struct ReadOnly;

impl Service for ReadOnly {
    const METHODS: &[Method] = &[Method::Find, Method::Get];

    async fn find(&self, _: Params) -> Result<Value> {
        Ok(json!([]))
    }

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        Ok(json!({ "id": id }))
    }
}
