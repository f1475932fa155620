//! Params as JavaScript has them, flat, and as Rust does.

use rachis::Params;
use serde_json::{Map, Value};
use std::{borrow::Cow, collections::BTreeMap};

/// Reads the params of JavaScript. What has no field of its own travels as `extra`; what is of another type than its field
/// is left out.
pub(crate) fn from_js(mut all: Map<String, Value>) -> Params {
    let mut params = Params::default();
    if let Some(Value::Object(query)) = all.shift_remove("query") {
        params.query = query.into();
    }
    params.provider = text(all.shift_remove("provider")).map(Cow::Owned);
    params.headers = texts(all.shift_remove("headers"));
    params.route = texts(all.shift_remove("route"));
    params.user = all.shift_remove("user").filter(|user| !user.is_null());
    params.authentication = all.shift_remove("authentication").filter(|credentials| !credentials.is_null());
    params.authenticated = all.shift_remove("authenticated") == Some(Value::Bool(true));
    params.idempotency_key = text(all.shift_remove("idempotencyKey"));
    if let Some(ip) = text(all.shift_remove("ip")).and_then(|ip| ip.parse::<std::net::IpAddr>().ok()) {
        params = params.with_ip(ip);
    }
    // Only the node that answers says where a call came from.
    all.shift_remove("fromRemote");
    params.extra = all;
    params
}

/// Writes params for JavaScript. KDK's access control goes by the presence of `provider`, so it is left out where there is
/// none.
pub(crate) fn to_js(params: Params) -> Map<String, Value> {
    let ip = params.ip();
    let mut all = params.extra;
    all.insert("query".into(), params.query.into());
    if let Some(provider) = params.provider {
        all.insert("provider".into(), provider.into_owned().into());
    }
    if !params.headers.is_empty() {
        all.insert("headers".into(), object(params.headers));
    }
    if !params.route.is_empty() {
        all.insert("route".into(), object(params.route));
    }
    all.extend(params.user.map(|user| ("user".to_owned(), user)));
    all.extend(params.authentication.map(|credentials| ("authentication".to_owned(), credentials)));
    if params.authenticated {
        all.insert("authenticated".into(), true.into());
    }
    all.extend(params.idempotency_key.map(|key| ("idempotencyKey".to_owned(), key.into())));
    all.extend(ip.map(|ip| ("ip".to_owned(), ip.to_string().into())));
    all.insert("fromRemote".into(), params.from_remote.into());
    all
}

fn text(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// The fields that are text, or can be written as one; headers that came several times are joined as HTTP does.
fn texts(value: Option<Value>) -> BTreeMap<String, String> {
    let Some(Value::Object(fields)) = value else { return BTreeMap::new() };
    let written = fields.into_iter().filter_map(|(name, value)| {
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
            Value::Null | Value::Object(_) => return None,
        };
        Some((name, text))
    });
    written.collect()
}

fn object(fields: BTreeMap<String, String>) -> Value {
    fields.into_iter().map(|(name, value)| (name, Value::String(value))).collect()
}
