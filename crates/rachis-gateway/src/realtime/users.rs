//! Changes of users while their sockets are open: a removed user hears nothing more that takes a login.

use super::{Realtime, login::params_of};
use crate::channels::Connection;
use futures_util::FutureExt;
use rachis_core::host::lock;
use rachis_core::{Call, Caller, Event, Id, Method, RESYNC};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    panic::AssertUnwindSafe,
    sync::{Arc, MutexGuard, atomic::Ordering},
    time::{Duration, Instant},
};

/// For how long a login may have been under way while its user was removed.
const UNDER_WAY: Duration = Duration::from_secs(60);
/// The pause before a user is read once more whose record changes all the time.
const READ_PAUSE: Duration = Duration::from_secs(1);
/// How many removed users are remembered for that.
const REMEMBERED: usize = 4096;

/// Users who were removed a moment ago.
#[derive(Default)]
pub(super) struct Removed(VecDeque<(String, Instant)>);

impl Removed {
    fn add(&mut self, id: &str) {
        self.0.retain(|(_, at)| at.elapsed() < UNDER_WAY);
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((id.to_owned(), Instant::now()));
    }

    fn contains(&self, id: &str) -> bool {
        self.0.iter().any(|(removed, at)| removed == id && at.elapsed() < UNDER_WAY)
    }
}

/// Users who are being read, each with whether their record has changed since.
pub(super) type Reading = HashMap<String, bool>;

impl Realtime {
    /// Heeds an event of the users service.
    pub(super) fn heed_user(self: &Arc<Self>, event: &Event) {
        if event.path != self.users {
            return;
        }
        if event.name == RESYNC {
            return self.heed_gap(&event.path);
        }
        let of_call = || event.context.as_ref().and_then(|context| context.id.as_ref()).map(Id::to_string);
        let Some(id) = self.id_of(&event.data).or_else(of_call) else { return };
        if event.name == "removed" {
            lock(&self.removed).add(&id);
        }
        let connections = self.channels.of_user(&id);
        match event.name.as_str() {
            "removed" => connections.iter().for_each(|connection| self.end_login(connection)),
            "updated" | "patched" if !connections.is_empty() => {
                for connection in connections {
                    connection.update_user(&event.data);
                    self.channels.user_changed(&connection);
                }
                self.read_again(id);
            }
            _ => {}
        }
    }

    /// Reads a user whose record has changed: the event may have told a part of it (`$select`), and does not tell which
    /// fields are gone. While a user is being read, further changes wait for the next time.
    fn read_again(self: &Arc<Self>, id: String) {
        match self.reading().entry(id.clone()) {
            Entry::Occupied(mut changed) => {
                changed.insert(true);
                return;
            }
            Entry::Vacant(new) => {
                new.insert(false);
            }
        }
        let realtime = self.clone();
        tokio::spawn(async move {
            loop {
                // What panicked is in the log, by the panic hook.
                let _ = AssertUnwindSafe(realtime.refresh(&id)).catch_unwind().await;
                if realtime.ended.run_until_cancelled(tokio::time::sleep(READ_PAUSE)).await.is_none() {
                    return;
                }
                let mut reading = realtime.reading();
                match reading.get_mut(&id) {
                    Some(changed) if *changed => *changed = false,
                    _ => {
                        reading.remove(&id);
                        return;
                    }
                }
            }
        });
    }

    /// Lets all connections of a user know its record as it is now.
    async fn refresh(&self, id: &str) {
        let mut read = None;
        for connection in self.channels.of_user(id) {
            read = self.read_user(&connection).await;
            if read.is_some() {
                break;
            }
        }
        let Some(user) = read.filter(|user| self.id_of(user).as_deref() == Some(id)) else { return };
        for connection in self.channels.of_user(id) {
            if connection.replace_user(&user) {
                self.channels.user_changed(&connection);
            }
        }
    }

    /// The user of a connection, as its login would have it now. `None` where that is not to be had.
    async fn read_user(&self, connection: &Connection) -> Option<Value> {
        let before = connection.user();
        let id = Id::from_json(before.as_ref()?.get(&self.user_id)?)?;
        let authentication = Some(connection.authentication()?);
        let mut params = params_of(connection);
        (params.authenticated, params.authentication, params.user) = (true, authentication, before);
        let call = Call { id: Some(id), params, ..Call::new(&self.users, Method::Get) };
        match self.node.call(Box::new(call)).await {
            Ok(answer) => Some(answer.external()),
            Err(error) => {
                tracing::debug!(connection = connection.id(), %error, "a user that has changed could not be read");
                None
            }
        }
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        lock(&self.reading)
    }

    /// Events of `path` were missed. Where they may have told of removed users, every user who is logged in is read,
    /// one after the other.
    pub(super) fn heed_gap(self: &Arc<Self>, path: &str) {
        if path != self.users || self.checking.swap(true, Ordering::AcqRel) {
            return;
        }
        let realtime = self.clone();
        tokio::spawn(async move {
            for connection in realtime.channels.connections() {
                if realtime.ended.is_cancelled() {
                    break;
                }
                if realtime.is_gone(&connection).await {
                    realtime.end_login(&connection);
                }
            }
            realtime.checking.store(false, Ordering::Release);
        });
    }

    /// A login that began before the removal of its user may end after it: then it is looked at once more.
    pub(super) fn check_login(self: &Arc<Self>, connection: &Connection, id: &str) {
        if !lock(&self.removed).contains(id) {
            return;
        }
        let realtime = self.clone();
        let connection = connection.clone();
        tokio::spawn(async move {
            if realtime.is_gone(&connection).await {
                realtime.end_login(&connection);
            }
        });
    }

    /// Says whether the login of a connection is refused by now. One that can not be checked stands.
    async fn is_gone(&self, connection: &Connection) -> bool {
        let Some(credentials) = connection.authentication() else { return false };
        // As code, which costs the users service one call instead of two.
        let data = json!({ "strategy": credentials["strategy"], "accessToken": credentials["accessToken"] });
        let call = Call { data, ..Call::new(&self.authentication, Method::Create) };
        let refused = self.node.call(Box::new(call)).await.is_err_and(|error| matches!(error.code(), 401 | 403 | 404));
        refused && self.node.resolve(&self.authentication).is_some() && connection.authentication() == Some(credentials)
    }

    /// The id of a user, as text.
    pub(super) fn id_of(&self, user: &Value) -> Option<String> {
        user.get(&self.user_id).and_then(Id::from_json).map(|id| id.to_string())
    }
}
