//! `rachis services`: what can be called.

use super::{
    Exit,
    exit::Failure,
    global::Global,
    observe,
    out::{self, Out, list},
};
use rachis::ServiceInfo;

/// List the services that can be called
///
/// The list is what a gateway with this configuration would serve: `remote_services` leaves out what it excludes. A
/// service without a healthy replica can still be called for its `linger`: calls wait. With --json: an array of objects
/// with path, key, app, methods, events, options, healthy, replicas (node ids) and since (ms since 1970).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    let node = observe::join(global).await?;
    let services = node.services();
    let namespace = node.config().namespace.clone();
    observe::leave(node).await;
    if out.json {
        out.document(&services)?;
    } else if services.is_empty() {
        out::say(&format!("no services in the mesh {namespace:?}"));
    } else {
        let header = ["PATH", "APP", "REPLICAS", "HEALTHY", "METHODS", "EVENTS"];
        out.table(header, services.iter().map(row).collect())?;
    }
    Ok(Exit::Good)
}

fn row(service: &ServiceInfo) -> [String; 6] {
    [
        service.path.clone(),
        format!("{}/{}", service.key, service.app),
        service.replicas.len().to_string(),
        if service.healthy { "yes" } else { "no" }.to_owned(),
        list(&service.methods),
        list(&service.events),
    ]
}
