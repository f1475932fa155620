//! The HTTP face, asked as clients ask it. Services run on one node, the gateway on another, unless a test says other.

#![cfg(feature = "gateway")]
// Clippy spares the tests themselves, not what they share.
#![allow(clippy::unwrap_used)]

mod auth;
mod bad_input;
mod body;
mod dashboard;
mod doors;
mod errors;
mod health;
mod idempotency;
mod metrics;
mod openapi;
mod query;
mod rest;
mod schema;
mod serve;
mod services;
mod web;

use axum::{Router, body::Body};
use http::{HeaderMap, Request, request::Builder};
use rachis::{App, Node, gateway::Gateway};
use rachis_testing::cluster;
use serde_json::Value;
use tower::ServiceExt;

/// A gateway and the nodes it needs.
struct Web {
    router: Router,
    nodes: Vec<Node>,
}

/// What came back.
#[derive(Debug)]
struct Reply {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Web {
    /// The services of `app` through the gateway of another node.
    async fn remote(app: App) -> Web {
        let [services, web] = cluster([app, App::new()]).await;
        Web { router: Router::new().fallback_service(Gateway::new(&web)), nodes: vec![services, web] }
    }

    /// The services of `app` through the gateway of their own node.
    async fn local(app: App) -> Web {
        let [node] = cluster([app]).await;
        Web { router: Router::new().fallback_service(Gateway::new(&node)), nodes: vec![node] }
    }

    async fn ask(&self, request: Builder, body: impl Into<Body>) -> Reply {
        let request = request.body(body.into()).unwrap();
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Reply { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    async fn get(&self, url: &str) -> Reply {
        self.send("GET", url).await
    }

    async fn send(&self, verb: &str, url: &str) -> Reply {
        self.ask(Request::builder().method(verb).uri(url), Body::empty()).await
    }

    /// Sends `data` as JSON.
    async fn json(&self, verb: &str, url: &str, data: Value) -> Reply {
        let request = Request::builder().method(verb).uri(url).header("content-type", "application/json");
        self.ask(request, data.to_string()).await
    }

    /// Calls a custom method.
    async fn call(&self, url: &str, method: &str, data: Value) -> Reply {
        let request = Request::post(url).header("content-type", "application/json").header("x-service-method", method);
        self.ask(request, data.to_string()).await
    }
}

impl Reply {
    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json; charset=utf-8"), "{self:?}");
        serde_json::from_str(&self.text).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}
