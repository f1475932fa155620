//! Which server holds a key now: the one thing in which standalone Redis, Sentinel and Cluster differ.
//!
//! Asked anew at every connect, so a supervisor that makes its connection again after a failure finds the new master.

use super::{
    cluster::{Cluster, Map},
    connection::is_elsewhere,
    sentinel::Sentinels,
    tls::{self, Certificates},
};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError, RedisResult, aio::MultiplexedConnection,
    io::tcp::TcpSettings,
};
use std::{fmt, sync::Arc, time::Duration};
use tokio::sync::watch;

/// Where to begin to look for Redis.
#[derive(Clone)]
pub(crate) enum Place {
    /// One server, by its URL.
    Standalone(String),
    /// The server that sentinels name: their URLs, and one that says everything of the master but its address.
    Sentinel { sentinels: Vec<String>, login: Login, name: String, master: String },
    /// Servers that share the keys: the URLs of some of them.
    Cluster(Vec<String>),
}

/// Who to say one is, instead of what a URL says.
#[derive(Clone, Default)]
pub(crate) struct Login {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
}

/// One of the servers that share the keys. Where there is only one, or one at a time, it has no address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Shard(Option<Arc<str>>);

impl Shard {
    fn only() -> Self {
        Shard(None)
    }

    pub(super) fn at(host: &str, port: u16) -> Self {
        Shard(Some(format!("{host}:{port}").into()))
    }

    /// Host and port.
    pub(super) fn address(&self) -> Option<(&str, u16)> {
        let (host, port) = self.0.as_deref()?.rsplit_once(':')?;
        Some((host, port.parse().ok()?))
    }
}

/// How long the question where a server is may take.
const ASKING: Duration = Duration::from_secs(1);

/// Finds servers.
pub(crate) enum Servers {
    Standalone(Client),
    Sentinel(Sentinels),
    Cluster(Cluster),
}

impl Servers {
    /// `timeout` bounds an attempt to connect.
    pub(crate) fn new(
        place: &Place,
        login: &Login,
        certificates: &Certificates,
        timeout: Duration,
    ) -> RedisResult<Self> {
        let asking = timeout.min(ASKING);
        Ok(match place {
            Place::Standalone(url) => Servers::Standalone(client(url, login, certificates)?),
            Place::Sentinel { sentinels, login: own, name, master } => {
                Servers::Sentinel(Sentinels::new(sentinels, master, name, login, own, certificates, asking)?)
            }
            Place::Cluster(seeds) => Servers::Cluster(Cluster::new(seeds, login, certificates, asking)?),
        })
    }

    /// The server that holds `key`, as far as is known; `None` when nobody is known to.
    pub(crate) fn shard(&self, key: &str) -> Option<Shard> {
        match self {
            Servers::Standalone(_) | Servers::Sentinel(_) => Some(Shard::only()),
            Servers::Cluster(cluster) => cluster.shard(key),
        }
    }

    /// The server that holds `key`, asked anew.
    pub(crate) async fn locate(&self, key: &str) -> RedisResult<Shard> {
        match self {
            // Which one it is at the moment is asked when it is reached.
            Servers::Standalone(_) | Servers::Sentinel(_) => Ok(Shard::only()),
            Servers::Cluster(cluster) => cluster.locate(key).await,
        }
    }

    /// How to connect to a server.
    pub(crate) async fn reach(&self, shard: &Shard) -> RedisResult<Client> {
        match self {
            Servers::Standalone(client) => Ok(client.clone()),
            Servers::Sentinel(sentinels) => sentinels.master().await,
            Servers::Cluster(cluster) => cluster.reach(shard).await,
        }
    }

    /// Refuses a connection that leads to a server of the wrong kind.
    pub(crate) async fn verify(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        match self {
            Servers::Standalone(_) | Servers::Cluster(_) => Ok(()),
            Servers::Sentinel(sentinels) => sentinels.verify(connection).await,
        }
    }

    /// Do several servers share the keys?
    pub(crate) fn are_shared(&self) -> bool {
        matches!(self, Servers::Cluster(_))
    }

    /// Is this one of them still, as far as is known?
    pub(crate) fn has(&self, shard: &Shard) -> bool {
        match self {
            Servers::Standalone(_) | Servers::Sentinel(_) => true,
            Servers::Cluster(cluster) => cluster.has(shard),
        }
    }

    /// Finds out where keys are now.
    pub(crate) async fn refresh(&self) {
        if let Servers::Cluster(cluster) = self
            && let Err(error) = cluster.refresh().await
        {
            tracing::debug!(%error, "nobody tells who holds which slot");
        }
    }

    /// Finds out where keys are now, after a server refused to say or do something.
    pub(crate) async fn learn_from(&self, error: &RedisError) {
        match self {
            Servers::Cluster(cluster) if is_elsewhere(error) && !cluster.learn_from(error) => self.refresh().await,
            _ => {}
        }
    }

    /// Tells when keys move to other servers.
    pub(crate) fn moves(&self) -> Moves {
        Moves(match self {
            Servers::Standalone(_) | Servers::Sentinel(_) => None,
            Servers::Cluster(cluster) => Some(cluster.moves()),
        })
    }

    /// Can it be told only by asking whether a connection leads to the right server?
    pub(crate) fn must_be_verified(&self) -> bool {
        matches!(self, Servers::Sentinel(_))
    }

    /// Where one looks, without user and password.
    pub(crate) fn address(&self) -> String {
        match self {
            Servers::Standalone(client) => client.get_connection_info().addr().to_string(),
            Servers::Sentinel(sentinels) => sentinels.address(),
            Servers::Cluster(cluster) => cluster.address(),
        }
    }
}

/// Waits for keys to move.
pub(crate) struct Moves(Option<watch::Receiver<Arc<Map>>>);

impl Moves {
    /// Ends when keys have moved since this was made, or since the last time.
    pub(crate) async fn next(&mut self) {
        let changed = match &mut self.0 {
            Some(map) => map.changed().await.is_ok(),
            None => false,
        };
        if !changed {
            std::future::pending::<()>().await;
        }
    }
}

/// A client for `url`, as `login`.
pub(super) fn client(url: &str, login: &Login, certificates: &Certificates) -> RedisResult<Client> {
    tls::client(settled(url.into_connection_info()?, login), certificates)
}

/// How we connect wherever it is, as `login`.
pub(super) fn settled(info: ConnectionInfo, login: &Login) -> ConnectionInfo {
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
    info.set_tcp_settings(tcp).set_redis_settings(settings)
}

/// Everything about a connection but where it leads.
pub(super) struct At(ConnectionInfo);

impl At {
    pub(super) fn new(like: &Client) -> Self {
        At(like.get_connection_info().clone())
    }

    /// A client for another address.
    pub(super) fn client(&self, host: &str, port: u16) -> RedisResult<Client> {
        let host = host.to_owned();
        let address = match self.0.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        Client::open(self.0.clone().set_addr(address))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("the only one"))
    }
}
