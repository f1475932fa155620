//! JSON Schema as types of TypeScript.

use serde_json::{Map, Value};

/// How deep a schema is followed; what is deeper is `unknown`.
const DEPTH: usize = 160;
/// Names that the generated file uses itself, or that mean something everywhere.
const TAKEN: [&str; 14] = [
    "Array",
    "Condition",
    "Conditions",
    "Error",
    "Id",
    "Object",
    "Paginated",
    "Params",
    "Promise",
    "Query",
    "Record",
    "ServiceTypes",
    "String",
    "Element",
];

/// Returns the declaration of a component.
pub(super) fn declaration(name: &str, schema: &Value) -> String {
    let name = identifier(name);
    let about = comment(schema, "");
    match schema {
        Value::Object(fields) if is_plain(fields) => {
            format!("{about}export interface {name} {}\n", object(fields, 0, DEPTH))
        }
        schema => format!("{about}export type {name} = {}\n", type_of(schema, 0)),
    }
}

/// Returns `true` for what is an object with fields, and nothing besides.
fn is_plain(schema: &Map<String, Value>) -> bool {
    let others = ["$ref", "enum", "const", "allOf", "anyOf", "oneOf"];
    let is_object = schema.get("type").is_none_or(|name| name == "object");
    is_object && schema.contains_key("properties") && !others.iter().any(|key| schema.contains_key(*key))
}

/// Returns the type of what a schema describes, on lines that begin with `indent` steps.
pub(super) fn type_of(schema: &Value, indent: usize) -> String {
    write(schema, indent, DEPTH)
}

/// Returns the name of a component as one of TypeScript.
pub(super) fn identifier(name: &str) -> String {
    let mut identifier: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if identifier.starts_with(|c: char| c.is_ascii_digit()) || identifier.is_empty() {
        identifier.insert(0, '_');
    }
    if TAKEN.contains(&identifier.as_str()) || identifier.starts_with(|c: char| c.is_ascii_lowercase()) {
        identifier.push('_');
    }
    identifier
}

/// Returns the comment that tells a schema's description.
pub(super) fn comment(schema: &Value, indent: &str) -> String {
    match schema.get("description").and_then(Value::as_str) {
        Some(text) => comment_of(text, indent),
        None => String::new(),
    }
}

/// Returns `text` as a comment.
pub(super) fn comment_of(text: &str, indent: &str) -> String {
    let text = text.trim().replace("*/", "*\\/");
    match text.lines().collect::<Vec<_>>().as_slice() {
        [] => String::new(),
        [line] => format!("{indent}/** {line} */\n"),
        lines => {
            let lines: String =
                lines.iter().map(|line| format!("{indent} * {line}\n").replace(" * \n", " *\n")).collect();
            format!("{indent}/**\n{lines}{indent} */\n")
        }
    }
}

fn write(schema: &Value, indent: usize, depth: usize) -> String {
    let (Some(depth), Value::Object(schema)) = (depth.checked_sub(1), schema) else {
        return if *schema == Value::Bool(false) { "never" } else { "unknown" }.to_owned();
    };
    // Each of these says something about the value, and all have to be true.
    let mut parts: Vec<String> = Vec::new();
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        parts.push(identifier(target.rsplit('/').next().unwrap_or_default()));
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(Value::Array(forms)) = schema.get(key) {
            parts.push(union(forms.iter().map(|form| write(form, indent, depth)).collect()));
        }
    }
    if let Some(Value::Array(forms)) = schema.get("allOf") {
        parts.extend(forms.iter().map(|form| write(form, indent, depth)));
    }
    if let Some(own) = own_type(schema, indent, depth) {
        parts.push(own);
    }
    if schema.get("not").is_some_and(|not| *not == Value::Object(Map::new())) {
        parts.push("never".to_owned());
    }
    parts.retain(|part| part != "unknown");
    parts.dedup();
    match parts.as_slice() {
        [] => "unknown".to_owned(),
        [one] => one.clone(),
        several => several.iter().map(|part| grouped(part)).collect::<Vec<_>>().join(" & "),
    }
}

