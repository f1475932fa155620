//! Which sockets get which events: connections join channels, publishers choose the channels of each event.
//!
//! Without a publisher nothing is sent. Of several, the most particular one decides alone:
//!
//! 1. [`Channels::publish_service_event`]
//! 2. [`Channels::publish_service`]
//! 3. [`Channels::publish_event`]
//! 4. [`Channels::publish`]
//!
//! What is sent is the event's data as clients may see it, without fields whose names tell that they are secret (`token`,
//! `password`, `pin` and so on, see [`mask_secrets`](rachis_core::mask_secrets)). Where a client shall have such a field, its
//! publisher sends data of its own by [`Channel::send`], which is sent as it is.
//!
//! A logout and a disconnect take a connection out of all channels before the handlers run. So does the removal of the
//! connection's user, which counts as a logout, a login as another user, and the end of its token. What a connection and its
//! channels remember stays in this process: every gateway has its own, and each hears the events of the whole mesh.

mod channel;
mod connection;
mod owners;
mod rules;
#[cfg(test)]
mod tests;

pub use channel::{Channel, Names};
pub use connection::Connection;
pub(crate) use connection::Outbox;
pub use rules::{Login, Publication};

use channel::Members;
use rachis_config::Publish;
use rachis_core::host::lock;
use rachis_core::{Event, RESYNC, host::secret};
use rachis_mesh::Node;
use rules::Rules;
use serde_json::Value;
use std::{
    collections::HashSet,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard},
};

/// The channels of a gateway, and what is said about them. Clones share the channels.
///
/// ```
/// use rachis::{Id, gateway::Channels};
/// use serde_json::json;
///
/// let channels = Channels::new()
///     .on_connection(|connection, channels| channels.channel("anonymous").join(connection))
///     .on_login(|login, channels| {
///         if let Some(connection) = login.connection {
///             channels.channel("anonymous").leave(connection);
///             channels.channel("authenticated").join(connection);
///         }
///     })
///     .publish(|_, channels| channels.channel("authenticated"))
///     .publish_service_event("notes", "created", |event, channels| {
///         // Text as it is and not in quotes, as the `Display` of a JSON value would have it.
///         let owner = Id::from_json(&event.data["userId"]).map(|id| format!("users/{id}")).unwrap_or_default();
///         [channels.channel(owner), channels.channel("admins").send(json!({ "id": event.data["id"] }))]
///     });
/// assert!(channels.channel("authenticated").is_empty());
/// ```
#[derive(Clone, Default)]
pub struct Channels {
    members: Arc<Mutex<Members>>,
    rules: Arc<Rules>,
}

impl Channels {
    /// No handlers and no publishers: nothing is sent.
    pub fn new() -> Self {
        Channels::default()
    }

    /// What `gateway.channels.publish` says, for gateways without code of their own.
    pub fn from_config(publish: Publish) -> Self {
        const NAME: &str = "everyone";
        let join = |connection: &Connection, channels: &Channels| channels.channel(NAME).join(connection);
        match publish {
            Publish::None => Channels::new(),
            Publish::Everyone => Channels::new()
                .on_connection(join)
                .on_logout(move |login, channels| login.connection.into_iter().for_each(|left| join(left, channels)))
                .publish(|_, channels| channels.channel(NAME)),
            Publish::Authenticated => Channels::new()
                .on_login(move |login, channels| login.connection.into_iter().for_each(|new| join(new, channels)))
                .publish(|_, channels| channels.channel(NAME)),
        }
    }

    /// A channel by its name, or several taken together: `channel("a")`, `channel(["a", "b"])`. A channel
    /// exists while a connection is in it.
    pub fn channel(&self, names: impl Into<Names>) -> Channel {
        Channel::new(&self.members, names.into())
    }

    /// The names of all channels with connections, sorted.
    pub fn names(&self) -> Vec<String> {
        self.lock().names()
    }

    /// Every open connection, in the order in which they came.
    pub fn connections(&self) -> Vec<Connection> {
        self.lock().all().cloned().collect()
    }

    /// Runs `handler` for every new connection, before the client is told that it is connected. One that logs in by a
    /// header of its handshake has done so before.
    pub fn on_connection(mut self, handler: impl Fn(&Connection, &Channels) + Send + Sync + 'static) -> Self {
        self.rules_mut().connection.push(Arc::new(handler));
        self
    }

    /// Runs `handler` for every connection that has ended.
    pub fn on_disconnect(mut self, handler: impl Fn(&Connection, &Channels) + Send + Sync + 'static) -> Self {
        self.rules_mut().disconnect.push(Arc::new(handler));
        self
    }

