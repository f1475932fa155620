//! The application's own connections: a pool for its commands, over the mesh's connector.
//!
//! The manager of deadpool-redis opens connections by a URL, and so knows neither a login that changes, nor certificates
//! that are renewed, nor an address map; and it has a type of pool for each kind of deployment. This one has the mesh's
//! connector open them, and one type for all.

mod route;

use super::connection::{
    Connector, is_elsewhere, is_redirect,
    session::{Session, pool_of},
    timed_out,
    topology::Shard,
};
use deadpool::managed::{Manager, Object, Pool, RecycleError, RecycleResult};
/// The error of `get` of a [`RedisPool`]: that of pools of deadpool-redis.
pub use deadpool_redis::PoolError as RedisPoolError;
use deadpool_redis::{BuildError, Metrics};
use futures_util::future::try_join_all;
use redis::{Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value, aio::ConnectionLike};
use route::{Route, route};
use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

/// The pause before a command whose key is on its way to another server of a cluster is sent again.
const ELSEWHERE_PAUSE: Duration = Duration::from_millis(20);

/// A pool of connections for the application's own commands: see [`Node::redis`](crate::Node::redis).
pub type RedisPool = Pool<RedisManager, RedisConnection>;

/// Creates the pool of one node. It opens no connection before one is asked for.
pub(crate) fn pool(connector: &Connector) -> Result<RedisPool, BuildError> {
    pool_of(connector, RedisManager { connector: connector.clone() })
}

/// Opens the connections of a [`RedisPool`] as the mesh opens its own.
pub struct RedisManager {
    connector: Connector,
}

impl fmt::Debug for RedisManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisManager({})", self.connector.address())
    }
}

impl Manager for RedisManager {
    type Type = RedisSession;
    type Error = RedisError;

    async fn create(&self) -> RedisResult<RedisSession> {
        let mut session = RedisSession { connector: self.connector.clone(), servers: HashMap::new() };
        let shard = session.shard(b"").await?;
        session.connection(&shard).await?;
        Ok(session)
    }

    async fn recycle(&self, session: &mut RedisSession, _: &Metrics) -> RecycleResult<RedisError> {
        session.clean(&self.connector).await
    }
}

/// The connection behind a [`RedisConnection`]: one to each server that it has sent commands to.
pub struct RedisSession {
    connector: Connector,
    servers: HashMap<Shard, Session>,
}

impl fmt::Debug for RedisSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSession").field("servers", &self.servers.len()).finish_non_exhaustive()
    }
}

impl RedisSession {
    /// Makes it as good as a new one: forgets watched keys, logs in again where the login has changed, and checks that the
    /// servers answer. A connection that failed is left out, as is one to a server of a cluster that holds nothing any more.
    async fn clean(&mut self, connector: &Connector) -> RecycleResult<RedisError> {
        let servers = connector.servers();
        self.servers.retain(|shard, session| servers.has(shard) && session.is_sound());
        if self.servers.is_empty() {
            return Err(RecycleError::message("it failed before"));
        }
        let mut check = redis::pipe();
        check.cmd("UNWATCH").cmd("PING");
        try_join_all(self.servers.values_mut().map(async |session| {
            session.renew_login(connector).await;
            // Forbidden by an ACL, they are answered as well.
            session.pipeline(&check, 0, 2).await
        }))
        .await?;
        Ok(())
    }

    /// Returns the server that holds `key`.
    async fn shard(&self, key: &[u8]) -> RedisResult<Shard> {
        let servers = self.connector.servers();
        if let Some(shard) = servers.shard(key) {
            return Ok(shard);
        }
        servers.refresh().await;
        let unknown = || RedisError::from(std::io::Error::other("no server of the cluster is known to hold the slot"));
        servers.shard(key).ok_or_else(unknown)
    }

