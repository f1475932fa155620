//! Sockets, as the clients of Feathers use them. Services run on one node, the gateway on another, unless a test says
//! other.

#![cfg(feature = "gateway")]
// Clippy spares the tests themselves, not what they share.
#![allow(clippy::unwrap_used)]

mod bounds;
mod calls;
mod client;
mod doors;
mod events;
mod login;
mod polling;
mod schemas;
#[path = "../mesh/scripted.rs"]
#[allow(dead_code)]
mod scripted;
mod services;
mod stop;
mod users;

use axum::Router;
use client::Client;
use rachis::{
    App, Node,
    gateway::{Channels, Gateway, serve},
};
use rachis_testing::cluster;
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// A gateway that serves sockets, and the nodes it needs.
struct Server {
    address: SocketAddr,
    channels: Channels,
    nodes: Vec<Node>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<std::io::Result<()>>,
}

/// A gateway without other routes.
fn routed(gateway: Gateway) -> Router {
    Router::new().fallback_service(gateway)
}

impl Server {
    /// The services of `app` through the gateway of another node.
    async fn remote(app: App, channels: Channels) -> Server {
        let [services, web] = cluster([app, App::new()]).await;
        let server = Server::of(&web, channels).await;
        Server { nodes: vec![services, web], ..server }
    }

    /// The services of `app` through the gateway of their own node.
    async fn local(app: App, channels: Channels) -> Server {
        let [node] = cluster([app]).await;
        Server::of(&node, channels).await
    }

    /// A gateway of `node`.
    async fn of(node: &Node, channels: Channels) -> Server {
        Server::serve(node, routed(Gateway::with_channels(node, channels.clone())), channels).await
    }

    async fn serve(node: &Node, router: Router, channels: Channels) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { drop(stopped.await) };
        let ended = tokio::spawn(
            serve(listener, router).with_graceful_shutdown(shutdown).grace(Duration::from_secs(5)).into_future(),
        );
        Server { address, channels, nodes: vec![node.clone()], stop, ended }
    }

    async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }
}

/// Everybody hears everything.
fn everyone() -> Channels {
    Channels::new()
        .on_connection(|connection, channels| channels.channel("everyone").join(connection))
        .publish(|_, channels| channels.channel("everyone"))
}
