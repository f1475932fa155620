//! The connections of pools, and how a pool is made of them.

use super::{Connector, Opened, Signs, is_fatal, is_redirect, socket::Shared, topology::Shard};
use deadpool::{
    Runtime,
    managed::{BuildError, Manager, Object, Pool, PoolConfig, Timeouts, WeakPool},
};
use redis::{Cmd, Pipeline, RedisResult, Value, aio::ConnectionLike};
use std::time::Duration;

/// Idle time after which a pooled connection is closed, at the latest after twice as long. A node needs one when it
/// joins, and hardly any later. A shorter time would cost Redis more in new connections than it saves.
const IDLE: Duration = Duration::from_secs(60);

/// A connection to one server, and whether it may be handed out again.
pub(crate) struct Session {
    connection: Shared,
    signs: Signs,
    broken: bool,
}

impl Session {
    pub(crate) async fn open(connector: &Connector, purpose: &str, shard: &Shard) -> RedisResult<Session> {
        let Opened { connection, signs } = connector.connect_to(purpose, shard).await?;
        Ok(Session { connection, signs, broken: false })
    }

    /// Returns `true` if neither end has closed it and no command has failed in a way that makes it useless.
    pub(crate) fn is_sound(&self) -> bool {
        !self.broken && !self.signs.has_ended()
    }

    /// Logs in again if the login has changed.
    pub(crate) async fn renew_login(&mut self, connector: &Connector) {
        if self.signs.has_login_changed() {
            connector.log_in(&mut self.connection).await;
        }
    }

    /// Runs a command. An error that redis-rs returns as a value is returned as an error.
    pub(crate) async fn command(&mut self, command: &Cmd) -> RedisResult<Value> {
        let answer = self.connection.req_packed_command(command).await.and_then(Value::extract_error);
        self.note(answer)
    }

    /// Runs a pipeline; leaves out `offset` answers and returns `count`. Refused commands are among the answers.
    pub(crate) async fn pipeline(
        &mut self,
        pipeline: &Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let answers = self.connection.req_packed_commands(pipeline, offset, count).await;
        self.note(answers)
    }

    pub(crate) fn database(&self) -> i64 {
        self.connection.get_db()
    }

    fn note<T>(&mut self, outcome: RedisResult<T>) -> RedisResult<T> {
        // A server of a cluster that holds a key no more still holds others.
        outcome.inspect_err(|error| self.broken |= is_fatal(error) && !is_redirect(error))
    }
}

/// Creates a pool. It opens no connection before one is asked for, and closes those that are idle.
pub(crate) fn pool_of<M, W>(connector: &Connector, manager: M) -> Result<Pool<M, W>, BuildError>
where
    M: Manager + 'static,
    W: From<Object<M>> + Send + 'static,
{
    let options = connector.options();
    let wait = Some(options.connect_timeout);
    let mut config = PoolConfig::new(options.pool_size.max(1));
    config.timeouts = Timeouts { wait, create: wait, recycle: Some(connector.probe_time()) };
    let pool = Pool::<M, W>::builder(manager).config(config).runtime(Runtime::Tokio1).build()?;
    tokio::spawn(close_idle(pool.weak(), IDLE));
    Ok(pool)
}

/// Closes idle connections, until the pool is dropped.
pub(super) async fn close_idle<M, W>(pool: WeakPool<M, W>, idle: Duration)
where
    M: Manager,
    W: From<Object<M>>,
{
    loop {
        tokio::time::sleep(idle).await;
        let Some(pool) = pool.upgrade() else { return };
        pool.retain(|_, used| used.last_used() < idle);
    }
}
