//! The fields that a schema of records has, nested ones included.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// How deep fields are looked for: `a.b.c.d`.
const DEPTH: usize = 4;
/// How many fields there may be before they are looked for less deep.
const MANY: usize = 500;

/// What may stand in a record.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// The places of the schemas of each field in the document, as JSON pointers, by its dotted name.
    pub(super) named: Map<String, Value>,
    /// There may be others.
    pub(super) open: bool,
}

impl Fields {
    /// Collects the fields of the records that `document` describes.
    pub(super) fn of(document: &Value) -> Self {
        let mut fields = Fields::default();
        for depth in (1..=DEPTH).rev() {
            fields = Fields::default();
            Walk { document, fields: &mut fields, on_way: BTreeSet::new() }.visit("", "", depth);
            if fields.named.len() <= MANY {
                break;
            }
        }
        fields.open |= fields.named.is_empty();
        fields
    }

    /// Returns the places of the schemas of a field.
    pub(super) fn places(&self, name: &str) -> impl Iterator<Item = &str> {
        self.named.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }
}

struct Walk<'a> {
    document: &'a Value,
    fields: &'a mut Fields,
    /// The places that are being visited, each with the depth left: what refers to itself ends there.
    on_way: BTreeSet<(String, usize)>,
}

impl Walk<'_> {
    /// Visits the schema at `place`, which describes what stands under `prefix` ("" or "name.").
    fn visit(&mut self, place: &str, prefix: &str, depth: usize) {
        let Some(Value::Object(schema)) = self.document.pointer(place) else { return };
        if self.fields.named.len() > MANY && depth > 1 || !self.on_way.insert((place.to_owned(), depth)) {
            return;
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#')) {
            self.visit(target, prefix, depth);
        }
        for several in ["allOf", "anyOf", "oneOf"] {
            let count = schema.get(several).and_then(Value::as_array).map_or(0, Vec::len);
            for index in 0..count {
                self.visit(&format!("{place}/{several}/{index}"), prefix, depth);
            }
        }
        // A list of records is asked for by the fields of its elements.
        if !prefix.is_empty() && schema.contains_key("items") {
            self.visit(&format!("{place}/items"), prefix, depth);
        }
        let keeps_others = schema.get("additionalProperties").is_some_and(|others| *others != Value::Bool(false));
        self.fields.open |= prefix.is_empty() && (keeps_others || schema.contains_key("patternProperties"));
        for name in schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys) {
            self.add(&format!("{place}/properties/{}", escaped(name)), &format!("{prefix}{name}"), depth);
        }
        self.on_way.remove(&(place.to_owned(), depth));
    }

    fn add(&mut self, place: &str, name: &str, depth: usize) {
        let places = self.fields.named.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(places) = places {
            places.push(place.into());
        }
        if depth > 1 {
            self.visit(place, &format!("{name}."), depth - 1);
        }
    }
}

/// Returns a name as a part of a JSON pointer.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
