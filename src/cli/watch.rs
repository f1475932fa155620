//! `rachis watch`: what happens in the mesh, as it happens.

use super::{
    Exit,
    exit::Failure,
    global::{Global, duration},
    observe,
    out::{self, BAD, DIM, GOOD, Out, Text},
    plain,
};
use futures_util::{
    StreamExt,
    stream::{SelectAll, select_all},
};
use rachis::{Change, Event, EventStream, Node, NodeInfo, ServiceInfo, mask_secrets, signal};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

/// Show what happens in the mesh
///
/// Nodes and services as they come and go, and the events of the services that are named, also of those that come later.
/// What its name tells to be secret is shown as ***. Ends at Ctrl-C. With --json, one object a line: time and type, and with it node (node-up, node-down), service
/// (service, service-removed, health), or path, event and data (event).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Services whose events are shown
    path: Vec<String>,

    /// Show the events of every service
    #[arg(long, conflicts_with = "path")]
    events: bool,

    /// End after this long, e.g. 30s
    #[arg(long, value_name = "DUR", value_parser = duration)]
    r#for: Option<Duration>,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    let node = observe::join(global).await?;
    let mut changes = node.changes();
    let mut ears = Ears::new(args, &node);
    for service in node.services() {
        ears.listen(&service).await;
    }
    out::say(&format!(
        "watching {:?} (nodes: {}, services: {}); Ctrl-C ends",
        node.config().namespace,
        node.nodes().len(),
        node.services().len()
    ));
    let end = end(args.r#for);
    tokio::pin!(end);
    loop {
        tokio::select! {
            change = changes.next() => match change {
                Some(change) => {
                    show_change(&change, out)?;
                    if let Change::Service(service) = &change {
                        ears.listen(service).await;
                    }
                }
                None => break,
            },
            Some(event) = ears.streams.next(), if !ears.streams.is_empty() => show_event(&event, out)?,
            () = &mut end => break,
        }
    }
    drop(ears);
    observe::leave(node).await;
    Ok(Exit::Good)
}

async fn end(time: Option<Duration>) {
    match time {
        Some(time) => tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = signal() => {}
        },
        None => signal().await,
    }
}

/// The subscriptions, which grow with the mesh.
struct Ears<'a> {
    node: &'a Node,
    wanted: Vec<&'a str>,
    all: bool,
    /// Path, key and app: what a subscription is good for, also when the service goes and comes back.
    known: BTreeSet<(String, String, String)>,
    streams: SelectAll<EventStream>,
}

impl<'a> Ears<'a> {
    fn new(args: &'a Args, node: &'a Node) -> Self {
        let wanted = args.path.iter().map(|path| path.trim_matches('/')).collect();
        Ears { node, wanted, all: args.events, known: BTreeSet::new(), streams: select_all([]) }
    }

    async fn listen(&mut self, service: &ServiceInfo) {
        let wanted = self.all || self.wanted.contains(&service.path.as_str());
        if !wanted || !self.known.insert((service.path.clone(), service.key.clone(), service.app.clone())) {
            return;
        }
        match self.node.service(&service.path).on("*").await {
            Ok(stream) => self.streams.push(stream),
            Err(error) => tracing::debug!(path = %service.path, %error, "it is gone again"),
        }
    }
}

fn show_change(change: &Change, out: &mut Out) -> Result<(), Failure> {
    let (kind, about, good) = match change {
        Change::Service(service) => ("service", About::Service(service), true),
        Change::ServiceRemoved(service) => ("service-removed", About::Service(service), false),
        Change::Health(service) => ("health", About::Service(service), service.healthy),
        Change::NodeUp(node) => ("node-up", About::Node(node), true),
        Change::NodeDown(node) => ("node-down", About::Node(node), false),
        _ => return Ok(()),
    };
    if out.json {
        return Ok(out.document(&about.line(kind))?);
    }
    let kind = out.paint(if good { GOOD } else { BAD }, &format!("{kind:<15}"));
    show(out, kind, &about.text())
}

enum About<'a> {
    Service(&'a ServiceInfo),
    Node(&'a NodeInfo),
}

impl About<'_> {
    fn line(&self, kind: &str) -> Value {
        match self {
            About::Service(service) => json!({ "time": now(), "type": kind, "service": service }),
            About::Node(node) => json!({ "time": now(), "type": kind, "node": node }),
        }
    }

    fn text(&self) -> String {
        match self {
            About::Service(service) => {
                let health = if service.healthy { "healthy" } else { "no replica is up" };
                format!("{}  {}/{}  {health}", service.path, service.key, service.app)
            }
            About::Node(node) => format!("{}  {}/{}  {} pid {}", node.id, node.key, node.app, node.host, node.pid),
        }
    }
}

fn show_event(event: &Event, out: &mut Out) -> Result<(), Failure> {
    let mut data = event.data.clone();
    mask_secrets(&mut data);
    if out.json {
        let path = &event.path;
        let name = &event.name;
        let line = json!({ "time": now(), "type": "event", "path": path, "event": name, "data": data });
        return Ok(out.document(&line)?);
    }
    show(out, format!("{:<15}", event.name).into(), &format!("{}  {}", event.path, plain::json(&data)?))
}

fn show(out: &mut Out, kind: Text, text: &str) -> Result<(), Failure> {
    let time = out.paint(DIM, &now());
    Ok(out.line(time.then(kind).then(text))?)
}

fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}
