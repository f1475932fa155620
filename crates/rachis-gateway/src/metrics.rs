//! The counters of a node over HTTP.

use crate::{
    health::{self, Probe},
    http::reply,
    serve::{listen::listen, monitor},
};
use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method as Verb, header};
use prometheus_client::{metrics::gauge::ConstGauge, registry::Registry};
use rachis_core::{Error, Result};
use rachis_mesh::{METRICS_TYPE, Node};

/// Serves `/metrics`, `/livez`, `/readyz` and the health of the mesh (`healthcheck_path`) at `metrics.listen` of the node's
/// configuration until the node has shut down; does nothing where that is empty.
///
/// For nodes that are no gateway, and for what a gateway does not tell its clients: Prometheus finds counters there,
/// Kubernetes its probes, and monitors which services are up.
///
/// # Errors
/// When the address cannot be listened on.
///
/// ```no_run
/// # async fn run(node: rachis::Node) -> rachis::Result<()> {
/// rachis::gateway::serve_metrics(&node).await?;
/// node.run_until_signal().await
/// # }
/// ```
pub async fn serve_metrics(node: &Node) -> Result<()> {
    let address = &node.config().metrics.listen;
    if address.is_empty() {
        return Ok(());
    }
    let listener = listen(address).await.map_err(|error| {
        Error::general(format!("Can not listen on {address} ({error}): free it, or set metrics.listen to another"))
    })?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "metrics");
    }
    let router = Router::new().fallback(monitored).with_state(node.clone());
    let closed = node.ended();
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(closed).await {
            tracing::warn!(%error, "the listener for metrics failed");
        }
    });
    Ok(())
}

/// Answers what is asked at `metrics.listen`.
async fn monitored(State(node): State<Node>, request: Request) -> Response {
    let head = request.method() == Verb::HEAD;
    let path = request.uri().path().trim_matches('/');
    let response = match Probe::of(path, node.config().healthcheck_path.trim_matches('/')) {
        Some(probe) => health::answer(&node, probe, &request),
        None if path == "metrics" => match health::unless_read(request.method()) {
            Some(refused) => refused,
            None => match monitor::admit(&node, request.headers()) {
                Ok(()) => tell(&node, |_| {}).await,
                Err(error) => reply::error(&error),
            },
        },
        None => reply::error(&Error::not_found("There are counters and probes at this address, and no services")),
    };
    if head { reply::without_body(response) } else { response }
}

/// Answers with the counters of a gateway.
pub(super) async fn answer(node: &Node, verb: &Verb, headers: &HeaderMap, sockets: usize) -> Response {
    if let Some(refused) = health::unless_read(verb) {
        return refused;
    }
    if let Err(error) = monitor::admit(node, headers) {
        return reply::error(&error);
    }
    tell(node, |registry| {
        let sockets = ConstGauge::new(i64::try_from(sockets).unwrap_or(i64::MAX));
        registry.register("sockets", "Socket.IO clients that are connected", sockets);
    })
    .await
}

async fn tell(node: &Node, more: impl FnOnce(&mut Registry)) -> Response {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], node.scrape(more).await).into_response()
}
