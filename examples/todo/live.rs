//! Events, sent to users who logged in: over Socket.IO by channels, and as server-sent events for pages without
//! the official client.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{
        IntoResponse, Response, Sse,
        sse::{self, KeepAlive},
    },
};
use futures_util::{Stream, StreamExt, stream};
use rachis::{
    ALL, Change, Error, EventStream, MemoryService, Method, Node, NodeInfo, Params, Registration, Result, ServiceExt,
    auth::{Authentication, Identity, parse_header},
    gateway::Channels,
    schema::Schemas,
    signal,
};
use serde_json::{Value, json};
use std::{convert::Infallible, future::pending, sync::Arc};

/// The services whose events are told.
const TOLD: [&str; 2] = ["todos", "nodes"];
const MEMBERS: &str = "authenticated";

/// A socket joins when it logs in; one that logs out has left all channels by itself.
pub(crate) fn channels() -> Channels {
    let channels = Channels::new().on_login(|login, channels| {
        if let Some(connection) = login.connection {
            channels.channel(MEMBERS).join(connection);
        }
    });
    TOLD.iter().fold(channels, |channels, path| channels.publish_service(path, |_, channels| channels.channel(MEMBERS)))
}

/// The nodes of the mesh as records, so that clients hear of those that come and go like of anything else.
pub(crate) fn nodes(auth: &Authentication) -> Registration {
    let nodes = MemoryService::new().methods([Method::Find]).before(ALL, auth.authenticate("jwt"));
    nodes.local_only().schemas(Schemas::new())
}

/// Keeps the records true until this node leaves.
pub(crate) async fn follow_nodes(node: Node) {
    let mut changes = node.changes();
    for known in node.nodes() {
        add(&node, known).await;
    }
    while let Some(change) = changes.next().await {
        match change {
            Change::NodeUp(other) => add(&node, other).await,
            Change::NodeDown(other) => {
                // One that is not there has never been up.
                let _ = node.service("nodes").remove(other.id).await;
            }
            _ => {}
        }
    }
}

async fn add(node: &Node, other: NodeInfo) {
    let record = json!({ "id": other.id, "app": other.app, "pid": other.pid });
    // One that is there already has only changed.
    let _ = node.service("nodes").create(record).await;
}

/// `GET /events` with a token: every event, for as long as the page is open and the token is good.
pub(crate) async fn events(State((node, auth)): State<(Node, Authentication)>, headers: HeaderMap) -> Response {
    let identity = match identify(&node, &auth, &headers).await {
        Ok(identity) => identity,
        Err(error) => {
            let status = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return (status, Json(error.to_json())).into_response();
        }
    };
    let over = async move {
        match identity.remaining() {
            Some(time) => tokio::time::sleep(time).await,
            None => pending().await,
        }
    };
    let events = stream::select_all(TOLD.map(|path| Box::pin(all_of(node.clone(), path))));
    let events = events.map(|event| Ok::<_, Infallible>(sse::Event::default().data(event.to_string())));
    let events = events.take_until(async {
        tokio::select! { () = over => {}, () = signal() => {} }
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

async fn identify(node: &Node, auth: &Authentication, headers: &HeaderMap) -> Result<Identity> {
    let header = headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok());
    let sent = header.and_then(parse_header).ok_or_else(|| Error::not_authenticated("Not authenticated"))?;
    let token = sent["accessToken"].as_str().unwrap_or_default();
    auth.verify(token, Params::default().with_provider("rest"), Arc::new(node.clone())).await
}

fn all_of(node: Node, path: &'static str) -> impl Stream<Item = Value> {
    stream::unfold(node, move |node| async move { Some((subscribe(&node, path).await?, node)) })
        .flatten()
        .map(move |event| json!({ "service": path, "event": event.name, "data": event.data }))
}

/// Subscribes as soon as a node serves the path; `None` when this node leaves.
async fn subscribe(node: &Node, path: &str) -> Option<EventStream> {
    loop {
        if let Ok(events) = node.service(path).on("*").await {
            return Some(events);
        }
        tokio::select! {
            biased;
            () = node.closing() => return None,
            _ = node.wait_for(path) => {}
        }
    }
}
