//! What can be asked of one service.

use super::{
    described::Described,
    errors::{OF_ALL, error_response},
    names, parameters,
    parts::{Custom, Parts},
};
use rachis_core::{ErrorKind, Method, schema::Schemas};
use serde_json::{Map, Value, json};

/// What the operations of a service have in common.
struct Service<'a> {
    described: &'a Described,
    schemas: &'a Schemas,
    tag: &'a str,
    /// Its path as one word.
    name: String,
    record: Option<Value>,
    /// A record, or the part of one that `$select` asks for.
    selected: Option<Value>,
}

/// Adds the operations of a service, and returns what a client that calls by path and method should know of it.
pub(super) fn add(parts: &mut Parts, described: &Described, schemas: &Schemas, tag: &str) -> Value {
    let path = described.descriptor.path.as_str();
    let name = names::pascal_path(path);
    let record = schemas.record_schema().map(|schema| parts.components.add(&name, &name, schema.as_value()));
    let selected = record.as_ref().map(|record| selected(parts, record));
    let service = Service { described, schemas, tag, name, record, selected };
    let mut overview = Map::new();
    if let Some(record) = &service.record {
        overview.insert("record".into(), record.clone());
    }
    if let (Some(query), true) = (schemas.query_schema(), schemas.query_schema() != schemas.record_schema()) {
        let query = parts.components.add(&service.name, &format!("{}Query", service.name), query.as_value());
        overview.insert("query".into(), query);
    }
    let operators: Map<String, Value> = schemas
        .operators()
        .map(|(name, operand)| {
            let fallback = format!("{}{}", service.name, names::pascal(name));
            (name.to_owned(), parts.components.add(&service.name, &fallback, operand.as_value()))
        })
        .collect();
    let methods: Map<String, Value> = described
        .descriptor
        .methods
        .iter()
        .map(|method| (method.name().to_owned(), service.add(parts, method)))
        .collect();
    let events: Map<String, Value> =
        described.descriptor.events.iter().map(|event| (event.clone(), service.event(parts, event))).collect();
    overview.insert("openQueries".into(), schemas.has_open_queries().into());
    if !operators.is_empty() {
        overview.insert("operators".into(), operators.into());
    }
    overview.insert("methods".into(), methods.into());
    overview.insert("events".into(), events.into());
    overview.into()
}

/// Returns the schema of a record with all its fields, or with those that were asked for.
fn selected(parts: &mut Parts, record: &Value) -> Value {
    let name = record["$ref"].as_str().and_then(|target| target.rsplit('/').next()).unwrap_or_default();
    let part = format!("{name}Selected");
    let mut schema = parts.components.get(record).cloned().unwrap_or_default();
    let is_plain = schema.get("properties").is_some();
    match &mut schema {
        Value::Object(fields) if is_plain => {
            fields.shift_remove("required");
            fields.insert("title".into(), part.clone().into());
            fields.insert("description".into(), format!("The fields of a {name} that `$select` names").into());
        }
        schema => *schema = json!({ "type": "object", "title": part }),
    }
    let part = parts.components.put(&part, schema);
    json!({ "anyOf": [record, part] })
}

