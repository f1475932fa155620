//! A connection of one reader or one writer alone, whose replies are read as the bytes they are.
//!
//! redis-rs finds the server and says hello, so that whatever it takes to be let in is done in one place; then the
//! socket is taken back from it. Under TLS it keeps the socket, since it shows nobody what it would take to open one.

use super::{
    commands::Commands,
    resp::{self, Reply, Scan, Told},
};
use crate::redis::{
    connection::{Connector, Opened, Signs, timed_out},
    servers::Shard,
};
use bytes::{Buf, BytesMut};
use redis::{
    Client, Cmd, ConnectionAddr, ProtocolVersion, RedisError, RedisResult,
    aio::MultiplexedConnection,
    io::tcp::{TcpSettings, socket2::SockRef},
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpStream, UnixStream},
    sync::oneshot,
    time::timeout,
};

/// Bytes that are read at once, at least: a batch of small entries.
const CHUNK: usize = 64 * 1024;
/// A buffer that a large reply has blown up beyond this is let go of.
const LARGEST: usize = 1024 * 1024;

/// A socket, whatever its kind.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for S {}

pub(super) type Socket = Box<dyn Duplex>;

/// A connection that takes one command at a time, or as many as leave in one write.
pub(super) enum Direct {
    Socket {
        socket: Socket,
        buffer: BytesMut,
        /// How long a reply may take.
        patience: Duration,
    },
    /// Where the socket is redis-rs's.
    Kept(MultiplexedConnection),
}

impl Direct {
    /// One attempt to reach the server that holds `key`. `block` is how much longer than usual an answer may take.
    pub(super) async fn connect(
        connector: &Connector,
        purpose: &str,
        key: &str,
        block: Duration,
    ) -> RedisResult<Opened<Direct>> {
        let (client, shard) = connector.client(key).await?;
        // From here on a suspicion is about this connection.
        let signs = connector.signs(shard, Some(key));
        match Direct::greeted(connector, &client, signs, purpose, block).await? {
            Ok(opened) => Ok(opened),
            Err(_) => connector.connect(purpose, key, block).await.map(kept),
        }
    }

    /// One attempt to reach this server, for all the keys that it holds.
    pub(super) async fn connect_to(connector: &Connector, purpose: &str, shard: &Shard) -> RedisResult<Opened<Direct>> {
        let signs = connector.signs(shard.clone(), None);
        let client = connector.servers().reach(shard).await?;
        match Direct::greeted(connector, &client, signs, purpose, Duration::ZERO).await? {
            Ok(opened) => Ok(opened),
            Err(_) => connector.connect_to(purpose, shard).await.map(kept),
        }
    }

    /// Opens a socket and says hello; the signs come back where only redis-rs can open one.
    async fn greeted(
        connector: &Connector,
        client: &Client,
        signs: Signs,
        purpose: &str,
        block: Duration,
    ) -> RedisResult<Result<Opened<Direct>, Signs>> {
        let time = connector.patience();
        let Some(socket) = timeout(time, dial(client)).await.map_err(|_| timed_out("connecting"))?? else {
            return Ok(Err(signs));
        };
        let (back, returned) = oneshot::channel();
        let lent = Lent { socket: Some(socket), back: Some(back) };
        // What is read here is RESP 2, whatever the URL asks for.
        let info = client.get_connection_info().redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
        let greeted = async {
            let config = connector.settings(Duration::ZERO);
            let connected = MultiplexedConnection::new_with_config(&info, lent, config).await;
            let (mut connection, driver) = connected.inspect_err(|error| connector.note_refusal(error))?;
            tokio::select! {
                outcome = connector.greet(&mut connection, purpose) => outcome,
                () = driver => Err(closed()),
            }
        };
        timeout(time, greeted).await.map_err(|_| timed_out("connecting"))??;
        let socket = returned.await.map_err(|_| closed())?;
        let patience = connector.options().response_timeout + block;
        Ok(Ok(Opened { connection: Direct::Socket { socket, buffer: BytesMut::new(), patience }, signs }))
    }

    /// Sends a command and waits for its reply. A command that was not waited for to its end leaves the connection of no
    /// further use.
    pub(super) async fn ask(&mut self, command: &Cmd) -> RedisResult<Reply> {
        self.ask_behind(None, command).await.map(|(_, reply)| reply)
    }

