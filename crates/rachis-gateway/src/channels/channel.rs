//! A channel: connections under a name, or several names taken together.

use super::{Connection, owners::Owners};
use rachis_core::host::lock;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

/// The connections of each channel. A channel exists while a connection is in it.
#[derive(Default)]
pub(super) struct Members {
    /// Every connection that has not ended.
    open: BTreeMap<u64, Connection>,
    channels: HashMap<Arc<str>, BTreeSet<u64>>,
    /// The channels of each connection that is in one.
    joined: HashMap<u64, BTreeSet<Arc<str>>>,
    owners: Owners,
}

impl Members {
    pub(super) fn open(&mut self, connection: &Connection) {
        self.open.insert(connection.number(), connection.clone());
    }

    pub(super) fn close(&mut self, connection: &Connection) {
        self.leave_all(connection);
        self.open.remove(&connection.number());
        self.owners.set(connection.number(), None);
    }

    /// Sets the user that owns an open connection.
    pub(super) fn set_owner(&mut self, connection: &Connection, user: Option<String>) {
        let user = user.filter(|_| self.open.contains_key(&connection.number()));
        self.owners.set(connection.number(), user);
    }

    /// Every open connection of that user.
    pub(super) fn of_user(&self, user: &str) -> Vec<Connection> {
        self.owners.of(user).filter_map(|number| self.open.get(&number).cloned()).collect()
    }

    pub(super) fn leave_all(&mut self, connection: &Connection) {
        for name in self.joined.remove(&connection.number()).unwrap_or_default() {
            self.take_out(&name, connection.number());
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Connection> {
        self.open.values()
    }

    /// Those that are in a channel.
    pub(super) fn in_channels(&self) -> impl Iterator<Item = &Connection> {
        self.open.iter().filter(|(number, _)| self.joined.contains_key(number)).map(|(_, connection)| connection)
    }

    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.channels.keys().map(|name| name.to_string()).collect();
        names.sort_unstable();
        names
    }

    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        self.channels.is_empty() && self.joined.is_empty() && self.owners.is_empty()
    }

    /// A connection that has ended joins nothing, so it leaves nothing behind.
    fn join(&mut self, name: &Arc<str>, connection: &Connection) {
        if self.open.contains_key(&connection.number()) {
            self.channels.entry(name.clone()).or_default().insert(connection.number());
            self.joined.entry(connection.number()).or_default().insert(name.clone());
        }
    }

    fn leave(&mut self, name: &Arc<str>, connection: &Connection) {
        self.take_out(name, connection.number());
        if let Some(joined) = self.joined.get_mut(&connection.number()) {
            joined.remove(name);
            if joined.is_empty() {
                self.joined.remove(&connection.number());
            }
        }
    }

    fn take_out(&mut self, name: &Arc<str>, number: u64) {
        if let Some(members) = self.channels.get_mut(name) {
            members.remove(&number);
            if members.is_empty() {
                self.channels.remove(name);
            }
        }
    }

    fn of(&self, names: &[Arc<str>]) -> Vec<Connection> {
        let numbers: BTreeSet<u64> =
            names.iter().filter_map(|name| self.channels.get(name)).flatten().copied().collect();
        numbers.iter().filter_map(|number| self.open.get(number)).cloned().collect()
    }
}

/// A channel, by one name or by several taken together.
///
/// It is a view: connections that join later are in it, too, unless it came from [`Channel::filter`].
#[derive(Clone)]
pub struct Channel {
    members: Arc<Mutex<Members>>,
    selection: Selection,
    data: Option<Value>,
}

#[derive(Clone)]
enum Selection {
    Named(Vec<Arc<str>>),
    Chosen(Vec<Connection>),
}

impl Channel {
    pub(super) fn new(members: &Arc<Mutex<Members>>, names: Names) -> Self {
        Channel { members: members.clone(), selection: Selection::Named(names.0), data: None }
    }

    /// Adds a connection, to each of the names. A closed connection is not added, and a filtered
    /// channel takes no more.
    pub fn join(&self, connection: &Connection) {
        let mut members = self.lock();
        self.names().iter().for_each(|name| members.join(name, connection));
    }

    /// Takes a connection out of each of the names.
    pub fn leave(&self, connection: &Connection) {
        let mut members = self.lock();
        self.names().iter().for_each(|name| members.leave(name, connection));
    }

    /// Takes out all connections of which `predicate` is true.
    pub fn leave_if(&self, predicate: impl Fn(&Connection) -> bool) {
        // The predicate is the application's and may look at channels itself, so nothing is locked meanwhile.
        for connection in self.connections().iter().filter(|connection| predicate(connection)) {
            self.leave(connection);
        }
    }

    /// Returns a channel of those connections in it now for which `predicate` is true. No other can join it.
    pub fn filter(&self, predicate: impl Fn(&Connection) -> bool) -> Channel {
        let chosen = self.connections().into_iter().filter(|connection| predicate(connection)).collect();
        Channel { members: self.members.clone(), selection: Selection::Chosen(chosen), data: self.data.clone() }
    }

    /// The same channel with other data to send in place of the event's.
    pub fn send(&self, data: impl Into<Value>) -> Channel {
        Channel { data: Some(data.into()), ..self.clone() }
    }

    /// Returns the connections in it, each once, in the order in which they connected.
    pub fn connections(&self) -> Vec<Connection> {
        match &self.selection {
            Selection::Named(names) => self.lock().of(names),
            Selection::Chosen(chosen) => chosen.clone(),
        }
    }

    /// How many are in it.
    pub fn len(&self) -> usize {
        self.connections().len()
    }

    /// Returns `true` if no connection is in it.
    pub fn is_empty(&self) -> bool {
        self.connections().is_empty()
    }

    /// What is sent in place of the event's data.
    pub fn data(&self) -> Option<&Value> {
        self.data.as_ref()
    }

    fn names(&self) -> &[Arc<str>] {
        match &self.selection {
            Selection::Named(names) => names,
            Selection::Chosen(_) => &[],
        }
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        lock(&self.members)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("names", &self.names())
            .field("connections", &self.len())
            .finish_non_exhaustive()
    }
}

/// One or more names of channels. No name at all is a channel that no connection can join.
#[derive(Clone, Debug)]
pub struct Names(Vec<Arc<str>>);

impl From<&str> for Names {
    fn from(name: &str) -> Self {
        Names(vec![name.into()])
    }
}

impl From<String> for Names {
    fn from(name: String) -> Self {
        Names(vec![name.into()])
    }
}

impl From<&String> for Names {
    fn from(name: &String) -> Self {
        Names::from(name.as_str())
    }
}

impl<T: AsRef<str>> From<Vec<T>> for Names {
    fn from(names: Vec<T>) -> Self {
        names.iter().collect()
    }
}

impl<T: AsRef<str>, const N: usize> From<[T; N]> for Names {
    fn from(names: [T; N]) -> Self {
        names.iter().collect()
    }
}

impl<T: AsRef<str>> FromIterator<T> for Names {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Self {
        Names(names.into_iter().map(|name| name.as_ref().into()).collect())
    }
}
