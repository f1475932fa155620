//! The HTTP face: a tower service that serves every service of the mesh, here or on any other node.
//!
//! Services are looked up per request, so those that appear later are served without a restart.
//!
//! | request | method |
//! |---|---|
//! | `GET /todos`, `HEAD /todos` | find |
//! | `GET /todos/1`, `HEAD /todos/1` | get |
//! | `POST /todos` | create, or the custom method that an `X-Service-Method` header names |
//! | `PUT`, `PATCH`, `DELETE /todos/1` | update, patch, remove one |
//! | `PUT`, `PATCH`, `DELETE /todos` | update, patch, remove many |
//! | `GET /distribution/healthcheck[/key]` | which remote services have a replica up |
//! | `GET /livez`, `GET /readyz` | whether this process lives, and whether it should get traffic |
//! | `GET /openapi.json`, or `gateway.openapi` | what the services offer, as OpenAPI (feature `schema`) |
//! | `GET /docs/`, or `gateway.docs` | the same as a page (feature `docs`) |
//! | `GET /distribution/`, or `gateway.dashboard.path` | a page that shows the mesh, where `gateway.dashboard` has one |
//! | `/socket.io/`, or `gateway.socket_path` | Socket.IO: calls and events for the clients of Feathers |
//!
//! Which events go to which sockets is said by [`Channels`]; without them, none is sent. Who may call is said by hooks, or
//! by configuration with [`guarded()`]; without either, everyone may.
//!
//! ```no_run
//! use rachis::gateway::{Gateway, serve};
//!
//! # async fn run(node: rachis::Node) -> rachis::Result<()> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3030").await?;
//! serve(listener, Gateway::new(&node)).config(node.config()).with_graceful_shutdown(rachis::signal()).await?;
//! # Ok(()) }
//! ```

mod channels;
mod dashboard;
#[cfg(fuzzing)]
#[doc(hidden)]
#[allow(missing_docs, clippy::expect_used)] // for `fuzz/` alone
#[path = "../../../fuzz/inside/gateway.rs"]
pub mod fuzzing;
mod guarded;
mod health;
mod http;
mod metrics;
#[cfg(feature = "schema")]
pub mod openapi;
mod realtime;
mod serve;

pub use channels::{Channel, Channels, Connection, Login, Names, Publication};
pub use guarded::{Guard, guarded, guarded_by};
pub use http::cors::{CorsLayer, CorsService, cors};
pub use metrics::serve_metrics;
pub use serve::listen::listen;
pub use serve::{Serve, serve};

use axum::{extract::Request, response::Response};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Map},
};
use http::client::Proxies;
use http::layers::Layers;
use rachis_mesh::Node;
use realtime::Realtime;
use std::{
    convert::Infallible,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};
use tower::{Service, ServiceExt, service_fn};

/// The gateway of a mesh, as a tower service: alone, or the fallback of a router with routes of its own.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use rachis::gateway::{Gateway, serve};
///
/// # async fn run(node: rachis::Node) -> rachis::Result<()> {
/// let app = Router::new().route("/version", get(async || "1.2.3")).fallback_service(Gateway::new(&node));
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3030").await?;
/// serve(listener, app).config(node.config()).with_graceful_shutdown(rachis::signal()).await?;
/// # Ok(()) }
/// ```
///
/// The prefix, the limits, the CORS origins and compression come from the node's configuration. CORS is for the gateway's
/// own answers; [`cors()`] is the same for routes beside it.
///
/// Sockets are at `gateway.socket_path`, by default `/socket.io/`, whatever the configured prefix is. Below
/// `Router::nest_service`, they are nested, too: clients of another path than `/socket.io/` need the option `path`, e.g.
/// `"/api/socket.io/"`.
///
/// Clones are the same gateway.
#[derive(Clone)]
pub struct Gateway {
    answer: Arc<dyn Fn(Request) -> BoxFuture<'static, Response> + Send + Sync>,
}

impl Gateway {
    /// The services of the mesh, with the channels that `gateway.channels` of the configuration asks for.
    pub fn new(node: &Node) -> Self {
        Gateway::make(node, Channels::from_config(node.config().gateway.channels.publish))
    }

