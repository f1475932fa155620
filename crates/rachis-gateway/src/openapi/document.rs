//! The document, and what of it is not about one service.

use super::{components::Components, names, operations, parameters};
use rachis_core::{Descriptor, ErrorKind, Method, schema::Schemas};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What is said of a service that says nothing of itself.
const NOT_DESCRIBED: &str = "A service without a description";
/// What is said of a service without schemas.
const OPEN: &str = "A service that does not say what it takes and returns";

/// A service that a document describes.
#[derive(Clone, Debug)]
pub struct Described {
    /// Its face.
    pub descriptor: Descriptor,
    /// What its methods take and return; `None` describes it as one that takes anything.
    pub schemas: Option<Schemas>,
    /// The methods that take a token.
    pub guarded: Vec<Method>,
    /// What its readers should know beside its description.
    pub note: Option<String>,
}

/// Makes an OpenAPI document of services.
///
/// ```
/// use rachis::{App, MemoryService, ServiceExt, gateway::openapi::{Described, Document}, schema::Schemas};
/// use serde_json::json;
///
/// let todo = json!({ "title": "Todo", "type": "object", "properties": { "text": { "type": "string" } } });
/// let schemas = Schemas::new().record(todo);
/// let app = App::new().register("todos", MemoryService::new().schemas(schemas));
/// let document = Document::new("Todos", "1.0.0")
///     .service(&Described {
///         descriptor: app.descriptor("todos").unwrap(),
///         schemas: app.schemas("todos"),
///         guarded: Vec::new(),
///         note: None,
///     })
///     .into_value();
/// assert_eq!(document["openapi"], "3.1.0");
/// assert_eq!(document["paths"]["/todos/{id}"]["get"]["operationId"], "getTodos");
/// assert_eq!(document["components"]["schemas"]["Todo"]["properties"]["text"]["type"], "string");
/// ```
pub struct Document {
    info: Value,
    server: String,
    pub(super) components: Components,
    pub(super) parameters: Map<String, Value>,
    paths: Map<String, Value>,
    tags: Vec<Value>,
    services: Map<String, Value>,
    operation_ids: BTreeMap<String, usize>,
    has_login: bool,
}

impl Document {
    /// A document without services.
    pub fn new(title: &str, version: &str) -> Self {
        Document {
            info: json!({ "title": title, "version": version }),
            server: "/".to_owned(),
            components: Components::default(),
            parameters: Map::new(),
            paths: Map::new(),
            tags: Vec::new(),
            services: Map::new(),
            operation_ids: BTreeMap::new(),
            has_login: false,
        }
    }

    /// Says below which URL the services are. Default `/`.
    pub fn server(mut self, url: &str) -> Self {
        let url = url.trim_end_matches('/');
        self.server = if url.is_empty() { "/" } else { url }.to_owned();
        self
    }

    /// Adds a service.
    pub fn service(mut self, service: &Described) -> Self {
        let path = service.descriptor.path.as_str();
        self.has_login |= !service.guarded.is_empty();
        let described = match &service.schemas {
            Some(schemas) => schemas.description().unwrap_or(NOT_DESCRIBED),
            None => OPEN,
        };
        let description =
            [Some(described), service.note.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("\n\n");
        let tag = if path.is_empty() { "/" } else { path };
        self.tags.push(json!({ "name": tag, "description": description }));
        let schemas = service.schemas.clone().unwrap_or_default();
        let overview = operations::add(&mut self, service, &schemas, tag);
        self.services.insert(path.to_owned(), overview);
        self
    }

    /// Returns it as JSON.
    pub fn into_value(self) -> Value {
        let mut components = Map::new();
        let mut schemas = self.components;
        schemas.put("Error", error_schema());
        components.insert("schemas".into(), schemas.into_value());
        let mut parameters = self.parameters;
        parameters.extend(parameters::of_all());
        components.insert("parameters".into(), parameters.into());
        components.insert("responses".into(), error_responses());
        if self.has_login {
            let token = json!({ "type": "http", "scheme": "bearer", "bearerFormat": "JWT" });
            components.insert("securitySchemes".into(), json!({ "token": token }));
        }
        json!({
            "openapi": "3.1.0",
            "info": self.info,
            "servers": [{ "url": self.server }],
            "tags": self.tags,
            "paths": self.paths,
            "components": components,
            // For clients by sockets, which call by path and method, and hear events.
            "x-rachis-services": self.services,
        })
    }

    /// Adds an operation. Its id is made of what it does and of the service's path.
    pub(super) fn operation(&mut self, key: &str, verb: &str, name: &str, mut operation: Value) {
        let uses = self.operation_ids.entry(name.to_owned()).or_default();
        *uses += 1;
        operation["operationId"] = if *uses == 1 { name.into() } else { format!("{name}{uses}").into() };
        let item = self.paths.entry(key).or_insert_with(|| json!({}));
        item[verb] = operation;
    }
}

/// The errors that every method may end in, beside those of the service itself.
pub(super) const OF_ALL: [ErrorKind; 4] =
    [ErrorKind::BadRequest, ErrorKind::Timeout, ErrorKind::TooManyRequests, ErrorKind::Unavailable];

/// Returns the reference to a response that is an error.
pub(super) fn error_response(kind: ErrorKind) -> Value {
    json!({ "$ref": format!("#/components/responses/{}", kind.name()) })
}

fn error_responses() -> Value {
    let content = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } });
    let about = |kind: ErrorKind| match kind {
        ErrorKind::BadRequest => "The query or the data does not fit; `errors` tells what is wrong, by field",
        ErrorKind::NotAuthenticated => "It takes a token, and none came along, or not a good one",
        ErrorKind::NotFound => "There is no such record",
        ErrorKind::Timeout => "No answer came in time",
        ErrorKind::PayloadTooLarge => "The body, or the result, is too large",
        ErrorKind::UnsupportedMediaType => "The body is of a type that is not read",
        ErrorKind::TooManyRequests => "Too many calls are under way; try again later",
        ErrorKind::Unavailable => "No replica of the service can be reached; try again later",
        _ => "Any other error of the service",
    };
    let kinds = OF_ALL.iter().chain(&[
        ErrorKind::NotAuthenticated,
        ErrorKind::NotFound,
        ErrorKind::PayloadTooLarge,
        ErrorKind::UnsupportedMediaType,
    ]);
    let mut responses: Map<String, Value> = kinds
        .map(|kind| (kind.name().to_owned(), json!({ "description": about(*kind), "content": content })))
        .collect();
    let other = json!({ "description": about(ErrorKind::GeneralError), "content": content });
    responses.insert("Error".into(), other);
    responses.into()
}

/// An error as clients of Feathers know it.
fn error_schema() -> Value {
    let names: Vec<&str> = ErrorKind::ALL.iter().map(|kind| kind.name()).collect();
    json!({
        "title": "Error",
        "description": "An error, in the form that clients of Feathers make their error classes of",
        "type": "object",
        "properties": {
            "name": { "type": "string", "description": format!("Its class: {}, or one of the service's own", names.join(", ")) },
            "message": { "type": "string" },
            "code": { "type": "integer", "description": "The status" },
            "className": { "type": "string" },
            "data": { "description": "What else the service says of it" },
            "errors": { "description": "What is wrong, mostly by field" },
        },
        "required": ["name", "message", "code", "className"],
    })
}

pub(super) fn pascal_path(path: &str) -> String {
    let name = names::pascal(path);
    if name.is_empty() { "Root".to_owned() } else { name }
}
