//! How deep values may be nested: whatever reads or writes them goes down level by level, and a stack has an end.

use serde_json::Value;

/// The deepest that data, queries, results and events may be nested. No JSON is read that is deeper.
pub const DEEPEST: usize = 128;

/// Returns `true` if `value` is nested deeper than `depth`; goes down no further.
pub fn is_deeper_than(depth: usize, value: &Value) -> bool {
    let inside = |item: &Value| depth == 0 || is_deeper_than(depth - 1, item);
    match value {
        Value::Array(items) => items.iter().any(inside),
        Value::Object(fields) => fields.values().any(inside),
        _ => false,
    }
}
