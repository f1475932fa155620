//! A socket of any kind, opened.

use redis::io::tcp::socket2::SockRef;
use std::{io, mem::MaybeUninit, os::fd::AsFd};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

/// A socket of any kind: TCP, Unix or TLS.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {
    /// Returns `true` if the kernel holds unread bytes, or the end of the stream.
    fn has_unread(&self) -> bool;
}

pub(crate) type Socket = Box<dyn Duplex>;

impl Duplex for TcpStream {
    fn has_unread(&self) -> bool {
        has_unread(self)
    }
}

impl Duplex for UnixStream {
    fn has_unread(&self) -> bool {
        has_unread(self)
    }
}

#[cfg(feature = "tls")]
impl Duplex for tokio_rustls::client::TlsStream<TcpStream> {
    fn has_unread(&self) -> bool {
        has_unread(self.get_ref().0)
    }
}

/// Tokio's sockets do not block, so this does not either.
fn has_unread(socket: &impl AsFd) -> bool {
    let looked = SockRef::from(socket).peek(&mut [MaybeUninit::uninit()]);
    !matches!(looked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