impl Service<'_> {
    /// Adds the operations of one method, and returns what is known of it.
    fn add(&self, parts: &mut Parts, method: &Method) -> Value {
        let path = self.described.descriptor.path.as_str();
        let collection = names::path_key(path);
        let one = format!("{}/{{{}}}", collection.trim_end_matches('/'), parameters::id_name(path));
        let own_result = self.schemas.result_schema(method).map(|schema| {
            let fallback = format!("{}{}Result", self.name, names::pascal(method.name()));
            parts.components.add(&self.name, &fallback, schema.as_value())
        });
        let data = self.schemas.data_schema(method).map(|schema| {
            let fallback = format!("{}{}", self.name, names::pascal(method.name()));
            parts.components.add(&self.name, &fallback, schema.as_value())
        });
        let result = own_result.clone().or_else(|| self.record.clone());
        let several = self.takes_several(method);
        let mut common = parameters::of_path(path);
        let id = parameters::id(path, self.schemas);
        let known = self.described.schemas.as_ref();
        let of_results = |parts: &mut Parts| parameters::of_results(parts, &self.name, known, method);
        match method {
            Method::Find => {
                common.extend(of_results(parts));
                common.extend(parameters::of_queries(parts, &self.name, self.schemas));
                let found = own_result.clone().unwrap_or_else(|| self.found(parts));
                self.put(parts, &collection, "get", method, "", common, None, Some(found));
            }
            Method::Get => {
                common.push(id);
                common.extend(of_results(parts));
                let found = own_result.clone().or_else(|| self.selected.clone());
                self.put(parts, &one, "get", method, "", common, None, found);
            }
            Method::Create => {
                let body = self.body(parts, data.clone(), several);
                let created = result.clone().map(|result| if several { one_or_list(result) } else { result });
                self.put(parts, &collection, "post", method, "", common, Some(body), created);
                if own_result.is_none() {
                    self.link(parts, &collection, &one);
                }
            }
            Method::Update | Method::Patch => {
                let verb = if *method == Method::Update { "put" } else { "patch" };
                let body = self.body(parts, data.clone(), false);
                if several {
                    let mut chosen = common.clone();
                    chosen.extend(parameters::of_queries(parts, &self.name, self.schemas));
                    let changed = result.clone().map(list_of);
                    self.put(parts, &collection, verb, method, "Many", chosen, Some(body.clone()), changed);
                }
                common.push(id);
                self.put(parts, &one, verb, method, "", common, Some(body), result.clone());
            }
            Method::Remove => {
                if several {
                    let mut chosen = common.clone();
                    chosen.extend(parameters::of_queries(parts, &self.name, self.schemas));
                    let removed = result.clone().map(list_of);
                    self.put(parts, &collection, "delete", method, "Many", chosen, None, removed);
                }
                common.push(id);
                self.put(parts, &one, "delete", method, "", common, None, result.clone());
            }
            Method::Custom(_) => {
                let body = in_body(parts, data.clone().unwrap_or_else(anything));
                self.put(parts, &collection, "post", method, "", common, Some(body), own_result.clone());
            }
        }
        let mut known = Map::new();
        let description = self.schemas.description_of(method).map(Value::from);
        let result = if *method == Method::Find || matches!(method, Method::Custom(_)) { own_result } else { result };
        for (name, value) in [("description", description), ("data", data), ("result", result)] {
            if let Some(value) = value {
                known.insert(name.into(), value);
            }
        }
        if several && !matches!(method, Method::Custom(_)) {
            known.insert("multi".into(), true.into());
        }
        if *method == Method::Find && self.schemas.has_pages() {
            known.insert("pages".into(), true.into());
        }
        known.into()
    }

    /// Says which operations take the id of a record that was created.
    fn link(&self, parts: &mut Parts, collection: &str, one: &str) {
        let record = self.record.as_ref().and_then(|record| parts.components.get(record));
        if record.is_none_or(|record| record["properties"].get("id").is_none()) {
            return;
        }
        let path = self.described.descriptor.path.as_str();
        let mut given: Map<String, Value> = names::placeholders(path)
            .map(|name| (format!("path.{name}"), format!("$request.path.{name}").into()))
            .collect();
        given.insert(format!("path.{}", parameters::id_name(path)), "$response.body#/id".into());
        let verbs =
            [(Method::Get, "get"), (Method::Update, "put"), (Method::Patch, "patch"), (Method::Remove, "delete")];
        let links: Map<String, Value> = verbs
            .into_iter()
            .filter(|(method, _)| self.described.descriptor.methods.contains(method))
            .map(|(method, verb)| {
                let target = format!("#/paths/{}/{verb}", one.replace('~', "~0").replace('/', "~1"));
                (method.name().to_owned(), json!({ "operationRef": target, "parameters": given }))
            })
            .collect();
        if !links.is_empty() {
            parts.paths[collection]["post"]["responses"]["201"]["links"] = links.into();
        }
    }

    /// Returns `true` if a method takes several records, as far as it is known.
    fn takes_several(&self, method: &Method) -> bool {
        let may = matches!(method, Method::Create | Method::Patch | Method::Remove);
        may && (self.described.schemas.is_none() || self.schemas.is_multi(method))
    }

    /// The body of a standard method: a record, or several.
    fn body(&self, parts: &Parts, data: Option<Value>, several: bool) -> Value {
        let record = match data {
            Some(data) => data,
            None if self.described.schemas.is_none() => return in_body(parts, anything()),
            None => json!({ "type": "object" }),
        };
        in_body(parts, if several { one_or_list(record) } else { record })
    }

    fn event(&self, parts: &mut Parts, event: &str) -> Value {
        let fallback = format!("{}{}Event", self.name, names::pascal(event));
        let schema = self.schemas.event_schema(event).map(rachis_core::schema::Schema::as_value);
        schema.map_or_else(
            || json!({}),
            |schema| {
                if self.schemas.record_schema().is_some_and(|record| record.as_value() == schema) {
                    return self.record.clone().unwrap_or_default();
                }
                parts.components.add(&self.name, &fallback, schema)
            },
        )
    }

    /// What `find` returns: a list, a page, or, where that is not said, one of them.
    fn found(&self, parts: &mut Parts) -> Value {
        let Some(record) = &self.selected else { return json!({}) };
        let name = format!("{}Page", self.name);
        let count = json!({ "type": "integer", "minimum": 0 });
        let page = json!({
            "title": name,
            "type": "object",
            "properties": {
                "total": { "type": "integer", "minimum": 0, "description": "How many records there are in all" },
                "limit": count,
                "skip": count,
                "data": { "type": "array", "items": record },
            },
            "required": ["total", "limit", "skip", "data"],
        });
        let page = parts.components.put(&name, page);
        if self.schemas.has_pages() { page } else { json!({ "anyOf": [page, list_of(record.clone())] }) }
    }

    #[expect(clippy::too_many_arguments, reason = "each is a part of the one operation that it becomes")]
    fn put(
        &self,
        parts: &mut Parts,
        key: &str,
        verb: &str,
        method: &Method,
        several: &str,
        parameters: Vec<Value>,
        body: Option<Value>,
        result: Option<Value>,
    ) {
        let is_guarded = self.described.guarded.contains(method);
        let mut responses = Map::new();
        let status = if *method == Method::Create { "201" } else { "200" };
        responses.insert(
            status.into(),
            json!({
                "description": "It is done",
                "content": { "application/json": { "schema": result.clone().unwrap_or_else(|| json!({})) } },
            }),
        );
        if result.is_none() {
            responses.insert("204".into(), json!({ "description": "It is done, and there is nothing to say of it" }));
        }
        let mut errors = OF_ALL.to_vec();
        if is_guarded {
            errors.push(ErrorKind::NotAuthenticated);
        }
        if key.ends_with('}') {
            errors.push(ErrorKind::NotFound);
        }
        if body.is_some() {
            errors.extend([ErrorKind::PayloadTooLarge, ErrorKind::UnsupportedMediaType]);
        }
        errors.sort_by_key(|kind| kind.code());
        responses.extend(errors.into_iter().map(|kind| (kind.code().to_string(), error_response(kind))));
        responses.insert("default".into(), json!({ "$ref": "#/components/responses/Error" }));
        let mut operation = json!({
            "tags": [self.tag],
            "summary": summary(method, several, self.tag),
            "parameters": parameters,
            "responses": responses,
            "security": if is_guarded { json!([{ "token": [] }]) } else { json!([]) },
        });
        if let Some(body) = body {
            operation["requestBody"] = body;
        }
        if let Some(description) = self.schemas.description_of(method) {
            operation["description"] = description.into();
        }
        let name = names::component(&format!("{}{several}{}", method.name(), self.name));
        match method {
            Method::Custom(custom) => {
                parts.custom(Custom { path: key.to_owned(), method: custom.to_string(), name, operation })
            }
            _ => parts.operation(key, verb, &name, operation),
        }
    }
}

