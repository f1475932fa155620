//! Where sockets are served, and how they end with the server.

use crate::{
    Server,
    client::{Client, End},
    everyone,
    services::app,
};
use axum::{Router, routing::get};
use rachis::gateway::{Channels, Gateway};
use rachis_testing::{cluster, eventually};
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_server_that_stops_closes_its_sockets_and_does_not_wait_for_them() {
    let server = Server::local(app(), everyone()).await;
    let mut client = server.connect().await;
    let started = Instant::now();
    server.stop.send(()).unwrap();
    assert_eq!(client.end().await, End::Closed);
    server.ended.await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    eventually("nobody is left", async || server.channels.connections().is_empty()).await;
}

#[tokio::test]
async fn a_node_that_shuts_down_closes_the_sockets_of_its_gateway() {
    let server = Server::remote(app(), everyone()).await;
    let mut client = server.connect().await;
    server.nodes[1].shutdown().await.unwrap();
    assert_eq!(client.end().await, End::Closed);
    eventually("nobody is left", async || server.channels.connections().is_empty()).await;
}

#[tokio::test]
async fn a_gateway_keeps_its_node_no_longer_than_its_router_lives() {
    let [node, other] = cluster([app(), rachis::App::new()]).await;
    let router = Gateway::with_channels(&node, everyone());
    let id = node.id().to_owned();
    drop(node);
    assert!(other.nodes().iter().any(|node| node.id == id));
    drop(router);
    eventually("the node is gone", async || other.nodes().iter().all(|node| node.id != id)).await;
}

#[tokio::test]
async fn sockets_work_beside_and_below_routes_of_the_application() {
    let [node] = cluster([app()]).await;
    let merged = Router::new().route("/", get(async || "Hello")).fallback_service(Gateway::new(&node));
    let server = Server::serve(&node, merged, Channels::new()).await;
    assert!(server.connect().await.call(json!(["find", "todos"])).await.is_ok());

    let nested = Router::new().route("/", get(async || "Hello")).nest_service("/api", Gateway::new(&node));
    let server = Server::serve(&node, nested, Channels::new()).await;
    let url = |path: &str| format!("http://{}{path}?EIO=4&transport=polling", server.address);
    assert_eq!(reqwest::get(url("/api/socket.io/")).await.unwrap().status(), 200);
    assert_eq!(reqwest::get(url("/socket.io/")).await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_client_may_disconnect_by_itself() {
    let server = Server::local(app(), everyone()).await;
    let mut client: Client = server.connect().await;
    client.write("41").await;
    eventually("nobody is left", async || server.channels.connections().is_empty()).await;
}