    /// The services of the mesh, with channels that say which sockets hear which events.
    ///
    /// ```no_run
    /// use rachis::gateway::{Channels, Gateway};
    ///
    /// # async fn run(node: rachis::Node) {
    /// let channels = Channels::new()
    ///     .on_connection(|connection, channels| channels.channel("everyone").join(connection))
    ///     .publish(|_, channels| channels.channel("everyone"));
    /// let gateway = Gateway::with_channels(&node, channels);
    /// # }
    /// ```
    ///
    /// # Panics
    /// When a publisher waits for an event that its service, as far as it is known already, does not have.
    #[track_caller]
    pub fn with_channels(node: &Node, channels: Channels) -> Self {
        channels.check(node);
        Gateway::make(node, channels)
    }

    fn make(node: &Node, channels: Channels) -> Self {
        let config = node.config();
        dashboard::install(node);
        let settings = Settings {
            prefix: config.gateway.prefix.trim_matches('/').to_owned(),
            healthcheck: if config.gateway.healthcheck {
                config.healthcheck_path.trim_matches('/').to_owned()
            } else {
                String::new()
            },
            metrics: config.metrics.path.trim_matches('/').to_owned(),
            dashboard: if config.gateway.dashboard.enabled {
                config.gateway.dashboard.path.trim_matches('/').to_owned()
            } else {
                String::new()
            },
            #[cfg(feature = "docs")]
            docs: config.gateway.docs.trim_matches('/').to_owned(),
            #[cfg(feature = "schema")]
            openapi: config.gateway.openapi.trim_matches('/').to_owned(),
        };
        let proxies = Arc::new(Proxies::new(&config.gateway));
        let layers = Layers::new(&config.gateway, proxies.clone());
        let realtime = Realtime::new(node, channels, proxies.clone());
        let sockets = layers.around(realtime.service());
        let front = Arc::new(Front { node: node.clone(), settings, proxies, realtime: realtime.clone() });
        let others = layers.around(service_fn(move |request| {
            let front = front.clone();
            // On the heap, or each layer would copy all of it to where its own is.
            Box::pin(async move { Ok(answer(&front, request).await) })
        }));
        let answer = move |request: Request| -> BoxFuture<'static, Response> {
            if realtime.is_at(request.uri().path()) {
                Box::pin(sockets.clone().oneshot(request).map(always))
            } else {
                Box::pin(others.clone().oneshot(request).map(always))
            }
        };
        Gateway { answer: Arc::new(answer) }
    }
}

fn always(outcome: Result<Response, Infallible>) -> Response {
    match outcome {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

impl Service<Request> for Gateway {
    type Response = Response;
    type Error = Infallible;
    type Future = Map<BoxFuture<'static, Response>, fn(Response) -> Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        (self.answer)(request).map(Ok)
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gateway")
    }
}

/// What requests are answered by and with.
struct Front {
    node: Node,
    settings: Settings,
    proxies: Arc<Proxies>,
    realtime: Arc<Realtime>,
}

/// The part of the configuration that every request needs, read once.
struct Settings {
    /// In front of every service path; without outer slashes, mostly empty.
    prefix: String,
    /// Where health is asked for; without outer slashes.
    healthcheck: String,
    /// Where counters are; without outer slashes, and empty for nowhere.
    metrics: String,
    /// Where the dashboard is; without outer slashes, and empty for nowhere.
    dashboard: String,
    /// Where the description is shown; without outer slashes, and empty for nowhere.
    #[cfg(feature = "docs")]
    docs: String,
    /// Where services are described; without outer slashes, and empty for nowhere.
    #[cfg(feature = "schema")]
    openapi: String,
}

async fn answer(gateway: &Front, request: Request) -> Response {
    let head = request.method() == ::http::Method::HEAD;
    let path = request.uri().path().trim_matches('/');
    #[cfg(feature = "docs")]
    if let Some(file) = openapi::page::file_at(gateway, path) {
        let response = openapi::page::answer(gateway, file, &request);
        return if head { http::reply::without_body(response) } else { response };
    }
    if let Some(file) = dashboard::page::file_at(gateway, path) {
        let response = dashboard::page::answer(gateway, file, &request);
        return if head { http::reply::without_body(response) } else { response };
    }
    let response = match health::Probe::of(path, &gateway.settings.healthcheck) {
        Some(probe) => health::answer(&gateway.node, probe, &request),
        None if !path.is_empty() && path == gateway.settings.metrics => {
            metrics::answer(&gateway.node, request.method(), request.headers(), gateway.realtime.sockets()).await
        }
        #[cfg(feature = "schema")]
        None if openapi::endpoint::is_at(gateway, path) => openapi::endpoint::answer(gateway, request).await,
        None => http::rest::answer(gateway, request).await,
    };
    if head { http::reply::without_body(response) } else { response }
}
