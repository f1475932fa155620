//! How code calls a service: a handle makes calls, a call is a value you may still configure, then await.

use crate::{
    Answer, Call, Error, EventContext, EventStream, Id, Method, Params, Query, Result, call::idempotency, query::Limits,
};
use futures_core::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{fmt, future::IntoFuture, sync::Arc, time::Duration};

/// Carries out calls: an [`App`](crate::App) for its own services, a node for those of the whole mesh.
pub trait Caller: Send + Sync + 'static {
    /// Runs one call to its end. It comes in a box, since it is handed on from layer to layer.
    fn call(&self, call: Box<Call>) -> BoxFuture<'static, Result<Answer>>;

    /// Fires an event of a service of this process, by the call in `context` if there is one.
    ///
    /// # Errors
    /// `NotFound` when no service of this process has that path.
    fn emit(&self, path: &str, event: &str, data: Value, context: Option<EventContext>) -> Result<()>;

    /// How broad queries of services in this process may be.
    fn query_limits(&self) -> Limits {
        Limits::default()
    }

    /// Subscribes to one event of a service, or to all of them with `*`.
    fn on(&self, path: &str, event: &str) -> BoxFuture<'static, Result<EventStream>>;
}

/// A service by its path, wherever it runs. Cheap to clone, and valid before the service exists.
///
/// ```
/// # tokio_test::block_on(async {
/// use rachis::{App, MemoryService};
/// use serde_json::json;
///
/// let app = App::new().register("todos", MemoryService::new());
/// let todos = app.service("todos");
/// todos.create(json!({ "text": "write" })).await?;
/// let page = todos.find().query(json!({ "text": "write" })).await?;
/// assert_eq!(page, json!([{ "id": 0, "text": "write" }]));
/// # Ok::<(), rachis::Error>(()) }).unwrap();
/// # mod tokio_test { pub fn block_on<F: Future>(f: F) -> F::Output { tokio::runtime::Runtime::new().unwrap().block_on(f) } }
/// ```
#[derive(Clone)]
pub struct Handle {
    caller: Option<Arc<dyn Caller>>,
    path: Arc<str>,
}

impl Handle {
    #[doc(hidden)]
    pub fn new(caller: Option<Arc<dyn Caller>>, path: &str) -> Self {
        Handle { caller, path: crate::path::strip(path).into() }
    }

    /// The path it calls.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Many records, chosen by [`CallBuilder::query`].
    pub fn find(&self) -> CallBuilder {
        self.method(Method::Find)
    }

    /// One record.
    pub fn get(&self, id: impl Into<Id>) -> CallBuilder {
        self.method(Method::Get).id(id)
    }

    /// A new record, or several if `data` is an array.
    pub fn create(&self, data: impl Serialize) -> CallBuilder {
        self.method(Method::Create).data(data)
    }

    /// Replaces a record.
    pub fn update(&self, id: impl Into<Id>, data: impl Serialize) -> CallBuilder {
        self.method(Method::Update).id(id).data(data)
    }

    /// Changes some fields of a record.
    pub fn patch(&self, id: impl Into<Id>, data: impl Serialize) -> CallBuilder {
        self.method(Method::Patch).id(id).data(data)
    }

    /// Changes some fields of every record that the query chooses.
    pub fn patch_many(&self, data: impl Serialize) -> CallBuilder {
        self.method(Method::Patch).data(data)
    }

    /// Deletes a record.
    pub fn remove(&self, id: impl Into<Id>) -> CallBuilder {
        self.method(Method::Remove).id(id)
    }

    /// Deletes every record that the query chooses.
    pub fn remove_many(&self) -> CallBuilder {
        self.method(Method::Remove)
    }

    /// A method of the service's own.
    pub fn custom(&self, name: &str, data: impl Serialize) -> CallBuilder {
        self.method(name).data(data)
    }

    /// Any method, with nothing set yet.
    pub fn method(&self, method: impl Into<Method>) -> CallBuilder {
        CallBuilder {
            caller: self.caller.clone(),
            call: Box::new(Call::new(&*self.path, method)),
            query: None,
            invalid: None,
        }
    }

    /// Fires a custom event; only the process that serves the path can.
    ///
    /// # Errors
    /// `NotFound` when the service is not one of this process.
    pub fn emit(&self, event: &str, data: impl Serialize) -> Result<()> {
        let data = serde_json::to_value(data)?;
        self.caller.as_ref().ok_or_else(no_caller)?.emit(&self.path, event, data, None)
    }

    /// Fires an event and says which call caused it: for services that fire the standard events themselves, and custom
    /// events that publishers choose channels for by their caller.
    ///
    /// ```
    /// use rachis::{App, EventContext, MemoryService, Method, Params, ServiceExt};
    /// use serde_json::json;
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let app = App::new().register("todos", MemoryService::new().events(["done"]));
    /// let mut done = app.service("todos").on("done").await?;
    /// let params = Params::default().with_user(json!({ "id": 7 }));
    /// app.service("todos").emit_of(EventContext::new(Method::Patch, Some(1.into()), &params), "done", json!({ "id": 1 }))?;
    /// assert_eq!(done.next().await.unwrap().context.unwrap().user, Some(json!({ "id": 7 })));
    /// # Ok::<(), rachis::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `NotFound` when the service is not one of this process.
    pub fn emit_of(&self, context: EventContext, event: &str, data: impl Serialize) -> Result<()> {
        let data = serde_json::to_value(data)?;
        self.caller.as_ref().ok_or_else(no_caller)?.emit(&self.path, event, data, Some(context))
    }

