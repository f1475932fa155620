//! A few pooled connections for rare commands; never on the path of a call, since a pool tests each connection first.

use super::{
    Connector, Opened, Signs, is_elsewhere, is_fatal,
    socket::Shared,
    topology::{Servers, Shard},
};
use deadpool::{
    Runtime,
    managed::{
        BuildError, Manager, Metrics, Object, Pool, PoolConfig, PoolError, RecycleError, RecycleResult, Timeouts,
        WeakPool,
    },
};
use parking_lot::Mutex;
use redis::{Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value, aio::ConnectionLike};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Idle time after which a pooled connection is closed, at the latest after twice as long. A node needs one when it
/// joins, and hardly any later. A shorter time would cost Redis more in new connections than it saves.
pub(crate) const IDLE: Duration = Duration::from_secs(60);

/// Pools of connections, one for each server, filled on demand.
#[derive(Clone)]
pub(crate) struct Admin {
    connector: Connector,
    // One for each server there is.
    pools: Arc<Mutex<HashMap<Shard, Pool<Maker>>>>,
}

impl Admin {
    pub(crate) fn new(connector: &Connector) -> Self {
        Admin { connector: connector.clone(), pools: Arc::default() }
    }

    /// Returns a connection to the server that holds `key`, which answered just now.
    pub(crate) async fn get(&self, key: &str) -> Result<Pooled, RedisError> {
        let shard = match self.connector.servers().shard(key) {
            Some(shard) => shard,
            None => Box::pin(self.connector.servers().locate(key)).await?,
        };
        // Boxed, since the future of each call would contain that of connecting.
        let connection = Box::pin(self.pool(&shard)?.get()).await.map_err(|error| match error {
            PoolError::Backend(error) => error,
            other => RedisError::from(std::io::Error::other(other.to_string())),
        })?;
        Ok(Pooled { connection, servers: self.connector.servers().clone() })
    }

    fn pool(&self, shard: &Shard) -> Result<Pool<Maker>, RedisError> {
        let mut pools = self.pools.lock();
        if let Some(pool) = pools.get(shard) {
            return Ok(pool.clone());
        }
        pools.retain(|known, _| self.connector.servers().has(known));
        let options = self.connector.options();
        let wait = Some(options.connect_timeout);
        let mut sizes = PoolConfig::new(options.pool_size.max(1));
        sizes.timeouts = Timeouts { wait, create: wait, recycle: Some(self.connector.probe_time()) };
        let maker = Maker { connector: self.connector.clone(), shard: shard.clone() };
        let pool = Pool::builder(maker).config(sizes).runtime(Runtime::Tokio1).build().map_err(build_failed)?;
        tokio::spawn(tidy(pool.weak(), IDLE));
        pools.insert(shard.clone(), pool.clone());
        Ok(pool)
    }
}

/// Closes idle connections, until the pool is dropped.
pub(crate) async fn tidy<M, W>(pool: WeakPool<M, W>, idle: Duration)
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

fn build_failed(error: BuildError) -> RedisError {
    RedisError::from(std::io::Error::other(error.to_string()))
}

/// Opens connections to one server.
struct Maker {
    connector: Connector,
    shard: Shard,
}

/// A connection, and whether it is known to be broken.
struct Slot {
    connection: Shared,
    signs: Signs,
    broken: bool,
}

impl Manager for Maker {
    type Type = Slot;
    type Error = RedisError;

    async fn create(&self) -> Result<Slot, RedisError> {
        let Opened { connection, signs } = self.connector.connect_to("admin", &self.shard).await?;
        Ok(Slot { connection, signs, broken: false })
    }

    async fn recycle(&self, slot: &mut Slot, _: &Metrics) -> RecycleResult<RedisError> {
        if slot.broken || slot.signs.has_ended() {
            return Err(RecycleError::message("it failed before"));
        }
        if slot.signs.has_login_changed() {
            self.connector.log_in(&mut slot.connection).await;
        }
        Ok(redis::cmd("PING").query_async(&mut slot.connection).await?)
    }
}

/// A pooled connection. One that fails is not handed out again.
pub(crate) struct Pooled {
    connection: Object<Maker>,
    servers: Arc<Servers>,
}

impl Pooled {
    fn note<T>(&mut self, outcome: RedisResult<T>) -> RedisResult<T> {
        if let Err(error) = &outcome {
            self.connection.broken |= is_fatal(error);
            if is_elsewhere(error) {
                // The next caller is to find the right server.
                let servers = self.servers.clone();
                let error = error.clone();
                tokio::spawn(async move { servers.learn_from(&error).await });
            }
        }
        outcome
    }
}

impl ConnectionLike for Pooled {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let outcome = self.connection.connection.req_packed_command(command).await;
            // Not every error has been told from a value yet.
            let outcome = outcome.and_then(Value::extract_error);
            self.note(outcome)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let outcome = self.connection.connection.req_packed_commands(pipeline, offset, count).await;
            self.note(outcome)
        })
    }

    fn get_db(&self) -> i64 {
        self.connection.connection.get_db()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::connection::Options;
    use crate::testing;

    #[tokio::test]
    async fn a_connection_that_nobody_asks_for_is_closed_and_one_in_use_is_not() {
        let options = Options::for_tests(Duration::from_secs(5));
        let admin = Admin::new(&Connector::new(options, "test").unwrap());
        let mut kept = admin.get("key").await.unwrap();
        let given_back = admin.get("key").await.unwrap();
        drop(given_back);
        let shard = admin.connector.servers().shard("key").unwrap();
        let pool = admin.pool(&shard).unwrap();
        assert_eq!((pool.status().size, pool.status().available), (2, 1));
        tokio::spawn(tidy(pool.weak(), Duration::from_millis(5)));
        testing::eventually("it is closed", async || pool.status().size == 1).await;
        redis::cmd("PING").exec_async(&mut kept).await.unwrap();
        drop(kept);
        testing::eventually("the other one, too", async || pool.status().size == 0).await;
        redis::cmd("PING").exec_async(&mut admin.get("key").await.unwrap()).await.unwrap();
    }
}
