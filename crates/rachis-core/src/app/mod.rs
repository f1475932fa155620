//! The services of one process, before and apart from any mesh.

pub(crate) mod router;

mod hooks;

use crate::{
    Answer, Call, Caller, Descriptor, Error, Event, EventContext, EventStream, Handle, Method, Parts, Registration,
    Result, STANDARD_EVENTS,
    app::router::{Found, Router, fill_route},
    error::excerpt,
    event::{
        EventSink,
        listeners::{self, Listeners, Next},
    },
    hooks::{Hooks, hook::Finished},
    lock::lock,
    path,
    service::registered::Registered,
};
use arc_swap::{ArcSwap, Guard};
use futures_core::future::BoxFuture;
use futures_util::stream;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::watch;

/// A set of services with the hooks they share. Cheap to clone: clones are the same app.
///
/// It works alone, which is handy in tests; a node puts it on the mesh.
///
/// ```
/// use rachis::{ALL, App, Context, Error, MemoryService, Method, ServiceExt};
///
/// let app = App::new()
///     .before(ALL, async |ctx: Context| if ctx.params.is_internal() { Ok(ctx) } else { Err(Error::forbidden("Not yet")) })
///     .register("todos", MemoryService::new())
///     .register("notes", MemoryService::new().before(Method::Create, async |mut ctx: Context| {
///         ctx.data["pinned"] = false.into();
///         Ok(ctx)
///     }));
/// assert_eq!(app.paths(), ["notes", "todos"]);
/// ```
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    /// As they were at the last lookup. A copy for each of ten thousand services that are registered one by one
    /// would take longer than all the rest.
    routes: ArcSwap<Router<Arc<Registered>>>,
    /// Whether the services have changed since.
    is_stale: AtomicBool,
    // Its value counts the changes, so that a node knows when to announce the services again.
    changed: watch::Sender<u64>,
    events: Listeners<Arc<Event>>,
    sinks: Mutex<Vec<Weak<dyn EventSink>>>,
}

#[derive(Default)]
struct State {
    hooks: Hooks,
    services: BTreeMap<String, Arc<Registered>>,
    routes: Router<Arc<Registered>>,
}

impl State {
    fn insert(&mut self, path: &str, registered: Arc<Registered>) -> Result<()> {
        if self.services.contains_key(path) {
            return Err(Error::conflict(format!("Path {path} already exists")));
        }
        if !self.routes.insert(path, registered.clone()) {
            return Err(Error::conflict(format!("Path {path} already exists with other placeholder names")));
        }
        self.services.insert(path.to_owned(), registered);
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Option<Arc<Registered>> {
        let removed = self.services.remove(path)?;
        if path::is_pattern(path) {
            self.make_routes();
        } else {
            self.routes.remove(path);
        }
        Some(removed)
    }

    fn make_routes(&mut self) {
        self.routes = Router::default();
        for (path, registered) in &self.services {
            // Each was taken when it was registered, so none stands in another's way.
            self.routes.insert(path, registered.clone());
        }
    }
}

impl Default for App {
    fn default() -> Self {
        App::new()
    }
}

impl App {
    /// An app without services.
    pub fn new() -> Self {
        let inner = Inner {
            state: Mutex::default(),
            routes: ArcSwap::default(),
            is_stale: AtomicBool::new(false),
            changed: watch::Sender::new(0),
            events: Listeners::default(),
            sinks: Mutex::default(),
        };
        App { inner: Arc::new(inner) }
    }

    /// Registers a service at start-up.
    ///
    /// # Panics
    /// When the path is invalid or taken or a method name is reserved: contradictions in a program's own set-up.
    /// [`App::try_register`] returns them instead.
    #[track_caller]
    pub fn register(self, path: &str, service: impl Into<Registration>) -> Self {
        match self.try_register(path, service) {
            Ok(()) => self,
            Err(error) => panic!("{}", error.message()),
        }
    }

    /// Registers a service at any time; a node of this app announces it at once.
    ///
    /// # Errors
    /// `BadRequest` for an invalid path or method name, `Conflict` for a path that is taken.
    pub fn try_register(&self, path: &str, service: impl Into<Registration>) -> Result<()> {
        let path = path::check(path)?;
        let mut state = self.state();
        let registered = Registered::new(path, service.into(), &state.hooks)?;
        state.insert(path, Arc::new(registered))?;
        self.note_change(&state);
        Ok(())
    }

    /// Takes a service away, for whatever path it was registered under; says whether there was one.
    pub async fn unregister(&self, path: &str) -> Result<bool> {
        let removed = {
            let mut state = self.state();
            let removed = state.remove(path::strip(path));
            if removed.is_some() {
                self.note_change(&state);
            }
            removed
        };
        match removed {
            Some(registered) => registered.service.teardown().await.map(|()| true),
            None => Ok(false),
        }
    }

