//! REST for every service of the mesh, beside a route of one's own. Run it beside `hello`, then:
//!
//! ```sh
//! cargo run --features gateway --example gateway
//! curl http://127.0.0.1:3030/greetings/Ada
//! ```

use axum::{Router, routing::get};
use rachis::{
    Config, Node, Result,
    gateway::{Gateway, serve},
    signal,
};

#[tokio::main]
async fn main() -> Result<()> {
    let node = Node::builder(Config::load()?).start().await?;
    let web = Router::new()
        .route("/", get(async || "All services are one path further.\n"))
        .fallback_service(Gateway::new(&node));

    let listener = tokio::net::TcpListener::bind(&node.config().gateway.listen).await?;
    println!("http://{}", listener.local_addr()?);
    serve(listener, web).config(node.config()).with_graceful_shutdown(signal()).await?;
    node.shutdown().await
}