    /// Returns the connection to this server, opened the first time.
    async fn connection(&mut self, shard: &Shard) -> RedisResult<&mut Session> {
        if !self.servers.contains_key(shard) {
            let attempt = Session::open(&self.connector, "app", shard);
            let limit = self.connector.options().connect_timeout;
            let opened = tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| Err(timed_out("connecting")));
            self.servers.insert(shard.clone(), opened?);
        }
        self.servers.get_mut(shard).ok_or_else(|| timed_out("connecting"))
    }

    /// Sends to the server that holds the key, and again to another one where the server says that this one has it now: it
    /// has run nothing then.
    async fn send(&mut self, what: Sent<'_>) -> RedisResult<Vec<Value>> {
        let begun = Instant::now();
        let key = what.key().unwrap_or_default();
        let mut shard = self.shard(key).await?;
        loop {
            let error = match what.send_to(self.connection(&shard).await?).await {
                Ok(answers) => return Ok(answers),
                Err(error) => error,
            };
            let servers = self.connector.servers().clone();
            if is_elsewhere(&error) {
                servers.learn_from(&error).await;
            }
            if !is_redirect(&error) || begun.elapsed() >= self.connector.options().response_timeout {
                return Err(error);
            }
            shard = match servers.redirect(&error) {
                Some(named) => named,
                None => {
                    tokio::time::sleep(ELSEWHERE_PAUSE).await;
                    self.shard(key).await?
                }
            };
        }
    }

    async fn command(&mut self, command: &Cmd) -> RedisResult<Value> {
        if route(command) == Route::All {
            return self.everywhere(command).await;
        }
        Ok(self.send(Sent::Command(command)).await?.pop().unwrap_or(Value::Nil))
    }

    /// Sends to every server; returns one of the answers.
    async fn everywhere(&mut self, command: &Cmd) -> RedisResult<Value> {
        let mut last = Value::Nil;
        for shard in self.connector.servers().shards() {
            last = self.connection(&shard).await?.command(command).await?;
        }
        Ok(last)
    }
}

/// What is sent at once.
#[derive(Clone, Copy)]
enum Sent<'a> {
    Command(&'a Cmd),
    /// With the number of answers that are left out, and of those that are returned.
    Pipeline(&'a Pipeline, usize, usize),
}

impl<'a> Sent<'a> {
    /// Returns the first key in it.
    fn key(self) -> Option<&'a [u8]> {
        let key = |command| match route(command) {
            Route::Key(key) => Some(key),
            Route::Any | Route::All => None,
        };
        match self {
            Sent::Command(command) => key(command),
            Sent::Pipeline(pipeline, ..) => pipeline.cmd_iter().find_map(key),
        }
    }

    /// Returns the answers. It fails where the server has run nothing of it.
    async fn send_to(self, server: &mut Session) -> RedisResult<Vec<Value>> {
        match self {
            Sent::Command(command) => Ok(vec![server.command(command).await?]),
            Sent::Pipeline(pipeline, offset, count) => {
                let answers = server.pipeline(pipeline, offset, count).await?;
                let is_redirected = |answer: &Value| refusal(answer).is_some_and(|error| is_redirect(&error));
                match answers.first().and_then(refusal) {
                    Some(error) if answers.iter().all(is_redirected) => Err(error),
                    _ => Ok(answers),
                }
            }
        }
    }
}

/// Returns the error that an answer is.
fn refusal(answer: &Value) -> Option<RedisError> {
    match answer {
        Value::ServerError(_) => answer.clone().extract_error().err(),
        _ => None,
    }
}

/// A connection of a [`RedisPool`], which goes back to it when dropped. Commands run on it by the traits of redis-rs, as
/// `AsyncCommands`; see [`Node::redis`](crate::Node::redis).
#[derive(Debug)]
pub struct RedisConnection(Object<RedisManager>);

impl From<Object<RedisManager>> for RedisConnection {
    fn from(session: Object<RedisManager>) -> Self {
        RedisConnection(session)
    }
}

impl ConnectionLike for RedisConnection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.0.command(command))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(self.0.send(Sent::Pipeline(pipeline, offset, count)))
    }

    fn get_db(&self) -> i64 {
        self.0.servers.values().next().map_or(0, Session::database)
    }
}
