//! The gateway: logins, REST and Socket.IO for every service of the mesh, and a page that shows it all.

use crate::{
    PATIENCE,
    live::{self, events},
    login,
};
use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use rachis::{
    ALL, App, Config, Context, Next, Node, Result, ServiceExt,
    gateway::{Gateway, serve},
    signal,
};
use std::time::Instant;

/// Where `npm ci` puts the official client. It is part of neither the repository nor the program.
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/todo/client/node_modules");
const FEATHERS: &str = "@feathersjs/client/dist/feathers.min.js";
// Not the smaller one, whose options have other names inside: the Feathers client looks there for the time a call has.
const SOCKET_IO: &str = "socket.io-client/dist/socket.io.js";

/// Serves until it is told to stop.
pub(crate) async fn run(mut config: Config) -> Result<()> {
    if config.app.is_empty() {
        config.app = "todo-gateway".into();
    }
    let listener = tokio::net::TcpListener::bind(&config.gateway.listen).await?;
    let auth = login::authentication()?;
    let app = App::new()
        .around(ALL, log)
        .register("authentication", auth.clone().local_only())
        .register("users", login::users(&auth))
        .register("nodes", live::nodes(&auth));
    login::add_user(&app).await?;
    // The replicas take this node's word for the caller, so everything they serve needs a login here.
    let guard = auth.authenticate("jwt");
    let node = Node::builder(config).app(app).remote_before(ALL, guard).connect_within(PATIENCE).start().await?;
    tokio::spawn(live::follow_nodes(node.clone()));
    let web = Router::new()
        .route("/events", get(events))
        .with_state((node.clone(), auth))
        .merge(page())
        .fallback_service(Gateway::with_channels(&node, live::channels()));
    println!("gateway on http://{}", listener.local_addr()?);
    serve(listener, web).config(node.config()).with_graceful_shutdown(signal()).await?;
    node.shutdown().await
}

/// Prints every call of a client and how it went.
async fn log(ctx: Context, next: Next) -> Result<Context> {
    if ctx.params.is_internal() {
        return next.run(ctx).await;
    }
    let call = format!("{} {}", ctx.method, ctx.path);
    let started = Instant::now();
    let outcome = next.run(ctx).await;
    match &outcome {
        Ok(_) => println!("{call}: ok after {:.1?}", started.elapsed()),
        Err(error) => println!("{call}: {error} after {:.1?}", started.elapsed()),
    }
    outcome
}

fn page() -> Router {
    Router::new()
        .route("/", get(async || Html(include_str!("page/index.html"))))
        .route("/page/style.css", get(async || ([(CONTENT_TYPE, "text/css")], include_str!("page/style.css"))))
        .route("/page/app.js", get(async || script(include_str!("page/app.js"))))
        .route("/page/connections.js", get(async || script(include_str!("page/connections.js"))))
        .route("/client/feathers.js", get(async || client(FEATHERS).await))
        .route("/client/socket.io.js", get(async || client(SOCKET_IO).await))
}

/// A file of the official client; without it the page does with what browsers have.
async fn client(file: &str) -> Response {
    match tokio::fs::read_to_string(format!("{CLIENT}/{file}")).await {
        Ok(text) => script(text),
        Err(_) => (StatusCode::NOT_FOUND, "Not installed: npm ci --prefix examples/todo/client").into_response(),
    }
}

fn script(text: impl IntoResponse) -> Response {
    ([(CONTENT_TYPE, "text/javascript")], text).into_response()
}
