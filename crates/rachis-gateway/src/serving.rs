//! How long a server waits for its clients.

use rachis_config::Config;
use std::time::Duration;

/// How long [`serve`](super::serve()) waits for clients: made of a [`Config`], or of a `Duration`, which is the grace.
///
/// ```
/// use rachis::{Config, gateway::Serving};
/// use std::time::Duration;
///
/// let configured = Serving::from(&Config::default());
/// assert_eq!(Serving::from(Duration::from_secs(10)), configured);
/// assert_eq!(configured.keep_alive(Duration::from_secs(620)).keep_alive, Duration::from_secs(620));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Serving {
    /// How long requests in flight may take when the server stops; connections that are open then are closed.
    pub grace: Duration,
    /// How long a connection may be idle, 75 s by default. With zero, each request has a connection of its own.
    pub keep_alive: Duration,
}

impl Serving {
    /// Replaces how long a connection may be idle.
    pub fn keep_alive(self, keep_alive: Duration) -> Self {
        Serving { keep_alive, ..self }
    }
}

impl From<Duration> for Serving {
    fn from(grace: Duration) -> Self {
        Serving { grace, keep_alive: Config::default().gateway.keep_alive }
    }
}

impl From<&Config> for Serving {
    fn from(config: &Config) -> Self {
        Serving { grace: config.shutdown.grace, keep_alive: config.gateway.keep_alive }
    }
}
