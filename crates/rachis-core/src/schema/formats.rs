//! What the formats of integers say of their values.

use serde_json::{Map, Value};

/// What holds values, and no schemas.
const VALUES: [&str; 5] = ["enum", "const", "default", "example", "examples"];

/// Returns the schema with the bounds that `int32` and its kind mean: JSON Schema only notes formats, while those who read
/// one, and the types of Rust that it was made of, take nothing beyond them.
pub(super) fn bounded(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let mut fields: Map<String, Value> = fields
                .iter()
                .map(|(key, value)| {
                    let is_value = VALUES.contains(&key.as_str());
                    (key.clone(), if is_value { value.clone() } else { bounded(value) })
                })
                .collect();
            if let Some((least, most)) = bounds(&fields) {
                fields.entry("minimum").or_insert(least);
                fields.entry("maximum").or_insert(most);
            }
            fields.into()
        }
        Value::Array(items) => items.iter().map(bounded).collect(),
        other => other.clone(),
    }
}

fn bounds(fields: &Map<String, Value>) -> Option<(Value, Value)> {
    let is_integer = match fields.get("type")? {
        Value::String(name) => name == "integer",
        Value::Array(names) => names.iter().any(|name| name == "integer") && !names.iter().any(|name| name == "number"),
        _ => false,
    };
    let bounds: (Value, Value) = match fields.get("format").filter(|_| is_integer)?.as_str()? {
        "int8" => (i8::MIN.into(), i8::MAX.into()),
        "int16" => (i16::MIN.into(), i16::MAX.into()),
        "int32" => (i32::MIN.into(), i32::MAX.into()),
        "int64" | "int" => (i64::MIN.into(), i64::MAX.into()),
        "uint8" => (0.into(), u8::MAX.into()),
        "uint16" => (0.into(), u16::MAX.into()),
        "uint32" => (0.into(), u32::MAX.into()),
        "uint64" | "uint" => (0.into(), u64::MAX.into()),
        _ => return None,
    };
    Some(bounds)
}
