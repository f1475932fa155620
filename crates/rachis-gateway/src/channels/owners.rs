//! Which user owns which connections.

use std::collections::{BTreeSet, HashMap};

/// Connections, by their numbers, of the users who logged in by them.
#[derive(Default)]
pub(super) struct Owners {
    connections: HashMap<String, BTreeSet<u64>>,
    users: HashMap<u64, String>,
}

impl Owners {
    /// Sets the user that owns a connection.
    pub(super) fn set(&mut self, number: u64, user: Option<String>) {
        if let Some(before) = self.users.remove(&number)
            && let Some(connections) = self.connections.get_mut(&before)
        {
            connections.remove(&number);
            if connections.is_empty() {
                self.connections.remove(&before);
            }
        }
        if let Some(user) = user {
            self.connections.entry(user.clone()).or_default().insert(number);
            self.users.insert(number, user);
        }
    }

    /// The connections of one user, in the order in which they came.
    pub(super) fn of(&self, user: &str) -> impl Iterator<Item = u64> {
        self.connections.get(user).into_iter().flatten().copied()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty() && self.users.is_empty()
    }
}
