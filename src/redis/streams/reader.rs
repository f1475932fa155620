//! A connection of its own for reads that block.

use crate::redis::connection::{Calm, Connector, Opened, is_fatal};
use redis::{Cmd, RedisResult, Value};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a server may take to let go of a read when the reader stops; beyond that the connection is just closed.
const RELEASE_TIME: Duration = Duration::from_millis(500);

/// Runs blocking commands about one key, each on a connection that nobody else waits behind.
pub(crate) struct Reader {
    connector: Connector,
    purpose: &'static str,
    key: String,
    stop: CancellationToken,
    opened: Option<Opened>,
    calm: Calm,
    /// Whether a stop waits until the server has let go of a read.
    releases: bool,
    /// What the server calls the connection.
    id: Option<i64>,
}

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
    pub(crate) fn new(connector: Connector, purpose: &'static str, key: String, stop: CancellationToken) -> Self {
        let calm = Calm::new(&connector);
        Reader { connector, purpose, key, stop, opened: None, calm, releases: false, id: None }
    }

    /// Lets a stop wait until the server has let go of a read that blocks. The server learns only late that a
    /// connection was closed, and would go on handing entries to it meanwhile.
    pub(crate) fn releasing(mut self) -> Self {
        self.releases = true;
        self
    }

    /// How long a read may block on the server, in ms.
    pub(crate) fn block_ms(&self) -> u64 {
        u64::try_from(self.connector.options().block.as_millis()).unwrap_or(u64::MAX).max(1)
    }

    pub(crate) async fn read(&mut self, command: &Cmd) -> Read {
        let Some(Opened { connection, signs }) = &mut self.opened else { return self.connect().await };
        // Between two reads, since nothing is answered behind one that blocks.
        if signs.has_login_changed() {
            self.connector.log_in(connection).await;
        }
        let outcome: Option<RedisResult<Value>> = {
            let mut reading = std::pin::pin!(connection.send_packed_command(command));
            tokio::select! {
                outcome = &mut reading => Some(outcome),
                () = signs.doubted() => None,
                () = self.stop.cancelled() => {
                    if let Some(id) = self.id {
                        release(&self.connector, &self.key, id, reading).await;
                    }
                    return Read::Stopped;
                }
            }
        };
        match outcome {
            Some(Ok(Value::ServerError(error))) => self.failed(error.into()).await,
            Some(Ok(reply)) => Read::Reply(reply),
            Some(Err(error)) => self.failed(error).await,
            None => self.connect().await,
        }
    }

    async fn failed(&mut self, error: redis::RedisError) -> Read {
        if !is_fatal(&error) {
            return Read::Refused(error);
        }
        tracing::debug!(purpose = self.purpose, %error, "connection lost");
        self.connector.lost();
        self.connector.servers().learn_from(&error).await;
        self.connect().await
    }

    async fn connect(&mut self) -> Read {
        self.opened = None;
        if self.calm.before_connecting(&self.stop).await.is_none() {
            return Read::Stopped;
        }
        let block = self.connector.options().block;
        let attempt = || self.connector.connect(self.purpose, &self.key, block);
        match self.connector.until(self.purpose, &self.stop, attempt).await {
            Some(mut opened) => {
                self.id = match self.releases {
                    // An ACL may forbid it; then a stop does not wait.
                    true => redis::cmd("CLIENT").arg("ID").query_async(&mut opened.connection).await.ok(),
                    false => None,
                };
                self.opened = Some(opened);
                Read::Reconnected
            }
            None => Read::Stopped,
        }
    }

    /// Runs a command that does not block on the same connection, where there is one.
    pub(crate) async fn run(&mut self, command: &Cmd) -> RedisResult<Value> {
        match &mut self.opened {
            Some(opened) => opened.connection.send_packed_command(command).await?.extract_error(),
            None => Ok(Value::Nil),
        }
    }
}

/// Asks the server to end a read that blocks, and waits for its end. What it still brought stays pending.
async fn release(connector: &Connector, key: &str, id: i64, reading: impl Future<Output = RedisResult<Value>>) {
    let released = async {
        let mut other = connector.connect("release", key, Duration::ZERO).await?;
        let _: i64 = redis::cmd("CLIENT").arg("UNBLOCK").arg(id).query_async(&mut other.connection).await?;
        reading.await
    };
    match tokio::time::timeout(RELEASE_TIME, released).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a read could not be ended, its connection is closed"),
        Err(_) => tracing::debug!("a read took too long to end, its connection is closed"),
    }
}
