//! `rachis stats`: what was called how often, and how long it took.

mod resilience;

use super::{
    Exit,
    exit::Failure,
    global::{Global, duration},
    observe,
    out::{self, Out, latency},
};
use futures_util::future::join_all;
use rachis::{Latencies, MethodStats, Node, NodeStats, signal};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

const EXAMPLES: &str = "\
Examples:
  rachis stats                    since the nodes were started, as callers saw it
  rachis stats todos --for 10s    what the next ten seconds bring
  rachis stats --served --by-node what each replica ran for other nodes
  rachis stats --resilience       what limits, retries and circuit breakers do
";

/// Show calls, errors and latencies by service and method
///
/// Counted by every node that made a call, gateways included: the time is what its caller waited. A percentile is off by an
/// eighth at most. A node that does not answer within --timeout is named on stderr, and left out. With --json: an array of
/// objects with path, method, node (with --by-node), calls, errors, seconds (with --for) and p50, p95, p99 (microseconds); with
/// --resilience: path, node, breaker, refused (an object with rate_limit, concurrency, breaker) and retries.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Services to show [default: all]
    path: Vec<String>,

    /// Count for this long from now on, e.g. 10s, instead of since the start of each node
    #[arg(long, value_name = "DUR", value_parser = duration)]
    r#for: Option<Duration>,

    /// What replicas ran for other nodes, without the way there
    #[arg(long)]
    served: bool,

    /// Each node by itself
    #[arg(long)]
    by_node: bool,

    /// Instead, what each node has refused and made again by the sections of services in its configuration
    #[arg(long, conflicts_with_all = ["for", "served", "by_node"])]
    resilience: bool,
}

/// What was counted of one method, by path, method and node.
type Counted = BTreeMap<(String, String, String), Sum>;

#[derive(Default)]
struct Sum {
    errors: u64,
    latencies: Latencies,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    let node = observe::join(global).await?;
    if args.resilience {
        let said = read(&node).await;
        observe::leave(node).await;
        return resilience::show(said, &args.path, out);
    }
    let mut counted = args.count(&read(&node).await);
    if let Some(time) = args.r#for {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = signal() => {}
        }
        counted = since(args.count(&read(&node).await), &counted);
    }
    let namespace = node.config().namespace.clone();
    observe::leave(node).await;
    let rows = args.told(counted);
    if out.json {
        out.document(&rows.iter().map(|row| args.document(row)).collect::<Vec<_>>())?;
    } else if rows.is_empty() {
        out::say(&format!("no calls in the mesh {namespace:?}"));
    } else if args.by_node {
        let cells = |row: &Row| {
            let [calls, errors, p50, p95, p99] = row.figures(args.r#for);
            [row.path.clone(), row.method.clone(), row.node.clone(), calls, errors, p50, p95, p99]
        };
        let header = ["PATH", "METHOD", "NODE", args.calls(), "ERRORS", "P50", "P95", "P99"];
        out.table(header, rows.iter().map(cells).collect())?;
    } else {
        let cells = |row: &Row| {
            let [calls, errors, p50, p95, p99] = row.figures(args.r#for);
            [row.path.clone(), row.method.clone(), calls, errors, p50, p95, p99]
        };
        let header = ["PATH", "METHOD", args.calls(), "ERRORS", "P50", "P95", "P99"];
        out.table(header, rows.iter().map(cells).collect())?;
    }
    Ok(Exit::Good)
}

/// Asks every node.
async fn read(node: &Node) -> Vec<(String, NodeStats)> {
    let nodes = node.nodes();
    let said = join_all(nodes.iter().map(async |known| node.peer(&known.id).stats().await)).await;
    let told = nodes.into_iter().zip(said).filter_map(|(known, said)| match said {
        Ok(stats) => Some((known.id, stats)),
        Err(error) => {
            out::say(&format!("warning: {}", error.message()));
            None
        }
    });
    told.collect()
}

/// What was counted after `earlier`.
fn since(counted: Counted, earlier: &Counted) -> Counted {
    let later = counted.into_iter().map(|(of, sum)| match earlier.get(&of) {
        Some(before) => {
            let latencies = sum.latencies.since(&before.latencies);
            // A node that was started anew has counted fewer.
            let errors = sum.errors.checked_sub(before.errors).unwrap_or(sum.errors);
            (of, Sum { errors, latencies })
        }
        None => (of, sum),
    });
    later.filter(|(_, sum)| sum.latencies.count() > 0).collect()
}

impl Args {
    fn count(&self, nodes: &[(String, NodeStats)]) -> Counted {
        let mut counted = Counted::new();
        for (node, stats) in nodes {
            for method in self.methods(stats) {
                let of = (method.path.clone(), method.method.clone(), node.clone());
                counted.insert(of, Sum { errors: method.errors, latencies: method.latencies.clone() });
            }
        }
        counted
    }

    fn methods<'a>(&'a self, stats: &'a NodeStats) -> impl Iterator<Item = &'a MethodStats> {
        let counted = if self.served { &stats.requests } else { &stats.calls };
        counted.iter().filter(|method| self.path.is_empty() || self.path.contains(&method.path))
    }

    /// Adds up the nodes, unless each is wanted.
    fn told(&self, counted: Counted) -> Vec<Row> {
        let mut sums = Counted::new();
        for ((path, method, node), counted) in counted {
            let node = if self.by_node { node } else { String::new() };
            let sum = sums.entry((path, method, node)).or_default();
            sum.errors += counted.errors;
            sum.latencies.add(&counted.latencies);
        }
        sums.into_iter().map(|((path, method, node), sum)| Row { path, method, node, sum }).collect()
    }

    fn calls(&self) -> &'static str {
        if self.r#for.is_some() { "CALLS/S" } else { "CALLS" }
    }

    fn document(&self, row: &Row) -> Value {
        let percentile = |share| row.sum.latencies.percentile(share).map(|time| time.as_micros());
        let mut document = json!({
            "path": row.path,
            "method": row.method,
            "calls": row.sum.latencies.count(),
            "errors": row.sum.errors,
            "p50": percentile(0.5),
            "p95": percentile(0.95),
            "p99": percentile(0.99),
        });
        if self.by_node {
            document["node"] = json!(row.node);
        }
        if let Some(time) = self.r#for {
            document["seconds"] = json!(time.as_secs_f64());
        }
        document
    }
}

struct Row {
    path: String,
    method: String,
    node: String,
    sum: Sum,
}

impl Row {
    fn figures(&self, time: Option<Duration>) -> [String; 5] {
        let count = self.sum.latencies.count();
        let calls = match time {
            #[allow(clippy::cast_precision_loss)] // of what a person reads
            Some(time) => format!("{:.1}", count as f64 / time.as_secs_f64().max(f64::MIN_POSITIVE)),
            None => count.to_string(),
        };
        let percentile = |share| self.sum.latencies.percentile(share).map_or_else(|| "-".to_owned(), latency);
        [calls, self.sum.errors.to_string(), percentile(0.5), percentile(0.95), percentile(0.99)]
    }
}
