//! A gateway on a port of its own.

use axum::{extract::Request, response::Response};
use rachis_gateway::{Gateway, serve};
use rachis_mesh::Node;
use std::{convert::Infallible, net::SocketAddr};
use tokio::{net::TcpListener, task::JoinHandle};
use tower::Service;

/// A gateway that serves on a free port of the loopback interface until it is dropped.
#[derive(Debug)]
pub struct TestGateway {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl TestGateway {
    /// Returns where it listens, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Serves the mesh of `node` over HTTP, with the configuration of that node.
///
/// ```no_run
/// use rachis::{App, MemoryService};
/// use rachis_testing::{cluster, gateway};
///
/// #[tokio::test]
/// async fn todos_are_served_over_http() {
///     let [_todos, node] = cluster([App::new().register("todos", MemoryService::new()), App::new()]).await;
///     let gateway = gateway(&node).await;
///     let todos = reqwest::get(format!("{}/todos", gateway.url())).await.unwrap();
///     assert_eq!(todos.text().await.unwrap(), "[]");
/// }
/// ```
///
/// # Panics
/// When no port can be bound.
pub async fn gateway(node: &Node) -> TestGateway {
    gateway_with(node, Gateway::new(node)).await
}

/// Serves `web` over HTTP, such as a router with routes of its own, or a gateway with channels, with the configuration of
/// `node`.
///
/// # Panics
/// When no port can be bound.
pub async fn gateway_with<S>(node: &Node, web: S) -> TestGateway
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static,
{
    let listener = match TcpListener::bind("127.0.0.1:0").await {
        Ok(listener) => listener,
        Err(error) => panic!("no port for the gateway: {error}"),
    };
    let address = match listener.local_addr() {
        Ok(address) => address,
        Err(error) => panic!("the gateway has no address: {error}"),
    };
    let server = serve(listener, web).config(node.config());
    let serving = tokio::spawn(async move {
        if let Err(error) = server.await {
            panic!("the gateway ended: {error}");
        }
    });
    TestGateway { address, serving }
}
