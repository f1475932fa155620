//! The connection of one shard writer, which reconnects by itself.

use crate::redis::{
    connection::{
        Connector, Opened, PROBE_AFTER, ReconnectBackoff, Sign, is_fatal,
        link::{Links, Session},
        timed_out,
        topology::Shard,
    },
    resp::{Commands, RawConnection, RespValue, Response, WriteError},
};
use redis::{Cmd, FromRedisValue, RedisResult, Value};
use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    time::{Sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// The purpose of the connection in `CLIENT LIST`.
const PURPOSE: &str = "writes";

/// A connection to one server for writes.
pub(super) struct ShardConnection {
    links: Links,
    shard: Shard,
    stop: CancellationToken,
    backoff: ReconnectBackoff,
    losses: watch::Receiver<u64>,
    opened: Option<Open>,
    used: bool,
}

struct Open {
    connection: Opened<RawConnection>,
    session: Option<Arc<Session>>,
    /// When it last answered.
    sound: Instant,
    /// When to check whether it is idle.
    look: Pin<Box<Sleep>>,
}

/// Time without an answer after which the kernel is asked whether the connection has ended. Before that, the task that
/// waits for the end has noticed it, or the next answer is on its way.
const ASK_KERNEL_AFTER: Duration = Duration::from_millis(1);

/// An action that a connection needs while nothing is written through it.
pub(super) enum Maintenance {
    /// The connection is doubted, and is replaced.
    Renew,
    /// The other end has closed it. It is reopened at the next write.
    Close,
    /// The login has changed, and is sent to the server.
    LogIn,
    /// Another connection was lost, so this one is probed. Without the probe the next request would find out, and its
    /// caller could not tell whether it arrived.
    Probe,
    /// Nothing was written for a while. A ping keeps middleboxes from cutting an idle connection.
    KeepAlive,
}

impl ShardConnection {
    pub(super) fn new(links: Links, shard: Shard, stop: CancellationToken) -> Self {
        let backoff = links.connector().reconnect_backoff();
        let losses = links.connector().losses();
        ShardConnection { links, shard, stop, backoff, losses, opened: None, used: false }
    }

    fn connector(&self) -> &Connector {
        self.links.connector()
    }

    /// Returns `true` if the connection has been used since it was last closed by the other end.
    pub(super) fn was_used(&self) -> bool {
        self.used
    }

    /// Connects if there is no connection, for as long as it takes. Returns `false` when stopped.
    pub(super) async fn connect(&mut self) -> bool {
        self.used = true;
        if self.opened.is_some() {
            return true;
        }
        if self.backoff.before_connecting(&self.stop).await.is_none() {
            return false;
        }
        let connector = self.links.connector();
        self.losses.mark_unchanged();
        let attempt = || open(connector, &self.shard);
        let Some(opened) = connector.until(PURPOSE, &self.stop, attempt).await else { return false };
        self.opened = Some(opened);
        self.links.renewed();
        true
    }

    /// Waits until the connection needs maintenance. Cancel safe.
    pub(super) async fn maintenance(&mut self) -> Maintenance {
        let keep_alive = self.connector().options().keep_alive;
        let Some(Open { connection: Opened { connection, signs }, sound, look, .. }) = &mut self.opened else {
            return std::future::pending().await;
        };
        let rests = async {
            loop {
                look.as_mut().await;
                let due = *sound + keep_alive;
                if due <= Instant::now() {
                    return;
                }
                look.as_mut().reset(due.into());
            }
        };
        tokio::select! {
            sign = signs.next() => match sign {
                Sign::Doubted => Maintenance::Renew,
                Sign::Ended => Maintenance::Close,
                Sign::LoginChanged => Maintenance::LogIn,
            },
            () = connection.ended() => Maintenance::Close,
            Ok(()) = self.losses.changed() => Maintenance::Probe,
            () = rests => Maintenance::KeepAlive,
        }
    }

    /// Runs one maintenance action.
    pub(super) async fn run(&mut self, maintenance: Maintenance) {
        match maintenance {
            Maintenance::Renew => self.close(),
            Maintenance::Close => {
                tracing::debug!(server = %self.shard, "the connection for writes was closed by the other end");
                self.close();
                self.used = false;
            }
            Maintenance::LogIn => self.log_in().await,
            Maintenance::Probe | Maintenance::KeepAlive => {
                let asked = tokio::time::timeout(self.connector().options().response_timeout, self.probe());
                if !asked.await.unwrap_or(false) {
                    self.close();
                }
            }
        }
    }

    /// Returns `true` if a write can be expected to arrive. This is checked before each write, since after a write
    /// through a connection that has ended it cannot be told whether it arrived.
    pub(super) async fn is_sound(&mut self) -> bool {
        let patience = self.connector().probe_time();
        let Some(Open { connection, sound, .. }) = &mut self.opened else { return false };
        let silent = sound.elapsed();
        if connection.connection.has_ended(silent >= ASK_KERNEL_AFTER).await {
            return false;
        }
        // A middlebox may have dropped the connection silently, which shows only at its next use.
        if silent < PROBE_AFTER || tokio::time::timeout(patience, self.probe()).await.unwrap_or(false) {
            return true;
        }
        self.connector().lost();
        false
    }

    /// Returns `true` if the server answers.
    async fn probe(&mut self) -> bool {
        !self.ask(&redis::cmd("PING")).await.is_err_and(|error| is_fatal(&error))
    }

    async fn log_in(&mut self) {
        let Some(login) = self.connector().login() else { return };
        let outcome = self.ask(&login).await.map(drop);
        self.connector().note_login(outcome);
    }

    async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        let Some(Open { connection, sound, .. }) = &mut self.opened else { return Ok(Value::Nil) };
        let answer = value(&mut connection.connection, command).await;
        *sound = Instant::now();
        answer
    }

    /// Writes the commands, and waits for their responses.
    ///
    /// # Errors
    /// The connection broke, and is closed. It is unknown which commands the server has run, unless nothing was sent.
    pub(super) async fn write(&mut self, commands: &Commands) -> Result<Vec<RespValue>, WriteError> {
        if commands.len() == 0 {
            return Ok(Vec::new());
        }
        if self.opened.as_mut().is_some_and(|open| open.connection.signs.has_login_changed()) {
            self.log_in().await;
        }
        let Some(Open { connection: Opened { connection, signs }, sound, .. }) = &mut self.opened else {
            let error = std::io::Error::from(std::io::ErrorKind::NotConnected).into();
            return Err(WriteError { error, unsent: true });
        };
        // The responses first: they are what wakes this task nearly each time.
        let written = tokio::select! {
            biased;
            written = connection.pipeline(commands) => written,
            () = signs.doubted() => {
                Err(WriteError { error: timed_out("a server that has gone silent"), unsent: false })
            }
        };
        *sound = Instant::now();
        if written.is_err() {
            self.close();
            // Connections that do not read are probed then.
            self.connector().lost();
        }
        written
    }

    /// Returns the session; `None` without a connection, or where the server does not tell.
    pub(super) fn session(&self) -> Option<Arc<Session>> {
        self.opened.as_ref()?.session.clone()
    }

    /// Closes the connection.
    pub(super) fn close(&mut self) {
        self.opened = None;
    }
}

