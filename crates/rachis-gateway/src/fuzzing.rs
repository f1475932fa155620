//! What the fuzz target `query_strings` runs: it takes any input at all and panics where a promise is broken.

use crate::query_string;
use rachis_config::GatewayQuery;
use rachis_mesh::fuzzing::answer;
use serde_json::Value;

/// Query strings: each that keeps within the limits has a meaning, of a size in proportion to its own, and a filter
/// answers or refuses it.
pub fn query_strings(text: &str) {
    let Ok(query) = query_string::parse(text, &GatewayQuery::default()) else { return };
    let size = serde_json::to_string(&query).expect("JSON can be written").len();
    assert!(size <= 64 + 8 * text.len(), "{size} bytes of JSON out of {} bytes", text.len());
    for value in query.values() {
        assert!(!names(value, "__proto__"), "{query:?}");
    }
    answer(&query.into());
}

fn names(value: &Value, name: &str) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| names(item, name)),
        Value::Object(fields) => fields.iter().any(|(key, item)| key == name || names(item, name)),
        _ => false,
    }
}
