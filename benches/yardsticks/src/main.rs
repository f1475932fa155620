//! One request and one reply, and nothing else: what the design of Rachis could give at most, and what NATS gives.
//!
//! ```sh
//! cargo run --release -- serve redis-rs 127.0.0.1:6379 &
//! cargo run --release -- call redis-rs 127.0.0.1:6379 --callers 1,16,64,256 --seconds 2
//! ```

#[path = "../../load.rs"]
mod load;
mod nats;
mod raw;
mod redis_rs;
mod resp;
mod streams;

use clap::{Parser, ValueEnum};
use serde_json::json;
use std::time::Duration;
use tokio::runtime::Builder;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// One process of a yardstick.
#[derive(Parser)]
struct Args {
    role: Role,
    transport: Transport,
    /// host:port of Redis or nats-server.
    address: String,
    /// For `serve`: consumers that share the requests, each with connections of its own.
    #[arg(long, default_value_t = 1)]
    replicas: usize,
    /// For `call`: callers at once; of several numbers, one measurement each.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    callers: Vec<usize>,
    /// For `call`: how long each measurement lasts.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Threads of its runtime. For programs that do so little one was measured faster than two.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Role {
    Serve,
    Call,
}

#[derive(Clone, Copy, ValueEnum)]
enum Transport {
    /// Two streams of Redis, by hand-written RESP.
    Raw,
    /// The same by redis-rs.
    RedisRs,
    /// NATS, by async-nats.
    Nats,
}

/// Whoever asks.
trait Caller: Clone + Send + Sync + 'static {
    /// One request, by the caller of that number; whether it was answered.
    fn call(&self, caller: usize) -> impl Future<Output = bool> + Send;
}

fn main() -> Outcome<()> {
    let args = Args::parse();
    let mut runtime = match args.threads {
        1 => Builder::new_current_thread(),
        threads => {
            let mut runtime = Builder::new_multi_thread();
            runtime.worker_threads(threads.max(1));
            runtime
        }
    };
    runtime.enable_all().build()?.block_on(run(args))
}

async fn run(args: Args) -> Outcome<()> {
    let address = &args.address;
    let most = args.callers.iter().copied().max().unwrap_or(1);
    match (args.role, args.transport) {
        (Role::Serve, Transport::Raw) => raw::serve(address, args.replicas).await,
        (Role::Serve, Transport::RedisRs) => redis_rs::serve(address, args.replicas).await,
        (Role::Serve, Transport::Nats) => nats::serve(address, args.replicas).await,
        (Role::Call, Transport::Raw) => measure(raw::Client::connect(address, most).await?, &args).await,
        (Role::Call, Transport::RedisRs) => measure(redis_rs::Client::connect(address, most).await?, &args).await,
        (Role::Call, Transport::Nats) => measure(nats::Client::connect(address).await?, &args).await,
    }
}

async fn measure(caller: impl Caller, args: &Args) -> Outcome<()> {
    for &callers in &args.callers {
        let call = {
            let caller = caller.clone();
            move |number| {
                let caller = caller.clone();
                async move { caller.call(number).await }
            }
        };
        println!("{}", load::measure(callers, Duration::from_secs_f64(args.seconds), call).await.figure());
    }
    Ok(())
}

/// Tells whoever started this process that requests will be answered.
fn ready() {
    println!("{}", json!({ "ready": true }));
}

/// Ends a process whose connection is gone; nothing that it could measure then means anything.
fn give_up(error: impl std::fmt::Display) -> ! {
    eprintln!("error: {error}");
    std::process::exit(1)
}