fn summary(method: &Method, several: &str, path: &str) -> String {
    match (method, several) {
        (Method::Find, _) => format!("Find records of {path}"),
        (Method::Get, _) => format!("Get a record of {path}"),
        (Method::Create, _) => format!("Create a record of {path}"),
        (Method::Update, _) => format!("Replace a record of {path}"),
        (Method::Patch, "") => format!("Change fields of a record of {path}"),
        (Method::Patch, _) => format!("Change fields of all records of {path} that the query chooses"),
        (Method::Remove, "") => format!("Remove a record of {path}"),
        (Method::Remove, _) => format!("Remove all records of {path} that the query chooses"),
        (Method::Custom(name), _) => format!("Call {name} of {path}"),
    }
}

/// What a body can be without a schema: other JSON is not read.
fn anything() -> Value {
    json!({ "type": ["object", "array"] })
}

/// A body of this schema. A request without one has the data `{}`, which is good where nothing is required.
fn in_body(parts: &Parts, schema: Value) -> Value {
    let required = !parts.components.may_be_empty(&schema);
    json!({ "required": required, "content": { "application/json": { "schema": schema } } })
}

fn list_of(record: Value) -> Value {
    json!({ "type": "array", "items": record })
}

fn one_or_list(record: Value) -> Value {
    json!({ "anyOf": [record.clone(), list_of(record)] })
}
