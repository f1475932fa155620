//! The processes that `scripts/bench.sh` measures: each role is one process of a mesh, and prints one JSON line a figure.
//!
//! ```sh
//! cargo bench --bench mesh -- serve --redis redis://127.0.0.1:6379
//! cargo bench --bench mesh -- call --redis redis://127.0.0.1:6379 --callers 64 --seconds 3
//! ```

mod calls;
mod events;
mod fleet;
mod large;
mod life;

use clap::{Parser, Subcommand};
use rachis::{App, Config, Id, Method, Node, Params, Result, Service, config::RedisUrl, signal};
use serde_json::{Value, json};

/// One process of a benchmark.
#[derive(Parser)]
struct Args {
    /// The Redis that all of them share.
    #[arg(long, global = true, default_value = "redis://127.0.0.1:6379")]
    redis: String,
    /// `cargo bench` adds it.
    #[arg(long, global = true, hide = true)]
    bench: bool,
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Serves `echo`, a record of 130 bytes, until it is told to stop.
    Serve,
    /// Calls `echo` by a number of callers, each again and again.
    Call(calls::Args),
    /// Serves everything over HTTP.
    Gateway(life::Gateway),
    /// Fires events.
    Publish(events::Publish),
    /// Hears them.
    Subscribe(events::Subscribe),
    /// A number of nodes that do nothing.
    Fleet(fleet::Args),
    /// Registers a service over and over while another node waits for it.
    Discovery(life::Discovery),
    /// Small calls while large pages cross.
    Large(large::Args),
}

/// What all peers serve.
struct Echo;

impl Service for Echo {
    const METHODS: &[Method] = &[Method::Get];

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        Ok(json!({ "id": id, "title": "hello", "text": "x".repeat(100) }))
    }
}

fn config(redis: &str, app: &str) -> Result<Config> {
    let mut config = Config::loader().load()?;
    config.redis.url = RedisUrl::from(redis);
    app.clone_into(&mut config.app);
    Ok(config)
}

/// One figure, for whoever reads the output of this process.
fn figure(value: &Value) {
    println!("{value}");
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let redis = args.redis.as_str();
    match args.role {
        Role::Serve => {
            let app = App::new().register("echo", Echo).register("pages", large::Pages::new());
            let node = Node::builder(config(redis, "echo")?).app(app).start().await?;
            figure(&json!({ "ready": node.id() }));
            signal().await;
            node.shutdown().await
        }
        Role::Call(args) => calls::run(redis, &args).await,
        Role::Gateway(args) => life::serve_http(redis, &args).await,
        Role::Publish(args) => events::publish(redis, &args).await,
        Role::Subscribe(args) => events::subscribe(redis, &args).await,
        Role::Fleet(args) => fleet::run(redis, &args).await,
        Role::Discovery(args) => life::discovery(redis, &args).await,
        Role::Large(args) => large::run(redis, &args).await,
    }
}
