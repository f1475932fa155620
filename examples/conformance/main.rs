//! Services that show every corner of what Feathers clients may meet, behind one gateway.
//!
//! The checks in `tests/clients` run the official Feathers clients against it. In one process:
//!
//! ```text
//! cargo run --features cli --example conformance -- --port 3030 --redis redis://127.0.0.1:6379
//! ```
//!
//! The same in two, where every call but those of `authentication` crosses the mesh:
//!
//! ```text
//! cargo run --features cli --example conformance -- --role services --redis redis://127.0.0.1:6379
//! cargo run --features cli --example conformance -- --role gateway --port 3030 --redis redis://127.0.0.1:6379
//! ```
//!
//! `--store URL` keeps `people` and `people-customid` in a database.
//!
//! Everything else is configured as usual, by `distribution.toml` and the environment.

mod channels;
mod described;
mod echo;
mod failures;
mod hooks_order;
mod messages;
mod meta;
mod people;
mod readonly;
mod users;

use clap::{Parser, ValueEnum};
use rachis::{
    App, Config, MemoryService, Method, Node, Registration, ServiceExt,
    auth::Authentication,
    config::RedisUrl,
    gateway::{Gateway, serve},
    schema::Schemas,
    signal,
};
use std::error::Error;
use tokio::net::TcpListener;

#[derive(Parser)]
struct Args {
    /// The port to serve HTTP on, at the loopback address; 0 takes any free one.
    #[arg(long, default_value_t = 3030)]
    port: u16,
    /// The Redis that all processes share; the configured one if missing.
    #[arg(long)]
    redis: Option<RedisUrl>,
    /// What this process does.
    #[arg(long, value_enum, default_value_t = Role::Both)]
    role: Role,
    /// Serves `described` as well, of which data and queries are described by a schema.
    #[arg(long)]
    described: bool,
    /// The database that keeps `people` and `people-customid`: `sqlite://…`, `postgres://…` or `mysql://…`.
    #[arg(long)]
    store: Option<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Role {
    /// Everything.
    Both,
    /// HTTP, sockets and the service that logs in; all others are found on the mesh.
    Gateway,
    /// The services, without HTTP.
    Services,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let people = people(&args).await?;
    let Args { port, redis, role, described, .. } = args;
    let mut config = Config::load()?;
    if let Some(url) = redis {
        config.redis.url = url;
    }
    if config.app.is_empty() {
        // Replicas of one app take each other's calls, so what does different things must have different names.
        config.app = match role {
            Role::Both => "conformance".into(),
            Role::Gateway => "conformance-gateway".into(),
            Role::Services => "conformance-services".into(),
        };
    }

    let auth = users::authentication()?;
    let app = match role {
        Role::Both => services(&auth, people).register("authentication", auth),
        Role::Gateway => App::new().register("authentication", auth),
        Role::Services => services(&auth, people),
    };
    let app = if described { app.register("described", described::described()) } else { app };
    let node = Node::builder(config).app(app).start().await?;
    if role == Role::Services {
        println!("serving {} services", node.app().paths().len());
        node.run_until_signal().await?;
    } else {
        serve_http(&node, port).await?;
    }
    Ok(())
}

/// The services `people` and `people-customid`, in memory or in a database.
async fn people(args: &Args) -> rachis::Result<[Registration; 2]> {
    if let Some(url) = args.store.as_deref().filter(|_| args.role != Role::Gateway) {
        let pool = rachis_sql::Pool::open(url)?;
        people::tables(&pool).await?;
        let by_custom_id = people::in_database(&pool, "people_customid", "customid");
        return Ok([people::in_database(&pool, "people", "id"), by_custom_id]);
    }
    Ok([people::in_memory("id"), people::in_memory("customid")])
}

fn services(auth: &Authentication, [people, people_customid]: [Registration; 2]) -> App {
    let app = App::new()
        .register("people", people)
        .register("people-customid", people_customid)
        .register("messages", messages::messages())
        .register("echo", Registration::dynamic(echo::Echo))
        .register("api/v1/echo", Registration::dynamic(echo::Echo))
        .register("orgs/:orgId/echo", Registration::dynamic(echo::Echo))
        .register("failures", failures::Failures)
        .register("readonly", readonly::Readonly)
        .register("meta", meta::meta())
        .register("users", users::users(auth))
        .register("secured", users::secured(auth))
        .register("notes", MemoryService::new().schemas(Schemas::new()))
        .register("muted", muted());
    hooks_order::add(app)
}

/// Records that are created without an event.
fn muted() -> Registration {
    let muted = MemoryService::new().after(Method::Create, async |mut ctx: rachis::Context| {
        ctx.event = None;
        Ok(ctx)
    });
    muted.schemas(Schemas::new())
}

async fn serve_http(node: &Node, port: u16) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let web = Gateway::with_channels(node, channels::channels());
    serve(listener, web).config(node.config()).with_graceful_shutdown(signal()).await?;
    node.shutdown().await?;
    Ok(())
}
