//! Rachis: discovery, RPC and real-time events for services, with one shared Redis as the only thing between them.
//!
//! # Hello world
//!
//! A service in one process:
//!
//! ```no_run
//! use rachis::{App, Config, Id, Method, Node, Params, Result, Service};
//! use serde_json::{Value, json};
//!
//! struct Greetings;
//!
//! impl Service for Greetings {
//!     const METHODS: &[Method] = &[Method::Get];
//!
//!     async fn get(&self, name: Id, _: Params) -> Result<Value> {
//!         Ok(json!({ "text": format!("Hello, {name}!") }))
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<()> {
//!     let app = App::new().register("greetings", Greetings);
//!     let node = Node::builder(Config::load()?).app(app).start().await?;
//!     node.run_until_signal().await
//! }
//! ```
//!
//! and its caller in another, which knows no more than the path and where Redis is:
//!
//! ```no_run
//! # async fn run() -> rachis::Result<()> {
//! use rachis::{Config, Node};
//!
//! let node = Node::builder(Config::load()?).start().await?;
//! node.wait_for("greetings").await?;
//! println!("{}", node.service("greetings").get("Ada").await?["text"]);
//! # Ok(()) }
//! ```
//!
//! `start` waits for Redis as long as it takes, and logs a warning while it does, for a program that has set up `tracing`;
//! [`connect_within`](NodeBuilder::connect_within) bounds the wait.
//!
//! Three nouns carry the rest: a [`Service`] has methods, an [`App`] is the services of one process, a [`Node`] is an
//! app on the mesh.
//!
//! # Services
//!
//! A service is a path, up to six standard methods and any number of custom ones on one kind of record, as in FeathersJS:
//!
//! | method | what it does | event |
//! |---|---|---|
//! | `find` | many records, chosen by a query | |
//! | `get` | one record | |
//! | `create` | a new record | `created` |
//! | `update` | replaces a record | `updated` |
//! | `patch` | changes some fields | `patched` |
//! | `remove` | deletes a record | `removed` |
//!
//! Implement [`Service`] with plain `async fn`s over JSON values, or [`TypedService`] with types of your own.
//! [`MemoryService`] is a complete one for prototypes and tests; [`query`] is the engine below it, for services over other
//! stores. Only what [`Service::METHODS`] lists can be called from outside.
//!
//! A custom method has a name and takes data:
//!
//! ```
//! use rachis::{App, Error, Method, Params, Result, Service};
//! use serde_json::{Value, json};
//!
//! struct Mails;
//!
//! impl Service for Mails {
//!     const METHODS: &[Method] = &[Method::custom("send")];
//!     const EVENTS: &[&str] = &["sent"];
//!
//!     async fn custom(&self, method: &str, data: Value, params: Params) -> Result<Value> {
//!         let to = data["to"].as_str().ok_or_else(|| Error::bad_request(format!("`to` is missing: {method} needs an address")))?;
//!         params.service("mails").emit("sent", json!({ "to": to }))?;
//!         Ok(json!({ "sent": true }))
//!     }
//! }
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let mails = App::new().register("mails", Mails).service("mails");
//! assert_eq!(mails.custom("send", json!({ "to": "Ada" })).await?["sent"], true);
//! assert_eq!(mails.custom("send", json!({})).await.unwrap_err().code(), 400);
//! # Ok::<(), Error>(()) }).unwrap();
//! ```
//!
//! Methods fail with an [`Error`], which has Feathers' classes, HTTP codes and JSON, on whatever node it is caught.
//!
//! # Hooks
//!
//! A [`Hook`] is code before a call, after it, or for its failure: `async fn(Context) -> Result<Context>`. An
//! [`AroundHook`] runs the rest itself: `async fn(Context, Next) -> Result<Context>`. Hooks belong to an app, to a service,
//! or (see [`NodeBuilder`]) to all remote services. A closure names the type of its parameter, `async |ctx: Context| ..`;
//! one that needs state is registered by [`before_with`](Registration::before_with) and its like, which hand it a clone.
//!
//! ```
//! use rachis::{ALL, App, Context, Error, MemoryService, Method, Next, Result, ServiceExt};
//! use serde_json::json;
//!
//! async fn trace(ctx: Context, next: Next) -> Result<Context> {
//!     let call = format!("{} {}", ctx.method, ctx.path);
//!     let outcome = next.run(ctx).await;
//!     println!("{call} {}", if outcome.is_ok() { "went well" } else { "failed" });
//!     outcome
//! }
//!
//! let todos = MemoryService::new().before(Method::Create, async |mut ctx: Context| {
//!     if !ctx.data["text"].is_string() {
//!         return Err(Error::unprocessable("A todo needs a text"));
//!     }
//!     ctx.data["done"] = false.into();
//!     Ok(ctx)
//! });
//! let app = App::new().around(ALL, trace).register("todos", todos);
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let todos = app.service("todos");
//! assert_eq!(todos.create(json!({ "text": "write" })).await?, json!({ "text": "write", "done": false, "id": 0 }));
//! assert_eq!(todos.create(json!({})).await.unwrap_err().message(), "A todo needs a text");
//! # Ok::<(), Error>(()) }).unwrap();
//! ```
//!
//! A `result` set before the method skips it; one set in an error hook recovers. `dispatch` is what clients of a gateway
//! and listeners of events get instead of `result`. [`Context`] and its [`Parts`] tell the rest.
//!
//! # Calling
//!
//! [`App::service`], [`Node::service`] and, in hooks and methods, [`Context::service`] and [`Params::service`] return a
//! [`Handle`]. Its methods make a [`CallBuilder`]: a call you may still configure, then await.
//!
//! ```
//! use rachis::{App, MemoryService};
//! use serde::Deserialize;
//! use serde_json::json;
//! use std::time::Duration;
//!
//! #[derive(Deserialize)]
//! struct Todo { id: u32, text: String }
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let todos = App::new().register("todos", MemoryService::new()).service("todos");
//! let todo: Todo = todos.create(json!({ "text": "write" })).json().await?;
//! let found = todos.find().query(json!({ "text": todo.text })).timeout(Duration::from_secs(2)).await?;
//! assert_eq!(found[0]["id"], todo.id);
//! # Ok::<(), rachis::Error>(()) }).unwrap();
//! ```
//!
//! The caller can not tell where a service runs. What can only happen to a remote call is an error of its own:
//! [`Timeout`](ErrorKind::Timeout) when no answer came in time, [`Unavailable`](ErrorKind::Unavailable) when the replica
//! that had it died or Redis is away, [`TooManyRequests`](ErrorKind::TooManyRequests) when a queue is full,
//! [`PayloadTooLarge`](ErrorKind::PayloadTooLarge) when it is too big to travel. [`Error::outcome`] says whether the call
//! ran, where that is the question. Replicas that die are replaced for `find`, `get`, `update`, `remove` and what
//! [`Service::IDEMPOTENT`] lists; nothing else runs twice. [`CallBuilder::idempotency_key`] makes other calls safe to
//! repeat.
//!
//! # Events
//!
//! A successful call of `create`, `update`, `patch` or `remove` fires an event; [`Handle::emit`] fires those of a service's
//! own. [`Handle::on`] is a stream of them, from all replicas of the service:
//!
//! ```
//! use rachis::{App, MemoryService};
//! use serde_json::json;
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let todos = App::new().register("todos", MemoryService::new()).service("todos");
//! let mut created = todos.on("created").await?;
//! todos.create(json!({ "text": "write" })).await?;
//! assert_eq!(created.next().await.unwrap().data["text"], "write");
//! # Ok::<(), rachis::Error>(()) }).unwrap();
//! ```
//!
//! Dropping the stream unsubscribes. A listener that missed events for good gets one named [`RESYNC`].
//!
//! # The mesh
//!
//! All nodes with one Redis and one `namespace` are a mesh. Nodes of one `key` and `app` (by default the name of the
//! executable) are replicas: each call goes to one of them that has time for it. A node knows the others:
//!
//! ```no_run
//! # async fn run(node: rachis::Node) {
//! use futures_util::StreamExt;
//! use rachis::Change;
//!
//! for service in node.services() {
//!     println!("{} by {}: {} replicas", service.path, service.app, service.replicas.len());
//! }
//! let mut changes = node.changes();
//! while let Some(change) = changes.next().await {
//!     match change {
//!         Change::NodeUp(other) => println!("{} on {} came", other.app, other.host),
//!         Change::NodeDown(other) => println!("{} on {} went", other.app, other.host),
//!         _ => {}
//!     }
//! }
//! # }
//! ```
//!
//! [`NodeBuilder`] decides what is published, which remote services are believed in and under what path, and puts hooks
//! and tower layers around them. A node is a `tower::Service<Call>` itself. [`Node::shutdown`] leaves in good order.
//! [`Node::dead_letters`] are the requests that no replica could finish.
//!
//! # The gateway
//!
//! [`gateway::Gateway`] is a tower service that serves every service of the mesh by REST and Socket.IO, and health and
//! readiness beside; alone, or as the fallback of an axum router:
//!
//! ```no_run
//! # async fn run(node: rachis::Node) -> rachis::Result<()> {
//! use rachis::{gateway::{Gateway, serve}, signal};
//!
//! let listener = tokio::net::TcpListener::bind(&node.config().gateway.listen).await?;
//! serve(listener, Gateway::new(&node)).config(node.config()).with_graceful_shutdown(signal()).await?;
//! # Ok(()) }
//! ```
//!
//! Sockets hear the events that [`gateway::Channels`] let them hear; without any, nothing is sent. [`auth`] has
//! logins, tokens, and the hooks that check them.
//!
//! # Configuration
//!
//! [`Config::load`] reads defaults, `distribution.toml` and the environment; [`config`] tells how, and its default file
//! says of each key what it means and costs. A [`Config`] is a plain struct, so code may change what it likes:
//!
//! ```
//! use rachis::{Config, config::RedisUrl};
//!
//! let mut config = Config::default();
//! config.app = "shop".into();
//! config.redis.url = RedisUrl::from("redis://redis:6379");
//! ```
//!
//! What happens is said by `tracing`; a program that wants to see it sets up a subscriber.
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | brings |
//! |---|---|
//! | `auth` | [`auth`]; included in `gateway` |
//! | `gateway` | [`gateway`](mod@gateway) |
//! | `tls` | `rediss://` URLs, and keys of identity providers over https |
//! | `aws` | [`aws`]: ElastiCache with IAM; includes `tls` |
//! | `schema` | [`schema`]: data and queries checked by JSON Schema |
//! | `garde` | [`schema::Validated`]: data checked by rules beyond types; includes `schema` |
//! | `docs` | a page at the gateway that shows what the services offer; includes `gateway` and `schema` |
//! | `cli` | the `rachis` binary; includes `docs`, `gateway`, `schema` and `tls` |
//!
//! # Testing
//!
//! An [`App`] works without a mesh, so services and hooks are tested like any function. The crate `rachis-testing` runs a
//! whole mesh in one process, on a `redis-server` of its own; `cluster_with` configures each node, and `gateway` (a feature)
//! serves the mesh over HTTP. Each `config()` of it is a mesh of its own: nodes that are to meet are given clones of one.
//!
//! ```no_run
//! use rachis::{App, MemoryService};
//! use rachis_testing::cluster;
//!
//! #[tokio::test]
//! async fn calls_cross_nodes() {
//!     let [_todos, other] = cluster([App::new().register("todos", MemoryService::new()), App::new()]).await;
//!     assert_eq!(other.service("todos").find().await.unwrap().as_array().unwrap().len(), 0);
//! }
//! ```

#[cfg(feature = "auth")]
#[doc(inline)]
pub use rachis_auth as auth;
pub use rachis_config as config;
#[doc(inline)]
pub use rachis_config::Config;
#[doc(inline)]
pub use rachis_core::*;
#[cfg(feature = "gateway")]
#[doc(inline)]
pub use rachis_gateway as gateway;
#[cfg(feature = "aws")]
pub use rachis_mesh::aws;
/// redis-rs, by whose traits the connections of [`Node::redis`] are used.
#[doc(no_inline)]
pub use rachis_mesh::redis_rs as redis;
#[doc(hidden)] // for the command line
pub use rachis_mesh::server_warnings;
#[doc(inline)]
pub use rachis_mesh::{
    CallService, Change, CredentialProvider, Credentials, DeadCall, DeadLetter, DeadLetters, Latencies, MadeCalls,
    MethodStats, Node, NodeBuilder, NodeHistory, NodeInfo, NodeSample, NodeStats, Peer, QueueInfo, Readiness,
    RedisConnection, RedisManager, RedisPool, RedisPoolError, RedisSession, Reloaded, Replay, ResilienceStats,
    Resolved, ServedCalls, ServiceInfo, Tapped, TappedCall, signal,
};
#[cfg(feature = "schema")]
#[doc(inline)]
pub use rachis_mesh::{OtherSchemas, ServiceSchemas};
#[cfg(feature = "sql")]
#[doc(inline)]
pub use rachis_sql as sql;

/// The programs of README and book are compiled with the documentation's.
#[cfg(all(doctest, feature = "gateway"))]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/promises.md")]
    struct Promises;
    #[doc = include_str!("../docs/clients.md")]
    struct Clients;
    #[doc = include_str!("../docs/resilience.md")]
    struct Resilience;
    #[doc = include_str!("../docs/redis.md")]
    struct Redis;
    #[cfg(feature = "schema")]
    #[doc = include_str!("../docs/schemas.md")]
    struct Schemas;
    #[cfg(feature = "schema")]
    #[doc = include_str!("../docs/describing.md")]
    struct Describing;
}
