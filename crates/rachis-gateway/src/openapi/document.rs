//! The document, and what of it is not about one service.

use super::{
    described::Described,
    errors::{error_responses, error_schema},
    operations, parameters,
    parts::Parts,
};
use serde_json::{Map, Value, json};

/// What is said of a service that says nothing of itself.
const NOT_DESCRIBED: &str = "A service without a description";
/// What is said of a service without schemas.
const OPEN: &str = "A service that does not say what it takes and returns";

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
    parts: Parts,
    tags: Vec<Value>,
    services: Map<String, Value>,
    has_login: bool,
}

impl Document {
    /// A document without services.
    pub fn new(title: &str, version: &str) -> Self {
        Document {
            info: json!({ "title": title, "version": version }),
            server: "/".to_owned(),
            parts: Parts::default(),
            tags: Vec::new(),
            services: Map::new(),
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
        let overview = operations::add(&mut self.parts, service, &schemas, tag);
        self.services.insert(path.to_owned(), overview);
        self
    }

    /// Returns it as JSON.
    pub fn into_value(mut self) -> Value {
        self.parts.place_custom();
        let mut components = Map::new();
        let mut schemas = self.parts.components;
        schemas.put("Error", error_schema());
        components.insert("schemas".into(), schemas.into_value());
        let mut parameters = self.parts.parameters;
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
            "paths": self.parts.paths,
            "components": components,
            // For clients by sockets, which call by path and method, and hear events.
            "x-rachis-services": self.services,
        })
    }
}
