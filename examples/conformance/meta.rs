//! A service whose results are not records, and whose hook writes to the reply itself.

use rachis::{Context, Id, Method, Params, Registration, Result, Service, ServiceExt};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) fn meta() -> Registration {
    Meta.after(Method::Get, reply)
}

struct Meta;

impl Service for Meta {
    const METHODS: &'static [Method] = &[Method::Get, Method::Create, Method::Remove];

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        Ok(match id.to_string().as_str() {
            "null" => Value::Null,
            "zero" => 0.into(),
            "array" => json!([1, 2, 3]),
            "string" => "text".into(),
            "slow" => {
                tokio::time::sleep(Duration::from_millis(1500)).await;
                json!({ "id": id })
            }
            _ => json!({ "id": id }),
        })
    }

    async fn create(&self, data: Value, _: Params) -> Result<Value> {
        let nothing = data["nothing"].as_bool().unwrap_or_default();
        Ok(if nothing { Value::Null } else { data })
    }

    async fn remove(&self, _: Option<Id>, _: Params) -> Result<Value> {
        Ok(Value::Null)
    }
}

async fn reply(mut ctx: Context) -> Result<Context> {
    let Some(id) = ctx.id.as_ref().map(Id::to_string) else { return Ok(ctx) };
    if id == "dispatch" {
        ctx.dispatch = Some(json!({ "id": id, "external": true }));
    }
    // Only calls that came in by HTTP have a reply to write to.
    if let Some(http) = &mut ctx.http {
        match id.as_str() {
            "status" => http.status = Some(202),
            "headers" => {
                http.headers.insert("X-Compat-Reply".into(), "yes".into());
            }
            "redirect" => http.location = Some("/messages?name=a b".into()),
            _ => {}
        }
    }
    Ok(ctx)
}
