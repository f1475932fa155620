//! The queries that a schema of records allows.

use super::{
    Schema, Schemas,
    coerce::{coerce, resolve},
    fields::{Fields, escaped},
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Where the schema of the records is found in the schema of queries.
const RECORD: &str = "rachis:record";
/// Which operators compare a field with one value, and which with several.
const COMPARE: [&str; 5] = ["$gt", "$gte", "$lt", "$lte", "$ne"];
const AMONG: [&str; 2] = ["$in", "$nin"];
/// How many references are followed from one place.
const REFERENCES: usize = 8;

/// What queries may name, and of which type it is.
pub(super) struct QuerySyntax {
    record: Value,
    fields: Fields,
    operators: BTreeMap<String, Schema>,
    open: bool,
}

impl QuerySyntax {
    /// Returns the syntax of a service's queries; `None` if neither a record nor a query is described.
    pub(super) fn of(schemas: &Schemas) -> Option<Self> {
        let described = schemas.query.as_ref().or(schemas.record.as_ref())?;
        let record = described.as_value().clone();
        let fields = Fields::of(&record);
        let open = schemas.open_queries || fields.open;
        Some(QuerySyntax { record, fields, operators: schemas.operators.clone(), open })
    }

    /// Returns the JSON Schema of queries.
    pub(super) fn schema(&self) -> Value {
        let names: Vec<&String> = self.fields.named.keys().collect();
        let directions: Map<String, Value> =
            names.iter().map(|name| ((*name).clone(), json!({ "enum": [1, -1] }))).collect();
        let selected = if self.open { json!({ "type": "string" }) } else { json!({ "enum": names }) };
        let fields: Map<String, Value> = names.iter().map(|name| ((*name).clone(), self.condition(name))).collect();
        let mut top = self.conditions();
        let limits = json!({
            "$limit": { "type": "integer", "minimum": 0 },
            "$skip": { "type": "integer", "minimum": 0 },
            "$sort": { "type": "object", "properties": directions, "additionalProperties": self.open },
            "$select": { "type": "array", "items": selected },
        });
        if let (Some(properties), Value::Object(limits)) = (top["properties"].as_object_mut(), limits) {
            properties.extend(limits);
        }
        let mut record = self.record.clone();
        if let Value::Object(record) = &mut record {
            record.entry("$id").or_insert_with(|| RECORD.into());
        }
        top["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
        // One level deeper, since a field may have the name of a keyword.
        top["$defs"] = json!({ "record": record, "conditions": self.conditions(), "fields": { "$defs": fields } });
        top
    }

    /// Gives values in a query, which are texts over REST, the types of their fields.
    pub(super) fn coerce(&self, query: &mut Map<String, Value>) {
        for (key, value) in query {
            match key.as_str() {
                "$limit" | "$skip" => coerce(value, &json!({ "type": "integer" }), &Value::Null),
                "$sort" => {
                    let direction = json!({ "type": "object", "additionalProperties": { "type": "integer" } });
                    coerce(value, &direction, &Value::Null);
                }
                "$or" | "$and" => {
                    let branches = value.as_array_mut().into_iter().flatten();
                    branches.filter_map(Value::as_object_mut).for_each(|branch| self.coerce(branch));
                }
                field => self.coerce_condition(field, value),
            }
        }
    }

    fn coerce_condition(&self, field: &str, value: &mut Value) {
        let is_condition = |map: &Map<String, Value>| map.keys().any(|key| key.starts_with('$'));
        match value {
            Value::Object(map) if is_condition(map) => {
                for (operator, operand) in map {
                    let known = self.operators.get(operator);
                    match (known, operand) {
                        (Some(schema), operand) => coerce(operand, schema.as_value(), schema.as_value()),
                        (None, Value::Array(items)) if AMONG.contains(&operator.as_str()) => {
                            items.iter_mut().for_each(|item| self.coerce_operand(field, item));
                        }
                        (None, operand) => self.coerce_operand(field, operand),
                    }
                }
            }
            value => self.coerce_operand(field, value),
        }
    }

    fn coerce_operand(&self, field: &str, value: &mut Value) {
        for place in self.fields.places(field) {
            let element = element_of(&self.record, place).filter(|_| !value.is_array());
            if let Some(schema) = self.record.pointer(element.as_deref().unwrap_or(place)) {
                coerce(value, schema, &self.record);
            }
        }
    }

    /// Conditions on fields, without limits and order.
    fn conditions(&self) -> Value {
        let branches = json!({ "type": "array", "items": { "$ref": "#/$defs/conditions" } });
        let refer = |name: &str| json!({ "$ref": format!("#/$defs/fields/$defs/{}", encoded(&escaped(name))) });
        let mut properties: Map<String, Value> =
            self.fields.named.keys().map(|name| (name.clone(), refer(name))).collect();
        properties.insert("$or".into(), branches.clone());
        properties.insert("$and".into(), branches);
        json!({ "type": "object", "properties": properties, "additionalProperties": self.open })
    }

    fn condition(&self, field: &str) -> Value {
        let operand = self.operand(field);
        let mut operators = Map::new();
        for name in COMPARE {
            operators.insert(name.into(), operand.clone());
        }
        for name in AMONG {
            operators.insert(name.into(), json!({ "type": "array", "items": operand.clone() }));
        }
        for (name, schema) in &self.operators {
            operators.insert(name.clone(), schema.as_value().clone());
        }
        let compared = json!({ "type": "object", "properties": operators, "additionalProperties": false });
        if self.fields.places(field).any(|place| self.may_be_object(place)) {
            return json!({ "anyOf": [operand, compared] });
        }
        // Not `anyOf`: an error then tells what is wrong with the operand.
        json!({ "if": { "type": "object" }, "then": compared, "else": operand })
    }

    /// What a field is compared with: a value of its type; of a list, one of its elements as well.
    fn operand(&self, field: &str) -> Value {
        let id = self.record.get("$id").and_then(Value::as_str).unwrap_or(RECORD);
        let refer = |place: &str| json!({ "$ref": format!("{id}#{}", encoded(place)) });
        let mut forms = Vec::new();
        for place in self.fields.places(field) {
            forms.push(refer(place));
            forms.extend(element_of(&self.record, place).map(|element| refer(&element)));
        }
        match forms.len() {
            1 => forms.remove(0),
            _ => json!({ "anyOf": forms }),
        }
    }

    /// Returns `true` unless what stands at `place` is certainly no object.
    fn may_be_object(&self, place: &str) -> bool {
        let mut schema = self.record.pointer(place);
        for _ in 0..REFERENCES {
            match schema.and_then(|schema| schema.get("$ref")) {
                Some(reference) => schema = resolve(reference, &self.record),
                None => break,
            }
        }
        let Some(schema) = schema else { return true };
        match schema.get("type") {
            Some(Value::String(name)) => name == "object",
            Some(Value::Array(names)) => names.contains(&"object".into()),
            _ => {
                let options = schema.get("enum").and_then(Value::as_array);
                options.is_none_or(|options| options.iter().any(Value::is_object))
            }
        }
    }
}

/// Returns the place of what a list at `place` consists of; `None` if it is no list.
pub(super) fn element_of(document: &Value, place: &str) -> Option<String> {
    element(document, place, REFERENCES)
}

fn element(document: &Value, place: &str, references: usize) -> Option<String> {
    let references = references.checked_sub(1)?;
    let schema = document.pointer(place)?;
    if schema.get("items").is_some_and(Value::is_object) {
        return Some(format!("{place}/items"));
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        return element(document, target.strip_prefix('#')?, references);
    }
    let choices = schema.get("anyOf").and_then(Value::as_array)?.len();
    (0..choices).find_map(|index| element(document, &format!("{place}/anyOf/{index}"), references))
}

/// A JSON pointer as the fragment of a URI.
fn encoded(pointer: &str) -> String {
    let mut fragment = String::with_capacity(pointer.len());
    for byte in pointer.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b'$' => {
                fragment.push(byte.into())
            }
            byte => fragment.push_str(&format!("%{byte:02X}")),
        }
    }
    fragment
}
