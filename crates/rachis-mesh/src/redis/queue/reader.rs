//! Blocking reads, each reader on a connection of its own.

use crate::redis::{
    connection::{Connector, Opened, ReconnectBackoff, is_fatal},
    resp::{RawConnection, RespValue, Response},
};
use redis::{Cmd, FromRedisValue, RedisResult, Value};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The time limit for ending a blocked read when the reader stops; after it the connection is closed.
const RELEASE_TIME: Duration = Duration::from_millis(500);

/// Runs blocking commands about one key, on a connection that is not shared.
pub(crate) struct Reader {
    connector: Connector,
    purpose: &'static str,
    key: String,
    stop: CancellationToken,
    opened: Option<Opened<RawConnection>>,
    backoff: ReconnectBackoff,
    /// Whether a stop waits until the server has ended a blocked read.
    releases: bool,
    /// Whether the server lets this reader trim.
    trims: bool,
    /// How long a read may block.
    block: Duration,
    /// The client id of the connection.
    id: Option<i64>,
}

/// The outcome of a blocking command.
pub(crate) enum Read {
    /// Its response; a `Nil` when nothing came in time.
    Response(Response),
    /// Redis refused the command; the connection is fine.
    Refused(redis::RedisError),
    /// The connection is new: a response on its way through the old one is lost.
    Reconnected,
    /// The reader was stopped.
    Stopped,
}

impl Reader {
    pub(crate) fn new(connector: Connector, purpose: &'static str, key: String, stop: CancellationToken) -> Self {
        let backoff = connector.reconnect_backoff();
        let block = connector.options().block;
        Reader { connector, purpose, key, stop, opened: None, backoff, releases: false, trims: true, block, id: None }
    }

    /// Makes a stop wait until the server has ended a blocked read. The server learns only late that a connection was
    /// closed, and would deliver entries to it meanwhile.
    pub(crate) fn releasing(mut self) -> Self {
        self.releases = true;
        self
    }

    /// Limits the time that a read may block, below the configured one.
    pub(crate) fn blocking_at_most(mut self, longest: Duration) -> Self {
        self.block = self.block.min(longest);
        self
    }

    /// Returns how long a read may block on the server, in ms.
    pub(crate) fn block_ms(&self) -> u64 {
        u64::try_from(self.block.as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// Reads until entries come or the read times out. When `interrupt` completes, the server is asked to end the read.
    pub(crate) async fn read_unless(&mut self, interrupt: impl Future<Output = ()>, command: &Cmd) -> Read {
        self.read_whole(None, interrupt, command).await
    }

    /// Reads, after a trim in the same write where the server allows it.
    pub(crate) async fn read_behind(&mut self, trim: Option<&Cmd>, command: &Cmd) -> Read {
        self.read_whole(trim, std::future::pending(), command).await
    }

    async fn read_whole(&mut self, trim: Option<&Cmd>, interrupt: impl Future<Output = ()>, command: &Cmd) -> Read {
        let trim = trim.filter(|_| self.trims);
        let Some(Opened { connection, signs }) = &mut self.opened else { return self.connect().await };
        // Between two reads, since nothing is answered behind one that blocks.
        if signs.has_login_changed()
            && let Some(login) = self.connector.login()
        {
            self.connector.note_login(connection.query(&login).await.map(drop));
        }
        let outcome = {
            let mut reading = std::pin::pin!(connection.query_behind(trim, command));
            let mut interrupt = std::pin::pin!(interrupt);
            let mut interrupted = false;
            loop {
                // The response first: it is what wakes this task nearly each time.
                tokio::select! {
                    biased;
                    outcome = &mut reading => break Some(outcome),
                    () = signs.doubted() => break None,
                    () = &mut interrupt, if !interrupted => {
                        interrupted = true;
                        if let Some(id) = self.id {
                            let connector = self.connector.clone();
                            let key = self.key.clone();
                            // It comes to its end by itself where that fails.
                            tokio::spawn(async move { unblock(&connector, &key, id).await });
                        }
                    }
                    () = self.stop.cancelled() => {
                        if let Some(id) = self.id {
                            release(&self.connector, &self.key, id, reading).await;
                        }
                        return Read::Stopped;
                    }
                }
            }
        };
        match outcome {
            Some(Ok((trimmed, response))) => {
                if let Some(RespValue::Error(error)) = trimmed {
                    tracing::debug!(purpose = self.purpose, %error, "may not be trimmed");
                    self.trims = false;
                }
                match response {
                    Response::Value(Value::ServerError(error)) => self.failed(error.into()).await,
                    response => Read::Response(response),
                }
            }
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
        if self.backoff.before_connecting(&self.stop).await.is_none() {
            return Read::Stopped;
        }
        let attempt = || RawConnection::connect(&self.connector, self.purpose, &self.key, self.block);
        match self.connector.until(self.purpose, &self.stop, attempt).await {
            Some(mut opened) => {
                self.id = if self.releases { client_id(&mut opened.connection).await } else { None };
                self.opened = Some(opened);
                Read::Reconnected
            }
            None => Read::Stopped,
        }
    }

    /// Runs a non-blocking command on the same connection; returns `Nil` without one.
    pub(crate) async fn run(&mut self, command: &Cmd) -> RedisResult<Value> {
        match &mut self.opened {
            Some(opened) => match opened.connection.query(command).await? {
                Response::Value(value) => value.extract_error(),
                Response::Entries(_) => Ok(Value::Nil),
            },
            None => Ok(Value::Nil),
        }
    }
}

/// Returns the client id of the connection; `None` where an ACL forbids it. Then a stop does not wait.
async fn client_id(connection: &mut RawConnection) -> Option<i64> {
    match connection.query(redis::cmd("CLIENT").arg("ID")).await {
        Ok(Response::Value(id)) => i64::from_redis_value(id).ok(),
        _ => None,
    }
}

/// Asks the server to end a blocked read.
async fn unblock(connector: &Connector, key: &str, id: i64) -> RedisResult<()> {
    let mut other = connector.connect("release", key, Duration::ZERO).await?;
    redis::cmd("CLIENT").arg("UNBLOCK").arg(id).query_async(&mut other.connection).await
}

/// Ends a blocked read and waits for it. Entries that it still brought stay pending.
async fn release(
    connector: &Connector,
    key: &str,
    id: i64,
    reading: impl Future<Output = RedisResult<(Option<RespValue>, Response)>>,
) {
    let released = async {
        unblock(connector, key, id).await?;
        reading.await
    };
    match tokio::time::timeout(RELEASE_TIME, released).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a read could not be ended, its connection is closed"),
        Err(_) => tracing::debug!("a read took too long to end, its connection is closed"),
    }
}
