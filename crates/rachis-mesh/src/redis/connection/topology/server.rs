//! One server: which one it is, and how to connect to it.

use crate::redis::connection::{
    login::Logins,
    socket::Endpoint,
    tls::{Certificates, Tls},
};
use arc_swap::ArcSwap;
use redis::{Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisResult};
use std::{fmt, sync::Arc};

/// One of the servers that share the keys. With a standalone server and with Sentinel it has no address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Shard(Option<Arc<str>>);

impl Shard {
    pub(super) fn only() -> Self {
        Shard(None)
    }

    pub(super) fn at(host: &str, port: u16) -> Self {
        Shard(Some(format!("{host}:{port}").into()))
    }

    /// Returns host and port.
    pub(super) fn address(&self) -> Option<(&str, u16)> {
        let (host, port) = self.0.as_deref()?.rsplit_once(':')?;
        Some((host, port.parse().ok()?))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("the only one"))
    }
}

/// Everything about an endpoint but its address: the settings of a URL, the certificates, and the current login.
pub(crate) struct EndpointTemplate {
    url: ConnectionInfo,
    tls: ArcSwap<Option<Tls>>,
    logins: Arc<Logins>,
}

impl EndpointTemplate {
    pub(super) fn new(url: &str, logins: &Arc<Logins>, certificates: &Certificates) -> RedisResult<Self> {
        EndpointTemplate::from_info(url.into_connection_info()?, logins, certificates)
    }

    pub(super) fn from_info(
        url: ConnectionInfo,
        logins: &Arc<Logins>,
        certificates: &Certificates,
    ) -> RedisResult<Self> {
        let tls = ArcSwap::from_pointee(tls_of(&url, certificates)?);
        Ok(EndpointTemplate { url, tls, logins: logins.clone() })
    }

    pub(super) fn made(&self, certificates: &Certificates) -> RedisResult<Option<Tls>> {
        tls_of(&self.url, certificates)
    }

    /// Replaces the TLS settings, for all new connections.
    pub(super) fn use_tls(&self, tls: Option<Tls>) {
        self.tls.store(Arc::new(tls));
    }

    /// Returns the endpoint at the address in the URL.
    pub(super) fn here(&self) -> Endpoint {
        self.endpoint(self.url.clone())
    }

    /// Returns the endpoint at another address.
    pub(super) fn there(&self, host: &str, port: u16) -> Endpoint {
        let host = host.to_owned();
        let address = match self.url.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        self.endpoint(self.url.clone().set_addr(address))
    }

    fn endpoint(&self, info: ConnectionInfo) -> Endpoint {
        Endpoint { info: self.logins.put_on(info), tls: Option::clone(&self.tls.load()) }
    }

    pub(super) fn auth(&self) -> Option<Cmd> {
        self.logins.command(&self.url)
    }

    pub(super) fn address(&self) -> String {
        self.url.addr().to_string()
    }
}

fn tls_of(url: &ConnectionInfo, certificates: &Certificates) -> RedisResult<Option<Tls>> {
    Tls::new(certificates, matches!(url.addr(), ConnectionAddr::TcpTls { .. }))
}
