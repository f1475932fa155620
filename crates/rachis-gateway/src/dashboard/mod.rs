//! The page that shows the mesh to those who run it, and the services that it reads.
//!
//! The page is a client of Feathers like any other: what it shows comes by services of this process, over Socket.IO, and the
//! hook before them decides who may look. Nodes keep their last hour themselves and are asked for it while someone looks.

mod access;
mod cache;
mod collector;
mod feed;
mod listing;
mod nodes;
mod overview;
pub(crate) mod page;
mod queues;
mod series;
mod services;

use access::Access;
use cache::Cached;
use collector::Collector;
use feed::{Feed, Happenings};
use nodes::Nodes;
use overview::{Overview, Traffic};
use queues::{DeadLetters, Queues};
use rachis_core::{ALL, Registration};
use rachis_mesh::Node;
use services::Services;
use std::{sync::Arc, time::Duration};

/// How long what Redis said of beats and of queues is shown to others who look.
const BEATS: Duration = Duration::from_secs(1);
const QUEUES: Duration = Duration::from_secs(3);

/// Registers the services of the dashboard, if the configuration wants one. They stay in this process.
pub(crate) fn install(node: &Node) {
    let config = &node.config().gateway;
    let dashboard = &config.dashboard;
    if !dashboard.enabled {
        return;
    }
    if dashboard.anonymous {
        tracing::warn!(writable = dashboard.writable, "gateway.dashboard.anonymous: everyone may look at this mesh");
    }
    let path = dashboard.path.trim_matches('/');
    let collector = Collector::new(node.downgrade(), path.to_owned());
    let all = Arc::new(Cached::new(QUEUES));
    let (own, writable) = (path.to_owned(), dashboard.writable);
    let services: [(&str, Registration); 7] = [
        ("nodes", Nodes { collector: collector.clone(), beats: Cached::new(BEATS) }.into()),
        ("services", Services { collector: collector.clone(), dashboard: own.clone() }.into()),
        ("overview", Overview { collector: collector.clone(), dashboard: own, writable }.into()),
        ("feed", Feed(Happenings::new(node.downgrade(), path.to_owned())).into()),
        ("traffic", Traffic { collector: collector.clone() }.into()),
        ("queues", Queues { collector: collector.clone(), all: all.clone() }.into()),
        ("dead-letters", DeadLetters { collector, all, writable }.into()),
    ];
    let access = Access::new(config);
    for (name, service) in services {
        let registration = service.before(ALL, access.clone()).local_only();
        // A second gateway of one node finds them there.
        if let Err(error) = node.app().try_register(&format!("{path}/{name}"), registration) {
            tracing::warn!(%error, "a service of the dashboard is not registered");
        }
    }
}

/// Returns `true` for what belongs to the dashboard of this gateway: services at such paths tell of others, and are not told of.
pub(crate) fn is_own(node: &Node, path: &str) -> bool {
    let dashboard = &node.config().gateway.dashboard;
    dashboard.enabled && is_below(dashboard.path.trim_matches('/'), path)
}

fn is_below(dashboard: &str, path: &str) -> bool {
    path.strip_prefix(dashboard).is_some_and(|rest| rest.starts_with('/'))
}
