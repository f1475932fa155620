//! A shop of three apps that call each other, behind a gateway with a dashboard.
//!
//! ```sh
//! cargo run --features docs --example shop -- products    # each as often as you like
//! cargo run --features docs --example shop -- orders
//! cargo run --features docs --example shop -- mails
//! cargo run --features docs --example shop -- customers   # someone has to buy something
//! cargo run --features docs --example shop -- gateway     # then open http://127.0.0.1:3030/distribution/
//! ```
//!
//! All need a Redis (`REDIS_URL`, else the local one). The gateway has two users, whose password is `shop`:
//! `admin@example.com` may look at the dashboard, `guest@example.com` may not.

mod customers;
mod gateway;
mod mails;
mod orders;
mod products;

use rachis::{App, Config, Node, Result};
use std::{process::ExitCode, time::Duration};

const USAGE: &str = "Usage: shop products | orders | mails | customers | gateway";

/// How long to look for Redis before giving up with a message.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    let role = std::env::args().nth(1).unwrap_or_default();
    let outcome = match role.as_str() {
        "products" => serve("products", App::new().register("products", products::service())).await,
        "orders" => serve("orders", App::new().register("orders", orders::service())).await,
        "mails" => serve("mails", App::new().register("mails", mails::service())).await,
        "customers" => customers::run().await,
        "gateway" => gateway::run().await,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one replica of `app` until it is told to stop.
async fn serve(app: &str, services: App) -> Result<()> {
    let node = join(app, services).await?;
    println!("{app} serves, process {}", std::process::id());
    node.run_until_signal().await
}

/// Joins the mesh as a node of `app`.
async fn join(app: &str, services: App) -> Result<Node> {
    let mut config = Config::load()?;
    config.app = format!("shop-{app}");
    config.version = "1.4.0".into();
    // Who runs it may watch its calls.
    config.tap = true;
    // The gateway has verified who calls.
    config.authentication = false;
    Node::builder(config).app(services).connect_within(PATIENCE).start().await
}
