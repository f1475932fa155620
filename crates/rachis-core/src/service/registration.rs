//! A service with its hooks and options, ready to be registered.

#[cfg(feature = "schema")]
use crate::schema::Schemas;
use crate::{
    AroundHook, Context, Descriptor, Hook, Method, MethodFn, Methods, Next, Result, Scope, Service, hooks::Hooks,
    service::Dispatch,
};
#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A service and how it shall be offered. Every [`Service`] turns into one; [`ServiceExt`] starts one by its first hook.
#[derive(Clone)]
pub struct Registration {
    pub(crate) service: Arc<dyn Dispatch>,
    pub(crate) hooks: Hooks,
    pub(crate) methods: Vec<Method>,
    pub(crate) custom_events: Vec<String>,
    pub(crate) idempotent: Vec<Method>,
    pub(crate) options: Map<String, Value>,
    pub(crate) publish: Publish,
    #[cfg(feature = "schema")]
    pub(crate) schemas: Option<Schemas>,
    /// What functions say of the methods that they are.
    #[cfg(feature = "schema")]
    pub(crate) of_methods: Option<Schemas>,
}

/// Which part of a service other nodes may see; what is `None` is left to the node's configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Publish {
    /// Nothing of it.
    pub local_only: bool,
    /// Only these methods.
    pub methods: Option<Vec<Method>>,
    /// Only these events.
    pub events: Option<Vec<String>>,
    /// Only these options.
    pub options: Option<Vec<String>>,
}

impl<S: Service> From<S> for Registration {
    fn from(service: S) -> Self {
        Registration::of(Arc::new(service), S::static_descriptor())
    }
}

