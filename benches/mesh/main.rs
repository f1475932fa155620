//! The processes that `scripts/bench.sh` measures: each role is one process of a mesh, and prints its figures, one JSON
//! object a line.
//!
//! ```sh
//! cargo bench --bench mesh -- serve --redis redis://127.0.0.1:6379
//! cargo bench --bench mesh -- call --redis redis://127.0.0.1:6379 --callers 64 --seconds 3
//! ```

mod calls;
mod discovery;
mod events;
mod fleet;
mod instructions;
mod large;
#[path = "../load.rs"]
mod load;
mod loss;
mod service;

use clap::{Parser, Subcommand};
use rachis::{Config, Result, config::RedisUrl};
use serde_json::Value;
use tokio::runtime::Builder;

// As the `rachis` binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One process of a benchmark.
#[derive(Parser)]
struct Args {
    /// The Redis that all of them share.
    #[arg(long, global = true, default_value = "redis://127.0.0.1:6379")]
    redis: String,
    /// `cargo bench` adds it.
    #[arg(long, global = true, hide = true)]
    bench: bool,
    /// Threads of its runtime. One where calls are measured, as the yardsticks have it, and so that what runs does not depend
    /// on which task woke first; else one for each core.
    #[arg(long, global = true)]
    threads: Option<usize>,
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Serves what the others call, until it is told to stop.
    Serve(service::Args),
    /// Calls `echo` by a number of callers, each again and again.
    Call(calls::Args),
    /// Small calls while large pages cross.
    Large(large::Args),
    /// Fires events to a number of nodes.
    Events(events::Args),
    /// Registers a service over and over while another node waits for it.
    Discovery(discovery::Args),
    /// Kills one of two replicas under load.
    Loss,
    /// A number of nodes that do nothing, all of which restart when a line comes from stdin.
    Fleet(fleet::Args),
    /// A fixed number of calls between two nodes of this process, for a profiler.
    Instructions(instructions::Args),
}

/// The defaults of the product, and what the environment says.
fn config(redis: &str, app: &str) -> Result<Config> {
    let mut config = Config::loader().load()?;
    config.redis.url = RedisUrl::from(redis);
    app.clone_into(&mut config.app);
    Ok(config)
}

/// Prints one figure, for the program that reads the output of this process.
fn figure(value: &Value) {
    println!("{value}");
}

fn main() -> Result<()> {
    let args = Args::parse();
    let one = matches!(args.role, Role::Serve(_) | Role::Call(_) | Role::Instructions(_));
    let mut runtime = match args.threads.or(one.then_some(1)) {
        Some(1) => Builder::new_current_thread(),
        threads => {
            let mut runtime = Builder::new_multi_thread();
            if let Some(threads) = threads {
                runtime.worker_threads(threads.max(1));
            }
            runtime
        }
    };
    runtime.enable_all().build().map_err(rachis::Error::other)?.block_on(run(&args.redis, args.role))
}

async fn run(redis: &str, role: Role) -> Result<()> {
    match role {
        Role::Serve(args) => service::run(redis, &args).await,
        Role::Call(args) => calls::run(redis, &args).await,
        Role::Large(args) => large::run(redis, &args).await,
        Role::Events(args) => events::run(redis, &args).await,
        Role::Discovery(args) => discovery::run(redis, &args).await,
        Role::Loss => loss::run(redis).await,
        Role::Fleet(args) => fleet::run(redis, &args).await,
        Role::Instructions(args) => instructions::run(redis, &args).await,
    }
}
