//! A service with its hooks chained and its descriptor settled, as an app runs it.

use crate::{
    Call, Descriptor, Error, Method, Registration, Result, STANDARD_EVENTS,
    hooks::{
        Hooks, chain,
        guarded::{self, Guarded},
        hook::{Chain, Finished},
    },
    service::{Dispatch, registration::Publish},
};
use rustc_hash::FxHashMap;
use serde_json::Value;
use std::sync::Arc;

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
        #[cfg(feature = "schema")]
        let registration = compile_schemas(path, registration)?;
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

    /// The schemas that it was registered with.
    #[cfg(feature = "schema")]
    pub fn schemas(&self) -> Option<&crate::schema::Schemas> {
        self.registration.schemas.as_ref()
    }

    /// Returns `true` if clients and other nodes may call `method`.
    pub fn offers(&self, method: &Method) -> bool {
        self.descriptor.methods.contains(method)
    }

    /// Returns `true` if a successful call fires `event` by itself, and `false` if the service emits it.
    pub fn fires(&self, event: &str) -> bool {
        !self.registration.custom_events.iter().any(|custom| custom == event)
    }

    /// Asks the hooks whether they know the caller in `call`. Its method is one that is offered, or any if the question is about
    /// the service as a whole.
    ///
    /// # Errors
    /// Those of the hooks; none where they let strangers call the method, or any if it is one that is not offered.
    pub(crate) async fn ask(&self, mut call: Box<Call>) -> Result<()> {
        let meant = if call.method == guarded::QUESTION {
            guarded::meant(&call, &self.descriptor)
        } else {
            Some(call.method.clone()).filter(|method| self.offers(method))
        };
        if !self.guarded.covers(meant.as_ref(), &self.descriptor) {
            return Ok(());
        }
        let Some(hooks_of) = meant.clone().or_else(|| self.descriptor.methods.first().cloned()) else { return Ok(()) };
        call.method = meant.unwrap_or(guarded::QUESTION);
        call.data = Value::Null;
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

/// Compiles the schemas of a registration, unless that is done.
#[cfg(feature = "schema")]
fn compile_schemas(path: &str, mut registration: Registration) -> Result<Registration> {
    let shape = registration.service.shape();
    if let Some(schemas) = registration.schemas.as_mut().filter(|_| !registration.hooks.has_check()) {
        schemas.follow(&shape);
        let checks = crate::schema::Checks::new(path, schemas)?;
        registration.hooks.check_by(Arc::new(checks));
    }
    Ok(registration)
}

fn check_methods(path: &str, methods: &[Method]) -> Result<()> {
    if methods.is_empty() {
        return Err(Error::bad_request(format!(
            "Invalid service object passed for path `{path}`: its METHODS are empty, so no client could call it"
        )));
    }
    match methods.iter().find(|method| RESERVED.contains(&method.name()) || method.name().is_empty()) {
        Some(method) => {
            Err(Error::bad_request(format!("'{method}' on service '{path}' is not allowed as a custom method name")))
        }
        None => Ok(()),
    }
}
