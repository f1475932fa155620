//! What kind of server this is.

use redis::{FromRedisValue, RedisError, RedisResult, Value, aio::ConnectionLike};
use std::time::Duration;

/// How long a server may take to say what it is.
const TIME: Duration = Duration::from_secs(2);

/// Warns of what the server is or lacks; a server that does not tell is no reason not to start.
pub(crate) async fn warn_of(on: &mut impl ConnectionLike, as_cluster: bool) {
    match tokio::time::timeout(TIME, inspect(on)).await {
        Ok(Ok(server)) => server.warnings(as_cluster).iter().for_each(|warning| tracing::warn!("{warning}")),
        _ => tracing::debug!("the server does not say what it is"),
    }
}

/// What the server is, and what it lacks for us.
async fn inspect(on: &mut impl ConnectionLike) -> Result<Server, RedisError> {
    let info: String = redis::cmd("INFO").arg("server").query_async(on).await?;
    let memory: RedisResult<Value> = redis::cmd("INFO").arg("memory").query_async(on).await;
    let memory = memory.ok().and_then(|value| String::from_redis_value(value).ok()).unwrap_or_default();
    Ok(Server {
        version: field(&info, "redis_version").unwrap_or_default(),
        policy: field(&memory, "maxmemory_policy").unwrap_or_default(),
        mode: field(&info, "redis_mode").unwrap_or_default(),
    })
}

/// The server's own word about itself.
#[derive(Clone, Debug, PartialEq)]
struct Server {
    version: String,
    policy: String,
    mode: String,
}

impl Server {
    /// What an operator should change, each with the reason.
    fn warnings(&self, as_cluster: bool) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut parts = self.version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if version != (0, 0) && version < (6, 2) {
            warnings.push(format!("Redis {} is older than 6.2, the oldest that has every command used", self.version));
        }
        if self.mode == "cluster" && !as_cluster {
            warnings.push(
                "this server is part of a cluster: begin redis.url with redis+cluster:// (or rediss+cluster://)".into(),
            );
        }
        if !self.policy.is_empty() && self.policy != "noeviction" {
            warnings.push(format!(
                "maxmemory-policy is {}: under memory pressure Redis may drop nodes and requests; set noeviction",
                self.policy
            ));
        }
        warnings
    }
}

/// A field of what INFO says.
pub(super) fn field(info: &str, name: &str) -> Option<String> {
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_server_and_an_evicting_policy_are_warned_of() {
        let server = Server { version: "6.0.16".into(), policy: "volatile-lru".into(), mode: "standalone".into() };
        assert_eq!(server.warnings(false).len(), 2);
        let server = Server { version: "7.0.15".into(), policy: "noeviction".into(), mode: "cluster".into() };
        assert_eq!(server.warnings(true), Vec::<String>::new());
        assert_eq!(server.warnings(false).len(), 1);
    }
}