macro_rules! registration_methods {
    ($($public:tt)*) => {
        /// Runs `hook` around the methods of `scope`: one, several, or [`ALL`](crate::ALL); see [`AroundHook`].
        $($public)* fn around(self, scope: impl Into<Scope>, hook: impl AroundHook) -> Registration {
            let mut registration = Registration::from(self);
            registration.hooks.around(scope.into(), hook);
            registration
        }

        /// Runs `hook` around the methods of `scope`, with a clone of `state` each time; see
        /// [`before_with`](Registration::before_with).
        $($public)* fn around_with<T, F, Fut>(self, scope: impl Into<Scope>, state: T, hook: F) -> Registration
        where
            T: Clone + Send + Sync + 'static,
            F: Fn(T, Context, Next) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<Context>> + Send + 'static,
        {
            self.around(scope, move |ctx: Context, next: Next| hook(state.clone(), ctx, next))
        }

        /// Runs `hook` before the methods of `scope`; it may change the context, set `result` to skip the method, or
        /// fail. See [`Hook`].
        $($public)* fn before(self, scope: impl Into<Scope>, hook: impl Hook) -> Registration {
            let mut registration = Registration::from(self);
            registration.hooks.before(scope.into(), hook);
            registration
        }

        /// Runs `hook` before the methods of `scope`, with a clone of `state` each time. A state that is changed, or that is
        /// large, stands in an [`Arc`].
        ///
        /// ```
        /// use rachis::{App, Error, MemoryService, Method, ServiceExt};
        /// use serde_json::json;
        /// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
        ///
        /// // No more than two notes in all.
        /// let left = Arc::new(AtomicUsize::new(2));
        /// let notes = MemoryService::new().before_with(Method::Create, left, async |left, ctx| {
        ///     let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        ///     if taken.is_ok() { Ok(ctx) } else { Err(Error::too_many_requests("Enough notes for today")) }
        /// });
        ///
        /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
        /// let notes = App::new().register("notes", notes).service("notes");
        /// notes.create(json!({ "text": "buy milk" })).await?;
        /// notes.create(json!({ "text": "drink it" })).await?;
        /// assert_eq!(notes.create(json!({ "text": "buy more" })).await.unwrap_err().code(), 429);
        /// # Ok::<(), Error>(()) }).unwrap();
        /// ```
        $($public)* fn before_with<T, F, Fut>(self, scope: impl Into<Scope>, state: T, hook: F) -> Registration
        where
            T: Clone + Send + Sync + 'static,
            F: Fn(T, Context) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<Context>> + Send + 'static,
        {
            self.before(scope, move |ctx: Context| hook(state.clone(), ctx))
        }

        /// Runs `hook` after the methods of `scope` have returned; it may change `result` and `dispatch`. See [`Hook`].
        $($public)* fn after(self, scope: impl Into<Scope>, hook: impl Hook) -> Registration {
            let mut registration = Registration::from(self);
            registration.hooks.after(scope.into(), hook);
            registration
        }

        /// Runs `hook` after the methods of `scope` have returned, with a clone of `state` each time; see
        /// [`before_with`](Registration::before_with).
        $($public)* fn after_with<T, F, Fut>(self, scope: impl Into<Scope>, state: T, hook: F) -> Registration
        where
            T: Clone + Send + Sync + 'static,
            F: Fn(T, Context) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<Context>> + Send + 'static,
        {
            self.after(scope, move |ctx: Context| hook(state.clone(), ctx))
        }

        /// Runs `hook` when a method of `scope` or one of its hooks failed; it may replace `error`, or set `result` to
        /// recover. See [`Hook`].
        $($public)* fn on_error(self, scope: impl Into<Scope>, hook: impl Hook) -> Registration {
            let mut registration = Registration::from(self);
            registration.hooks.on_error(scope.into(), hook);
            registration
        }

        /// Runs `hook` when a method of `scope` or one of its hooks failed, with a clone of `state` each time; see
        /// [`before_with`](Registration::before_with).
        $($public)* fn on_error_with<T, F, Fut>(self, scope: impl Into<Scope>, state: T, hook: F) -> Registration
        where
            T: Clone + Send + Sync + 'static,
            F: Fn(T, Context) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<Context>> + Send + 'static,
        {
            self.on_error(scope, move |ctx: Context| hook(state.clone(), ctx))
        }

        /// Refuses queries of clients that name one of `fields`, with `BadRequest` and before anything runs: their
        /// conditions, orders and selections would tell what is in it. Calls of code may name it.
        ///
        /// `protect` as an `after` hook says this of its fields by itself; it is for services
        /// that set `dispatch` by a hook of their own. A dot leads into a nested field. Fields that contain one of
        /// `fields` are refused too, except in `$select`.
        ///
        /// ```
        /// use rachis::{App, Context, MemoryService, Method, Params, ServiceExt};
        /// use serde_json::json;
        ///
        /// let notes = MemoryService::new().protect_queries(["draft"]).after(Method::Find, async |mut ctx: Context| {
        ///     ctx.dispatch = Some(json!(["for clients"]));
        ///     Ok(ctx)
        /// });
        /// let app = App::new().register("notes", notes);
        /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
        /// let find = || app.service("notes").find().query(json!({ "draft": { "$gte": "a" } }));
        /// assert_eq!(find().await?, json!([]));
        /// let client = Params::default().with_provider("rest").with_query(json!({ "draft": "a" }));
        /// assert_eq!(app.service("notes").find().params(client).await.unwrap_err().code(), 400);
        /// # Ok::<(), rachis::Error>(()) }).unwrap();
        /// ```
        $($public)* fn protect_queries(self, fields: impl IntoIterator<Item = impl Into<String>>) -> Registration {
            let mut registration = Registration::from(self);
            registration.hooks.hide(fields);
            registration
        }

        /// Offers only these methods to the outside, instead of all of [`Service::METHODS`].
        $($public)* fn methods(self, methods: impl IntoIterator<Item = impl Into<Method>>) -> Registration {
            let mut registration = Registration::from(self);
            registration.methods = methods.into_iter().map(Into::into).collect();
            registration
        }

        /// Adds events of the service's own.
        $($public)* fn events(self, events: impl IntoIterator<Item = impl Into<String>>) -> Registration {
            let mut registration = Registration::from(self);
            registration.custom_events.extend(events.into_iter().map(Into::into));
            registration
        }

        /// Gives the service an option. It is announced to other nodes if `remote_service_options` names it.
        $($public)* fn option(self, name: &str, value: impl Into<Value>) -> Registration {
            let mut registration = Registration::from(self);
            registration.options.insert(name.to_owned(), value.into());
            registration
        }

        /// Lets other nodes call only these methods, whatever `distributed_methods` says.
        $($public)* fn distributed_methods(self, methods: impl IntoIterator<Item = impl Into<Method>>) -> Registration {
            let mut registration = Registration::from(self);
            registration.publish.methods = Some(methods.into_iter().map(Into::into).collect());
            registration
        }

        /// Sends only these events to other nodes, whatever `distributed_events` says.
        $($public)* fn distributed_events(self, events: impl IntoIterator<Item = impl Into<String>>) -> Registration {
            let mut registration = Registration::from(self);
            registration.publish.events = Some(events.into_iter().map(Into::into).collect());
            registration
        }

        /// Announces only these options to other nodes, whatever `remote_service_options` says.
        $($public)* fn distributed_options(self, options: impl IntoIterator<Item = impl Into<String>>) -> Registration {
            let mut registration = Registration::from(self);
            registration.publish.options = Some(options.into_iter().map(Into::into).collect());
            registration
        }

        /// Describes what the methods take and return. Data and queries that do not fit are a `BadRequest`, with a message
        /// for each field in its `errors`; see [`schema`](crate::schema). Of methods that are described by their own types,
        /// they tell what those do not have to.
        #[cfg(feature = "schema")]
        $($public)* fn schemas(self, mut schemas: Schemas) -> Registration {
            let mut registration = Registration::from(self);
            if let Some(of_methods) = &registration.of_methods {
                schemas.complete(of_methods);
            }
            registration.schemas = Some(schemas);
            registration
        }

        /// Keeps the service to this process, whatever `services` says.
        $($public)* fn local_only(self) -> Registration {
            let mut registration = Registration::from(self);
            registration.publish.local_only = true;
            registration
        }
    };
}

