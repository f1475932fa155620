//! Which server holds a key now: the one thing in which standalone Redis, Sentinel and Cluster differ.
//!
//! Asked anew at every connect, so a supervisor that makes its connection again after a failure finds the new master.

use super::{
    cluster::{Cluster, Map},
    connection::is_elsewhere,
    login::{Login, Logins},
    sentinel::Sentinels,
    tls::{self, Certificates},
};
use arc_swap::ArcSwap;
use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError, RedisResult,
    aio::MultiplexedConnection, io::tcp::TcpSettings,
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
    Standalone(At),
    Sentinel(Sentinels),
    Cluster(Cluster),
}

impl Servers {
    /// `timeout` bounds an attempt to connect.
    pub(crate) fn new(
        place: &Place,
        logins: &Arc<Logins>,
        certificates: &Certificates,
        timeout: Duration,
    ) -> RedisResult<Self> {
        let asking = timeout.min(ASKING);
        Ok(match place {
            Place::Standalone(url) => Servers::Standalone(At::new(url, logins, certificates)?),
            Place::Sentinel { sentinels, login: own, name, master } => {
                Servers::Sentinel(Sentinels::new(sentinels, master, name, logins, own, certificates, asking)?)
            }
            Place::Cluster(seeds) => Servers::Cluster(Cluster::new(seeds, logins, certificates, asking)?),
        })
    }

    /// Reads the certificates anew: who connects from now on uses them. On an error nothing has changed.
    pub(crate) fn renew(&self, certificates: &Certificates) -> RedisResult<()> {
        let all = self.all();
        let made = all.iter().map(|at| at.made(certificates)).collect::<RedisResult<Vec<_>>>()?;
        all.into_iter().zip(made).for_each(|(at, made)| at.like.store(Arc::new(made)));
        Ok(())
    }

    /// Says to sentinels who one is from now on.
    pub(crate) fn relogin_at_sentinels(&self, login: Login) -> bool {
        match self {
            Servers::Sentinel(sentinels) => sentinels.relogin(login),
            Servers::Standalone(_) | Servers::Cluster(_) => false,
        }
    }

    /// What says on an open connection who one is now; `None` where there is no password to say.
    pub(crate) fn auth(&self) -> Option<Cmd> {
        match self {
            Servers::Standalone(at) => at.auth(),
            Servers::Sentinel(sentinels) => sentinels.auth(),
            Servers::Cluster(cluster) => cluster.auth(),
        }
    }

    fn all(&self) -> Vec<&At> {
        match self {
            Servers::Standalone(at) => vec![at],
            Servers::Sentinel(sentinels) => sentinels.all(),
            Servers::Cluster(cluster) => cluster.all(),
        }
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
            Servers::Standalone(at) => at.here(),
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
            Servers::Standalone(at) => at.address(),
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

/// Everything about a connection but where it may lead: what a URL says, the certificates, and the login of the moment.
pub(crate) struct At {
    url: ConnectionInfo,
    like: ArcSwap<ConnectionInfo>,
    logins: Arc<Logins>,
}

impl At {
    pub(super) fn new(url: &str, logins: &Arc<Logins>, certificates: &Certificates) -> RedisResult<Self> {
        At::from_info(url.into_connection_info()?, logins, certificates)
    }

    pub(super) fn from_info(
        info: ConnectionInfo,
        logins: &Arc<Logins>,
        certificates: &Certificates,
    ) -> RedisResult<Self> {
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(redis::io::tcp::socket2::TcpKeepalive::new().with_time(Duration::from_secs(30)));
        let url = info.set_tcp_settings(tcp);
        let like = tls::client(url.clone(), certificates)?.get_connection_info().clone();
        Ok(At { url, like: ArcSwap::from_pointee(like), logins: logins.clone() })
    }

    fn made(&self, certificates: &Certificates) -> RedisResult<ConnectionInfo> {
        Ok(tls::client(self.url.clone(), certificates)?.get_connection_info().clone())
    }

    /// A client for the address in the URL.
    pub(super) fn here(&self) -> RedisResult<Client> {
        Client::open(self.logins.put_on(ConnectionInfo::clone(&self.like.load())))
    }

    /// A client for another address.
    pub(super) fn client(&self, host: &str, port: u16) -> RedisResult<Client> {
        let host = host.to_owned();
        let like = self.like.load();
        let address = match like.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        Client::open(self.logins.put_on(ConnectionInfo::clone(&like).set_addr(address)))
    }

    pub(super) fn auth(&self) -> Option<Cmd> {
        self.logins.command(&self.url)
    }

    pub(super) fn address(&self) -> String {
        self.url.addr().to_string()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("the only one"))
    }
}
