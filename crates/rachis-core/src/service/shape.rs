//! How a service takes and returns records.

use crate::Method;

/// How the standard methods of a service take and return records, beyond what schemas of single records tell.
///
/// A service says it of itself, so that its schemas need not repeat how it was set up.
///
/// ```
/// use rachis::{App, MemoryService, Method, ServiceExt, schema::Schemas};
/// use serde_json::json;
///
/// let todos = MemoryService::new().multi([Method::Remove]).paginate(10, 50);
/// let todos = todos.schemas(Schemas::new().record(json!({ "properties": { "text": { "type": "string" } } })));
/// let schemas = App::new().register("todos", todos).schemas("todos").unwrap();
/// assert!(schemas.has_pages() && schemas.is_multi(&Method::Remove) && !schemas.is_multi(&Method::Create));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Shape {
    /// Which of `create`, `patch` and `remove` take several records at once: a list of them, or all that a query chooses.
    pub multi: Vec<Method>,
    /// `true` if `find` always returns a [`Page`](crate::Page).
    pub pages: bool,
}

impl Shape {
    /// One record at a time, and pages or lists.
    pub fn new() -> Self {
        Shape::default()
    }

    /// Says which of `create`, `patch` and `remove` take several records at once.
    pub fn multi(mut self, methods: impl IntoIterator<Item = impl Into<Method>>) -> Self {
        self.multi = methods.into_iter().map(Into::into).collect();
        self
    }

    /// Says that `find` always returns a [`Page`](crate::Page).
    pub fn pages(mut self) -> Self {
        self.pages = true;
        self
    }
}
