//! Calls the service of the `hello` example, wherever it runs.
//!
//! ```sh
//! cargo run --example caller -- Ada
//! ```

use rachis::{Config, Node, Result};
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

#[derive(Deserialize)]
struct Greeting {
    text: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "world".into());
    let node = Node::builder(Config::load()?).start().await?;
    node.wait_for("greetings").await?;

    let greetings = node.service("greetings");
    let plain = greetings.get(name.as_str()).await?;
    println!("a JSON value: {plain}");

    let typed: Greeting = greetings.create(json!({ "name": name })).timeout(Duration::from_secs(2)).json().await?;
    println!("a type of ours: {}", typed.text);

    node.shutdown().await
}
