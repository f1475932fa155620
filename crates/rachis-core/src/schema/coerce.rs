//! Makes of a text what its schema says it is.

use serde_json::{Number, Value};

/// How deep values and references are followed.
const DEPTH: usize = 64;

/// Changes scalars in `value` that do not fit the type in `schema` into ones that do, where there is such a one: by the
/// rules of Ajv's `coerceTypes`, which @feathersjs/schema uses for queries. `root` is where references lead.
pub(super) fn coerce(value: &mut Value, schema: &Value, root: &Value) {
    walk(value, schema, root, DEPTH);
}

fn walk(value: &mut Value, schema: &Value, root: &Value, depth: usize) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let Some(schema) = schema.as_object() else { return };
    if let Some(target) = schema.get("$ref").and_then(|reference| resolve(reference, root)) {
        walk(value, target, root, depth);
    }
    if let Some(types) = schema.get("type") {
        to_type(value, types);
    }
    for part in list(schema.get("allOf")) {
        walk(value, part, root, depth);
    }
    for choice in ["anyOf", "oneOf"] {
        choose(value, list(schema.get(choice)), root, depth);
    }
    match value {
        Value::Object(fields) => {
            let known = schema.get("properties").and_then(Value::as_object);
            for (name, field) in fields {
                let described = known.and_then(|known| known.get(name));
                if let Some(described) = described.or_else(|| schema.get("additionalProperties")) {
                    walk(field, described, root, depth);
                }
            }
        }
        Value::Array(items) => {
            if let Some(described) = schema.get("items") {
                items.iter_mut().for_each(|item| walk(item, described, root, depth));
            }
        }
        _ => {}
    }
}

/// Follows the first of several schemas whose type the value has, or can be given.
fn choose(value: &mut Value, choices: &[Value], root: &Value, depth: usize) {
    for choice in choices {
        let mut changed = value.clone();
        walk(&mut changed, choice, root, depth);
        if fits(&changed, choice, root, depth) {
            *value = changed;
            return;
        }
    }
}

/// Returns `true` if the type of `value` is one that `schema` allows.
fn fits(value: &Value, schema: &Value, root: &Value, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let Some(schema) = schema.as_object() else { return *schema == Value::Bool(true) };
    if let Some(reference) = schema.get("$ref") {
        return resolve(reference, root).is_some_and(|target| fits(value, target, root, depth));
    }
    if let Some(constant) = schema.get("const") {
        return value == constant;
    }
    if let Some(options) = schema.get("enum").and_then(Value::as_array) {
        return options.contains(value);
    }
    match schema.get("type") {
        Some(Value::String(name)) => is_of(value, name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(|name| is_of(value, name)),
        _ => true,
    }
}

/// Returns the place in `root` that a local reference names.
pub(super) fn resolve<'a>(reference: &Value, root: &'a Value) -> Option<&'a Value> {
    root.pointer(reference.as_str()?.strip_prefix('#')?)
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn to_type(value: &mut Value, types: &Value) {
    let names: Vec<&str> = match types {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    if names.iter().any(|name| is_of(value, name)) {
        return;
    }
    if let Some(changed) = names.iter().find_map(|name| convert(value, name)) {
        *value = changed;
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

fn convert(value: &Value, name: &str) -> Option<Value> {
    match (name, value) {
        ("string", Value::Number(number)) => Some(number.to_string().into()),
        ("string", Value::Bool(truth)) => Some(truth.to_string().into()),
        ("string", Value::Null) => Some("".into()),
        ("number" | "integer", Value::Bool(truth)) => Some(i64::from(*truth).into()),
        ("number" | "integer", Value::Null) => Some(0.into()),
        ("number", Value::String(text)) => number(text).map(Value::Number),
        ("integer", Value::String(text)) => {
            number(text).map(Value::Number).filter(|number| is_of(number, "integer")).map(whole)
        }
        ("boolean", Value::String(text)) => match text.as_str() {
            "true" => Some(true.into()),
            "false" => Some(false.into()),
            _ => None,
        },
        ("boolean", Value::Null) => Some(false.into()),
        ("boolean", Value::Number(number)) => match number.as_f64() {
            Some(1.0) => Some(true.into()),
            Some(0.0) => Some(false.into()),
            _ => None,
        },
        ("null", Value::String(text)) if text.is_empty() => Some(Value::Null),
        ("null", Value::Bool(false)) => Some(Value::Null),
        ("null", Value::Number(number)) if number.as_f64() == Some(0.0) => Some(Value::Null),
        _ => None,
    }
}

/// Turns `5.0` into `5`, so that it compares as the integers in records do.
#[allow(clippy::cast_possible_truncation)]
fn whole(number: Value) -> Value {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.abs() < 9_007_199_254_740_992.0 => (float as i64).into(),
        _ => number,
    }
}

/// Reads a number as JavaScript does, whole ones of up to 64 bits to the last digit.
fn number(text: &str) -> Option<Number> {
    let text = text.trim();
    let radix = |prefix: &str, radix| {
        let digits = text.strip_prefix(prefix).or_else(|| text.strip_prefix(&prefix.to_uppercase()))?;
        u64::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with('+'))
    };
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| radix("0b", 2)) {
        return Some(number.into());
    }
    let starts_like_one = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    // "inf" and "nan" are numbers to Rust.
    if !starts_like_one || text[1..].contains(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')) {
        return None;
    }
    if let Ok(number) = text.parse::<i64>() {
        return Some(number.into());
    }
    match text.parse::<u64>() {
        Ok(number) => Some(number.into()),
        Err(_) => text.parse().ok().and_then(Number::from_f64),
    }
}
