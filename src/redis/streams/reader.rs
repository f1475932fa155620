//! A connection of its own for reads that block.

use crate::redis::connection::{Connector, is_fatal};
use redis::{Cmd, RedisResult, Value, aio::MultiplexedConnection};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Runs blocking commands, each on a connection that nobody else waits behind.
pub(crate) struct Reader {
    connector: Connector,
    purpose: &'static str,
    stop: CancellationToken,
    connection: Option<MultiplexedConnection>,
    client: Arc<AtomicU64>,
}

/// How long a read that was told to stop may take to come back. Without that, what Redis delivers to a connection that
/// is just being closed would look like work begun.
const UNBLOCK_TIME: Duration = Duration::from_millis(500);

/// What a blocking command came back with.
pub(crate) enum Read {
    /// Its reply; `Nil` when nothing came in time.
    Reply(Value),
    /// Redis refused the command; the connection is fine.
    Refused(redis::RedisError),
    /// The connection is new: what was on its way through the old one is lost.
    Reconnected,
    /// The reader was stopped.
    Stopped,
}

impl Reader {
    pub(crate) fn new(connector: Connector, purpose: &'static str, stop: CancellationToken) -> Self {
        Reader { connector, purpose, stop, connection: None, client: Arc::default() }
    }

    /// Redis's number of the connection in use, by which a blocked read can be ended; 0 while it is not known.
    pub(crate) fn client(&self) -> Arc<AtomicU64> {
        self.client.clone()
    }

    /// How long a read may block on the server, in ms.
    pub(crate) fn block_ms(&self) -> u64 {
        u64::try_from(self.connector.options().block.as_millis()).unwrap_or(u64::MAX).max(1)
    }

    pub(crate) async fn read(&mut self, command: &Cmd) -> Read {
        let Some(connection) = &mut self.connection else { return self.connect().await };
        let mut suspicion = self.connector.suspicion();
        let outcome: Option<RedisResult<Value>> = {
            let read = connection.send_packed_command(command);
            tokio::pin!(read);
            tokio::select! {
                outcome = &mut read => Some(outcome),
                _ = suspicion.changed() => None,
                () = self.stop.cancelled() => {
                    // Whatever still comes was not started and is handed back with the rest.
                    let _ = tokio::time::timeout(UNBLOCK_TIME, read).await;
                    return Read::Stopped;
                }
            }
        };
        match outcome {
            Some(Ok(Value::ServerError(error))) => self.refused(error.into()),
            Some(Ok(reply)) => Read::Reply(reply),
            Some(Err(error)) if !is_fatal(&error) => self.refused(error),
            Some(Err(error)) => {
                tracing::debug!(purpose = self.purpose, %error, "connection lost");
                self.connect().await
            }
            None => self.connect().await,
        }
    }

    fn refused(&mut self, error: redis::RedisError) -> Read {
        if is_fatal(&error) {
            self.connection = None;
        }
        Read::Refused(error)
    }

    async fn connect(&mut self) -> Read {
        self.connection = None;
        let block = self.connector.options().block;
        let attempt = || self.connector.connect(self.purpose, block);
        match self.connector.until(self.purpose, &self.stop, attempt).await {
            Some(mut connection) => {
                // An ACL may forbid it; then a shutdown takes half a second longer.
                let client: RedisResult<u64> = redis::cmd("CLIENT").arg("ID").query_async(&mut connection).await;
                self.client.store(client.unwrap_or(0), Ordering::Relaxed);
                self.connection = Some(connection);
                Read::Reconnected
            }
            None => Read::Stopped,
        }
    }

    /// Runs a command that does not block on the same connection, where there is one.
    pub(crate) async fn run(&mut self, command: &Cmd) -> RedisResult<Value> {
        match &mut self.connection {
            Some(connection) => connection.send_packed_command(command).await?.extract_error(),
            None => Ok(Value::Nil),
        }
    }
}
