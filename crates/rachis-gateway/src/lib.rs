//! The HTTP face: an axum router that serves every service of the mesh, here or on any other node.
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
//! | `/socket.io/`, or `gateway.socket_path` | Socket.IO: calls and events for the clients of Feathers |
//!
//! Which events go to which sockets is said by [`Channels`]; without them, none is sent. Who may call is said by hooks, or
//! by configuration with [`guarded()`]; without either, everyone may.
//!
//! ```no_run
//! use rachis::gateway::{gateway, serve};
//!
//! # async fn run(node: rachis::Node) -> rachis::Result<()> {
//! let web = axum::Router::new().route("/", axum::routing::get(async || "Hello")).merge(gateway(&node));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3030").await?;
//! let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
//! serve(listener, web, stop, node.config()).await?;
//! # Ok(()) }
//! ```

mod body;
mod channels;
mod client;
mod cors;
mod framing;
#[cfg(fuzzing)]
#[doc(hidden)]
#[allow(missing_docs, clippy::expect_used)] // for `fuzz/` alone
pub mod fuzzing;
mod guarded;
mod heads;
mod health;
mod json;
mod layers;
mod listen;
mod metrics;
mod monitor;
mod params;
mod query_string;
mod realtime;
mod reply;
mod rest;
mod serve;
mod serving;
mod signal;
mod target;

pub use channels::{Channel, Channels, Connection, Login, Names, Publication};
pub use cors::{CorsLayer, CorsService, cors};
pub use guarded::{Guard, guarded, guarded_by};
pub use listen::listen;
pub use metrics::serve_metrics;
pub use serve::serve;
pub use serving::Serving;

use axum::{Router, extract::Request, response::Response};
use client::Proxies;
use futures_util::FutureExt;
use layers::{Answers, Layers};
use rachis_mesh::Node;
use realtime::Realtime;
use std::{convert::Infallible, sync::Arc};
use tower::{Service, ServiceExt, layer::layer_fn, service_fn};

/// A gateway that is being put together; [`gateway`] is one with nothing to say.
///
/// ```no_run
/// use rachis::gateway::{Channels, Gateway};
///
/// # async fn run(node: rachis::Node) {
/// let channels = Channels::new()
///     .on_connection(|connection, channels| channels.channel("everyone").join(connection))
///     .publish(|_, channels| channels.channel("everyone"));
/// let web: axum::Router = Gateway::new(&node).channels(channels).router();
/// # }
/// ```
pub struct Gateway {
    node: Node,
    channels: Channels,
}

impl Gateway {
    /// The services of the mesh, with the channels that `gateway.channels` of the configuration asks for.
    pub fn new(node: &Node) -> Self {
        Gateway { node: node.clone(), channels: Channels::from_config(node.config().gateway.channels.publish) }
    }

    /// Which sockets hear which events.
    ///
    /// # Panics
    /// When a publisher waits for an event that its service, as far as it is known already, does not have.
    #[track_caller]
    pub fn channels(self, channels: Channels) -> Self {
        channels.check(&self.node);
        Gateway { channels, ..self }
    }

    /// The router: merge, nest or layer it like any other.
    ///
    /// The prefix, the limits, the CORS origins and compression come from the node's configuration. All requests that
    /// no route of the application takes end up here, as the router's fallback; the application's own routes win.
    ///
    /// Sockets are at `gateway.socket_path`, by default `/socket.io/`, whatever the configured prefix is. Where the router
    /// is nested, they are nested, too. Clients of another path than `/socket.io/` need the option `path`, e.g.
    /// `"/api/socket.io/"`.
    pub fn router(self) -> Router {
        let (front, sockets, _) = self.faces();
        Router::new().fallback_service(front).merge(sockets)
    }

    /// The same as a plain tower service, for programs that have no routes beside it: cheaper by what a router does with
    /// each request. [`serve()`] takes it as it takes a router.
    ///
    /// ```no_run
    /// use rachis::gateway::{Gateway, serve};
    ///
    /// # async fn run(node: rachis::Node) -> rachis::Result<()> {
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:3030").await?;
    /// serve(listener, Gateway::new(&node).service(), rachis::signal(), node.config()).await?;
    /// # Ok(()) }
    /// ```
    pub fn service(
        self,
    ) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
    {
        let (front, sockets, realtime) = self.faces();
        service_fn(move |request: Request| match realtime.is_at(request.uri().path()) {
            true => sockets.clone().oneshot(request).left_future(),
            false => front.clone().oneshot(request).right_future(),
        })
    }

    /// What answers everything but sockets, what opens those, and what knows where.
    fn faces(self) -> (impl Answers, Router, Arc<Realtime>) {
        let config = self.node.config();
        let settings = Settings {
            prefix: config.gateway.prefix.trim_matches('/').to_owned(),
            healthcheck: config.healthcheck_path.trim_matches('/').to_owned(),
            metrics: config.metrics.path.trim_matches('/').to_owned(),
        };
        let proxies = Arc::new(Proxies::new(&config.gateway.trusted_proxies));
        let layers = Layers::new(&config.gateway, proxies.clone());
        let realtime = Realtime::new(&self.node, self.channels, proxies.clone());
        let sockets = realtime.router();
        let front = Arc::new(Front { node: self.node, settings, proxies, realtime: realtime.clone() });
        let front = service_fn(move |request| {
            let front = front.clone();
            // On the heap, or each layer would copy all of it to where its own is.
            Box::pin(async move { Ok(answer(&front, request).await) })
        });
        let answers = layers.around(front);
        let sockets = sockets.layer(layer_fn(move |route: axum::routing::Route| layers.around(route)));
        (answers, sockets, realtime)
    }
}

/// The services of the mesh as an axum router: [`Gateway::router`] with nothing else said.
pub fn gateway(node: &Node) -> Router {
    Gateway::new(node).router()
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
}

async fn answer(gateway: &Front, request: Request) -> Response {
    let head = request.method() == http::Method::HEAD;
    let path = request.uri().path().trim_matches('/');
    let response = match health::Probe::of(path, &gateway.settings.healthcheck) {
        Some(probe) => health::answer(&gateway.node, probe, &request),
        None if !path.is_empty() && path == gateway.settings.metrics => {
            metrics::answer(&gateway.node, request.method(), request.headers(), gateway.realtime.sockets()).await
        }
        None => rest::answer(gateway, request).await,
    };
    if head { reply::without_body(response) } else { response }
}
