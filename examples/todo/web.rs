//! The gateway: REST for every service of the mesh, live events, and a page that shows it all.

use crate::PATIENCE;
use axum::{
    Router,
    extract::State,
    response::{
        Html, Sse,
        sse::{self, KeepAlive},
    },
    routing::get,
};
use futures_util::{Stream, StreamExt, future::ready, stream};
use rachis::{
    App, Change, Config, Context, EventStream, Next, Node, NodeInfo, Result,
    gateway::{gateway, serve},
    signal,
};
use serde_json::{Value, json};
use std::{convert::Infallible, time::Instant};

/// Serves until it is told to stop.
pub(crate) async fn run(mut config: Config) -> Result<()> {
    if config.app.is_empty() {
        config.app = "todo-gateway".into();
    }
    let listener = tokio::net::TcpListener::bind(&config.gateway.listen).await?;
    // Hooks of an app go around remote services too. A check of tokens would stand here, as `.before(ALL, authenticate)`:
    // it reads `ctx.params.headers["authorization"]`, sets `ctx.params.user`, or fails with `Error::not_authenticated`.
    let app = App::new().around(log);
    let node = Node::builder(config).app(app).connect_within(PATIENCE).start().await?;
    let web = Router::new()
        .route("/", get(async || Html(include_str!("page.html"))))
        .route("/events", get(events))
        .with_state(node.clone())
        .merge(gateway(&node));
    println!("gateway on http://{}", listener.local_addr()?);
    serve(listener, web, signal(), node.config().shutdown.grace).await?;
    node.shutdown().await
}

/// Prints every call and how it went.
async fn log(ctx: Context, next: Next) -> Result<Context> {
    let (call, started) = (format!("{} {}", ctx.method, ctx.path), Instant::now());
    let outcome = next.run(ctx).await;
    match &outcome {
        Ok(_) => println!("{call}: ok after {:.1?}", started.elapsed()),
        Err(error) => println!("{call}: {error} after {:.1?}", started.elapsed()),
    }
    outcome
}

/// What happens to todos and to nodes, for as long as the page is open.
async fn events(State(node): State<Node>) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let nodes = node.changes().filter_map(|change| ready(node_event(change)));
    let todos = stream::unfold(node, |node| async { Some((subscribe(&node).await?, node)) })
        .flatten()
        .map(|event| json!({ "event": event.name, "data": event.data }));
    let events = stream::select(todos, nodes).map(|event| Ok(sse::Event::default().data(event.to_string())));
    Sse::new(events.take_until(signal())).keep_alive(KeepAlive::default())
}

/// Subscribes to the todos as soon as somebody serves them; `None` when this node leaves.
async fn subscribe(node: &Node) -> Option<EventStream> {
    loop {
        if let Ok(events) = node.service("todos").on("*").await {
            return Some(events);
        }
        tokio::select! {
            biased;
            () = node.closing() => return None,
            _ = node.wait_for("todos") => {}
        }
    }
}

fn node_event(change: Change) -> Option<Value> {
    let event = |name: &str, node: NodeInfo| json!({ "event": name, "data": { "app": node.app, "pid": node.pid } });
    match change {
        Change::NodeUp(node) => Some(event("node-up", node)),
        Change::NodeDown(node) => Some(event("node-down", node)),
        _ => None,
    }
}
