//! Layers of tower around remote services: here, no more than two calls at once. Run it beside `hello`.
//!
//! ```sh
//! cargo run --example tower_layers
//! ```

use futures_util::future::try_join_all;
use rachis::{Call, Config, Node, Result};
use tower::{limit::GlobalConcurrencyLimitLayer, util::MapRequestLayer};

#[tokio::main]
async fn main() -> Result<()> {
    let node = Node::builder(Config::load()?)
        // Outside the hooks of remote services: the layer sees the call as the caller made it.
        .outer_layer(GlobalConcurrencyLimitLayer::new(2))
        // Inside them, next to the wire.
        .inner_layer(MapRequestLayer::new(|mut call: Call| {
            call.params.extra.insert("from".into(), "tower_layers".into());
            call
        }))
        .start()
        .await?;
    node.wait_for("greetings").await?;

    let greetings = node.service("greetings");
    let calls = ["Ada", "Bo", "Cy", "Di"].map(|name| greetings.get(name).into_future());
    for greeting in try_join_all(calls).await? {
        println!("{}", greeting["text"]);
    }
    node.shutdown().await
}