    /// Runs `handler` for every login through this gateway, those over REST included.
    pub fn on_login(mut self, handler: impl Fn(&Login<'_>, &Channels) + Send + Sync + 'static) -> Self {
        self.rules_mut().login.push(Arc::new(handler));
        self
    }

    /// Runs `handler` for every logout through this gateway, those over REST included.
    pub fn on_logout(mut self, handler: impl Fn(&Login<'_>, &Channels) + Send + Sync + 'static) -> Self {
        self.rules_mut().logout.push(Arc::new(handler));
        self
    }

    /// Runs `handler` for every connection whose user's record was updated or patched, by whatever node: the event of the
    /// users service (`gateway.auth.service`) says so. [`Connection::user`] has the values of the event then. The gateway also
    /// reads the record itself, as the user may see it, since an event may tell a part of it only; if that differs, `handler`
    /// runs once more. A user whose record changes all the time is read once a second.
    ///
    /// A user who is removed needs no handler: its connections are logged out, as by themselves.
    ///
    /// The same function can join channels at the login and join them anew after each change:
    ///
    /// ```
    /// use rachis::gateway::{Channels, Connection};
    ///
    /// fn join(connection: &Connection, channels: &Channels) {
    ///     channels.channel(channels.names()).leave(connection);
    ///     channels.channel("authenticated").join(connection);
    ///     if connection.user().is_some_and(|user| user["role"] == "admin") {
    ///         channels.channel("admins").join(connection);
    ///     }
    /// }
    ///
    /// let channels = Channels::new()
    ///     .on_login(|login, channels| login.connection.into_iter().for_each(|connection| join(connection, channels)))
    ///     .on_user_change(join);
    /// ```
    pub fn on_user_change(mut self, handler: impl Fn(&Connection, &Channels) + Send + Sync + 'static) -> Self {
        self.rules_mut().user_change.push(Arc::new(handler));
        self
    }

    /// Publishes events for which nothing more particular is said.
    ///
    /// # Panics
    /// When there is such a publisher already; so do the other three.
    #[track_caller]
    pub fn publish<P>(self, publisher: impl Fn(&Event, &Channels) -> P + Send + Sync + 'static) -> Self
    where
        P: Into<Publication>,
    {
        self.add(None, None, publisher)
    }

    /// Publishes one event of all services that have no publisher of their own.
    ///
    /// # Panics
    /// See [`Channels::publish`]; also for a name that no event can have.
    #[track_caller]
    pub fn publish_event<P>(
        self,
        event: &str,
        publisher: impl Fn(&Event, &Channels) -> P + Send + Sync + 'static,
    ) -> Self
    where
        P: Into<Publication>,
    {
        self.add(None, Some(event), publisher)
    }

    /// Publishes the events of one service, by its path.
    ///
    /// # Panics
    /// See [`Channels::publish`].
    #[track_caller]
    pub fn publish_service<P>(
        self,
        path: &str,
        publisher: impl Fn(&Event, &Channels) -> P + Send + Sync + 'static,
    ) -> Self
    where
        P: Into<Publication>,
    {
        self.add(Some(path), None, publisher)
    }

    /// Publishes one event of one service.
    ///
    /// # Panics
    /// See [`Channels::publish_event`]. A gateway panics at set-up for an event that its service does not have, as far
    /// as the service is known then; where it becomes known later, a warning says so.
    #[track_caller]
    pub fn publish_service_event<P>(
        self,
        path: &str,
        event: &str,
        publisher: impl Fn(&Event, &Channels) -> P + Send + Sync + 'static,
    ) -> Self
    where
        P: Into<Publication>,
    {
        self.add(Some(path), Some(event), publisher)
    }

    #[track_caller]
    fn add<P: Into<Publication>>(
        mut self,
        path: Option<&str>,
        event: Option<&str>,
        publisher: impl Fn(&Event, &Channels) -> P + Send + Sync + 'static,
    ) -> Self {
        let publisher = move |event: &Event, channels: &Channels| publisher(event, channels).into();
        self.rules_mut().add(path, event, Arc::new(publisher));
        self
    }

    fn rules_mut(&mut self) -> &mut Rules {
        Arc::make_mut(&mut self.rules)
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        lock(&self.members)
    }
}

/// What the transports tell.
impl Channels {
    /// A connection may join channels from now on.
    pub(crate) fn opened(&self, connection: &Connection) {
        self.lock().open(connection);
    }

    pub(crate) fn connected(&self, connection: &Connection) {
        self.rules.connection.iter().for_each(|handler| handler(connection, self));
    }

    /// Does nothing the second time.
    pub(crate) fn disconnected(&self, connection: &Connection) {
        if connection.end() {
            self.lock().close(connection);
            self.rules.disconnect.iter().for_each(|handler| handler(connection, self));
        }
    }

    pub(crate) fn logged_in(&self, login: &Login<'_>) {
        self.rules.login.iter().for_each(|handler| handler(login, self));
    }

    pub(crate) fn logged_out(&self, login: &Login<'_>) {
        if let Some(connection) = login.connection {
            self.lock().leave_all(connection);
        }
        self.rules.logout.iter().for_each(|handler| handler(login, self));
    }

    /// Sets the user that owns a connection; `None` after a logout.
    pub(crate) fn set_owner(&self, connection: &Connection, user: Option<String>) {
        self.lock().set_owner(connection, user);
    }

    /// Every open connection of the user with that id.
    pub(crate) fn of_user(&self, user: &str) -> Vec<Connection> {
        self.lock().of_user(user)
    }

    /// Tells that the record of a connection's user has changed.
    pub(crate) fn user_changed(&self, connection: &Connection) {
        self.rules.user_change.iter().for_each(|handler| handler(connection, self));
    }

    /// Takes a connection that is about to end out of everything it would hear.
    pub(crate) fn silence(&self, connection: &Connection) {
        self.lock().leave_all(connection);
    }

    /// Sends an event to all connections that it is published to.
    pub(crate) fn deliver(&self, event: &Event) {
        if event.name == RESYNC {
            return self.resync(&event.path);
        }
        let receivers = self.receivers(event);
        if receivers.is_empty() {
            return;
        }
        let shown = secret::without(&event.data);
        for (connection, data) in receivers {
            connection.send(&event.path, &event.name, data.as_ref().unwrap_or(&*shown));
        }
    }

    /// Tells that events of a path were missed. A publisher chooses by what an event says, and what the
    /// missed ones said is not known, so all connections in channels are told. Others could have received none.
    pub(crate) fn resync(&self, path: &str) {
        if self.rules.concern(path) {
            let told: Vec<Connection> = self.lock().in_channels().cloned().collect();
            told.iter().for_each(|connection| connection.send(path, RESYNC, &Value::Null));
        }
    }

    /// Returns `true` if events of `path` can reach a socket.
    pub(crate) fn concern(&self, path: &str) -> bool {
        self.rules.concern(path)
    }

    /// Returns `true` if no event is ever sent.
    pub(crate) fn are_silent(&self) -> bool {
        self.rules.is_silent()
    }

    /// The published events of `path` that a service with these `events` does not have.
    pub(crate) fn unknown_events(&self, path: &str, events: &[String]) -> Vec<&str> {
        self.rules.unknown_events(path, events)
    }

    /// # Panics
    /// When a publisher waits for an event that a known service does not have.
    #[track_caller]
    pub(crate) fn check(&self, node: &Node) {
        for service in node.services() {
            if let [event, ..] = self.unknown_events(&service.path, &service.events)[..] {
                panic!("'{event}' is not an event of '{}', so it can not be published", service.path);
            }
        }
    }

    /// Returns each receiver once, with what its first channel sends in place of the event's data.
    fn receivers(&self, event: &Event) -> Vec<(Connection, Option<Value>)> {
        let mut receivers = Vec::new();
        let mut known = HashSet::new();
        for channel in self.channels_of(event) {
            for connection in channel.connections() {
                if known.insert(connection.number()) {
                    receivers.push((connection, channel.data().cloned()));
                }
            }
        }
        receivers
    }

    /// Asks the publisher. Whatever goes wrong in it concerns this one event.
    fn channels_of(&self, event: &Event) -> Vec<Channel> {
        let Some(publisher) = self.rules.publisher(&event.path, &event.name) else { return Vec::new() };
        let failed = match catch_unwind(AssertUnwindSafe(|| publisher(event, self))) {
            Ok(Publication(Ok(channels))) => return channels,
            Ok(Publication(Err(error))) => error,
            Err(_) => "it panicked".to_owned(),
        };
        tracing::error!(path = %event.path, event = %event.name, error = %failed, "a publisher failed: the event is sent to no connection");
        Vec::new()
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channels").field("names", &self.names()).finish_non_exhaustive()
    }
}