impl Registration {
    /// A service that offers what `descriptor` says, with the events of its own.
    pub(crate) fn of(service: Arc<dyn Dispatch>, descriptor: Descriptor) -> Self {
        Registration {
            service,
            hooks: Hooks::default(),
            methods: descriptor.methods,
            custom_events: descriptor.events,
            idempotent: descriptor.idempotent,
            options: descriptor.options,
            publish: Publish::default(),
            #[cfg(feature = "schema")]
            schemas: None,
            #[cfg(feature = "schema")]
            of_methods: None,
        }
    }

    registration_methods!(pub);
}

impl<S: Service> Methods<S> {
    registration_methods!(pub);
}

/// Starts a [`Registration`] right from a service: `Greetings.before(Method::Create, check)`.
pub trait ServiceExt: Service + Sized {
    /// Adds a custom method that is a function, an `async fn(&Self, D, Params) -> Result<R>`. `D` is read from the data of
    /// a call; what does not fit it is a `BadRequest`, and the function is not run.
    ///
    /// ```
    /// use rachis::{App, Method, Params, Result, Service, ServiceExt};
    /// use serde::{Deserialize, Serialize};
    /// use serde_json::json;
    ///
    /// struct Mails;
    ///
    /// #[derive(Deserialize)]
    /// struct Mail { to: String }
    ///
    /// #[derive(Serialize)]
    /// struct Receipt { sent_to: String }
    ///
    /// impl Service for Mails {
    ///     const METHODS: &[Method] = &[];
    /// }
    ///
    /// impl Mails {
    ///     async fn send(&self, mail: Mail, _: Params) -> Result<Receipt> {
    ///         Ok(Receipt { sent_to: mail.to })
    ///     }
    /// }
    ///
    /// let app = App::new().register("mails", Mails.method("send", Mails::send));
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let mails = app.service("mails");
    /// assert_eq!(mails.custom("send", json!({ "to": "Ada" })).await?, json!({ "sent_to": "Ada" }));
    /// assert_eq!(mails.custom("send", json!({ "to": 7 })).await.unwrap_err().code(), 400);
    /// # Ok::<(), rachis::Error>(()) }).unwrap();
    /// ```
    fn method<D, R>(self, name: &str, method: impl for<'a> MethodFn<'a, Self, D, R>) -> Methods<Self>
    where
        D: DeserializeOwned + Send + 'static,
        R: Serialize + Send + 'static,
    {
        Methods::new(self).method(name, method)
    }

    /// Adds a custom method that is a function, as [`method`](ServiceExt::method) does, and describes it by the types of its
    /// data and of its result. What does not fit is refused with a message for each field, and documents and typed clients know
    /// the method. What [`schemas`](ServiceExt::schemas) say of the same method counts more.
    ///
    /// ```
    /// use rachis::{App, Error, Method, Params, Result, Service, ServiceExt, schema::Schema};
    /// use schemars::JsonSchema;
    /// use serde::{Deserialize, Serialize};
    /// use serde_json::json;
    ///
    /// struct Mails;
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// struct Mail {
    ///     #[schemars(email)]
    ///     to: String,
    /// }
    ///
    /// #[derive(Serialize, JsonSchema)]
    /// struct Receipt { sent_to: String }
    ///
    /// impl Service for Mails {
    ///     const METHODS: &[Method] = &[];
    /// }
    ///
    /// impl Mails {
    ///     async fn send(&self, mail: Mail, _: Params) -> Result<Receipt> {
    ///         Ok(Receipt { sent_to: mail.to })
    ///     }
    /// }
    ///
    /// let app = App::new().register("mails", Mails.described_method("send", Mails::send));
    /// let send = Method::from("send");
    /// assert_eq!(app.schemas("mails").unwrap().result_schema(&send), Some(&Schema::output::<Receipt>()));
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let error = app.service("mails").custom("send", json!({ "to": "Ada" })).await.unwrap_err();
    /// assert_eq!(error.errors().unwrap(), &json!({ "to": "value is not a \"email\"" }));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    #[cfg(feature = "schema")]
    fn described_method<D, R>(self, name: &str, method: impl for<'a> MethodFn<'a, Self, D, R>) -> Methods<Self>
    where
        D: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + JsonSchema + Send + 'static,
    {
        Methods::new(self).described_method(name, method)
    }

    registration_methods!();
}

impl<S: Service> ServiceExt for S {}
