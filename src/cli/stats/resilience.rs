//! `rachis stats --resilience`: what limits, retries and circuit breakers have done.

use crate::cli::{
    Exit,
    exit::Failure,
    out::{self, Out},
};
use rachis::{NodeStats, ResilienceStats};
use serde_json::{Value, json};

/// Shows it by service and node.
pub(super) fn show(said: Vec<(String, NodeStats)>, paths: &[String], out: &mut Out) -> Result<Exit, Failure> {
    let of_nodes =
        said.into_iter().flat_map(|(node, stats)| stats.resilience.into_iter().map(move |one| (one, node.clone())));
    let mut rows: Vec<(ResilienceStats, String)> =
        of_nodes.filter(|(one, _)| paths.is_empty() || paths.contains(&one.path)).collect();
    rows.sort_by(|(one, node), (other, other_node)| (&one.path, node).cmp(&(&other.path, other_node)));
    if out.json {
        out.document(&rows.iter().map(document).collect::<Vec<_>>())?;
    } else if rows.is_empty() {
        out::say("no node has rate_limit, concurrency, retry or breaker in the section of a service");
    } else {
        let header = ["PATH", "NODE", "BREAKER", "OVER RATE", "OVER CONCURRENCY", "BY BREAKER", "RETRIES"];
        out.table(header, rows.iter().map(cells).collect())?;
    }
    Ok(Exit::Good)
}

fn document((one, node): &(ResilienceStats, String)) -> Value {
    json!({
        "path": one.path,
        "node": node,
        "breaker": one.breaker,
        "refused": {
            "rate_limit": one.refused_by_rate_limit,
            "concurrency": one.refused_by_concurrency,
            "breaker": one.refused_by_breaker,
        },
        "retries": one.retries,
    })
}

fn cells((one, node): &(ResilienceStats, String)) -> [String; 7] {
    [
        one.path.clone(),
        node.clone(),
        one.breaker.clone().unwrap_or_else(|| "-".to_owned()),
        one.refused_by_rate_limit.to_string(),
        one.refused_by_concurrency.to_string(),
        one.refused_by_breaker.to_string(),
        one.retries.to_string(),
    ]
}