    /// The service at `path`, whether or not it exists yet.
    pub fn service(&self, path: &str) -> Handle {
        Handle::new(Some(Arc::new(self.clone())), path)
    }

    /// The paths of all services, sorted.
    pub fn paths(&self) -> Vec<String> {
        self.state().services.keys().cloned().collect()
    }

    /// The face of the service that serves `path`.
    pub fn descriptor(&self, path: &str) -> Option<Descriptor> {
        self.find(path).map(|found| Descriptor::clone(&found.value.descriptor))
    }

    /// The schemas of the service that serves `path`, if it has any.
    ///
    /// ```
    /// use rachis::{App, MemoryService, ServiceExt, schema::Schemas};
    /// use serde_json::json;
    ///
    /// let schemas = Schemas::new().record(json!({ "type": "object", "properties": { "text": { "type": "string" } } }));
    /// let app = App::new().register("notes", MemoryService::new().schemas(schemas.clone()));
    /// assert_eq!(app.schemas("notes"), Some(schemas));
    /// ```
    #[cfg(feature = "schema")]
    pub fn schemas(&self, path: &str) -> Option<crate::schema::Schemas> {
        self.find(path)?.value.schemas().cloned()
    }

    /// Runs [`Service::setup`](crate::Service::setup) of every service. A node does this when it starts.
    ///
    /// # Errors
    /// The first failure of a service, after which the others have not been set up.
    pub async fn setup(&self) -> Result<()> {
        self.setup_for(&(Arc::new(self.clone()) as Arc<dyn Caller>)).await
    }

    #[doc(hidden)]
    pub async fn setup_for(&self, caller: &Arc<dyn Caller>) -> Result<()> {
        for registered in self.registered() {
            registered.service.setup(Handle::new(Some(caller.clone()), &registered.descriptor.path)).await?;
        }
        Ok(())
    }

    /// Runs the setup of one service that was registered while the app runs.
    #[doc(hidden)]
    pub async fn setup_one(&self, path: &str, caller: &Arc<dyn Caller>) -> Result<()> {
        let registered = self.state().services.get(path::strip(path)).cloned();
        match registered {
            Some(registered) => registered.service.setup(Handle::new(Some(caller.clone()), path)).await,
            None => Ok(()),
        }
    }

    /// Runs [`Service::teardown`](crate::Service::teardown) of every service; all of them, whatever fails.
    pub async fn teardown(&self) {
        for registered in self.registered() {
            if let Err(error) = registered.service.teardown().await {
                tracing::warn!(path = %registered.descriptor.path, %error, "teardown failed");
            }
        }
    }

    #[doc(hidden)]
    pub fn registered(&self) -> Vec<Arc<Registered>> {
        self.state().services.values().cloned().collect()
    }

    #[doc(hidden)]
    pub fn find(&self, path: &str) -> Option<Found<Arc<Registered>>> {
        self.routes().find(path::strip(path))
    }

    /// The service registered as `path`, by another node's word: the values of placeholders came along.
    #[doc(hidden)]
    pub fn find_named(&self, path: &str) -> Option<Found<Arc<Registered>>> {
        let value = self.routes().named(path)?;
        Some(Found { value, route: BTreeMap::new() })
    }

    #[doc(hidden)]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// Hooks for services that run elsewhere: the app's own go around them too.
    #[doc(hidden)]
    pub fn hooks(&self) -> Hooks {
        self.state().hooks.clone()
    }

    #[doc(hidden)]
    pub fn add_sink(&self, sink: Weak<dyn EventSink>) {
        let mut sinks = lock(&self.inner.sinks);
        sinks.retain(|sink| sink.strong_count() > 0);
        sinks.push(sink);
    }

    /// Runs a call on a service of this process and fires its events. Calls that the method makes go through `caller`.
    #[doc(hidden)]
    pub async fn run(
        &self,
        found: Found<Arc<Registered>>,
        mut call: Box<Call>,
        caller: Arc<dyn Caller>,
    ) -> Result<Answer> {
        let Found { value: registered, route } = found;
        let from_outside = !call.params.is_internal() || call.params.from_remote;
        fill_route(&mut call.params, route);
        call.params.caller = Some(caller);
        if from_outside && !registered.offers(&call.method) {
            let error = not_offered(&call.method, &registered.descriptor.path);
            return Err(Box::pin(registered.ask(call)).await.err().unwrap_or(error));
        }
        let finished = registered.run(call).await?;
        if let Finished::Hooked(parts) = &finished {
            self.fire(&registered, parts);
        }
        Ok(finished.into_answer())
    }

    /// Asks the hooks of a service of this process whether they know a caller.
    ///
    /// # Errors
    /// Those of the hooks.
    pub async fn ask(&self, found: Found<Arc<Registered>>, mut call: Box<Call>, caller: Arc<dyn Caller>) -> Result<()> {
        fill_route(&mut call.params, found.route);
        call.params.caller = Some(caller);
        found.value.ask(call).await
    }

