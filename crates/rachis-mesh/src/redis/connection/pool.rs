//! A few pooled connections for rare commands; never on the path of a call, since a pool tests each connection first.

use super::{
    Connector, is_elsewhere,
    session::{Session, pool_of},
    topology::{Servers, Shard},
};
use deadpool::managed::{BuildError, Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult};
use parking_lot::Mutex;
use redis::{Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value, aio::ConnectionLike};
use std::{collections::HashMap, sync::Arc};

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
        let maker = Maker { connector: self.connector.clone(), shard: shard.clone() };
        let pool: Pool<Maker> = pool_of(&self.connector, maker).map_err(build_failed)?;
        pools.insert(shard.clone(), pool.clone());
        Ok(pool)
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

impl Manager for Maker {
    type Type = Session;
    type Error = RedisError;

    async fn create(&self) -> RedisResult<Session> {
        Session::open(&self.connector, "admin", &self.shard).await
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<RedisError> {
        if !session.is_sound() {
            return Err(RecycleError::message("it failed before"));
        }
        session.renew_login(&self.connector).await;
        session.command(&redis::cmd("PING")).await?;
        Ok(())
    }
}

/// A pooled connection. One that fails is not handed out again.
pub(crate) struct Pooled {
    connection: Object<Maker>,
    servers: Arc<Servers>,
}

impl Pooled {
    /// Has the next caller find the right server, where this one holds the key no more.
    fn learn_from<T>(&self, outcome: &RedisResult<T>) {
        let Err(error) = outcome else { return };
        if is_elsewhere(error) {
            let servers = self.servers.clone();
            let error = error.clone();
            tokio::spawn(async move { servers.learn_from(&error).await });
        }
    }
}

impl ConnectionLike for Pooled {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let outcome = self.connection.command(command).await;
            self.learn_from(&outcome);
            outcome
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let outcome = self.connection.pipeline(pipeline, offset, count).await;
            self.learn_from(&outcome);
            outcome
        })
    }

    fn get_db(&self) -> i64 {
        self.connection.database()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::connection::{Options, session::close_idle};
    use crate::testing;
    use std::time::Duration;

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
        tokio::spawn(close_idle(pool.weak(), Duration::from_millis(5)));
        testing::eventually("it is closed", async || pool.status().size == 1).await;
        redis::cmd("PING").exec_async(&mut kept).await.unwrap();
        drop(kept);
        testing::eventually("the other one, too", async || pool.status().size == 0).await;
        redis::cmd("PING").exec_async(&mut admin.get("key").await.unwrap()).await.unwrap();
    }
}
