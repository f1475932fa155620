//! The table `gateway`: how services are served over HTTP.

use crate::{ByteSize, GatewayAuth, GatewayQuery, duration, values::value};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The HTTP face.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// `host:port`. Default `127.0.0.1:3030`.
    pub listen: String,
    /// The path all services are served below. Default `/`.
    pub prefix: String,
    /// Whether the health of the mesh is told here, at `healthcheck_path`. Default yes; at `metrics.listen` it always is.
    pub healthcheck: bool,
    /// Where the services are described, as OpenAPI. Default `/openapi.json`; empty: nowhere.
    pub openapi: String,
    /// Where a page shows that. Default `/docs`; empty: nowhere.
    pub docs: String,
    /// Where Socket.IO is. Default `/socket.io/`.
    pub socket_path: String,
    /// Origins whose pages may call, and open sockets. Default `*`: any.
    pub cors_origins: Vec<String>,
    /// Methods that those pages may use. Default the six of REST.
    pub cors_methods: Vec<String>,
    /// Headers that those pages may send. Default empty: all they ask for.
    pub cors_headers: Vec<String>,
    /// Headers of replies that those pages may read, beside those of the gateway. Default none.
    pub cors_exposed_headers: Vec<String>,
    /// Whether those pages may send cookies and certificates of the browser. Default no.
    pub cors_credentials: bool,
    /// How long browsers may remember what pages may do. Default 10 min.
    #[serde(with = "duration")]
    #[cfg_attr(test, schemars(with = "crate::load::schema::Time"))]
    pub cors_max_age: Duration,
    /// How long a connection may be idle. Default 75 s.
    #[serde(with = "duration")]
    #[cfg_attr(test, schemars(with = "crate::load::schema::Time"))]
    pub keep_alive: Duration,
    /// Proxies whose word for the client's address counts, as addresses and networks. Default none.
    pub trusted_proxies: Vec<String>,
    /// How many proxies stand in front, one behind the other, whose word counts whatever their addresses. Default 0.
    pub trusted_hops: usize,
    /// The header by which proxies tell it. Default [`ForwardedHeader::XForwardedFor`].
    pub forwarded_header: ForwardedHeader,
    /// Largest HTTP body, decompressed. Default 100 KiB.
    pub body_limit: ByteSize,
    /// Whether replies are compressed. Default yes.
    pub compression: bool,
    /// Sockets that may be open at once. Default 10,000.
    pub max_sockets: usize,
    /// Largest message of a socket, attachments included. Default 1 MB.
    pub max_message: ByteSize,
    /// Calls of one socket that run at once. Default 256.
    pub socket_calls: usize,
    /// Bytes of the messages whose calls of one socket run at once. Default 4 MB.
    pub socket_inbox: ByteSize,
    /// Bytes that wait for the client of one socket. Default 8 MB.
    pub socket_outbox: ByteSize,
    /// How long a client may take nothing of what waits for it. Default 60 s.
    #[serde(with = "duration")]
    #[cfg_attr(test, schemars(with = "crate::load::schema::Time"))]
    pub socket_patience: Duration,
    /// The service whose `create` and `remove` are logins and logouts. Default `authentication`; empty: none is.
    pub authentication_path: String,
    /// Logins, and which calls need one. Default: every call passes.
    pub auth: GatewayAuth,
    /// How large a query string may be.
    pub query: GatewayQuery,
    /// Which events go to sockets where no code says so.
    pub channels: Channels,
    /// The page that shows the mesh. Default: there is none.
    pub dashboard: Dashboard,
}

/// The page that shows the mesh to those who run it, and the services that it reads.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Dashboard {
    /// Whether there is one. Default no.
    pub enabled: bool,
    /// The path of the page, and of its services. Default `/distribution/`.
    pub path: String,
    /// What [`role_field`](Self::role_field) of a user has to say, or to contain. Default `admin`; empty: every user may look.
    pub role: String,
    /// The field of a user, or else of its token, that names roles: a text or a list. Default `roles`.
    pub role_field: String,
    /// Whether who has not logged in may look, too. Default no.
    pub anonymous: bool,
    /// Whether dead letters may be replayed and dropped there, and methods that change something be called. Default no.
    pub writable: bool,
}

/// Which events go to sockets where no code says so.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Channels {
    /// Which sockets get all events. Default [`Publish::None`]: none.
    pub publish: Publish,
}

/// Which sockets get all events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Publish {
    /// No socket.
    None,
    /// Every socket.
    Everyone,
    /// Every socket that has logged in.
    Authenticated,
}

// Not derived: figment would also take 0, 1 and 2.
impl Publish {
    fn read(value: &serde_json::Value) -> Option<Self> {
        match value.as_str()? {
            "none" => Some(Publish::None),
            "everyone" => Some(Publish::Everyone),
            "authenticated" => Some(Publish::Authenticated),
            _ => None,
        }
    }
}

value::deserialize_by_reading!(Publish, "\"none\", \"everyone\" or \"authenticated\"");

/// The header by which proxies tell where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`: the addresses.
    XForwardedFor,
    /// `Forwarded` of RFC 7239: the addresses as `for=`.
    Forwarded,
}

impl ForwardedHeader {
    fn read(value: &serde_json::Value) -> Option<Self> {
        let name = value.as_str()?;
        if name.eq_ignore_ascii_case("x-forwarded-for") {
            Some(ForwardedHeader::XForwardedFor)
        } else if name.eq_ignore_ascii_case("forwarded") {
            Some(ForwardedHeader::Forwarded)
        } else {
            None
        }
    }
}

value::deserialize_by_reading!(ForwardedHeader, "\"x-forwarded-for\" or \"forwarded\"");
