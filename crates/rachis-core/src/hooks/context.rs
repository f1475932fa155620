//! A call on its way through the hooks.

use crate::{Answer, Call, Error, Handle, Http, Id, Method, Params, lock::lock};
use serde_json::Value;
use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex},
    time::Duration,
};

/// What a hook sees of a call and may change; it dereferences to [`Parts`].
///
/// A hook takes it by value and hands it on. When a hook fails it is simply dropped: the error hooks around still see
/// everything that was written to it until then.
pub struct Context {
    // None only after `drop` or `into_parts` took them.
    parts: Option<Box<Parts>>,
    // The error for a query that is not allowed, returned once the hooks that identify callers have run.
    refusal: Option<Error>,
    // Where the nearest enclosing error hooks look for the parts of a context that was dropped by a failure. This spares
    // a clone of the context at every step of every call.
    rescue: Option<Rescue>,
}

pub(crate) type Rescue = Arc<Mutex<Option<Box<Parts>>>>;

/// The fields of a [`Context`].
#[derive(Clone, Debug)]
pub struct Parts {
    /// The service called, without outer slashes.
    pub path: String,
    /// The method called.
    pub method: Method,
    /// The record, or `None` for many.
    pub id: Option<Id>,
    /// What came with `create`, `update`, `patch` or a custom method.
    pub data: Value,
    /// The caller, the query and all else that comes along with the call.
    pub params: Params,
    /// What the method returned. Set before the method, it skips the method (and only that); set in an error hook, it
    /// turns the failure into a success.
    pub result: Option<Value>,
    /// The external view: clients and events get it instead of `result`.
    pub dispatch: Option<Value>,
    /// Status, headers and location of the REST reply; `None` when the call did not come in by REST.
    pub http: Option<Http>,
    /// The event to fire when all hooks are done; `None` mutes it.
    pub event: Option<String>,
    /// What failed, in error hooks.
    pub error: Option<Error>,
    /// How long the caller waits for a remote service; `None` means the node's `timeout`.
    pub timeout: Option<Duration>,
}

impl Context {
    pub(crate) fn new(call: Call) -> Self {
        let http = (call.params.provider.as_deref() == Some("rest")).then(Http::default);
        let event = call.method.event().map(str::to_owned);
        let Call { path, method, id, data, params, timeout } = call;
        let parts =
            Parts { path, method, id, data, params, result: None, dispatch: None, http, event, error: None, timeout };
        Context { parts: Some(Box::new(parts)), refusal: None, rescue: None }
    }

    /// Has the call fail when it comes to where queries are guarded.
    pub(crate) fn refuse(&mut self, error: Error) {
        self.refusal = Some(error);
    }

    pub(crate) fn take_refusal(&mut self) -> Option<Error> {
        self.refusal.take()
    }

    /// Another service, local or remote.
    pub fn service(&self, path: &str) -> Handle {
        self.params.service(path)
    }

    /// The call as the service shall see it; the context keeps its own copy for the hooks that follow.
    pub(crate) fn to_call(&self) -> Call {
        Call {
            path: self.path.clone(),
            method: self.method.clone(),
            id: self.id.clone(),
            data: self.data.clone(),
            params: self.params.clone(),
            timeout: self.timeout,
        }
    }

    pub(crate) fn set_answer(&mut self, answer: Answer) {
        self.result = Some(answer.result);
        // A local service has no external view of its own; one that a hook set before the method stays.
        if answer.dispatch.is_some() {
            self.dispatch = answer.dispatch;
        }
        if !answer.http.is_empty() {
            // A remote service's word is added to what hooks here have said.
            let http = self.http.get_or_insert_default();
            http.status = answer.http.status.or(http.status);
            http.location = answer.http.location.or(http.location.take());
            http.headers.extend(answer.http.headers);
        }
    }

    pub(crate) fn into_parts(mut self) -> Box<Parts> {
        match self.parts.take() {
            Some(parts) => parts,
            None => unreachable!("the parts leave a context only with the context"),
        }
    }

    pub(crate) fn swap_rescue(&mut self, rescue: Option<Rescue>) -> Option<Rescue> {
        std::mem::replace(&mut self.rescue, rescue)
    }

    pub(crate) fn rescued(from: &Rescue, outer: Option<Rescue>) -> Option<Context> {
        let parts = lock(from).take();
        parts.map(|parts| Context { parts: Some(parts), refusal: None, rescue: outer })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let (Some(rescue), Some(parts)) = (&self.rescue, self.parts.take()) {
            *lock(rescue) = Some(parts);
        }
    }
}

impl Deref for Context {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        match &self.parts {
            Some(parts) => parts,
            None => unreachable!("the parts leave a context only with the context"),
        }
    }
}

impl DerefMut for Context {
    fn deref_mut(&mut self) -> &mut Parts {
        match &mut self.parts {
            Some(parts) => parts,
            None => unreachable!("the parts leave a context only with the context"),
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
