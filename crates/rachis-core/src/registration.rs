//! A service with its hooks and options, ready to be registered.

use super::{
    Call, Context, Descriptor, Method, MethodFn, Methods, STANDARD_EVENTS, Scope, Service,
    guarded::{self, Guarded},
    hook::Hook,
    hook::{Chain, Finished},
    hooks::{Hooks, chain},
    service::Dispatch,
};
use crate::{Error, Result};
use rustc_hash::FxHashMap;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A service and how it shall be offered. Every [`Service`] turns into one; [`ServiceExt`] starts one by its first hook.
#[derive(Clone)]
pub struct Registration {
    service: Arc<dyn Dispatch>,
    hooks: Hooks,
    methods: Vec<Method>,
    custom_events: Vec<String>,
    idempotent: Vec<Method>,
    options: Map<String, Value>,
    publish: Publish,
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
        /// Runs `hook` around the methods of `scope`: one, several, or [`ALL`](crate::ALL); see [`Hook`].
        $($public)* fn around(self, scope: impl Into<Scope>, hook: impl Hook) -> Registration {
            let mut registration = Registration::from(self);
            registration.hooks.around(scope.into(), hook);
            registration
        }

        /// Runs `hook` before the methods of `scope`; it may change the context, set `result` to skip the method, or
        /// fail.
        $($public)* fn before<F, Fut>(self, scope: impl Into<Scope>, hook: F) -> Registration
        where
            F: Fn(Context) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<Context>> + Send + 'static,
        {
            let mut registration = Registration::from(self);
            registration.hooks.before(scope.into(), hook);
            registration
        }

        /// Runs `hook` after the methods of `scope` have returned; it may change `result` and `dispatch`.
        $($public)* fn after<F, Fut>(self, scope: impl Into<Scope>, hook: F) -> Registration
        where
            F: Fn(Context) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<Context>> + Send + 'static,
        {
            let mut registration = Registration::from(self);
            registration.hooks.after(scope.into(), hook);
            registration
        }

        /// Refuses queries of clients that name one of `fields`, with `BadRequest` and before anything runs: their
        /// conditions, orders and selections would tell what is in it. Calls of code may name it.
        ///
        /// `protect` as an `after` hook says this of its fields by itself; it is for services
        /// that set `dispatch` by a hook of their own. A dot leads into a nested field. Fields that contain one of
        /// `fields` are refused too, except in `$select`.
        ///
        /// ```
        /// use rachis::{App, MemoryService, Method, Params, ServiceExt};
        /// use serde_json::json;
        ///
        /// let notes = MemoryService::new().protect_queries(["draft"]).after(Method::Find, async |mut ctx| {
        ///     ctx.dispatch = Some(json!(["nobody but code sees more"]));
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

        /// Runs `hook` when a method of `scope` or one of its hooks failed; it may replace `error`, or set `result` to
        /// recover.
        $($public)* fn on_error<F, Fut>(self, scope: impl Into<Scope>, hook: F) -> Registration
        where
            F: Fn(Context) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<Context>> + Send + 'static,
        {
            let mut registration = Registration::from(self);
            registration.hooks.on_error(scope.into(), hook);
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

    registration_methods!();
}

impl<S: Service> ServiceExt for S {}

/// A registered service: its hooks are chained, its face is settled.
pub struct Registered {
    /// What it offers.
    pub descriptor: Arc<Descriptor>,
    /// Which part of it other nodes may see.
    pub publish: Publish,
    /// Which of its methods strangers can not call.
    pub guarded: Arc<Guarded>,
    /// The service itself.
    pub service: Arc<dyn Dispatch>,
    registration: Registration,
    app: Hooks,
    chains: FxHashMap<Method, Chain>,
}

impl Registered {
    /// The registration at `path`, with the hooks of its app around its own.
    ///
    /// # Errors
    /// `BadRequest` for what can not be registered.
    pub fn new(path: &str, registration: Registration, app: &Hooks) -> Result<Self> {
        check_methods(path, &registration.methods)?;
        let mut events: Vec<String> = STANDARD_EVENTS.iter().map(|event| (*event).to_owned()).collect();
        events.extend(
            registration.custom_events.iter().filter(|event| !STANDARD_EVENTS.contains(&event.as_str())).cloned(),
        );
        let descriptor = Arc::new(Descriptor {
            path: path.to_owned(),
            methods: registration.methods.clone(),
            events,
            idempotent: registration.idempotent.clone(),
            options: registration.options.clone(),
        });
        let service = registration.service.clone();
        let methods = Method::STANDARD.iter().chain(&registration.methods);
        let chains = methods
            .map(|method| (method.clone(), chain(&[app, &registration.hooks], method, service.clone())))
            .collect();
        let publish = registration.publish.clone();
        let guarded = Arc::new(Guarded::by(&[app, &registration.hooks], &descriptor.methods));
        Ok(Registered { descriptor, publish, guarded, service, registration, app: app.clone(), chains })
    }

