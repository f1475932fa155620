//! Parameters of operations: placeholders, ids, and what queries may ask.

use super::{names, parts::Parts};
use rachis_core::{
    Method,
    schema::{QueryField, Schema, Schemas},
};
use serde_json::{Map, Value, json};

/// How many references and alternatives are followed to find out what a value is.
const STEPS: usize = 16;
/// What the names of parameters of services without schemas begin with.
const OPEN: &str = "open.";
/// What of a schema says something about one value.
const OF_VALUES: [&str; 14] = [
    "type",
    "enum",
    "const",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "oneOf",
    "description",
];

/// Returns the parameters that do not differ between services, and below `open.` those of services that say nothing of
/// themselves: how many, in which order and of which fields are mere words to some.
pub(super) fn of_all() -> Map<String, Value> {
    let mut all = described();
    let open: Vec<_> = all.iter().map(|(name, parameter)| (format!("{OPEN}{name}"), opened(parameter))).collect();
    all.extend(open);
    all
}

/// The same parameter, that may be anything.
fn opened(parameter: &Value) -> Value {
    let mut parameter = parameter.clone();
    parameter["schema"] = match parameter["schema"]["type"].as_str() {
        Some("array") => json!({ "type": "array", "items": {} }),
        Some("object") => json!({ "type": "object" }),
        _ => json!({}),
    };
    parameter
}

fn described() -> Map<String, Value> {
    let number = |name: &str, text: &str| {
        let schema = json!({ "type": "integer", "minimum": 0 });
        json!({ "name": name, "in": "query", "description": text, "schema": schema })
    };
    let order = json!({
        "name": "$sort",
        "in": "query",
        "description": "The order: fields, the first of them first, each with 1 (upwards) or -1 (downwards)",
        "style": "deepObject",
        "explode": true,
        "schema": { "type": "object", "additionalProperties": { "type": "integer", "enum": [1, -1] } },
    });
    let selected = json!({
        "name": "$select[]",
        "in": "query",
        "description": "The fields that are returned, beside the id",
        "schema": { "type": "array", "items": { "type": "string" } },
    });
    let all = [
        ("limit", number("$limit", "How many records are returned at most")),
        ("skip", number("$skip", "How many records are passed over")),
        ("sort", order),
        ("select", selected),
    ];
    all.into_iter().map(|(name, parameter)| (name.to_owned(), parameter)).collect()
}

/// Returns the parameters in a service's path.
pub(super) fn of_path(path: &str) -> Vec<Value> {
    names::placeholders(path).map(|name| in_path(name, json!({ "type": "string", "minLength": 1 }))).collect()
}

/// Returns the name of the parameter for the id of a record: `id`, unless a placeholder has that name.
pub(super) fn id_name(path: &str) -> &'static str {
    if names::placeholders(path).any(|name| name == "id") { "recordId" } else { "id" }
}

/// Returns the parameter for the id of a record.
pub(super) fn id(path: &str, schemas: &Schemas) -> Value {
    let fields = schemas.record_schema().map(|record| record.as_value()["properties"]["id"].clone());
    let described = fields.zip(schemas.record_schema()).and_then(|(field, record)| value_of(&field, record.as_value()));
    // A text with a pattern, or of a length, is what records have; any other one is an id that is not found.
    let schema = match described.as_ref().and_then(|schema| schema["type"].as_str()) {
        Some("integer") => json!({ "type": "integer" }),
        _ => json!({ "type": "string", "minLength": 1 }),
    };
    in_path(id_name(path), schema)
}

