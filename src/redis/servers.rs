//! Which server holds a key now: the one thing in which standalone Redis, Sentinel and Cluster differ.
//!
//! Asked anew at every connect, so a supervisor that makes its connection again after a failure finds the new master.

use super::tls::{self, Certificates};
use redis::{Client, IntoConnectionInfo, RedisResult, io::tcp::TcpSettings};
use std::{fmt, sync::Arc, time::Duration};

/// Where to begin to look for Redis.
#[derive(Clone)]
pub(crate) enum Place {
    /// One server, by its URL.
    Standalone(String),
}

/// Who to say one is; instead of what a URL says.
#[derive(Clone, Default)]
pub(crate) struct Login {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
}

/// One of the servers that share the keys. Where there is only one, or one at a time, it has no address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Shard(Arc<str>);

impl Shard {
    fn only() -> Self {
        Shard("".into())
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "the only one" } else { &self.0 })
    }
}

/// Finds servers.
pub(crate) enum Servers {
    Standalone(Client),
}

impl Servers {
    pub(crate) fn new(place: &Place, login: &Login, certificates: &Certificates) -> RedisResult<Self> {
        match place {
            Place::Standalone(url) => Ok(Servers::Standalone(client(url, login, certificates)?)),
        }
    }

    /// The server that holds `key`, as far as is known; `None` when nobody is known to.
    pub(crate) fn shard(&self, _key: &str) -> Option<Shard> {
        match self {
            Servers::Standalone(_) => Some(Shard::only()),
        }
    }

    /// The server that holds `key`, asked anew.
    pub(crate) async fn locate(&self, _key: &str) -> RedisResult<Shard> {
        match self {
            Servers::Standalone(_) => Ok(Shard::only()),
        }
    }

    /// How to connect to a server.
    pub(crate) async fn reach(&self, _shard: &Shard) -> RedisResult<Client> {
        match self {
            Servers::Standalone(client) => Ok(client.clone()),
        }
    }

    /// Where one looks, without user and password.
    pub(crate) fn address(&self) -> String {
        match self {
            Servers::Standalone(client) => client.get_connection_info().addr().to_string(),
        }
    }
}

/// A client for `url`, as `login`.
fn client(url: &str, login: &Login, certificates: &Certificates) -> RedisResult<Client> {
    let info = url.into_connection_info()?;
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(redis::io::tcp::socket2::TcpKeepalive::new().with_time(Duration::from_secs(30)));
    let mut settings = info.redis_settings().clone();
    if let Some(username) = &login.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = &login.password {
        settings = settings.set_password(password);
    }
    tls::client(info.set_tcp_settings(tcp).set_redis_settings(settings), certificates)
}
