//! One open socket, as handlers and publishers see it.

use http::Extensions;
use rachis_core::Params;
use rachis_core::host::lock;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::task::AbortHandle;

/// How events reach a client.
pub(crate) trait Outbox: Send + Sync + 'static {
    /// Sends one event, or notes that it could not be sent; must not block.
    fn send(&self, path: &str, event: &str, data: &Value);

    /// Makes the client leave.
    fn close(&self);
}

/// One open socket. Cheap to clone: clones are the same connection.
///
/// Services of this process find the connection that a call came in by among the extensions of its params.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    number: u64,
    id: String,
    headers: Arc<BTreeMap<String, String>>,
    ip: Option<IpAddr>,
    identity: Mutex<Identity>,
    extensions: Mutex<Extensions>,
    outbox: Box<dyn Outbox>,
}

/// The login of a connection.
#[derive(Default)]
struct Identity {
    user: Option<Value>,
    authentication: Option<Value>,
    /// Ends the connection when its token expires.
    expiry: Option<AbortHandle>,
    ended: bool,
}

impl Connection {
    /// `number` is never given twice in a process, unlike ids, which a client that reconnects may keep.
    pub(crate) fn new(
        number: u64,
        id: String,
        headers: Arc<BTreeMap<String, String>>,
        ip: Option<IpAddr>,
        outbox: impl Outbox,
    ) -> Self {
        let inner = Inner {
            number,
            id,
            headers,
            ip,
            identity: Mutex::default(),
            extensions: Mutex::default(),
            outbox: Box::new(outbox),
        };
        Connection { inner: Arc::new(inner) }
    }

    /// Returns the connection that a call came in by; `None` for calls over HTTP, of code, and from other nodes.
    ///
    /// ```
    /// use rachis::{Error, Method, Params, Result, Service, gateway::Connection};
    /// use serde_json::{Value, json};
    ///
    /// struct Rooms;
    ///
    /// impl Service for Rooms {
    ///     const METHODS: &[Method] = &[Method::custom("join")];
    ///
    ///     async fn custom(&self, _: &str, data: Value, params: Params) -> Result<Value> {
    ///         let socket = Connection::of(&params).ok_or_else(|| Error::bad_request("Rooms are for sockets"))?;
    ///         socket.set(data["room"].as_str().unwrap_or_default().to_owned());
    ///         Ok(json!({ "joined": data["room"] }))
    ///     }
    /// }
    /// ```
    pub fn of(params: &Params) -> Option<&Connection> {
        params.extensions.get()
    }

    /// The id of the socket, which its client knows as `socket.id`.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// The headers of the handshake, by lower-case name.
    pub fn headers(&self) -> &BTreeMap<String, String> {
        &self.inner.headers
    }

    /// The address that the socket was opened from, as [`Params::ip`](rachis_core::Params::ip) has it.
    pub fn ip(&self) -> Option<IpAddr> {
        self.inner.ip
    }

    /// The record of the user who logged in, or `None`.
    pub fn user(&self) -> Option<Value> {
        self.identity().user.clone()
    }

    /// The credentials that go with each call: `{ strategy, accessToken }` after a login, otherwise `None`.
    pub fn authentication(&self) -> Option<Value> {
        self.identity().authentication.clone()
    }

    /// A value of the application's own that was put here by [`Connection::set`].
    pub fn get<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        lock(&self.inner.extensions).get().cloned()
    }

    /// Keeps a value with the connection, in place of the last one of its type.
    pub fn set<T: Clone + Send + Sync + 'static>(&self, value: T) {
        lock(&self.inner.extensions).insert(value);
    }

    /// Disconnects the client. It is told so and does not come back by itself.
    pub fn disconnect(&self) {
        self.inner.outbox.close();
    }

    pub(crate) fn number(&self) -> u64 {
        self.inner.number
    }

    pub(crate) fn shared_headers(&self) -> BTreeMap<String, String> {
        BTreeMap::clone(&self.inner.headers)
    }

    pub(super) fn send(&self, path: &str, event: &str, data: &Value) {
        self.inner.outbox.send(path, event, data);
    }

    /// Remembers who logged in. `expiry` takes the place of the last one, which ends; both end with the connection.
    pub(crate) fn log_in(&self, user: Option<Value>, authentication: Value, expiry: Option<AbortHandle>) {
        let mut identity = self.identity();
        if identity.ended {
            return abort(expiry);
        }
        identity.user = user;
        identity.authentication = Some(authentication);
        abort(std::mem::replace(&mut identity.expiry, expiry));
    }

    /// Takes over the fields of a changed user record; those that it lacks stay.
    pub(crate) fn update_user(&self, record: &Value) {
        if let (Some(Value::Object(user)), Value::Object(record)) = (&mut self.identity().user, record) {
            user.extend(record.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
    }

    /// Replaces the record of the user who is logged in; returns whether it has changed.
    pub(crate) fn replace_user(&self, record: &Value) -> bool {
        let mut identity = self.identity();
        let changes = identity.user.as_ref().is_some_and(|user| user != record);
        if changes {
            identity.user = Some(record.clone());
        }
        changes
    }

    /// Forgets who logged in.
    pub(crate) fn log_out(&self) {
        let mut identity = self.identity();
        let ended = identity.ended;
        let before = std::mem::replace(&mut *identity, Identity { ended, ..Identity::default() });
        abort(before.expiry);
    }

    /// Refuses all later logins; returns `true` the first time.
    pub(super) fn end(&self) -> bool {
        let mut identity = self.identity();
        abort(identity.expiry.take());
        !std::mem::replace(&mut identity.ended, true)
    }

    fn identity(&self) -> MutexGuard<'_, Identity> {
        lock(&self.inner.identity)
    }
}

fn abort(task: Option<AbortHandle>) {
    if let Some(task) = task {
        task.abort();
    }
}

impl PartialEq for Connection {
    fn eq(&self, other: &Self) -> bool {
        self.inner.number == other.inner.number
    }
}

impl Eq for Connection {}

impl fmt::Debug for Connection {
    // Headers and credentials carry secrets, so only their presence is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = self.identity();
        f.debug_struct("Connection")
            .field("id", &self.inner.id)
            .field("headers", &self.inner.headers.len())
            .field("user", &identity.user.is_some())
            .field("authentication", &identity.authentication.is_some())
            .finish_non_exhaustive()
    }
}