    /// Subscribes to one event (`"created"`, or `"*"` for all). It hears what happens on every replica.
    ///
    /// # Errors
    /// `NotFound` when the service is unknown, `Unavailable` when Redis is away for too long.
    pub async fn on(&self, event: &str) -> Result<EventStream> {
        self.caller.as_ref().ok_or_else(no_caller)?.on(&self.path, event).await
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.path)
    }
}

fn no_caller() -> Error {
    Error::unavailable("These params belong to no app, so no service can be called through them")
}

/// A call that has not been made: configure it, then `.await` it.
#[must_use = "a call does nothing until it is awaited"]
pub struct CallBuilder {
    caller: Option<Arc<dyn Caller>>,
    call: Box<Call>,
    query: Option<Query>,
    invalid: Option<Error>,
}

impl CallBuilder {
    /// The record to act on.
    pub fn id(mut self, id: impl Into<Id>) -> Self {
        self.call.id = Some(id.into());
        self
    }

    /// What to create, change or hand to a custom method.
    pub fn data(mut self, data: impl Serialize) -> Self {
        match serde_json::to_value(data) {
            Ok(data) => self.call.data = data,
            Err(error) => self.invalid = Some(Error::bad_request(format!("The data is no JSON: {error}"))),
        }
        self
    }

    /// Which records, which fields, in what order: a JSON object or anything that serializes to one. Where
    /// [`params`](CallBuilder::params) have a query as well, the call finds what both find.
    pub fn query(mut self, query: impl Serialize) -> Self {
        match serde_json::to_value(query) {
            Ok(Value::Object(map)) => self.query = Some(Query::from(map)),
            Ok(other) => self.invalid = Some(Error::bad_request(format!("A query is a JSON object, not {other}"))),
            Err(error) => self.invalid = Some(Error::bad_request(format!("The query is no JSON: {error}"))),
        }
        self
    }

    /// Replaces all params, e.g. by those of the call that this one is a part of. An idempotency key that was given before
    /// stays unless they have one, and a query that was given by [`query`](CallBuilder::query) narrows theirs.
    pub fn params(mut self, params: Params) -> Self {
        let given = self.call.params.idempotency_key.take();
        self.call.params = params;
        // Lost unnoticed, it would let the call run twice.
        let key = &mut self.call.params.idempotency_key;
        *key = key.take().or(given);
        self
    }

    /// Makes a `create`, `patch` or custom call safe to repeat: of all calls with this key by the same caller, one runs,
    /// and its answer is the answer to every other, for `limits.idempotency_ttl` (a day). So the call is also given to
    /// another replica when its own dies. Methods that may run twice anyway ignore the key.
    ///
    /// The same caller: one with the same user, or else the same credentials, by the same transport. An error of the
    /// service's own (400 to 499, but for 401, 405, 408 and 429) is an answer as well; after any other, a repeat runs. The
    /// method, the record and the path are a part of the key; other data or another query under it is an
    /// `Unprocessable` (422). A repeat that comes while the first still runs waits for it. While Redis is away, a call
    /// with a key is refused (`Unavailable`, `never ran`), even one of a service of this process. An app that is on no
    /// mesh ignores the key.
    ///
    /// A key has 1 to 255 characters of visible ASCII, e.g. a UUID; anything else makes the call fail with `BadRequest`.
    ///
    /// ```no_run
    /// # async fn run(node: rachis::Node) -> rachis::Result<()> {
    /// # use serde_json::json;
    /// let paid = node.service("payments").create(json!({ "amount": 5 })).idempotency_key("order-17").await?;
    /// # Ok(()) }
    /// ```
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        let key = key.into();
        if let Err(error) = idempotency::check_key(&key) {
            self.invalid = Some(error);
        }
        self.call.params.idempotency_key = Some(key);
        self
    }

    /// How long to wait for the answer of a remote service, instead of the node's `timeout`; 49 days at most.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.call.timeout = Some(timeout);
        self
    }

    /// Makes the call and reads the result as a `T`.
    ///
    /// # Errors
    /// Those of the call, or `BadGateway` when the result is no `T`.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T> {
        let call = format!("{} on '{}'", self.call.method, self.call.path);
        serde_json::from_value(self.await?)
            .map_err(|error| Error::bad_gateway(format!("{call} returned something else than asked for: {error}")))
    }

    /// Makes the call and returns the result with its external view and HTTP metadata.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn answer(mut self) -> Result<Answer> {
        if let Some(error) = self.invalid {
            return Err(error);
        }
        if let Some(query) = self.query {
            let theirs = std::mem::take(&mut self.call.params.query);
            self.call.params.query = theirs.narrowed_by(query);
        }
        self.caller.ok_or_else(no_caller)?.call(self.call).await
    }
}

impl IntoFuture for CallBuilder {
    type Output = Result<Value>;
    type IntoFuture = BoxFuture<'static, Result<Value>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.answer().await.map(|answer| answer.result) })
    }
}
