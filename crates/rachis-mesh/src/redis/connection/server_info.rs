//! The kind and the settings of a server, and warnings about them.

use redis::{RedisError, aio::ConnectionLike};
use std::time::Duration;

/// The time limit of asking a server for its INFO.
const TIME: Duration = Duration::from_secs(2);

/// Logs warnings about the kind and the settings of the server. A server that forbids INFO is no reason not to start.
/// `url` is the one that it was reached by.
pub(crate) async fn warn_of(on: &mut impl ConnectionLike, url: &str) {
    match tokio::time::timeout(TIME, inspect(on)).await {
        Ok(Ok(server)) => server.warnings(url).iter().for_each(|warning| tracing::warn!("{warning}")),
        _ => tracing::debug!("the server does not say what it is"),
    }
}

/// Returns what an operator should change of the server whose INFO this is, and that `url` leads to; each with the reason.
pub fn server_warnings(info: &str, url: &str) -> Vec<String> {
    Server::read(info).warnings(url)
}

/// Reads the INFO of the server.
async fn inspect(on: &mut impl ConnectionLike) -> Result<Server, RedisError> {
    // Without a section, since servers before 7.0 take one at a time.
    let info: String = redis::cmd("INFO").query_async(on).await?;
    Ok(Server::read(&info))
}

/// The INFO of a server; empty or `None` for what it does not say.
#[derive(Clone, Debug, Default, PartialEq)]
struct Server {
    version: String,
    mode: String,
    role: String,
    policy: String,
    maxmemory: Option<u64>,
    clients: Option<u64>,
    /// Told since 7.0.
    maxclients: Option<u64>,
}

impl Server {
    fn read(info: &str) -> Self {
        let number = |name| field(info, name).and_then(|text| text.parse().ok());
        let text = |name| field(info, name).unwrap_or_default();
        Server {
            version: text("redis_version"),
            mode: match field(info, "cluster_enabled").as_deref() {
                Some("1") => "cluster".to_owned(),
                _ => text("redis_mode"),
            },
            role: text("role"),
            policy: text("maxmemory_policy"),
            maxmemory: number("maxmemory"),
            clients: number("connected_clients"),
            maxclients: number("maxclients"),
        }
    }

    /// Returns what an operator should change, each with the reason.
    fn warnings(&self, url: &str) -> Vec<String> {
        [self.of_version(), self.of_policy(), self.of_mode(url), self.of_role(), self.of_clients()]
            .into_iter()
            .flatten()
            .collect()
    }

    fn of_version(&self) -> Option<String> {
        let mut parts = self.version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        (version != (0, 0) && version < (6, 2))
            .then(|| format!("Redis {} is older than 6.2, the oldest that has every command used", self.version))
    }

    fn of_policy(&self) -> Option<String> {
        // Without a limit there is no pressure, so the policy never comes into play.
        let limited = self.maxmemory != Some(0);
        (limited && !self.policy.is_empty() && self.policy != "noeviction").then(|| {
            format!(
                "maxmemory-policy is {}: under memory pressure Redis may drop nodes and requests; set noeviction",
                self.policy
            )
        })
    }

    fn of_mode(&self, url: &str) -> Option<String> {
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        match self.mode.as_str() {
            "cluster" if !scheme.contains("cluster") => Some(
                "this Redis is part of a cluster, and redis.url names a single server: commands on keys of other servers \
                 will fail; write redis+cluster://"
                    .into(),
            ),
            "sentinel" => Some(
                "this is a Sentinel and no Redis: it stores nothing; write redis+sentinel:// with the name of the primary"
                    .into(),
            ),
            _ => None,
        }
    }

    fn of_role(&self) -> Option<String> {
        (self.role == "slave").then(|| {
            "this Redis is a replica and refuses writes, so no node can join: redis.url must lead to the primary".into()
        })
    }

    fn of_clients(&self) -> Option<String> {
        let clients = self.clients?;
        let most = self.maxclients?;
        // A node holds five connections and more; the last ones to connect are refused.
        (clients.saturating_mul(5) >= most.saturating_mul(4)).then(|| {
            format!("{clients} of the {most} connections that maxclients allows are in use: raise it, or nodes will be refused")
        })
    }
}

/// Returns a field of an INFO reply.
pub(super) fn field(info: &str, name: &str) -> Option<String> {
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rachis_testing::ThrowawayRedis;

    const URL: &str = "redis://127.0.0.1";

    async fn ask(redis: &ThrowawayRedis) -> (Server, redis::aio::MultiplexedConnection) {
        let client = redis::Client::open(redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        (inspect(&mut connection).await.unwrap(), connection)
    }

    async fn warnings(arguments: &[&str]) -> Vec<String> {
        let redis = ThrowawayRedis::start_with(arguments).unwrap();
        ask(&redis).await.0.warnings(URL)
    }

    #[track_caller]
    fn one(warnings: &[String], words: &str) {
        assert!(warnings.len() == 1 && warnings[0].contains(words), "{warnings:?}");
    }

    #[test]
    fn an_old_server_and_an_evicting_policy_are_warned_of() {
        let server = Server { version: "6.0.16".into(), policy: "volatile-lru".into(), ..Server::default() };
        assert_eq!(server.warnings(URL).len(), 2);
        let server = Server { version: "7.0.15".into(), policy: "noeviction".into(), ..Server::default() };
        assert_eq!(server.warnings(URL), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_plain_server_is_not_warned_of() {
        let redis = ThrowawayRedis::start().unwrap();
        let (server, _connection) = ask(&redis).await;
        assert_eq!(server.warnings(URL), Vec::<String>::new());
        assert!(!server.version.is_empty() && server.mode == "standalone" && server.role == "master", "{server:?}");
    }

    #[tokio::test]
    async fn a_policy_that_evicts_is_warned_of_only_where_memory_is_limited() {
        one(&warnings(&["--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru"]).await, "set noeviction");
        for fine in [&["--maxmemory-policy", "allkeys-lru"][..], &["--maxmemory", "100mb"]] {
            assert_eq!(warnings(fine).await, Vec::<String>::new(), "{fine:?}");
        }
    }

    #[tokio::test]
    async fn a_replica_is_warned_of() {
        one(&warnings(&["--replicaof", "127.0.0.1", "1"]).await, "must lead to the primary");
    }

    #[tokio::test]
    async fn a_cluster_behind_the_url_of_a_single_server_is_warned_of() {
        let redis = ThrowawayRedis::start_with(&["--cluster-enabled", "yes"]).unwrap();
        let (server, _connection) = ask(&redis).await;
        one(&server.warnings(URL), "redis+cluster://");
        assert_eq!(server.warnings("redis+cluster://127.0.0.1"), Vec::<String>::new());
    }

    #[test]
    fn a_sentinel_is_warned_of() {
        one(&Server::read("redis_version:7.0.15\r\nredis_mode:sentinel\r\n").warnings(URL), "redis+sentinel://");
    }

    #[tokio::test]
    async fn a_server_with_few_connections_left_is_warned_of() {
        let redis = ThrowawayRedis::start_with(&["--maxclients", "10"]).unwrap();
        let mut open = Vec::new();
        for count in 1..=8 {
            let (server, connection) = ask(&redis).await;
            open.push(connection);
            match server.maxclients {
                Some(_) if count == 8 => one(&server.warnings(URL), "8 of the 10 connections"),
                // A server older than 7.0 does not tell how many it allows.
                _ => assert_eq!(server.warnings(URL), Vec::<String>::new(), "{count}"),
            }
        }
    }
}
