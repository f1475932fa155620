//! A few pooled connections for rare commands; never on the path of a call, since a pool tests each connection first.

use super::connection::Connector;
use deadpool_redis::{Manager, Pool, PoolConfig, Runtime, Timeouts};
use redis::{AsyncConnectionConfig, RedisError};

/// A pooled connection.
pub(crate) type Pooled = deadpool_redis::Connection;

/// Connections that are made when they are needed.
#[derive(Clone)]
pub(crate) struct Admin {
    pool: Pool,
}

impl Admin {
    pub(crate) fn new(connector: &Connector) -> Result<Self, RedisError> {
        let options = connector.options();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(options.connect_timeout))
            .set_response_timeout(Some(options.response_timeout));
        let manager = Manager::new_with_config(connector.client().get_connection_info().clone(), config)?;
        let wait = Some(options.connect_timeout);
        let mut sizes = PoolConfig::new(options.pool_size.max(1));
        sizes.timeouts = Timeouts { wait, create: wait, recycle: Some(options.response_timeout) };
        let pool = Pool::builder(manager).config(sizes).runtime(Runtime::Tokio1).build().map_err(build_failed)?;
        Ok(Admin { pool })
    }

    /// A connection that answered just now.
    pub(crate) async fn get(&self) -> Result<Pooled, RedisError> {
        self.pool.get().await.map_err(|error| match error {
            deadpool_redis::PoolError::Backend(error) => error,
            other => RedisError::from(std::io::Error::other(other.to_string())),
        })
    }
}

fn build_failed(error: deadpool_redis::BuildError) -> RedisError {
    RedisError::from(std::io::Error::other(error.to_string()))
}