    /// The same service under other app hooks.
    pub fn rebuilt(&self, app: &Hooks) -> Result<Self> {
        Registered::new(&self.descriptor.path, self.registration.clone(), app)
    }

    /// Returns `true` if clients and other nodes may call `method`.
    pub fn offers(&self, method: &Method) -> bool {
        self.descriptor.methods.contains(method)
    }

    /// Returns `true` if a successful call fires `event` by itself, and `false` if the service emits it.
    pub fn fires(&self, event: &str) -> bool {
        !self.registration.custom_events.iter().any(|custom| custom == event)
    }

    /// Asks the hooks whether they know the caller in `call`, whose method is one that is offered, or is not the point.
    ///
    /// # Errors
    /// Those of the hooks; none where they let strangers call the method, or any if it is one that is not offered.
    pub(crate) async fn ask(&self, mut call: Box<Call>) -> Result<()> {
        let meant = match call.method == guarded::QUESTION {
            true => guarded::meant(&call, &self.descriptor),
            false => Some(call.method.clone()).filter(|method| self.offers(method)),
        };
        if !self.guarded.covers(meant.as_ref(), &self.descriptor) {
            return Ok(());
        }
        let Some(hooks_of) = meant.clone().or_else(|| self.descriptor.methods.first().cloned()) else { return Ok(()) };
        (call.method, call.data) = (meant.unwrap_or(guarded::QUESTION), Value::Null);
        guarded::ask(&[&self.app, &self.registration.hooks], &hooks_of, call, None).await
    }

    /// Runs a call through its hooks.
    pub async fn run(&self, call: Box<Call>) -> Result<Finished> {
        match self.chains.get(&call.method) {
            Some(chain) => chain.run(call).await,
            // A custom method that is not offered to the outside: this process may call it all the same.
            None => {
                let hooks = [&self.app, &self.registration.hooks];
                chain(&hooks, &call.method, self.service.clone()).run(call).await
            }
        }
    }
}

/// Names a custom method may not have: members of Feathers services and of the event emitter they are.
const RESERVED: &[&str] = &[
    "addListener",
    "after",
    "all",
    "around",
    "before",
    "emit",
    "error",
    "eventNames",
    "getMaxListeners",
    "hooks",
    "listenerCount",
    "listeners",
    "off",
    "on",
    "once",
    "prependListener",
    "prependOnceListener",
    "publish",
    "rawListeners",
    "removeAllListeners",
    "removeListener",
    "setMaxListeners",
    "setup",
    "teardown",
];

fn check_methods(path: &str, methods: &[Method]) -> Result<()> {
    if methods.is_empty() {
        return Err(Error::bad_request(format!(
            "Invalid service object passed for path `{path}`: its METHODS are empty, so nobody could call it"
        )));
    }
    match methods.iter().find(|method| RESERVED.contains(&method.name()) || method.name().is_empty()) {
        Some(method) => {
            Err(Error::bad_request(format!("'{method}' on service '{path}' is not allowed as a custom method name")))
        }
        None => Ok(()),
    }
}
