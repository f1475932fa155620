//! Gateways and clusters as tests of applications use them.

use rachis::{App, MemoryService};
use rachis_testing::{cluster, cluster_with, gateway};

#[tokio::test]
async fn a_gateway_serves_the_mesh_until_it_is_dropped() {
    let [_todos, node] = cluster([App::new().register("todos", MemoryService::new()), App::new()]).await;
    node.wait_for("todos").await.unwrap();
    let gateway = gateway(&node).await;
    let todos = reqwest::get(format!("{}/todos", gateway.url())).await.unwrap();
    assert_eq!((todos.status().as_u16(), todos.text().await.unwrap()), (200, "[]".to_owned()));
    let address = gateway.address();
    drop(gateway);
    rachis_testing::eventually("nothing listens any more", async || {
        tokio::net::TcpStream::connect(address).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn each_node_of_a_cluster_has_a_configuration_of_its_own() {
    let todos = || App::new().register("todos", MemoryService::new());
    let [first, _second, caller] = cluster_with([todos(), todos(), App::new()], |number, config| {
        config.app = if number < 2 { "todos".into() } else { "caller".into() };
    })
    .await;
    caller.wait_for("todos").await.unwrap();
    rachis_testing::eventually("both replicas are known", async || {
        caller.services().iter().any(|service| service.path == "todos" && service.replicas.len() == 2)
    })
    .await;
    first.shutdown().await.unwrap();
    caller.service("todos").find().await.unwrap();
}
