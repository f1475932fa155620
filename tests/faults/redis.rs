//! The `redis-server` of a row, and what is done to it.

use crate::proxy::Proxy;
use rachis::testing::ThrowawayRedis;
use redis::{RedisResult, Value};
use std::time::Duration;

/// Arguments for a server that keeps its data over a restart.
pub(crate) const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "everysec"];

/// A server, with the password that it asks for at present.
pub(crate) struct Server {
    redis: ThrowawayRedis,
    password: Option<String>,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Server {
        let redis = ThrowawayRedis::start_with(arguments).expect("redis-server is installed");
        Server { redis, password: None }
    }

    fn url(&self) -> String {
        self.redis.url()
    }

    /// What nodes are told of it, as a part of `[redis]` of their configuration.
    pub(crate) fn section(&self, cable: Option<&Proxy>) -> String {
        let url = cable.map_or_else(|| self.url(), Proxy::url);
        format!("url = \"{url}\"\n")
    }

    pub(crate) fn port(&self) -> u16 {
        self.redis.port()
    }

    /// Ends it in good order.
    pub(crate) fn stop(&mut self) {
        tokio::task::block_in_place(|| self.redis.stop());
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(&mut self) {
        crate::worker::signal(self.redis.pid(), "KILL").await;
        self.stop();
    }

    pub(crate) fn launch(&mut self) {
        tokio::task::block_in_place(|| self.redis.launch()).expect("redis-server starts again");
    }

    pub(crate) fn freeze(&self) {
        self.redis.freeze().expect("SIGSTOP");
    }

    pub(crate) fn thaw(&self) {
        self.redis.thaw().expect("SIGCONT");
    }

    /// Runs a command, written as in `redis-cli`.
    pub(crate) async fn command(&self, words: &[&str]) -> Value {
        self.try_command(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    pub(crate) async fn try_command(&self, words: &[&str]) -> RedisResult<Value> {
        let url = match &self.password {
            Some(password) => self.url().replace("redis://", &format!("redis://:{password}@")),
            None => self.url(),
        };
        let patient = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(5)))
            .set_response_timeout(Some(Duration::from_secs(5)));
        let client = redis::Client::open(url)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&patient).await?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await
    }

    /// A number that a command returns.
    pub(crate) async fn number(&self, words: &[&str]) -> RedisResult<u64> {
        redis::from_redis_value(self.try_command(words).await?).map_err(Into::into)
    }

    /// Asks for another password from now on, also of those that are connected.
    pub(crate) async fn set_password(&mut self, password: &str) {
        self.command(&["CONFIG", "SET", "requirepass", password]).await;
        self.password = Some(password.to_owned());
        self.drop_connections().await;
    }

    /// Closes every connection.
    pub(crate) async fn drop_connections(&self) {
        for kind in ["normal", "pubsub"] {
            self.command(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).await;
        }
    }

    /// Bytes of memory it says to use.
    pub(crate) async fn memory(&self) -> u64 {
        let info = self.command(&["INFO", "memory"]).await;
        let info: String = redis::from_redis_value(info).expect("INFO is text");
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("used_memory");
        line.trim().parse().expect("a number")
    }
}
