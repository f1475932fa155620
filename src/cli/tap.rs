//! `rachis tap`: calls, as they happen.

use super::{
    Exit,
    exit::Failure,
    global::{Global, duration},
    observe,
    out::{self, BAD, DIM, GOOD, Out, latency},
};
use futures_util::{StreamExt, stream};
use rachis::{ErrorKind, Node, NodeInfo, Tapped, TappedCall, signal};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

const EXAMPLES: &str = "\
Examples:
  rachis tap                       every call of the nodes that permit it
  rachis tap todos users --errors  those of two services that fail
  rachis tap --for 10s --json      ten seconds of them, for another program
";

/// How often nodes are asked. They keep calls for five seconds.
const PAUSE: Duration = Duration::from_millis(500);
/// Nodes that are asked at once.
const ASKED: usize = 32;

/// Show calls as they happen
///
/// Each call is told by the node that made it, if the configuration of that node permits it (`tap = true`): its service, method,
/// outcome, time, and the app and transport it came from. Never its data, query, id, user or what an error says. A node keeps
/// 1,000 calls for whoever watches; what it had to drop is counted on stderr. Ends at Ctrl-C. With --json, one object a
/// line: time, path, method, outcome, code (of errors), micros, app, node and provider.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Services whose calls are shown [default: all]
    path: Vec<String>,

    /// Show only calls of this app
    #[arg(long, value_name = "APP")]
    app: Option<String>,

    /// Show only calls that fail
    #[arg(long)]
    errors: bool,

    /// End after this long, e.g. 30s
    #[arg(long, value_name = "DUR", value_parser = duration)]
    r#for: Option<Duration>,
}

pub(crate) async fn run(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Failure> {
    let node = observe::join(global).await?;
    let end = async {
        match args.r#for {
            Some(time) => tokio::select! {
                () = tokio::time::sleep(time) => {}
                () = signal() => {}
            },
            None => signal().await,
        }
    };
    let watched = tokio::select! {
        watched = watch(args, &node, out) => watched,
        () = end => Ok(()),
    };
    observe::leave(node).await;
    watched.map(|()| Exit::Good)
}

/// Asks nodes again and again; ends where none of them permits it.
async fn watch(args: &Args, node: &Node, out: &mut Out) -> Result<(), Failure> {
    let mut from: BTreeMap<String, u64> = BTreeMap::new();
    let mut refused = BTreeSet::new();
    let mut is_told = false;
    loop {
        let wanted = |info: &NodeInfo| args.app.as_ref().is_none_or(|app| *app == info.app);
        let nodes: Vec<NodeInfo> = node.nodes().into_iter().filter(wanted).collect();
        let asked =
            nodes.iter().filter(|info| !refused.contains(&info.id)).map(|info| (info, from.get(&info.id).copied()));
        let said = stream::iter(asked).map(async |(info, from)| (info, node.peer(&info.id).tap(from).await));
        let said: Vec<_> = said.buffer_unordered(ASKED).collect().await;
        let mut calls = Vec::new();
        for (info, said) in said {
            match said {
                Ok(Tapped { calls: told, next, dropped, .. }) => {
                    from.insert(info.id.clone(), next);
                    if dropped > 0 {
                        out::say(&format!("{dropped} calls of {} came faster than they could be told", info.id));
                    }
                    calls.extend(told.into_iter().map(|call| (call, info)));
                }
                Err(error) if matches!(error.kind(), ErrorKind::Forbidden | ErrorKind::MethodNotAllowed) => {
                    refused.insert(info.id.clone());
                }
                Err(error) => out::say(&format!("warning: {}", error.message())),
            }
        }
        if !nodes.is_empty() && nodes.iter().all(|info| refused.contains(&info.id)) {
            return Err(Failure::failed(
                "no node permits it: set `tap = true` in the configuration of those to be watched",
            ));
        }
        if !std::mem::replace(&mut is_told, true) {
            let watched = nodes.iter().filter(|info| !refused.contains(&info.id)).count();
            out::say(&format!("watching calls of {watched} of {} nodes; Ctrl-C ends", nodes.len()));
        }
        calls.sort_by_key(|(call, _)| call.at);
        for (call, info) in calls.iter().filter(|(call, _)| args.shows(call)) {
            show(call, info, out)?;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Args {
    fn shows(&self, call: &TappedCall) -> bool {
        let is_meant = self.path.is_empty() || self.path.iter().any(|path| path.trim_matches('/') == call.path);
        is_meant && (!self.errors || call.code.is_some())
    }
}

fn show(call: &TappedCall, info: &NodeInfo, out: &mut Out) -> Result<(), Failure> {
    let time = humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + Duration::from_millis(call.at)).to_string();
    if out.json {
        let line = json!({
            "time": time,
            "path": call.path,
            "method": call.method,
            "outcome": call.outcome,
            "code": call.code,
            "micros": u64::try_from(call.took.as_micros()).unwrap_or(u64::MAX),
            "app": format!("{}/{}", info.key, info.app),
            "node": info.id,
            "provider": call.provider,
        });
        return Ok(out.document(&line)?);
    }
    let (style, outcome) = match call.code {
        None => (GOOD, "ok".to_owned()),
        Some(code) => (BAD, format!("{code} {}", call.outcome)),
    };
    let time = out.paint(DIM, &time);
    let outcome = out.paint(style, &format!("{outcome:<18}"));
    let by = call.provider.as_deref().map(|provider| format!(" by {provider}")).unwrap_or_default();
    let text = format!("{:>8}  {} {}  {}/{}{by}", latency(call.took), call.method, call.path, info.key, info.app);
    Ok(out.line(time.then(outcome).then(&text))?)
}