/// What a schema says by itself, without its parts that are schemas of the whole value.
fn own_type(schema: &Map<String, Value>, indent: usize, depth: usize) -> Option<String> {
    if let Some(constant) = schema.get("const") {
        return Some(literal(constant));
    }
    if let Some(Value::Array(values)) = schema.get("enum") {
        return Some(union(values.iter().map(literal).collect()));
    }
    let one = |name: &str| match name {
        "string" => "string".to_owned(),
        "number" | "integer" => "number".to_owned(),
        "boolean" => "boolean".to_owned(),
        "null" => "null".to_owned(),
        "array" => array(schema, indent, depth),
        "object" => object(schema, indent, depth),
        _ => "unknown".to_owned(),
    };
    match schema.get("type") {
        Some(Value::String(name)) => Some(one(name)),
        Some(Value::Array(names)) => Some(union(names.iter().filter_map(Value::as_str).map(one).collect())),
        _ if schema.contains_key("properties") => Some(object(schema, indent, depth)),
        _ if schema.contains_key("items") || schema.contains_key("prefixItems") => Some(array(schema, indent, depth)),
        _ => None,
    }
}

fn array(schema: &Map<String, Value>, indent: usize, depth: usize) -> String {
    let items = schema.get("items").map(|items| write(items, indent, depth));
    let Some(Value::Array(first)) = schema.get("prefixItems") else {
        return format!("{}[]", grouped(items.as_deref().unwrap_or("unknown")));
    };
    let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
    let most = schema.get("maxItems").and_then(Value::as_u64);
    let places = first.iter().zip(0_u64..).map(|(item, place)| {
        let item = write(item, indent, depth);
        if place < least { item } else { format!("{}?", grouped(&item)) }
    });
    let mut places: Vec<String> = places.collect();
    let is_open = most.is_none_or(|most| most > places.len() as u64);
    let others = items.unwrap_or_else(|| "unknown".to_owned());
    if is_open && others != "never" {
        places.push(format!("...{}[]", grouped(&others)));
    }
    format!("[{}]", places.join(", "))
}

fn object(schema: &Map<String, Value>, indent: usize, depth: usize) -> String {
    let fields = schema.get("properties").and_then(Value::as_object);
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let inside = "  ".repeat(indent + 1);
    let mut lines = String::new();
    for (name, field) in fields.into_iter().flatten() {
        let optional = if required.contains(&name.as_str()) { "" } else { "?" };
        let written = write(field, indent + 1, depth);
        lines.push_str(&format!("{}{inside}{}{optional}: {written}\n", comment(field, &inside), key(name)));
    }
    // A name that is only required may be anything.
    for name in required.iter().filter(|name| fields.is_none_or(|fields| !fields.contains_key(**name))) {
        lines.push_str(&format!("{inside}{}: unknown\n", key(name)));
    }
    let patterns = schema.get("patternProperties").and_then(Value::as_object);
    let others = schema.get("additionalProperties").filter(|others| others.is_object());
    if lines.is_empty() {
        let mut values: Vec<String> =
            patterns.into_iter().flat_map(Map::values).chain(others).map(|value| write(value, indent, depth)).collect();
        if schema.get("additionalProperties") == Some(&Value::Bool(false)) && values.is_empty() {
            values.push("never".to_owned());
        }
        let value = if values.is_empty() { "unknown".to_owned() } else { union(values) };
        return format!("{{ [key: string]: {value} }}");
    }
    if patterns.is_some() || others.is_some() {
        lines.push_str(&format!("{inside}[key: string]: unknown\n"));
    }
    format!("{{\n{lines}{}}}", "  ".repeat(indent))
}

fn union(mut forms: Vec<String>) -> String {
    let mut seen = Vec::new();
    forms.retain(|form| {
        let is_new = !seen.contains(form) && form != "never";
        seen.push(form.clone());
        is_new
    });
    match forms.as_slice() {
        [] => "never".to_owned(),
        forms if forms.iter().any(|form| form == "unknown") => "unknown".to_owned(),
        [one] => one.clone(),
        several => several
            .iter()
            .map(|form| if form.contains(" & ") { format!("({form})") } else { form.clone() })
            .collect::<Vec<_>>()
            .join(" | "),
    }
}

