//! The fuzz target of query strings. This file is a module of rachis-gateway when that is built with `--cfg fuzzing`, as
//! cargo-fuzz does: their parser is private to it.

use crate::http::query_string;
use rachis_config::GatewayQuery;
use rachis_core::Query;
use serde_json::Value;

/// Reads a query string: each that keeps within the limits has a meaning, of a size in proportion to its own.
pub fn query_string(text: &str) -> Option<Query> {
    let query = query_string::parse(text, &GatewayQuery::default()).ok()?;
    let size = serde_json::to_string(&query).expect("JSON can be written").len();
    assert!(size <= 64 + 8 * text.len(), "{size} bytes of JSON out of {} bytes", text.len());
    for value in query.values() {
        assert!(!names(value, "__proto__"), "{query:?}");
    }
    Some(query.into())
}

fn names(value: &Value, name: &str) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| names(item, name)),
        Value::Object(fields) => fields.iter().any(|(key, item)| key == name || names(item, name)),
        _ => false,
    }
}
