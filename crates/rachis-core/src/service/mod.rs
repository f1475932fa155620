//! The trait an application implements, and its erased form.

pub(crate) mod descriptor;
pub(crate) mod dynamic;
pub(crate) mod methods;
pub(crate) mod registered;
pub(crate) mod registration;
pub(crate) mod shape;
pub(crate) mod typed;

use crate::{Answer, Call, Descriptor, Error, Handle, Id, Method, Params, Result, Shape};
use futures_core::future::BoxFuture;
use serde_json::Value;
use std::future::{Future, ready};

/// A service: up to six standard methods and any number of custom ones, on one kind of record.
///
/// Implement with plain `async fn`s; say in [`METHODS`](Service::METHODS) which ones are there, since Rust cannot see
/// which defaults were overridden. Only those can be called from outside.
///
/// ```
/// use rachis::{App, Id, Method, Params, Result, Service};
/// use serde_json::{Value, json};
///
/// struct Greetings;
///
/// impl Service for Greetings {
///     const METHODS: &[Method] = &[Method::Get];
///
///     async fn get(&self, name: Id, _: Params) -> Result<Value> {
///         Ok(json!({ "text": format!("Hello, {name}!") }))
///     }
/// }
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let app = App::new().register("greetings", Greetings);
/// assert_eq!(app.service("greetings").get("Ada").await?["text"], "Hello, Ada!");
/// # Ok::<(), rachis::Error>(()) }).unwrap();
/// ```
#[allow(unused_variables)]
pub trait Service: Send + Sync + 'static {
    /// The methods that clients and other nodes may call.
    const METHODS: &'static [Method];

    /// Events of the service's own, beside the four standard ones. A standard name listed here is no longer fired by
    /// itself: the service then emits it.
    const EVENTS: &'static [&'static str] = &[];

    /// Methods that may run twice with the effect of once, beside `find`, `get`, `update` and `remove`: calls of these
    /// are redelivered when the replica that had them dies.
    const IDEMPOTENT: &'static [Method] = &[];

    /// Many records, chosen by `params.query`.
    fn find(&self, params: Params) -> impl Future<Output = Result<Value>> + Send {
        ready(missing(&Method::Find))
    }

    /// One record.
    fn get(&self, id: Id, params: Params) -> impl Future<Output = Result<Value>> + Send {
        ready(missing(&Method::Get))
    }

    /// A new record, or several if `data` is an array.
    fn create(&self, data: Value, params: Params) -> impl Future<Output = Result<Value>> + Send {
        ready(missing(&Method::Create))
    }

    /// Replaces a record.
    fn update(&self, id: Option<Id>, data: Value, params: Params) -> impl Future<Output = Result<Value>> + Send {
        ready(missing(&Method::Update))
    }

    /// Changes fields of a record, or, without id, of all that the query chooses.
    fn patch(&self, id: Option<Id>, data: Value, params: Params) -> impl Future<Output = Result<Value>> + Send {
        ready(missing(&Method::Patch))
    }

    /// Deletes a record, or, without id, all that the query chooses.
    fn remove(&self, id: Option<Id>, params: Params) -> impl Future<Output = Result<Value>> + Send {
        ready(missing(&Method::Remove))
    }

    /// Every custom method, by its name.
    fn custom(&self, method: &str, data: Value, params: Params) -> impl Future<Output = Result<Value>> + Send {
        ready(missing(&Method::from(method)))
    }

    /// Returns how the standard methods take and return records, for those who read its schemas: documents, typed clients.
    /// It is read once, at the registration.
    fn shape(&self) -> Shape {
        Shape::default()
    }

    /// What the constants say.
    #[doc(hidden)]
    fn static_descriptor() -> Descriptor
    where
        Self: Sized,
    {
        Descriptor {
            events: Self::EVENTS.iter().map(|event| (*event).to_owned()).collect(),
            idempotent: Self::IDEMPOTENT.to_vec(),
            ..Descriptor::new(Self::METHODS.iter().cloned())
        }
    }

    /// Runs once after the service is registered with a running app; `this` is the service itself.
    fn setup(&self, this: Handle) -> impl Future<Output = Result<()>> + Send {
        ready(Ok(()))
    }

    /// Runs once after the service is unregistered or its node has shut down.
    fn teardown(&self) -> impl Future<Output = Result<()>> + Send {
        ready(Ok(()))
    }
}

pub(super) fn missing<T>(method: &Method) -> Result<T> {
    Err(Error::method_not_allowed(format!("Method `{method}` is not supported by this endpoint.")))
}

/// The erased form: what a registration holds, whether the service is here or on another node.
pub trait Dispatch: Send + Sync {
    // In a box, here and wherever a call is handed on: each step of its way would move and keep a copy of the whole.
    /// Runs one call.
    fn dispatch(&self, call: Box<Call>) -> BoxFuture<'_, Result<Answer>>;

    /// Runs once before the first call.
    fn setup(&self, _this: Handle) -> BoxFuture<'_, Result<()>> {
        Box::pin(ready(Ok(())))
    }

    /// Runs once after the last call.
    fn teardown(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(ready(Ok(())))
    }

    /// Returns how its standard methods take and return records.
    fn shape(&self) -> Shape {
        Shape::default()
    }

    /// Do calls of it fire events here? A remote service's are fired where it runs.
    fn fires_events(&self) -> bool;
}

impl<S: Service> Dispatch for S {
    fn dispatch(&self, call: Box<Call>) -> BoxFuture<'_, Result<Answer>> {
        Box::pin(async move {
            let Call { path, method, id, data, params, .. } = *call;
            let result = match method {
                Method::Find => Service::find(self, params).await,
                Method::Get => {
                    let id = id.ok_or_else(|| Error::bad_request(format!("get on '{path}' needs an id")))?;
                    Service::get(self, id, params).await
                }
                Method::Create => Service::create(self, data, params).await,
                Method::Update => Service::update(self, id, data, params).await,
                Method::Patch => Service::patch(self, id, data, params).await,
                Method::Remove => Service::remove(self, id, params).await,
                Method::Custom(name) => Service::custom(self, &name, data, params).await,
            };
            result.map(Answer::from)
        })
    }

    fn setup(&self, this: Handle) -> BoxFuture<'_, Result<()>> {
        Box::pin(Service::setup(self, this))
    }

    fn teardown(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(Service::teardown(self))
    }

    fn shape(&self) -> Shape {
        Service::shape(self)
    }

    fn fires_events(&self) -> bool {
        true
    }
}
