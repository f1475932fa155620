//! Is the mesh, is this process well? For monitors, load balancers and orchestrators.

use crate::{
    http::{reply, target},
    serve::monitor,
};
use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{Method as Verb, StatusCode};
use rachis_core::{Error, Result};
use rachis_mesh::{Node, Readiness};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a request wants to know. These paths win over services of the same name.
#[derive(Debug, PartialEq)]
pub(super) enum Probe<'a> {
    /// Whether the process answers at all.
    Live,
    /// Whether it should get traffic.
    Ready,
    /// Have the remote services of a key, or all of them, a replica that is up? The key is still encoded.
    Mesh(Option<&'a str>),
}

impl<'a> Probe<'a> {
    /// The probe at `path`; `healthcheck` is the configured path without outer slashes, and none if it is empty.
    pub(super) fn of(path: &'a str, healthcheck: &str) -> Option<Probe<'a>> {
        match path.trim_matches('/') {
            "livez" => Some(Probe::Live),
            "readyz" => Some(Probe::Ready),
            _ if healthcheck.is_empty() => None,
            path if path == healthcheck => Some(Probe::Mesh(None)),
            path => {
                let key = path.strip_prefix(healthcheck)?.strip_prefix('/')?;
                (!key.is_empty() && !key.contains('/')).then_some(Probe::Mesh(Some(key)))
            }
        }
    }
}

pub(super) fn answer(node: &Node, probe: Probe<'_>, request: &Request) -> Response {
    if let Some(refused) = unless_read(request.method()) {
        return refused;
    }
    match probe {
        Probe::Live => live(),
        Probe::Ready => ready(node.readiness()),
        Probe::Mesh(key) => {
            let services = monitor::admit(node, request.headers()).and_then(|()| mesh(node, key));
            services.map_or_else(|error| reply::error(&error), |services| reply::json(StatusCode::OK, &services))
        }
    }
}

const ALLOWED: &[&str] = &["GET", "HEAD", "OPTIONS"];

/// The answer to a request that does not just ask.
pub(super) fn unless_read(verb: &Verb) -> Option<Response> {
    match *verb {
        Verb::GET | Verb::HEAD => None,
        Verb::OPTIONS => Some(reply::allow(StatusCode::NO_CONTENT.into_response(), ALLOWED)),
        _ => {
            let error = Error::method_not_allowed(format!("Method {verb} not allowed"));
            Some(reply::allow(reply::error(&error), ALLOWED))
        }
    }
}

fn live() -> Response {
    reply::json(StatusCode::OK, &json!({ "status": "alive" }))
}

/// A degraded node still serves what it knows, so it keeps its traffic.
fn ready(readiness: Readiness) -> Response {
    let code = match readiness {
        Readiness::Ready | Readiness::Degraded => StatusCode::OK,
        Readiness::Starting | Readiness::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    reply::json(code, &json!({ "status": readiness.as_str() }))
}

fn mesh(node: &Node, key: Option<&str>) -> Result<BTreeMap<String, bool>> {
    let key = key.map(target::decode).transpose()?;
    let services = node.health(key.as_deref());
    verdict(key.as_deref().unwrap_or(&node.config().key), services)
}

/// # Errors
/// `NotFound` for a key without nodes, `Unavailable` with the same map as `data` when a service has no replica.
fn verdict(key: &str, services: Option<BTreeMap<String, bool>>) -> Result<BTreeMap<String, bool>> {
    let services = services.ok_or_else(|| Error::not_found(format!("No app registered with key {key}")))?;
    if services.values().all(|up| *up) {
        return Ok(services);
    }
    let data: Value = services.into_iter().map(|(path, up)| (path, Value::Bool(up))).collect();
    Err(Error::unavailable(format!("Unavailable distributed service(s) for app with key {key}"))
        .with_data(data)
        .with_errors(json!([])))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "distribution/healthcheck";

    #[test]
    fn probes_are_found_with_and_without_slashes() {
        for path in ["/distribution/healthcheck", "/distribution/healthcheck/"] {
            assert_eq!(Probe::of(path, PATH), Some(Probe::Mesh(None)));
        }
        for path in ["/distribution/healthcheck/a%20b", "/distribution/healthcheck/a%20b/"] {
            assert_eq!(Probe::of(path, PATH), Some(Probe::Mesh(Some("a%20b"))));
        }
        assert_eq!(Probe::of("/livez", PATH), Some(Probe::Live));
        assert_eq!(Probe::of("/readyz/", PATH), Some(Probe::Ready));
    }

    #[test]
    fn other_paths_are_no_probes() {
        for path in ["/", "/todos", "/distribution", "/distribution/healthchecks", "/distribution/healthcheck/a/b"] {
            assert_eq!(Probe::of(path, PATH), None, "{path}");
        }
        assert_eq!(Probe::of("/todos", ""), None);
    }

    #[test]
    fn a_service_without_replica_makes_the_mesh_unavailable() {
        let services = BTreeMap::from([("a".to_owned(), true), ("b".to_owned(), false)]);
        assert_eq!(
            verdict("k", Some(services)).unwrap_err().to_json(),
            json!({
                "name": "Unavailable", "code": 503, "className": "unavailable",
                "message": "Unavailable distributed service(s) for app with key k",
                "data": { "a": true, "b": false }, "errors": [],
            })
        );
    }

    #[test]
    fn only_a_node_that_starts_or_drains_is_not_ready() {
        for (readiness, code) in [
            (Readiness::Ready, 200),
            (Readiness::Degraded, 200),
            (Readiness::Starting, 503),
            (Readiness::Draining, 503),
        ] {
            assert_eq!(ready(readiness).status().as_u16(), code);
        }
    }
}
