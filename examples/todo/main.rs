//! A todo list: any number of replicas of one service, found by a gateway that also serves a page.
//!
//! ```sh
//! cargo run --features docs --example todo -- service      # as often as you like
//! cargo run --features docs --example todo -- gateway      # then open http://127.0.0.1:3030/
//! ```
//!
//! Both need a Redis (`--redis URL`, else `REDIS_URL`, else the local one). `scripts/demo.sh` starts all of it.

mod live;
mod login;
mod todos;
mod web;

use rachis::{Config, Result, config::RedisUrl};
use std::{process::ExitCode, time::Duration};

const USAGE: &str = "Usage: todo service [--redis URL]
       todo gateway [--redis URL] [--port PORT]";

/// How long to look for Redis before giving up with a message.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    let Some(arguments) = Arguments::read(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let mut config = Config::load()?;
    if let Some(url) = &arguments.redis {
        config.redis.url = RedisUrl::from(url.as_str());
    }
    if let Some(port) = arguments.port {
        config.gateway.listen = format!("127.0.0.1:{port}");
    }
    match arguments.role {
        Role::Service => todos::run(config).await,
        Role::Gateway => web::run(config).await,
    }
}

enum Role {
    Service,
    Gateway,
}

struct Arguments {
    role: Role,
    redis: Option<String>,
    port: Option<u16>,
}

impl Arguments {
    fn read(mut given: impl Iterator<Item = String>) -> Option<Self> {
        let role = match given.next()?.as_str() {
            "service" => Role::Service,
            "gateway" => Role::Gateway,
            _ => return None,
        };
        let mut arguments = Arguments { role, redis: None, port: None };
        while let Some(name) = given.next() {
            let value = given.next()?;
            match name.as_str() {
                "--redis" => arguments.redis = Some(value),
                "--port" => arguments.port = Some(value.parse().ok()?),
                _ => return None,
            }
        }
        Some(arguments)
    }
}