async fn value(connection: &mut RawConnection, command: &Cmd) -> RedisResult<Value> {
    match connection.query(command).await? {
        Response::Value(value) => value.extract_error(),
        Response::Entries(_) => Ok(Value::Nil),
    }
}

/// Makes one attempt to connect.
async fn open(connector: &Connector, shard: &Shard) -> RedisResult<Open> {
    let mut connection = RawConnection::connect_to(connector, PURPOSE, shard).await?;
    let session = match session(&mut connection.connection).await {
        Ok(session) => session.map(Arc::new),
        // Without a session it cannot be found out later whether a write arrived.
        Err(error) if is_fatal(&error) => return Err(error),
        // An ACL forbids to ask.
        Err(_) => None,
    };
    let sound = Instant::now();
    let look = Box::pin(sleep_until((sound + connector.options().keep_alive).into()));
    Ok(Open { connection, session, sound, look })
}

async fn session(connection: &mut RawConnection) -> RedisResult<Option<Session>> {
    let client = i64::from_redis_value(value(connection, redis::cmd("CLIENT").arg("ID")).await?)?;
    let server = String::from_redis_value(value(connection, redis::cmd("INFO").arg("server")).await?)?;
    let replication = String::from_redis_value(value(connection, redis::cmd("INFO").arg("replication")).await?)?;
    let errors = String::from_redis_value(value(connection, redis::cmd("INFO").arg("errorstats")).await?)?;
    Ok(Session::parse(client, &server, &replication, &errors))
}
