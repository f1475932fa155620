//! Hears what happens to a service on any node, and which nodes come and go. Run it beside `hello` and `caller`.
//!
//! ```sh
//! cargo run --example events
//! ```

use futures_util::StreamExt;
use rachis::{Config, Node, Result, signal};

#[tokio::main]
async fn main() -> Result<()> {
    let node = Node::builder(Config::load()?).start().await?;
    println!("waiting for greetings");
    node.wait_for("greetings").await?;

    let mut created = node.service("greetings").on("created").await?;
    let mut changes = node.changes();
    loop {
        tokio::select! {
            Some(event) = created.next() => println!("{} {}: {}", event.path, event.name, event.data),
            Some(change) = changes.next() => println!("{change:?}"),
            () = signal() => return node.shutdown().await,
        }
    }
}
