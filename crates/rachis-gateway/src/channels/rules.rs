//! What the application wants to happen: its handlers, its publishers, and which of them an event is for.

use super::{Channel, Channels, Connection};
use rachis_core::{Event, Params, RESYNC, STANDARD_EVENTS};
use serde_json::Value;
use std::{collections::HashMap, fmt::Display, sync::Arc};

pub(super) type OnConnection = Arc<dyn Fn(&Connection, &Channels) + Send + Sync>;
pub(super) type OnLogin = Arc<dyn Fn(&Login<'_>, &Channels) + Send + Sync>;
type Publisher = Arc<dyn Fn(&Event, &Channels) -> Publication + Send + Sync>;

/// A login or logout that succeeded.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Login<'a> {
    /// What the authentication service returned: `{ accessToken, authentication, user }`.
    pub result: &'a Value,
    /// The params of the call.
    pub params: &'a Params,
    /// The socket it came in by; none over REST.
    pub connection: Option<&'a Connection>,
}

/// The audience of an event: nothing, a channel, or several. A connection in several gets it by the first.
///
/// Made from `()`, a [`Channel`], an `Option`, array or `Vec` of them, or a `Result` of any of these, whose error is
/// logged.
pub struct Publication(pub(super) Result<Vec<Channel>, String>);

impl From<()> for Publication {
    fn from((): ()) -> Self {
        Publication(Ok(Vec::new()))
    }
}

impl From<Channel> for Publication {
    fn from(channel: Channel) -> Self {
        Publication(Ok(vec![channel]))
    }
}

impl From<Option<Channel>> for Publication {
    fn from(channel: Option<Channel>) -> Self {
        Publication(Ok(channel.into_iter().collect()))
    }
}

impl From<Vec<Channel>> for Publication {
    fn from(channels: Vec<Channel>) -> Self {
        Publication(Ok(channels))
    }
}

impl<const N: usize> From<[Channel; N]> for Publication {
    fn from(channels: [Channel; N]) -> Self {
        Publication(Ok(channels.into()))
    }
}

impl<T: Into<Publication>, E: Display> From<Result<T, E>> for Publication {
    fn from(result: Result<T, E>) -> Self {
        result.map_or_else(|error| Publication(Err(error.to_string())), Into::into)
    }
}

/// The publishers of the whole application or of one service: by event, and for all others under `None`.
type Publishers = HashMap<Option<String>, Publisher>;

/// Everything the application said.
#[derive(Clone, Default)]
pub(super) struct Rules {
    app: Publishers,
    services: HashMap<String, Publishers>,
    pub(super) connection: Vec<OnConnection>,
    pub(super) disconnect: Vec<OnConnection>,
    pub(super) login: Vec<OnLogin>,
    pub(super) logout: Vec<OnLogin>,
    pub(super) user_change: Vec<OnConnection>,
}

impl Rules {
    /// # Panics
    /// For a second publisher of the same, and for a name that no event can have.
    #[track_caller]
    pub(super) fn add(&mut self, path: Option<&str>, event: Option<&str>, publisher: Publisher) {
        let path = path.map(|path| path.trim_matches('/'));
        assert!(event != Some("") && event != Some(RESYNC), "{:?} is not an event that can be published", event);
        let publishers = match path {
            Some(path) => self.services.entry(path.to_owned()).or_default(),
            None => &mut self.app,
        };
        let before = publishers.insert(event.map(str::to_owned), publisher);
        assert!(before.is_none(), "there is a publisher for {} already", subject(path, event));
    }

    /// The publisher that comes first: service and event, service, app and event, app.
    pub(super) fn publisher(&self, path: &str, event: &str) -> Option<&Publisher> {
        let event = Some(event.to_owned());
        let levels = self.services.get(path).into_iter().chain([&self.app]);
        levels.flat_map(|level| [level.get(&event), level.get(&None)]).flatten().next()
    }

    /// Returns `true` if events of `path` can reach a socket.
    pub(super) fn concern(&self, path: &str) -> bool {
        !self.app.is_empty() || self.services.contains_key(path)
    }

    pub(super) fn is_silent(&self) -> bool {
        self.app.is_empty() && self.services.is_empty()
    }

    /// The events with a publisher of `path`'s own that a service with these `events` will never fire.
    pub(super) fn unknown_events(&self, path: &str, events: &[String]) -> Vec<&str> {
        let named = self.services.get(path).into_iter().flat_map(HashMap::keys).flatten();
        let unknown = |name: &&str| !STANDARD_EVENTS.contains(name) && !events.iter().any(|event| event == name);
        named.map(String::as_str).filter(unknown).collect()
    }
}

fn subject(path: Option<&str>, event: Option<&str>) -> String {
    match (path, event) {
        (Some(path), Some(event)) => format!("'{event}' of '{path}'"),
        (Some(path), None) => format!("'{path}'"),
        (None, Some(event)) => format!("'{event}' of all services"),
        (None, None) => "all services".to_owned(),
    }
}
