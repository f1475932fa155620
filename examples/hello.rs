//! The smallest service: it joins the mesh and answers until Ctrl-C.
//!
//! ```sh
//! cargo run --example hello        # needs a Redis, by default the local one
//! cargo run --example caller       # in another terminal
//! ```

use rachis::{App, Config, Id, Method, Node, Params, Result, Service};
use serde_json::{Value, json};

struct Greetings;

impl Service for Greetings {
    const METHODS: &[Method] = &[Method::Get, Method::Create];

    async fn get(&self, name: Id, _: Params) -> Result<Value> {
        Ok(json!({ "text": format!("Hello, {name}!") }))
    }

    async fn create(&self, data: Value, _: Params) -> Result<Value> {
        Ok(json!({ "text": format!("Hello, {}!", data["name"].as_str().unwrap_or("you")) }))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let app = App::new().register("greetings", Greetings);
    let node = Node::builder(Config::load()?).app(app).start().await?;
    println!("greetings are served by node {}", node.id());
    // Counters and probes, where `metrics.listen` (METRICS_LISTEN) is set, for monitoring.
    #[cfg(feature = "gateway")]
    rachis::gateway::serve_metrics(&node).await?;
    node.run_until_signal().await
}
