//! Sockets to a server: how each connection of a node is opened, and how a vanished peer is detected.
//!
//! redis-rs does the handshake and, on shared connections, reads the replies. It does not open the sockets, since it
//! does not report that an idle connection has ended.

use super::{duplex::Socket, timed_out, tls::Tls};
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, Pipeline, RedisConnectionInfo, RedisFuture,
    RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    io::tcp::socket2::{SockRef, TcpKeepalive},
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    net::{TcpStream, UnixStream},
    task::AbortHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Idle time after which the kernel sends keep-alive probes.
const QUIET: Duration = Duration::from_secs(15);
/// The interval of keep-alive probes, and how many may be lost.
const ASKS_EVERY: Duration = Duration::from_secs(5);
const ASKS: u32 = 3;
/// The time limit for acknowledging sent bytes. With the above it bounds how long a connection outlives a peer that
/// vanished. Commands give up sooner, by `redis.response_timeout`.
const UNCONFIRMED: Duration = Duration::from_secs(30);

/// The address of a server, with login and TLS.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(super) info: ConnectionInfo,
    pub(super) tls: Option<Tls>,
}

impl Endpoint {
    pub(crate) fn settings(&self) -> &RedisConnectionInfo {
        self.info.redis_settings()
    }

    /// Returns the host, empty for a Unix socket.
    pub(super) fn host(&self) -> &str {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
            _ => "",
        }
    }

    /// Opens a socket, for as long as it takes.
    pub(crate) async fn dial(&self) -> RedisResult<Socket> {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, port) => Ok(Box::new(tcp(host, *port).await?)),
            ConnectionAddr::TcpTls { host, port, .. } => match &self.tls {
                Some(tls) => tls.speak(host, tcp(host, *port).await?).await,
                None => Err(io::Error::other("TLS is wanted, and not set up").into()),
            },
            ConnectionAddr::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            _ => Err(io::Error::other("there is no way to an address of this kind").into()),
        }
    }

    /// Opens a shared connection, within `time`.
    pub(crate) async fn share(
        &self,
        settings: &RedisConnectionInfo,
        config: AsyncConnectionConfig,
        time: Duration,
    ) -> RedisResult<Shared> {
        let attempt = async { Shared::over(self.dial().await?, settings, config).await };
        timeout(time, attempt).await.map_err(|_| timed_out("connecting"))?
    }

    /// Opens a connection within `time`, whose response timeout is also `time`.
    pub(crate) async fn ask_within(&self, time: Duration) -> RedisResult<Shared> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(time));
        self.share(self.settings(), config, time).await
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    let keep_alive = TcpKeepalive::new().with_time(QUIET).with_interval(ASKS_EVERY);
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_keepalive(&keep_alive.with_retries(ASKS))?;
        socket.set_tcp_user_timeout(Some(UNCONFIRMED))?;
    }
    #[cfg(not(target_os = "linux"))]
    socket.set_tcp_keepalive(&keep_alive)?;
    Ok(stream)
}

/// A shared connection. It is closed when the last of its clones is dropped.
#[derive(Clone)]
pub(crate) struct Shared {
    connection: MultiplexedConnection,
    driver: Arc<Driver>,
}

/// The task that reads and writes for all clones.
struct Driver {
    task: AbortHandle,
    ended: CancellationToken,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn over(socket: Socket, settings: &RedisConnectionInfo, config: AsyncConnectionConfig) -> RedisResult<Self> {
        let (connection, driver) = MultiplexedConnection::new_with_config(settings, socket, config).await?;
        let ended = CancellationToken::new();
        let end = ended.clone().drop_guard();
        let task = tokio::spawn(async move {
            driver.await;
            drop(end);
        });
        Ok(Shared { connection, driver: Arc::new(Driver { task: task.abort_handle(), ended }) })
    }

    /// Returns a token that is cancelled when the connection has ended.
    pub(crate) fn end(&self) -> CancellationToken {
        self.driver.ended.clone()
    }
}

impl ConnectionLike for Shared {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        self.connection.req_packed_command(command)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.connection.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}
