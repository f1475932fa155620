//! Mails, which are only counted. With `SHOP_FRAGILE` set, a replica breaks at a mail to `nobody`, which then becomes a
//! dead letter.

use rachis::{
    Error, Method, Params, Registration, Result, Service, ServiceExt,
    schema::{Schema, Schemas},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// A mail.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Mail {
    to: String,
    text: String,
}

struct Mails {
    is_fragile: bool,
}

pub(crate) fn service() -> Registration {
    let schemas = Schemas::new().data(Method::custom("send"), Schema::input::<Mail>()).describe("Sends mails.");
    Mails { is_fragile: std::env::var_os("SHOP_FRAGILE").is_some() }.schemas(schemas)
}

impl Service for Mails {
    const METHODS: &[Method] = &[Method::custom("send")];
    const EVENTS: &[&str] = &["sent"];
    // A second mail is better than none.
    const IDEMPOTENT: &[Method] = &[Method::custom("send")];

    async fn custom(&self, _: &str, data: Value, params: Params) -> Result<Value> {
        let mail: Mail = serde_json::from_value(data).map_err(|error| Error::bad_request(error.to_string()))?;
        if mail.to == "nobody" && self.is_fragile {
            std::process::abort();
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
        params.service("mails").emit("sent", json!({ "to": mail.to }))?;
        Ok(json!({ "sent": true, "characters": mail.text.len() }))
    }
}
