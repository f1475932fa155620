//! `/livez` and `/readyz` of a replica, for platforms that want to ask one. Calls need no port: they come by Redis.

use axum::{Json, Router, http::StatusCode, routing::get};
use rachis::{Node, Readiness, Result};
use serde_json::{Value, json};

/// Answers at `listen` until the process ends, so that a replica that drains can say so.
///
/// # Errors
/// The address is taken.
pub(crate) async fn serve(listen: &str, node: Node) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(listen).await?;
    let probes = Router::new()
        .route("/livez", get(async || Json(json!({ "status": "alive" }))))
        .route("/readyz", get(async move || ready(node.readiness())));
    tokio::spawn(async move { axum::serve(listener, probes).await });
    Ok(())
}

/// Without Redis a replica is degraded and stays ready: its next calls come as soon as Redis is back, and it would be
/// the same with any other replica.
fn ready(readiness: Readiness) -> (StatusCode, Json<Value>) {
    let (code, status) = match readiness {
        Readiness::Ready => (StatusCode::OK, "ready"),
        Readiness::Degraded => (StatusCode::OK, "degraded"),
        Readiness::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Readiness::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
    };
    (code, Json(json!({ "status": status })))
}