    /// The same, and in front of it, in the same write, another one.
    pub(super) async fn ask_behind(
        &mut self,
        first: Option<&Cmd>,
        command: &Cmd,
    ) -> RedisResult<(Option<Told>, Reply)> {
        match self {
            Direct::Kept(connection) => {
                let told = match first {
                    Some(first) => Some(connection.send_packed_command(first).await?.into()),
                    None => None,
                };
                Ok((told, Reply::Value(connection.send_packed_command(command).await?)))
            }
            Direct::Socket { socket, buffer, patience } => {
                let asked = async {
                    let mut bytes = first.map(Cmd::get_packed_command).unwrap_or_default();
                    command.write_packed_command(&mut bytes);
                    socket.write_all(&bytes).await?;
                    socket.flush().await?;
                    let told = match first {
                        Some(_) => receive_all(socket, buffer, 1).await?.pop(),
                        None => None,
                    };
                    Ok((told, receive(socket, buffer).await?))
                };
                timeout(*patience, asked).await.map_err(|_| timed_out("a read"))?
            }
        }
    }

    /// Sends commands in one write and waits for what each of them brought, under the same condition.
    pub(super) async fn tell(&mut self, commands: &Commands) -> RedisResult<Vec<Told>> {
        match self {
            Direct::Kept(connection) => {
                let count = commands.len();
                let replies = connection.send_packed_commands(&commands.pipeline(), 0, count).await?;
                Ok(replies.into_iter().map(Told::from).collect())
            }
            Direct::Socket { socket, buffer, patience } => {
                let told = async {
                    socket.write_all(commands.bytes()).await?;
                    socket.flush().await?;
                    receive_all(socket, buffer, commands.len()).await
                };
                timeout(*patience, told).await.map_err(|_| timed_out("a write"))?
            }
        }
    }
}

fn kept(opened: Opened) -> Opened<Direct> {
    Opened { connection: Direct::Kept(opened.connection), signs: opened.signs }
}

async fn receive_all(socket: &mut Socket, buffer: &mut BytesMut, count: usize) -> RedisResult<Vec<Told>> {
    let mut replies = Vec::with_capacity(count);
    while replies.len() < count {
        match resp::told(buffer)? {
            Some((reply, length)) => {
                buffer.advance(length);
                replies.push(reply);
            }
            None => fill(socket, buffer).await?,
        }
    }
    Ok(replies)
}

/// Waits for more bytes.
async fn fill(socket: &mut Socket, buffer: &mut BytesMut) -> RedisResult<()> {
    buffer.reserve(CHUNK);
    match socket.read_buf(buffer).await? {
        0 => Err(closed()),
        _ => Ok(()),
    }
}

async fn receive(socket: &mut Socket, buffer: &mut BytesMut) -> RedisResult<Reply> {
    let mut scan = Scan::default();
    loop {
        if let Some(end) = scan.end(buffer)? {
            let reply = resp::reply(&buffer[..end])?;
            buffer.advance(end);
            if buffer.is_empty() && buffer.capacity() > LARGEST {
                *buffer = BytesMut::new();
            }
            return Ok(reply);
        }
        fill(socket, buffer).await?;
    }
}

/// Opens a socket to the server; `None` where only redis-rs can.
async fn dial(client: &Client) -> RedisResult<Option<Socket>> {
    let info = client.get_connection_info();
    match info.addr() {
        ConnectionAddr::Tcp(host, port) => {
            let socket = TcpStream::connect((host.as_str(), *port)).await?;
            settle(&socket, info.tcp_settings())?;
            Ok(Some(Box::new(socket)))
        }
        ConnectionAddr::Unix(path) => Ok(Some(Box::new(UnixStream::connect(path).await?))),
        _ => Ok(None),
    }
}

fn settle(socket: &TcpStream, settings: &TcpSettings) -> io::Result<()> {
    socket.set_nodelay(settings.nodelay())?;
    match settings.keepalive() {
        Some(keepalive) => SockRef::from(socket).set_tcp_keepalive(keepalive),
        None => Ok(()),
    }
}

fn closed() -> RedisError {
    io::Error::from(io::ErrorKind::UnexpectedEof).into()
}

/// A socket on loan: when it is dropped, its owner has it back.
struct Lent {
    socket: Option<Socket>,
    back: Option<oneshot::Sender<Socket>>,
}

impl Lent {
    fn socket(&mut self) -> io::Result<Pin<&mut Socket>> {
        self.socket.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(socket), Some(back)) = (self.socket.take(), self.back.take()) {
            // Nobody wants it back when the greeting failed.
            let _ = back.send(socket);
        }
    }
}

impl AsyncRead for Lent {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_read(cx, into)
    }
}

impl AsyncWrite for Lent {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.socket()?.poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_flush(cx)
    }

    // It is wanted back open.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
