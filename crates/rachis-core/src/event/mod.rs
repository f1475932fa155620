//! Events: what happened to the records of a service.

#[doc(hidden)]
pub mod listeners;

use crate::{Error, Id, Method, Params, Result, secret};
use futures_core::Stream;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll},
};

/// The name of the notice that events were missed and what was derived from them must be read anew.
pub const RESYNC: &str = "resync";

/// One event of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The service it happened to.
    pub path: String,
    /// `created`, `updated`, `patched`, `removed`, one of the service's own, or [`RESYNC`].
    pub name: String,
    /// The record as the outside may see it, or what a custom event was emitted with.
    pub data: Value,
    /// The call that caused it; a custom event emitted outside a call has none.
    pub context: Option<EventContext>,
    /// Whether it happened on another node.
    pub from_remote: bool,
}

/// What an event keeps of the call that caused it: all that a channel publisher needs, and no secret.
#[derive(Clone, Debug, PartialEq)]
pub struct EventContext {
    /// The method that was called.
    pub method: Method,
    /// The id it was called with.
    pub id: Option<Id>,
    /// The query it was called with, without password and token fields.
    pub query: Value,
    /// The values of the path's placeholders.
    pub route: BTreeMap<String, String>,
    /// The transport it came in by.
    pub provider: Option<String>,
    /// The user who called, without password and token fields.
    pub user: Option<Value>,
    /// What the call came with, where the event was fired by [`Handle::emit_of`](crate::Handle::emit_of) and says so. Calls
    /// that fire by themselves leave it out: most of it is in the record.
    pub data: Option<Value>,
}

impl EventContext {
    /// Takes what may travel from the params of a call; headers and credentials stay behind.
    pub fn new(method: Method, id: Option<Id>, params: &Params) -> Self {
        EventContext {
            method,
            id,
            query: without_secrets(params.query.clone().into()),
            route: params.route.clone(),
            provider: params.provider.as_deref().map(str::to_owned),
            user: params.user.clone().map(without_secrets),
            data: None,
        }
    }
}

/// Removes fields whose names say that they are secret, however deep they lie.
fn without_secrets(mut value: Value) -> Value {
    secret::remove(&mut value);
    value
}

impl Event {
    /// Reads the data as a `T`.
    ///
    /// ```
    /// use rachis::Event;
    /// use serde::Deserialize;
    /// use serde_json::json;
    ///
    /// #[derive(Deserialize)]
    /// struct Message { text: String }
    ///
    /// let event = Event::custom("messages", "sent", json!({ "text": "Hello" }));
    /// assert_eq!(event.json::<Message>()?.text, "Hello");
    /// # Ok::<(), rachis::Error>(())
    /// ```
    ///
    /// # Errors
    /// `BadGateway` when the data is no `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.data).map_err(|error| {
            Error::bad_gateway(format!(
                "'{}' of '{}' brought something else than asked for: {error}",
                self.name, self.path
            ))
        })
    }

    /// A custom event of the service at `path`.
    pub fn custom(path: &str, name: &str, data: Value) -> Self {
        Event { path: path.to_owned(), name: name.to_owned(), data, context: None, from_remote: false }
    }

    /// The notice that events of `path` were missed.
    #[doc(hidden)]
    pub fn resync(path: &str) -> Self {
        Event::custom(path, RESYNC, Value::Null)
    }
}

/// Hears every event an [`App`](crate::App) fires, in order; must not block.
pub trait EventSink: Send + Sync {
    /// Takes one event that a call or an `emit` fired.
    fn event(&self, event: &Arc<Event>);
}

/// Events as they come. Dropping it unsubscribes.
///
/// It ends when the app or node it came from is gone. A reader that falls behind by more than the buffer gets one
/// event named [`RESYNC`] in place of what it missed.
pub struct EventStream {
    inner: Pin<Box<dyn Stream<Item = Event> + Send>>,
}

impl EventStream {
    #[doc(hidden)]
    pub fn new(stream: impl Stream<Item = Event> + Send + 'static) -> Self {
        EventStream { inner: Box::pin(stream) }
    }

    /// The next event, or `None` at the end; the same as `StreamExt::next` without the import.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|task| self.inner.as_mut().poll_next(task)).await
    }
}

impl Stream for EventStream {
    type Item = Event;
    fn poll_next(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Event>> {
        self.inner.as_mut().poll_next(task)
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventStream")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_context_keeps_the_user_but_no_secret() {
        let user =
            json!({"id": 1, "email": "a", "password": "x", "resetToken": "y", "logins": [{"apiKey": 1, "at": 2}]});
        let mut params = Params::default().with_user(user).with_query(json!({"access_token": "x", "a": {"Secret": 1}}));
        params.authentication = Some(json!({"accessToken": "z"}));
        params.headers.insert("authorization".into(), "Bearer z".into());
        let context = EventContext::new(Method::Create, None, &params);
        assert_eq!(context.user, Some(json!({"id": 1, "email": "a", "logins": [{"at": 2}]})));
        assert_eq!(context.query, json!({"a": {}}));
    }
}