fn in_path(name: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

/// Adds the parameters of a service's queries, and returns references to those that choose records.
pub(super) fn of_queries(parts: &mut Parts, owner: &str, schemas: &Schemas) -> Vec<Value> {
    let mut chosen = Vec::new();
    let described = schemas.query_schema().map(Schema::as_value);
    for field in schemas.query_fields() {
        let Some(value) = described.and_then(|document| operand(&field, document)) else { continue };
        for (operator, parameter) in of_field(&field.name, &value, schemas) {
            let wanted = names::component(&format!("{owner}.{}{operator}", field.name));
            let name = names::free(wanted, |name| parts.parameters.contains_key(name));
            parts.parameters.insert(name.clone(), parameter);
            chosen.push(reference(&name));
        }
    }
    if schemas.has_open_queries() {
        chosen.push(json!({
            "name": "query",
            "in": "query",
            "description": "Any field with the value that it has to have, or with a condition on it, as `field[$gt]`",
            "style": "form",
            "explode": true,
            "schema": { "type": "object" },
        }));
    }
    chosen
}

/// Adds the parameters for the order and the fields of results, and returns references to them. `schemas` is `None` for a
/// service that says nothing of itself.
pub(super) fn of_results(parts: &mut Parts, owner: &str, schemas: Option<&Schemas>, method: &Method) -> Vec<Value> {
    let Some(schemas) = schemas else {
        let names: &[&str] = if *method == Method::Find { &["limit", "skip", "sort", "select"] } else { &["select"] };
        return names.iter().map(|name| reference(&format!("{OPEN}{name}"))).collect();
    };
    let fields: Vec<String> = schemas.query_fields().into_iter().map(|field| field.name).collect();
    let closed = !fields.is_empty() && !schemas.has_open_queries();
    let mut parameters = Vec::new();
    if *method == Method::Find {
        // What is no number is none to some stores; queries that are checked do not get there.
        let checked = if schemas.query_schema().is_some() { "" } else { OPEN };
        parameters.extend(["limit", "skip"].map(|name| reference(&format!("{checked}{name}"))));
        if closed {
            let directions: Map<String, Value> =
                fields.iter().map(|name| (name.clone(), json!({ "type": "integer", "enum": [1, -1] }))).collect();
            let mut order = described()["sort"].clone();
            order["schema"] = json!({ "type": "object", "properties": directions, "additionalProperties": false });
            parameters.push(own(parts, &format!("{owner}.sort"), order));
        } else {
            parameters.push(reference("sort"));
        }
    }
    if closed {
        let mut selected = described()["select"].clone();
        selected["schema"]["items"] = json!({ "type": "string", "enum": fields });
        parameters.push(own(parts, &format!("{owner}.select"), selected));
    } else {
        parameters.push(reference("select"));
    }
    parameters
}

fn own(parts: &mut Parts, name: &str, parameter: Value) -> Value {
    let name = names::component(name);
    parts.parameters.insert(name.clone(), parameter);
    reference(&name)
}

/// The parameters of one field: its value, and each operator with one.
fn of_field(name: &str, value: &Value, schemas: &Schemas) -> Vec<(String, Value)> {
    let about = value["description"].as_str();
    let mut schema = value.clone();
    if let Value::Object(schema) = &mut schema {
        schema.shift_remove("description");
    }
    let list = json!({ "type": "array", "items": schema });
    let mut parameters =
        vec![(String::new(), parameter(name, "", about.unwrap_or("What the field has to be"), &schema))];
    let is_ordered =
        matches!(schema["type"].as_str(), Some("integer" | "number" | "string")) && schema.get("enum").is_none();
    let compared = [
        ("$gt", "What the field has to be greater than", is_ordered),
        ("$gte", "What the field has to be at least", is_ordered),
        ("$lt", "What the field has to be less than", is_ordered),
        ("$lte", "What the field has to be at most", is_ordered),
        ("$ne", "What the field must not be", true),
    ];
    for (operator, text, _) in compared.into_iter().filter(|(.., applies)| *applies) {
        parameters.push((suffix(operator), parameter(name, &format!("[{operator}]"), text, &schema)));
    }
    for (operator, text) in
        [("$in", "Values of which the field has to be one"), ("$nin", "Values that the field must not be")]
    {
        parameters.push((suffix(operator), parameter(name, &format!("[{operator}][]"), text, &list)));
    }
    for (operator, operand) in schemas.operators() {
        if let Some(operand) = value_of(operand.as_value(), operand.as_value()) {
            let text = "An operator of this service";
            parameters.push((suffix(operator), parameter(name, &format!("[{operator}]"), text, &operand)));
        }
    }
    parameters
}

fn suffix(operator: &str) -> String {
    format!(".{}", operator.trim_start_matches('$'))
}

fn parameter(field: &str, operator: &str, description: &str, schema: &Value) -> Value {
    json!({ "name": format!("{field}{operator}"), "in": "query", "description": description, "schema": schema })
}

/// What a field is compared with, if that is one value: a text, a number, a truth value. Of a list it is an element.
fn operand(field: &QueryField, document: &Value) -> Option<Value> {
    let mut values = field.operands.iter().filter_map(|operand| value_of(operand, document));
    let first = values.next()?;
    values.all(|other| other == first).then_some(first)
}

/// Returns the schema of a single value, without references and without `null`; `None` for what is, or may be, more.
fn value_of(schema: &Value, document: &Value) -> Option<Value> {
    let mut schema = schema.clone();
    for _ in 0..STEPS {
        let fields = schema.as_object()?;
        let next = if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
            document.pointer(target.strip_prefix('#')?)?.clone()
        } else if let Some(forms) = fields.get("anyOf").and_then(Value::as_array) {
            let mut forms = forms.iter().filter(|form| form["type"] != "null");
            let form = forms.next()?.clone();
            if forms.next().is_some() {
                return None;
            }
            form
        } else {
            break;
        };
        let described = fields.get("description").cloned();
        schema = next;
        if let (Some(description), Value::Object(fields)) = (described, &mut schema) {
            fields.insert("description".into(), description);
        }
    }
    let fields = schema.as_object()?;
    let mut value: Map<String, Value> = fields
        .iter()
        .filter(|(key, _)| OF_VALUES.contains(&key.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    if let Some(forms) = value.get("oneOf").and_then(Value::as_array) {
        // An enum whose values have descriptions.
        let constants: Vec<Value> = forms.iter().filter_map(|form| form.get("const").cloned()).collect();
        if constants.len() < forms.len() {
            return None;
        }
        value.shift_remove("oneOf");
        value.insert("type".into(), "string".into());
        value.insert("enum".into(), constants.into());
    }
    if let Some(constant) = value.shift_remove("const") {
        value.insert("enum".into(), json!([constant]));
    }
    if let Some(Value::Array(types)) = value.get("type") {
        let mut types = types.iter().filter(|name| *name != "null");
        let name = types.next()?.clone();
        if types.next().is_some() {
            return None;
        }
        value.insert("type".into(), name);
    }
    if let Some(Value::Array(values)) = value.get_mut("enum") {
        values.retain(|value| value.is_string() || value.is_number() || value.is_boolean());
        if values.is_empty() {
            return None;
        }
        if !value.contains_key("type") {
            value.insert("type".into(), "string".into());
        }
    }
    matches!(value.get("type")?.as_str()?, "string" | "integer" | "number" | "boolean").then(|| value.into())
}

pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/parameters/{name}") })
}
