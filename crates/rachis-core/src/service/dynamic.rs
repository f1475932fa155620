//! Services described at run time, for bindings and adapters.

use crate::{Answer, Call, Descriptor, Handle, Registration, Result, Shape, service::Dispatch};
use futures_core::future::BoxFuture;
use std::{future::ready, sync::Arc};

/// A service whose methods, events and options are data instead of constants.
///
/// Bindings of other languages and adapters implement it: what they offer is known when the program runs. Everything
/// else is easier as a [`Service`](crate::Service).
///
/// ```
/// use rachis::{Answer, App, BoxFuture, Call, Descriptor, DynService, Error, Method, Registration, Result};
/// use serde_json::json;
/// use std::collections::BTreeMap;
///
/// /// A read-only service for each table that a file names.
/// struct Table(BTreeMap<String, String>);
///
/// impl DynService for Table {
///     fn descriptor(&self) -> Descriptor {
///         Descriptor::new([Method::Get])
///     }
///
///     fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer>> {
///         Box::pin(async move {
///             let id = call.id.ok_or_else(|| Error::bad_request("get needs an id"))?.to_string();
///             let text = self.0.get(&id).ok_or_else(|| Error::not_found(format!("No record {id}")))?;
///             Ok(json!({ "id": id, "text": text }).into())
///         })
///     }
/// }
///
/// let table = Table(BTreeMap::from([("1".to_owned(), "one".to_owned())]));
/// let app = App::new().register("numbers", Registration::dynamic(table));
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// assert_eq!(app.service("numbers").get(1).await?["text"], "one");
/// assert_eq!(app.service("numbers").get(2).await.unwrap_err().code(), 404);
/// # Ok::<(), Error>(()) }).unwrap();
/// ```
pub trait DynService: Send + Sync + 'static {
    /// Returns what the service offers. It is read once, at the registration, which brings the path: that of the
    /// descriptor is not used.
    ///
    /// Events are those of the service's own, beside the four standard ones. A standard event that it names is not fired
    /// by itself: the service emits it.
    fn descriptor(&self) -> Descriptor;

    /// Runs one call. Methods that the descriptor does not name come from code of the same process only.
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer>>;

    /// Returns how the standard methods take and return records; see [`Service::shape`](crate::Service::shape).
    fn shape(&self) -> Shape {
        Shape::default()
    }

    /// Runs once after the service is registered with a running app; `this` is the service itself.
    fn setup(&self, this: Handle) -> BoxFuture<'_, Result<()>> {
        let _ = this;
        Box::pin(ready(Ok(())))
    }

    /// Runs once after the service is unregistered or its node has shut down.
    fn teardown(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(ready(Ok(())))
    }
}

impl<S: DynService + ?Sized> DynService for Arc<S> {
    fn descriptor(&self) -> Descriptor {
        (**self).descriptor()
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer>> {
        (**self).call(call)
    }

    fn shape(&self) -> Shape {
        (**self).shape()
    }

    fn setup(&self, this: Handle) -> BoxFuture<'_, Result<()>> {
        (**self).setup(this)
    }

    fn teardown(&self) -> BoxFuture<'_, Result<()>> {
        (**self).teardown()
    }
}

impl Registration {
    /// A registration of a service described at run time.
    pub fn dynamic(service: impl DynService) -> Self {
        let descriptor = service.descriptor();
        Registration::of(Arc::new(Described(service)), descriptor)
    }
}

/// A [`DynService`] as registrations hold services.
struct Described<S>(S);

impl<S: DynService> Dispatch for Described<S> {
    fn dispatch(&self, call: Box<Call>) -> BoxFuture<'_, Result<Answer>> {
        self.0.call(*call)
    }

    fn setup(&self, this: Handle) -> BoxFuture<'_, Result<()>> {
        self.0.setup(this)
    }

    fn teardown(&self) -> BoxFuture<'_, Result<()>> {
        self.0.teardown()
    }

    fn shape(&self) -> Shape {
        self.0.shape()
    }

    fn fires_events(&self) -> bool {
        true
    }
}
