//! What comes along with a call besides its id and data.

use crate::{Caller, Handle, Query, query::Limits};
use serde_json::{Map, Value};
use std::{borrow::Cow, collections::BTreeMap, fmt, net::IpAddr, sync::Arc};

/// The circumstances of a call, as in Feathers: its caller, its transport and its query.
///
/// ```
/// use rachis::Params;
/// use serde_json::json;
///
/// let params = Params::default().with_query(json!({ "done": false, "$limit": 5 }));
/// assert!(params.is_internal());
/// assert_eq!(params.query.get("done"), Some(&json!(false)));
/// ```
#[derive(Clone, Default)]
pub struct Params {
    /// Which records, which fields, in what order.
    pub query: Query,
    /// The transport the call entered the mesh by (`rest`, `socketio`), or `None` for calls made by code.
    /// It stays with the call across nodes.
    pub provider: Option<Cow<'static, str>>,
    /// Request headers with lower-case names; empty for calls made by code. They travel with the call, the credentials
    /// among them.
    pub headers: BTreeMap<String, String>,
    /// The values of the path's `:placeholders`.
    pub route: BTreeMap<String, String>,
    /// The record of the user who calls, set by authentication. On another node it is the calling node's word: a service that
    /// reads it without an `authenticate` hook in front trusts every node, and without a `mesh.secret` every program that can
    /// write to Redis.
    pub user: Option<Value>,
    /// The credentials that came along (`{ strategy, accessToken, … }`).
    pub authentication: Option<Value>,
    /// Whether an authentication hook has accepted them. Of a call from another node this counts only where `authentication` is
    /// off.
    pub authenticated: bool,
    /// Whether the call came from another node. Set by the node that runs it, so a caller can not claim it.
    pub from_remote: bool,
    /// Makes a call that must not run twice safe to repeat: see
    /// [`CallBuilder::idempotency_key`](crate::CallBuilder::idempotency_key). From HTTP it comes by the header
    /// `Idempotency-Key` and by nothing else. Params that are passed on take it along.
    pub idempotency_key: Option<String>,
    /// The application's own values; they travel with the call, so they must be JSON.
    pub extra: Map<String, Value>,
    /// The application's own values of any type; they stay in this process.
    pub extensions: http::Extensions,
    // Public for struct update syntax in the other crates of Rachis.
    #[doc(hidden)]
    pub ip: Option<IpAddr>,
    #[doc(hidden)]
    pub caller: Option<Arc<dyn Caller>>,
}

impl Params {
    /// Replaces the query; anything but a JSON object means "no query".
    pub fn with_query(mut self, query: impl Into<Query>) -> Self {
        self.query = query.into();
        self
    }

    /// Replaces the user.
    pub fn with_user(mut self, user: impl Into<Value>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Names the transport, as if a client had called by it; for tests, and for transports of an application's own.
    pub fn with_provider(mut self, provider: impl Into<Cow<'static, str>>) -> Self {
        self.provider = Some(provider.into());
        self
    }

    /// Replaces the credentials (`{ strategy, … }`).
    pub fn with_authentication(mut self, credentials: impl Into<Value>) -> Self {
        self.authentication = Some(credentials.into());
        self
    }

    /// The address that the client calls from, as the gateway that it came by knows it; `None` for calls of code, and behind
    /// a server that does not tell. It stays with the call across nodes, where it is the calling node's word.
    ///
    /// Behind proxies it is theirs unless they are among
    /// `trusted_proxies`.
    pub fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    /// Replaces the client's address; for tests, and for transports of an application's own.
    pub fn with_ip(mut self, ip: impl Into<IpAddr>) -> Self {
        self.ip = Some(ip.into());
        self
    }

    /// Returns `true` if the call was made by code, here or on another node, and not by a client of a gateway.
    pub fn is_internal(&self) -> bool {
        self.provider.is_none()
    }

    /// How broad a query of this call may be, by the configuration of the node that runs it.
    pub fn query_limits(&self) -> Limits {
        self.caller.as_ref().map_or_else(Limits::default, |caller| caller.query_limits())
    }

    /// Another service, local or remote, for a method that needs one.
    ///
    /// A call made through it carries none of these params: pass on what it needs.
    pub fn service(&self, path: &str) -> Handle {
        Handle::new(self.caller.clone(), path)
    }
}

impl fmt::Debug for Params {
    // Headers and credentials carry secrets, so only their presence is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Params")
            .field("query", &self.query)
            .field("provider", &self.provider)
            .field("route", &self.route)
            .field("headers", &self.headers.len())
            .field("user", &self.user.is_some())
            .field("authentication", &self.authentication.is_some())
            .field("authenticated", &self.authenticated)
            .field("from_remote", &self.from_remote)
            .field("idempotency_key", &self.idempotency_key)
            .field("ip", &self.ip)
            .field("extra", &self.extra.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
