//! The schemas of a document, each under one name, with references that lead to each other.

use super::names::{component, free, pascal};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How deep a schema is followed: deeper ones are refused at registration.
const DEPTH: usize = 160;
/// What belongs to a schema as a document of its own, and not to a component.
const OF_DOCUMENTS: [&str; 10] = [
    "$schema",
    "$id",
    "$defs",
    "definitions",
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveRef",
    "$vocabulary",
    "$comment",
];
/// What holds values, in which a `$ref` is none.
const VALUES: [&str; 5] = ["enum", "const", "default", "example", "examples"];
/// What holds schemas by names of the application's own.
const BY_NAME: [&str; 3] = ["properties", "patternProperties", "dependentSchemas"];

/// What `{}` always fits, as there is nothing in it to speak of.
const OF_OTHERS: [&str; 12] = [
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "properties",
    "patternProperties",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "maxProperties",
    "items",
];
/// How many references and parts of schemas are followed to find out whether `{}` fits.
const STEPS: usize = 16;

/// A SHA-256.
type Hash = [u8; 32];

/// Schemas by name.
#[derive(Default)]
pub(super) struct Components {
    schemas: BTreeMap<String, Value>,
    /// The names by what they stand for: equal schemas of several services are one.
    known: HashMap<Hash, String>,
}

/// A schema with what its references may lead to.
struct Root<'a> {
    document: &'a Value,
    /// The service that it belongs to, as one word.
    owner: &'a str,
    /// What a schema without a title is called.
    fallback: &'a str,
    places: Vec<Place>,
    numbers: HashMap<String, usize>,
    /// What is named, and has to be written: its place and its name.
    ahead: Vec<(usize, String)>,
}

/// A place of a document that something refers to.
struct Place {
    pointer: String,
    /// Of what stands there by itself.
    hash: Hash,
    /// The places that it refers to, once they are known.
    targets: Option<Vec<usize>>,
    name: Option<String>,
}

impl Components {
    /// Adds `schema` with all that it refers to, and returns the reference to it. `owner` is the service, and `fallback` the
    /// name of a schema that has no title.
    pub(super) fn add(&mut self, owner: &str, fallback: &str, schema: &Value) -> Value {
        let mut root =
            Root { document: schema, owner, fallback, places: Vec::new(), numbers: HashMap::new(), ahead: Vec::new() };
        let whole = root.number("");
        let name = self.name(&mut root, whole);
        while let Some((place, name)) = root.ahead.pop() {
            let schema = root.schema(place);
            let written = self.rewrite(&mut root, schema, DEPTH);
            self.schemas.insert(name, written);
        }
        reference(&name)
    }

    /// Adds a schema that needs nothing else, under a name of the document's own.
    pub(super) fn put(&mut self, name: &str, schema: Value) -> Value {
        let hash: Hash = Sha256::digest(format!("{name} {schema}")).into();
        if let Some(known) = self.known.get(&hash) {
            return reference(known);
        }
        let name = free(component(name), |name| self.schemas.contains_key(name));
        self.known.insert(hash, name.clone());
        self.schemas.insert(name.clone(), schema);
        reference(&name)
    }

    /// Returns the schema that a reference to a component leads to.
    pub(super) fn get(&self, reference: &Value) -> Option<&Value> {
        self.schemas.get(reference["$ref"].as_str()?.rsplit('/').next()?)
    }

    /// Returns `true` if `{}` certainly fits a schema of this document.
    pub(super) fn may_be_empty(&self, schema: &Value) -> bool {
        self.takes_empty(schema, STEPS)
    }

    fn takes_empty(&self, schema: &Value, steps: usize) -> bool {
        let (Some(steps), Some(fields)) = (steps.checked_sub(1), schema.as_object()) else { return false };
        fields.iter().all(|(key, value)| match (key.as_str(), value) {
            ("$ref", _) => self.get(schema).is_some_and(|target| self.takes_empty(target, steps)),
            ("anyOf", Value::Array(forms)) => forms.iter().any(|form| self.takes_empty(form, steps)),
            ("allOf", Value::Array(forms)) => forms.iter().all(|form| self.takes_empty(form, steps)),
            ("type", Value::String(name)) => name == "object",
            ("type", Value::Array(names)) => names.iter().any(|name| name == "object"),
            ("required", Value::Array(names)) => names.is_empty(),
            (keyword, _) => OF_OTHERS.contains(&keyword),
        })
    }

    pub(super) fn into_value(self) -> Value {
        Value::Object(self.schemas.into_iter().collect())
    }

    /// Returns the name of what stands at a place. What has none yet gets one, and is written later: it may refer to itself.
    fn name(&mut self, root: &mut Root<'_>, place: usize) -> String {
        if let Some(name) = &root.places[place].name {
            return name.clone();
        }
        let identity = root.identity(place);
        if let Some(name) = self.known.get(&identity) {
            root.places[place].name = Some(name.clone());
            return name.clone();
        }
        let title = root.schema(place).get("title").and_then(Value::as_str).map(pascal);
        let wanted = title.filter(|title| !title.is_empty()).unwrap_or_else(|| {
            match root.places[place].pointer.rsplit('/').next().map(pascal) {
                Some(last) if !last.is_empty() => last,
                _ => root.fallback.to_owned(),
            }
        });
        let is_taken = |name: &str| self.schemas.contains_key(name);
        let name = if is_taken(&wanted) { free(format!("{}{wanted}", root.owner), is_taken) } else { wanted };
        self.known.insert(identity, name.clone());
        self.schemas.insert(name.clone(), Value::Null);
        root.places[place].name = Some(name.clone());
        root.ahead.push((place, name.clone()));
        name
    }