    fn fire(&self, registered: &Registered, parts: &Parts) {
        let Some(name) = parts.event.as_deref().filter(|name| registered.fires(name)) else { return };
        let result = parts.result.as_ref().unwrap_or(&Value::Null);
        let view = parts.dispatch.as_ref().unwrap_or(result);
        let context = EventContext::new(parts.method.clone(), parts.id.clone(), &parts.params);
        let event = |data: &Value| Event {
            path: registered.descriptor.path.clone(),
            name: name.to_owned(),
            data: data.clone(),
            context: Some(context.clone()),
            from_remote: false,
        };
        // What was done decides how many events there are, the external view only what they show.
        match (result, view) {
            (Value::Array(_), Value::Array(views)) => views.iter().for_each(|view| self.send(event(view))),
            (Value::Array(records), view) => records.iter().for_each(|_| self.send(event(view))),
            (_, view) => self.send(event(view)),
        }
    }

    fn send(&self, event: Event) {
        let event = Arc::new(event);
        for sink in lock(&self.inner.sinks).iter() {
            if let Some(sink) = sink.upgrade() {
                sink.event(&event);
            }
        }
        self.inner.events.send(&event, |event| listeners::size_of(event));
    }

    /// The events of one local service, or one kind of them.
    #[doc(hidden)]
    pub fn subscribe(&self, path: &str, name: &str) -> EventStream {
        let path = path::strip(path).to_owned();
        let name = name.to_owned();
        let wanted = path.clone();
        let wants = move |event: &Arc<Event>| event.path == wanted && (name == "*" || event.name == name);
        let listener = self.inner.events.listen(listeners::LOCAL, wants);
        EventStream::new(stream::unfold((listener, path), |(mut listener, path)| async move {
            let event = match listener.next().await {
                Next::Item(event) => Arc::unwrap_or_clone(event),
                Next::Missed => Event::resync(&path),
                Next::End => return None,
            };
            Some((event, (listener, path)))
        }))
    }

    fn with_hooks(self, change: impl FnOnce(&mut Hooks)) -> Self {
        {
            let mut state = self.state();
            change(&mut state.hooks);
            let State { hooks, services, .. } = &mut *state;
            for registered in services.values_mut() {
                // It was valid under the hooks before, and hooks do not touch what is checked.
                if let Ok(rebuilt) = registered.rebuilt(hooks) {
                    *registered = Arc::new(rebuilt);
                }
            }
            state.make_routes();
            self.note_change(&state);
        }
        self
    }

    /// The services by path as of now, without a lock unless they have changed since the last lookup.
    fn routes(&self) -> Guard<Arc<Router<Arc<Registered>>>> {
        let inner = &self.inner;
        if inner.is_stale.load(Ordering::Acquire) {
            let state = self.state();
            if inner.is_stale.load(Ordering::Acquire) {
                inner.routes.store(Arc::new(state.routes.clone()));
                inner.is_stale.store(false, Ordering::Release);
            }
        }
        inner.routes.load()
    }

    /// Tells all watchers that the services have changed. The caller still holds the lock.
    fn note_change(&self, _: &MutexGuard<'_, State>) {
        self.inner.is_stale.store(true, Ordering::Release);
        self.inner.changed.send_modify(|changes| *changes += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.inner.state)
    }
}

/// The error for a method that a service has not, or does not show.
pub fn not_offered(method: &Method, path: &str) -> Error {
    let method = excerpt(method.name());
    let path = excerpt(path);
    Error::method_not_allowed(format!("Method '{method}' not allowed on service '{path}'"))
}

/// The error for a path without a service.
pub fn not_found(path: &str) -> Error {
    Error::not_found(format!("Service '{}' not found", excerpt(path)))
}

impl Caller for App {
    fn call(&self, call: Box<Call>) -> BoxFuture<'static, Result<Answer>> {
        let app = self.clone();
        Box::pin(async move {
            let found = app.find(&call.path).ok_or_else(|| not_found(&call.path))?;
            let caller = Arc::new(app.clone());
            app.run(found, call, caller).await
        })
    }

    fn emit(&self, path: &str, event: &str, data: Value, context: Option<EventContext>) -> Result<()> {
        let found = self.find(path).ok_or_else(|| not_found(path))?;
        let known = found.value.descriptor.events.iter().any(|known| known == event);
        if !known {
            return Err(Error::bad_request(format!(
                "'{event}' is no event of service '{path}': list it in EVENTS beside {}",
                STANDARD_EVENTS.join(", ")
            )));
        }
        self.send(Event { context, ..Event::custom(&found.value.descriptor.path, event, data) });
        Ok(())
    }

    fn on(&self, path: &str, event: &str) -> BoxFuture<'static, Result<EventStream>> {
        let stream = self.subscribe(path, event);
        Box::pin(async move { Ok(stream) })
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("services", &self.paths()).finish_non_exhaustive()
    }
}
