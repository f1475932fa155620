//! `rachis info`: one service, and what serves it.

use super::{
    Exit,
    exit::Failure,
    global::Global,
    observe,
    out::{self, Out, age, list},
    request,
};
use rachis::{NodeInfo, ServiceInfo, ServiceSchemas};
use serde_json::json;

/// Show one service: what it offers, and its replicas
///
/// With --json: the object of `services --json`, with the nodes of `nodes --json` in place of their ids in
/// replicas, and schemas: the newest, or null.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service, e.g. todos or api/todos
    path: String,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    let node = observe::join(global).await?;
    let path = args.path.trim_matches('/');
    let service = node.services().into_iter().find(|service| service.path == path);
    let unserved = request::unserved(path, &node);
    let nodes = node.nodes();
    let schemas = match &service {
        Some(service) => node.schemas(&service.path).await,
        None => Ok(None),
    };
    observe::leave(node).await;
    let schemas = schemas.unwrap_or_else(|error| {
        out::say(&format!("warning: the schemas could not be read: {}", error.message()));
        None
    });
    let Some(service) = service else {
        return Err(Failure::Said(Exit::NoAnswer, unserved.message().to_owned()));
    };
    let replicas: Vec<NodeInfo> = nodes.into_iter().filter(|node| service.replicas.contains(&node.id)).collect();
    if out.json {
        let mut document = json!(service);
        document["replicas"] = json!(replicas);
        document["schemas"] = json!(schemas.as_ref().map(|found| &*found.schemas));
        out.document(&document)?;
    } else {
        show(&service, schemas.as_ref(), &replicas, out)?;
    }
    Ok(Exit::Good)
}

fn show(
    service: &ServiceInfo,
    schemas: Option<&ServiceSchemas>,
    replicas: &[NodeInfo],
    out: &mut Out,
) -> Result<(), Failure> {
    let options = serde_json::to_string(&service.options).unwrap_or_default();
    let facts = [
        ("path", service.path.clone()),
        ("app", format!("{}/{}", service.key, service.app)),
        ("methods", list(&service.methods)),
        ("events", list(&service.events)),
        ("options", if service.options.is_empty() { "-".to_owned() } else { options }),
        ("schemas", schemas.map_or_else(|| "-".to_owned(), told)),
        ("offered", format!("for {}", age(service.since))),
        ("healthy", if service.healthy { "yes" } else { "no: calls wait for a replica" }.to_owned()),
    ];
    for (name, value) in facts {
        out.line(format!("{name:<9} {value}"))?;
    }
    if !replicas.is_empty() {
        out.line("")?;
        out.table(["REPLICA", "HOST", "PID", "VERSION", "STATE", "UP"], replicas.iter().map(row).collect())?;
    }
    Ok(())
}

/// Which schemas are the newest, and how many replicas have others.
fn told(schemas: &ServiceSchemas) -> String {
    let hash = schemas.hash.get(..12).unwrap_or(&schemas.hash);
    let version = if schemas.version.is_empty() { "" } else { &format!(", of version {}", schemas.version) };
    let others: usize = schemas.others.iter().map(|other| other.replicas.len()).sum();
    let others = if others == 0 { String::new() } else { format!("; other ones on {others} replicas") };
    format!("{hash}{version}{others}; --json shows them")
}

fn row(node: &NodeInfo) -> [String; 6] {
    [
        node.id.clone(),
        node.host.clone(),
        node.pid.to_string(),
        if node.version.is_empty() { "-".to_owned() } else { node.version.clone() },
        if node.up { "up" } else { "draining" }.to_owned(),
        age(node.started),
    ]
}
