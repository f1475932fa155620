//! Where a server listens.

use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};
use tokio::net::{TcpListener, lookup_host};

/// Connections that wait to be taken; the system may allow fewer.
const BACKLOG: i32 = 1024;

/// Listens at `host:port`. At `[::]` it takes IPv4 as well, whatever the system's setting for that is; on a machine without
/// IPv6, `[::]` is any address of IPv4.
///
/// ```no_run
/// # async fn run(node: rachis::Node) -> std::io::Result<()> {
/// let listener = rachis::gateway::listen(&node.config().gateway.listen).await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// When no address of that host can be listened on.
pub async fn listen(address: &str) -> io::Result<TcpListener> {
    let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "it has no address");
    for address in lookup_host(address).await? {
        match bind(address).or_else(|error| without_ipv6(address, error)) {
            Ok(listener) => return TcpListener::from_std(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // On Windows it would let another process take the port.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Any address of IPv4 instead of any of IPv6, if the system has no such addresses.
fn without_ipv6(address: SocketAddr, error: io::Error) -> io::Result<std::net::TcpListener> {
    let missing = matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.raw_os_error().is_some_and(|code| code == UNKNOWN_FAMILY);
    match address {
        SocketAddr::V6(any) if missing && any.ip().is_unspecified() => bind((Ipv4Addr::UNSPECIFIED, any.port()).into()),
        _ => Err(error),
    }
}

/// `EAFNOSUPPORT`, which has no name in the standard library.
const UNKNOWN_FAMILY: i32 = if cfg!(target_os = "linux") { 97 } else { 47 };

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn any_address_of_ipv6_takes_ipv4_as_well() {
        let listener = listen("[::]:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        // A machine may have no IPv6.
        if listener.local_addr().unwrap().is_ipv6() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.unwrap();
        }
    }

    #[tokio::test]
    async fn without_ipv6_any_address_is_any_of_ipv4() {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        for error in [io::Error::from_raw_os_error(UNKNOWN_FAMILY), io::ErrorKind::AddrNotAvailable.into()] {
            assert!(without_ipv6(any, error).unwrap().local_addr().unwrap().is_ipv4());
        }
        let taken = || io::Error::from(io::ErrorKind::AddrInUse);
        assert_eq!(without_ipv6(any, taken()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let one = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
        assert!(without_ipv6(one, io::Error::from_raw_os_error(UNKNOWN_FAMILY)).is_err());
    }

    #[tokio::test]
    async fn an_address_that_is_taken_or_none_is_an_error() {
        let listener = listen("127.0.0.1:0").await.unwrap();
        let taken = listener.local_addr().unwrap().to_string();
        assert_eq!(listen(&taken).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(listen("nothing").await.is_err());
    }
}
