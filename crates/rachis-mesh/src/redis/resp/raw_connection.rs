//! Raw connections: each belongs to one reader or one shard writer, and its replies are parsed from the bytes as they come.
//!
//! redis-rs does the handshake, so that logging in is done in one place; then the socket is taken back from it.

use super::{
    commands::Commands,
    parser::{self, RespValue, Response, Scan},
};
use crate::redis::connection::{
    Connector, Opened, Signs, duplex::Socket, socket::Endpoint, timed_out, topology::Shard,
};
use bytes::{Buf, BytesMut};
use futures_util::FutureExt;
use redis::{Cmd, ProtocolVersion, RedisError, RedisResult, aio::MultiplexedConnection};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    sync::oneshot,
    time::timeout,
};

/// The least free space of the buffer at a read, in bytes: a batch of small entries.
const CHUNK: usize = 64 * 1024;
/// The largest buffer that is kept after a large response, in bytes.
const LARGEST: usize = 1024 * 1024;

/// The time limit for reading what has already arrived.
const UNREAD: Duration = Duration::from_millis(10);

/// A connection that takes one command, or one pipeline, at a time.
pub(crate) struct RawConnection {
    socket: Socket,
    buffer: BytesMut,
    /// The time limit of a response.
    patience: Duration,
}

/// Why commands were not answered.
pub(crate) struct WriteError {
    pub(crate) error: RedisError,
    /// Whether nothing of them has left this process.
    pub(crate) unsent: bool,
}

impl RawConnection {
    /// Makes one attempt to connect to the server that holds `key`. `block` extends the response timeout.
    pub(crate) async fn connect(
        connector: &Connector,
        purpose: &str,
        key: &str,
        block: Duration,
    ) -> RedisResult<Opened<RawConnection>> {
        let (endpoint, shard) = connector.endpoint(key).await?;
        // From here on a suspicion is about this connection.
        let signs = connector.signs(shard, Some(key));
        RawConnection::greeted(connector, &endpoint, signs, purpose, block).await
    }

    /// Makes one attempt to connect to this server, for all keys that it holds.
    pub(crate) async fn connect_to(
        connector: &Connector,
        purpose: &str,
        shard: &Shard,
    ) -> RedisResult<Opened<RawConnection>> {
        let signs = connector.signs(shard.clone(), None);
        let endpoint = connector.servers().reach(shard).await?;
        RawConnection::greeted(connector, &endpoint, signs, purpose, Duration::ZERO).await
    }

    /// Opens a socket and does the handshake.
    async fn greeted(
        connector: &Connector,
        endpoint: &Endpoint,
        signs: Signs,
        purpose: &str,
        block: Duration,
    ) -> RedisResult<Opened<RawConnection>> {
        let time = connector.patience();
        let socket = timeout(time, endpoint.dial()).await.map_err(|_| timed_out("connecting"))??;
        let (back, returned) = oneshot::channel();
        let lent = Lent { socket: Some(socket), back: Some(back) };
        // What is read here is RESP 2, whatever the URL asks for.
        let info = endpoint.settings().clone().set_protocol(ProtocolVersion::RESP2);
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
        Ok(Opened { connection: RawConnection { socket, buffer: BytesMut::new(), patience }, signs })
    }

    /// Completes when the other end has closed the connection, or has sent something unasked, after which responses
    /// could no longer be matched. Cancel safe.
    pub(crate) async fn ended(&mut self) {
        let _ = self.socket.read_buf(&mut self.buffer).await;
    }

    /// Returns `true` if [`ended`](Self::ended) would complete. With `ask_kernel` the kernel is asked, for a connection
    /// that was not waited on meanwhile.
    pub(crate) async fn has_ended(&mut self, ask_kernel: bool) -> bool {
        if self.ended().now_or_never().is_some() {
            return true;
        }
        // Under TLS it may be about the connection itself.
        ask_kernel && self.socket.has_unread() && timeout(UNREAD, self.ended()).await.is_ok()
    }

    /// Sends a command and waits for its response. The connection is unusable if the future is dropped before.
    pub(crate) async fn query(&mut self, command: &Cmd) -> RedisResult<Response> {
        self.query_behind(None, command).await.map(|(_, reply)| reply)
    }

    /// Does the same with another command in front of it, in the same write.
    pub(crate) async fn query_behind(
        &mut self,
        first: Option<&Cmd>,
        command: &Cmd,
    ) -> RedisResult<(Option<RespValue>, Response)> {
        let RawConnection { socket, buffer, patience } = self;
        let asked = async {
            let mut bytes = first.map(Cmd::get_packed_command).unwrap_or_default();
            command.write_packed_command(&mut bytes);
            socket.write_all(&bytes).await?;
            socket.flush().await?;
            let value = match first {
                Some(_) => receive_all(socket, buffer, 1).await?.pop(),
                None => None,
            };
            Ok((value, receive(socket, buffer).await?))
        };
        timeout(*patience, asked).await.map_err(|_| timed_out("a read"))?
    }

    /// Sends commands in one write and waits for their responses. The connection is unusable if the future is dropped
    /// before.
    pub(crate) async fn pipeline(&mut self, commands: &Commands) -> Result<Vec<RespValue>, WriteError> {
        let RawConnection { socket, buffer, patience } = self;
        let mut unsent = true;
        let answered = async {
            let mut left = commands.bytes();
            while !left.is_empty() {
                let written = socket.write(left).await?;
                if written == 0 {
                    return Err(closed());
                }
                unsent = false;
                left = &left[written..];
            }
            socket.flush().await?;
            receive_all(socket, buffer, commands.len()).await
        };
        let answered = timeout(*patience, answered).await.unwrap_or_else(|_| Err(timed_out("a write")));
        answered.map_err(|error| WriteError { error, unsent })
    }
}

async fn receive_all(socket: &mut Socket, buffer: &mut BytesMut, count: usize) -> RedisResult<Vec<RespValue>> {
    let mut replies = Vec::with_capacity(count);
    while replies.len() < count {
        match parser::parse_value(buffer)? {
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

async fn receive(socket: &mut Socket, buffer: &mut BytesMut) -> RedisResult<Response> {
    let mut scan = Scan::default();
    loop {
        if let Some(end) = scan.end(buffer)? {
            let reply = parser::parse_response(&buffer[..end])?;
            buffer.advance(end);
            if buffer.is_empty() && buffer.capacity() > LARGEST {
                *buffer = BytesMut::new();
            }
            return Ok(reply);
        }
        fill(socket, buffer).await?;
    }
}

fn closed() -> RedisError {
    io::Error::from(io::ErrorKind::UnexpectedEof).into()
}

/// A lent socket, which returns to its owner when dropped.
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
            // Fails when the handshake failed, and the owner is gone.
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