/// Returns a type in parentheses, where it is made of several.
pub(super) fn grouped(written: &str) -> String {
    let is_one = !written.contains(" | ") && !written.contains(" & ");
    if is_one || written.starts_with('{') && written.ends_with('}') && !written.contains("} ") {
        written.to_owned()
    } else {
        format!("({written})")
    }
}

fn literal(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(name, value)| format!("{}: {}", key(name), literal(value))).collect();
            format!("{{ {} }}", fields.join("; "))
        }
        Value::String(text) => quoted(text),
        scalar => scalar.to_string(),
    }
}

/// Returns the name of a field, in quotes where it is no name of TypeScript.
pub(super) fn key(name: &str) -> String {
    let mut characters = name.chars();
    let begins = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || c == '$');
    if begins && characters.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$') {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// Returns `text` as a literal.
pub(super) fn quoted(text: &str) -> String {
    // JSON's literals are TypeScript's, too.
    let text = Value::from(text).to_string();
    if text.contains('\'') || text.contains('\\') { text } else { format!("'{}'", text.trim_matches('"')) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_of_schema_is_a_type() {
        for (schema, expected) in [
            (json!(true), "unknown"),
            (json!(false), "never"),
            (json!({ "type": ["integer", "null"] }), "number | null"),
            (json!({ "enum": ["a", 1, null, "it's"] }), "'a' | 1 | null | \"it's\""),
            (json!({ "const": { "kind": [true] } }), "{ kind: [true] }"),
            (json!({ "anyOf": [{ "$ref": "#/components/schemas/Todo" }, { "type": "null" }] }), "Todo | null"),
            (
                json!({ "allOf": [{ "$ref": "#/x/A" }, { "anyOf": [{ "$ref": "#/x/B" }, { "$ref": "#/x/C" }] }] }),
                "A & (B | C)",
            ),
            (json!({ "type": "array", "items": { "type": ["string", "null"] } }), "(string | null)[]"),
            (
                json!({ "type": "array", "prefixItems": [{ "type": "string" }, { "type": "number" }], "minItems": 2, "maxItems": 2 }),
                "[string, number]",
            ),
            (json!({ "type": "array", "prefixItems": [{ "type": "string" }] }), "[string?, ...unknown[]]"),
            (json!({ "type": "object", "additionalProperties": { "type": "number" } }), "{ [key: string]: number }"),
            (json!({ "type": "object", "additionalProperties": false }), "{ [key: string]: never }"),
            (json!({ "$ref": "#/components/schemas/Error" }), "Error_"),
            (json!({ "$ref": "#/components/schemas/api.v1-x" }), "api_v1_x_"),
        ] {
            assert_eq!(type_of(&schema, 0), expected, "{schema}");
        }
    }

    #[test]
    fn an_object_is_an_interface_with_its_descriptions() {
        let schema = json!({
            "description": "A todo",
            "type": "object",
            "properties": {
                "id": { "type": "integer" },
                "created-at": { "type": "string", "description": "When.\n\nNever */ ends" },
                "inner": { "type": "object", "properties": { "a": { "type": "boolean" } }, "required": ["a"] },
            },
            "required": ["id"],
        });
        let expected = "/** A todo */\nexport interface Todo {\n  id: number\n  /**\n   * When.\n   *\n   * Never *\\/ ends\n   */\n  \
                        'created-at'?: string\n  inner?: {\n    a: boolean\n  }\n}\n";
        assert_eq!(declaration("Todo", &schema), expected);
    }

    #[test]
    fn what_is_nested_too_deep_is_not_followed() {
        let deep = (0..10_000).fold(json!({}), |inner, _| {
            Value::Object([("type".to_owned(), "array".into()), ("items".to_owned(), inner)].into_iter().collect())
        });
        assert!(type_of(&deep, 0).ends_with("[]"));
        // Dropped level by level: the drop of so deep a value would end the stack.
        let mut rest = deep;
        while let Some(inner) = rest.get_mut("items").map(Value::take) {
            rest = inner;
        }
    }
}