    /// Returns a schema whose references lead to components.
    fn rewrite(&mut self, root: &mut Root<'_>, schema: &Value, depth: usize) -> Value {
        let (Some(depth), Value::Object(schema)) = (depth.checked_sub(1), schema) else {
            return match schema {
                Value::Bool(false) => json!({ "not": {} }),
                _ => json!({}),
            };
        };
        let mut rewritten = Map::new();
        for (key, value) in schema {
            match (key.as_str(), value) {
                (key, _) if OF_DOCUMENTS.contains(&key) => {}
                ("$ref", Value::String(target)) => {
                    if let Some(place) = root.target(target) {
                        rewritten.insert("$ref".into(), reference(&self.name(root, place))["$ref"].take());
                    }
                }
                // Lists of items by their place had another name before the draft of OpenAPI 3.1.
                ("items", Value::Array(items)) => {
                    let items = items.iter().map(|item| self.rewrite(root, item, depth)).collect();
                    rewritten.insert("prefixItems".into(), items);
                    if let Some(others) = schema.get("additionalItems") {
                        let others = self.rewrite(root, others, depth);
                        rewritten.insert("items".into(), others);
                    }
                }
                ("additionalItems", _) => {}
                (name, Value::Object(schemas)) if BY_NAME.contains(&name) => {
                    let schemas: Map<String, Value> = schemas
                        .iter()
                        .map(|(name, schema)| (name.clone(), self.rewrite(root, schema, depth)))
                        .collect();
                    rewritten.insert(name.into(), schemas.into());
                }
                (name, value) if VALUES.contains(&name) => {
                    rewritten.insert(name.into(), value.clone());
                }
                ("additionalProperties" | "unevaluatedProperties", Value::Bool(flag)) => {
                    rewritten.insert(key.clone(), (*flag).into());
                }
                (_, Value::Object(_)) => {
                    rewritten.insert(key.clone(), self.rewrite(root, value, depth));
                }
                ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(items)) => {
                    let items = items.iter().map(|item| self.rewrite(root, item, depth)).collect();
                    rewritten.insert(key.clone(), items);
                }
                _ => {
                    rewritten.insert(key.clone(), value.clone());
                }
            }
        }
        rewritten.into()
    }
}

impl<'a> Root<'a> {
    fn schema(&self, place: usize) -> &'a Value {
        self.document.pointer(&self.places[place].pointer).unwrap_or(&Value::Bool(true))
    }

    /// Returns the number of a place of the document.
    fn number(&mut self, pointer: &str) -> usize {
        if let Some(number) = self.numbers.get(pointer) {
            return *number;
        }
        let number = self.places.len();
        let hash = self.document.pointer(pointer).map(hash_of).unwrap_or_default();
        self.places.push(Place { pointer: pointer.to_owned(), hash, targets: None, name: None });
        self.numbers.insert(pointer.to_owned(), number);
        number
    }

    /// Returns the place that a reference names; `None` if it is none of this document.
    fn target(&mut self, reference: &str) -> Option<usize> {
        let own = self.document.get("$id").and_then(Value::as_str).unwrap_or_default();
        let fragment = reference.strip_prefix(own).unwrap_or(reference).strip_prefix('#')?;
        let pointer = percent_encoding::percent_decode_str(fragment).decode_utf8().ok()?;
        self.document.pointer(&pointer)?;
        Some(self.number(&pointer))
    }

    fn targets(&mut self, place: usize) -> Vec<usize> {
        if let Some(targets) = &self.places[place].targets {
            return targets.clone();
        }
        let mut named = Vec::new();
        references(self.schema(place), &mut named, DEPTH);
        let targets: BTreeSet<usize> = named.into_iter().filter_map(|target| self.target(target)).collect();
        let targets: Vec<usize> = targets.into_iter().collect();
        self.places[place].targets = Some(targets.clone());
        targets
    }

    /// Returns what two places have in common if they say the same: a hash of the schema and of all that it refers to.
    fn identity(&mut self, place: usize) -> Hash {
        let mut reached = BTreeSet::from([place]);
        let mut ahead = vec![place];
        while let Some(place) = ahead.pop() {
            let targets = self.targets(place);
            ahead.extend(targets.into_iter().filter(|target| reached.insert(*target)));
        }
        let mut all: Vec<&Place> = reached.into_iter().map(|place| &self.places[place]).collect();
        all.sort_by(|one, other| one.pointer.cmp(&other.pointer));
        let mut hash = Sha256::new();
        hash.update(&self.places[place].pointer);
        for place in all {
            hash.update(format!(" {} ", place.pointer));
            hash.update(place.hash);
        }
        // What has no title is named after its service, so it is one with nothing of another.
        if self.places[place].pointer.is_empty() && self.document.get("title").is_none() {
            hash.update(format!(" {}", self.fallback));
        }
        hash.finalize().into()
    }
}

fn hash_of(schema: &Value) -> Hash {
    let mut schema = schema.clone();
    if let Value::Object(fields) = &mut schema {
        OF_DOCUMENTS.iter().for_each(|key| drop(fields.shift_remove(*key)));
    }
    Sha256::digest(schema.to_string()).into()
}

/// Collects what a schema refers to.
fn references<'a>(schema: &'a Value, found: &mut Vec<&'a str>, depth: usize) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("$ref", Value::String(target)) => found.push(target),
                    (key, _) if OF_DOCUMENTS.contains(&key) || VALUES.contains(&key) => {}
                    _ => references(value, found, depth),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found, depth)),
        _ => {}
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}
