//! REST for every service of the mesh, beside a route of one's own. Run it beside `hello`, then:
//!
//! ```sh
//! cargo run --features gateway --example gateway
//! curl http://127.0.0.1:3030/greetings/Ada
//! ```

use axum::{Router, routing::get};
use rachis::{
    Config, Node, Result,
    gateway::{gateway, serve},
    signal,
};

#[tokio::main]
async fn main() -> Result<()> {
    let node = Node::builder(Config::load()?).start().await?;
    let web = Router::new().route("/", get(async || "All services are one path further.\n")).merge(gateway(&node));

    let listener = tokio::net::TcpListener::bind(&node.config().gateway.listen).await?;
    println!("http://{}", listener.local_addr()?);
    serve(listener, web, signal(), node.config()).await?;
    node.shutdown().await
}
