//! The topology: which server holds a key now. This is the one thing in which standalone Redis, Sentinel and Cluster
//! differ.
//!
//! It is resolved at every connect, so a reconnect after a failover finds the new master.

mod cluster;
mod first_answer;
mod sentinel;
mod server;

pub(crate) use server::Shard;

use super::{
    is_elsewhere,
    login::{Login, Logins},
    socket::Endpoint,
    tls::Certificates,
};
use cluster::{Cluster, Map};
use rachis_config::host::Addresses;
use redis::{Cmd, RedisError, RedisResult, aio::ConnectionLike};
use sentinel::Sentinels;
use server::EndpointTemplate;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// The kind of a Redis deployment, and the URLs at which it is looked for first.
#[derive(Clone)]
pub(crate) enum TopologyConfig {
    /// One server, by its URL.
    Standalone(String),
    /// The master that sentinels name: their URLs, and one with everything about the master but its address.
    Sentinel { sentinels: Vec<String>, login: Login, name: String, master: String },
    /// A cluster: the URLs of some of its servers.
    Cluster(Vec<String>),
}

/// The servers of a deployment.
pub(crate) enum Servers {
    Standalone(EndpointTemplate),
    Sentinel(Sentinels),
    Cluster(Cluster),
}

impl Servers {
    /// Creates the topology. `asking` bounds one query to a sentinel or to a server of a cluster.
    pub(crate) fn new(
        topology: &TopologyConfig,
        logins: &Arc<Logins>,
        certificates: &Certificates,
        addresses: &Addresses,
        asking: Duration,
    ) -> RedisResult<Self> {
        Ok(match topology {
            TopologyConfig::Standalone(url) => Servers::Standalone(EndpointTemplate::new(url, logins, certificates)?),
            TopologyConfig::Sentinel { sentinels, login: own, name, master } => {
                let at = |url| EndpointTemplate::new(url, logins, certificates);
                Servers::Sentinel(Sentinels::new(sentinels, at(master)?, name, own, certificates, addresses, asking)?)
            }
            TopologyConfig::Cluster(seeds) => {
                Servers::Cluster(Cluster::new(seeds, logins, certificates, addresses, asking)?)
            }
        })
    }

    /// Reads the certificates again, for all new connections. On an error nothing has changed.
    pub(crate) fn renew(&self, certificates: &Certificates) -> RedisResult<()> {
        let all = self.all();
        let made = all.iter().map(|at| at.made(certificates)).collect::<RedisResult<Vec<_>>>()?;
        all.into_iter().zip(made).for_each(|(at, made)| at.use_tls(made));
        Ok(())
    }

    /// Replaces the login at sentinels. Returns `false` if nothing changes.
    pub(crate) fn relogin_at_sentinels(&self, login: Login) -> bool {
        match self {
            Servers::Sentinel(sentinels) => sentinels.relogin(login),
            Servers::Standalone(_) | Servers::Cluster(_) => false,
        }
    }

    /// Returns the AUTH command of the current login, `None` without a password.
    pub(crate) fn auth(&self) -> Option<Cmd> {
        match self {
            Servers::Standalone(at) => at.auth(),
            Servers::Sentinel(sentinels) => sentinels.auth(),
            Servers::Cluster(cluster) => cluster.auth(),
        }
    }

    fn all(&self) -> Vec<&EndpointTemplate> {
        match self {
            Servers::Standalone(at) => vec![at],
            Servers::Sentinel(sentinels) => sentinels.all(),
            Servers::Cluster(cluster) => cluster.all(),
        }
    }

    /// Returns the server that holds `key`, as far as is known.
    pub(crate) fn shard(&self, key: impl AsRef<[u8]>) -> Option<Shard> {
        match self {
            Servers::Standalone(_) | Servers::Sentinel(_) => Some(Shard::only()),
            Servers::Cluster(cluster) => cluster.shard(key),
        }
    }

    /// Returns every server that holds keys, as far as is known.
    pub(crate) fn shards(&self) -> Vec<Shard> {
        match self {
            Servers::Standalone(_) | Servers::Sentinel(_) => vec![Shard::only()],
            Servers::Cluster(cluster) => cluster.masters(),
        }
    }

    /// Returns the server that a MOVED error names.
    pub(crate) fn redirect(&self, error: &RedisError) -> Option<Shard> {
        match self {
            Servers::Standalone(_) | Servers::Sentinel(_) => None,
            Servers::Cluster(_) => cluster::moved(error).map(|(_, shard)| shard),
        }
    }

    /// Asks which server holds `key`.
    pub(crate) async fn locate(&self, key: &str) -> RedisResult<Shard> {
        match self {
            // Which one it is at the moment is asked when it is reached.
            Servers::Standalone(_) | Servers::Sentinel(_) => Ok(Shard::only()),
            Servers::Cluster(cluster) => cluster.locate(key).await,
        }
    }

    /// Returns the current endpoint of a server.
    pub(crate) async fn reach(&self, shard: &Shard) -> RedisResult<Endpoint> {
        match self {
            Servers::Standalone(at) => Ok(at.here()),
            Servers::Sentinel(sentinels) => sentinels.master().await,
            Servers::Cluster(cluster) => cluster.reach(shard).await,
        }
    }

    /// Refuses a connection that leads to a server of the wrong kind.
    pub(crate) async fn verify(&self, connection: &mut impl ConnectionLike) -> RedisResult<()> {
        match self {
            Servers::Standalone(_) | Servers::Cluster(_) => Ok(()),
            Servers::Sentinel(sentinels) => sentinels.verify(connection).await,
        }
    }

    /// Returns `true` if several servers share the keys.
    pub(crate) fn are_shared(&self) -> bool {
        matches!(self, Servers::Cluster(_))
    }

    /// Returns `true` if there is one server, by one address, for good.
    pub(crate) fn is_one(&self) -> bool {
        matches!(self, Servers::Standalone(_))
    }

    /// Returns `true` if the server still holds keys, as far as is known.
    pub(crate) fn has(&self, shard: &Shard) -> bool {
        match self {
            Servers::Standalone(_) | Servers::Sentinel(_) => true,
            Servers::Cluster(cluster) => cluster.has(shard),
        }
    }

    /// Asks again which server holds which keys.
    pub(crate) async fn refresh(&self) {
        if let Servers::Cluster(cluster) = self
            && let Err(error) = cluster.refresh().await
        {
            tracing::debug!(%error, "no server tells which one holds which slot");
        }
    }

    /// Updates the topology after an error of a server, where the error says that keys have moved.
    pub(crate) async fn learn_from(&self, error: &RedisError) {
        match self {
            Servers::Cluster(cluster) if is_elsewhere(error) && !cluster.learn_from(error) => self.refresh().await,
            _ => {}
        }
    }

    /// Returns a receiver of moves of keys.
    pub(crate) fn moves(&self) -> Moves {
        Moves(match self {
            Servers::Standalone(_) | Servers::Sentinel(_) => None,
            Servers::Cluster(cluster) => Some(cluster.moves()),
        })
    }

    /// Returns the address in messages, without user and password.
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
    /// Completes when keys have moved since this was created, or since the last call.
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
