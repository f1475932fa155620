//! Other nodes as operators address them, one by one.

use super::{history::NodeHistory, questions::Questions, respondent::name};
use crate::node::shared::latencies::Latencies;
use rachis_core::Result;
use serde_json::{Value, json};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// One node of the mesh, as operators address it: see [`Node::peer`](crate::Node::peer).
///
/// It is asked through its inbox in Redis, needs no port, and answers while it is busy with calls. The time it has is the
/// configured `timeout` of the node that asks.
#[derive(Clone)]
pub struct Peer {
    questions: Arc<Questions>,
    id: String,
    time: Duration,
}

/// What a node has done since it was started: see [`Peer::stats`].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct NodeStats {
    /// How long it has run.
    pub uptime: Duration,
    /// `starting`, `ready`, `degraded` or `draining`.
    pub readiness: String,
    /// Requests of other nodes that run there now.
    pub in_flight: u64,
    /// The most that may (`limits.max_in_flight`).
    pub max_in_flight: u64,
    /// Its own calls that wait for a reply of another node now.
    pub pending: u64,
    /// Events that it published to other nodes.
    pub events_out: u64,
    /// Events that it heard from other nodes.
    pub events_in: u64,
    /// Requests that ran there after a replica that is gone got them.
    pub redeliveries: u64,
    /// Requests that it gave up and kept as dead letters.
    pub dead_letters: u64,
    /// The calls that it made, of services there and elsewhere.
    pub calls: Vec<MethodStats>,
    /// The requests of other nodes that ran there.
    pub requests: Vec<MethodStats>,
    /// What stands around its calls of single services, by configuration.
    pub resilience: Vec<ResilienceStats>,
}

/// What limits, retries and the circuit breaker of one service have done on a node, since its configuration says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResilienceStats {
    /// The service, as that node calls it.
    pub path: String,
    /// `closed`, `open` or `half-open`; `None` where it has no circuit breaker.
    pub breaker: Option<String>,
    /// Calls that were not made since there were too many in that second (`rate_limit`).
    pub refused_by_rate_limit: u64,
    /// Calls that were not made since too many were under way (`concurrency`).
    pub refused_by_concurrency: u64,
    /// Calls that were not made since too many had failed (`breaker`).
    pub refused_by_breaker: u64,
    /// Calls that were made again after they had failed.
    pub retries: u64,
}

/// What a node has counted of one method.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct MethodStats {
    /// The service, as it was registered; `(others)` for all beyond the first 500.
    pub path: String,
    /// The method.
    pub method: String,
    /// How many of them failed.
    pub errors: u64,
    /// How many there were, and how long they took.
    pub latencies: Latencies,
}

/// Calls that a node made: see [`Peer::tap`].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Tapped {
    /// The calls, in the order in which they ended.
    pub calls: Vec<TappedCall>,
    /// The number to go on from.
    pub next: u64,
    /// How many calls from the number asked for on were dropped.
    pub dropped: u64,
    /// `true` if there are further ones by now.
    pub more: bool,
}

/// A call that a node made, without anything that its caller chose.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TappedCall {
    /// When it ended, in ms since 1970 by Redis's clock.
    pub at: u64,
    /// The service, as it was registered.
    pub path: String,
    /// The method; `(other)` for one that the service does not offer.
    pub method: String,
    /// `ok`, or the name of the error.
    pub outcome: String,
    /// The code of the error.
    pub code: Option<u16>,
    /// How long its caller waited.
    pub took: Duration,
    /// The transport it came in by; `None` for a call made by code.
    pub provider: Option<String>,
}

impl Peer {
    pub(crate) fn new(questions: Arc<Questions>, id: &str, time: Duration) -> Self {
        Peer { questions, id: id.to_owned(), time }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Measures the way there and back: through Redis, to the program's runtime, and through Redis again.
    ///
    /// # Errors
    /// `NotFound` where the mesh has no such node, and `Timeout` where it does not answer.
    pub async fn ping(&self) -> Result<Duration> {
        let asked = Instant::now();
        self.ask(name::PING, Value::Null).await?;
        Ok(asked.elapsed())
    }

    /// Reads what it has counted since it was started.
    ///
    /// # Errors
    /// As of [`ping`](Self::ping).
    pub async fn stats(&self) -> Result<NodeStats> {
        let said = self.ask(name::STATS, Value::Null).await?;
        Ok(NodeStats::read(&said))
    }

    /// Reads what it keeps of its last hour, from after that moment on (ms since 1970 by Redis's clock; 0 for all), in parts: the
    /// next one is read after the last sample of this one.
    ///
    /// ```no_run
    /// # async fn run(node: rachis::Node) -> rachis::Result<()> {
    /// let peer = node.peer(node.id());
    /// let mut last = 0;
    /// loop {
    ///     let part = peer.history(last).await?;
    ///     for sample in &part.samples {
    ///         println!("{}: {} requests under way", sample.at, sample.in_flight);
    ///         last = sample.at;
    ///     }
    ///     if !part.more {
    ///         return Ok(());
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// As of [`ping`](Self::ping); `MethodNotAllowed` where it is of a version that keeps none.
    pub async fn history(&self, after: u64) -> Result<NodeHistory> {
        let said = self.ask(name::HISTORY, json!({ "after": after })).await?;
        Ok(NodeHistory::read(&said))
    }

    /// Reads the calls that it made from that number on, and has it keep further ones for five seconds; without a number it begins
    /// to. What is not read in time is dropped and counted, and a node keeps 1,000 calls at most. There is nothing in a call
    /// that its caller chose.
    ///
    /// ```no_run
    /// # async fn run(node: rachis::Node) -> rachis::Result<()> {
    /// let peer = node.peer(node.id());
    /// let mut next = None;
    /// loop {
    ///     let part = peer.tap(next).await?;
    ///     for call in part.calls {
    ///         println!("{} {} {} {:?}", call.path, call.method, call.outcome, call.took);
    ///     }
    ///     next = Some(part.next);
    ///     tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// As of [`ping`](Self::ping); `Forbidden` unless [`tap`](rachis_config::Config::tap) of its configuration permits it.
    pub async fn tap(&self, from: Option<u64>) -> Result<Tapped> {
        let said = self.ask(name::TAP, json!({ "from": from })).await?;
        Ok(Tapped::read(&said))
    }

    /// Lets it log by another level, written as `log.level` is, until its configuration changes or it is started anew.
    ///
    /// # Errors
    /// As of [`ping`](Self::ping); `MethodNotAllowed` where its program takes no level at run time, `BadRequest` for what
    /// is no level.
    pub async fn set_log_level(&self, level: &str) -> Result<()> {
        self.ask(name::LOG, level.into()).await.map(drop)
    }

    /// Tells it to leave the mesh in good order, as [`Node::shutdown`](crate::Node::shutdown) does there. A program that
    /// waits in [`Node::run_until_signal`](crate::Node::run_until_signal) ends with it; others see
    /// [`Node::closing`](crate::Node::closing).
    ///
    /// Returns as soon as the node knows; it leaves the catalog when its calls have ended.
    ///
    /// # Errors
    /// As of [`ping`](Self::ping).
    pub async fn drain(&self) -> Result<()> {
        self.ask(name::DRAIN, Value::Null).await.map(drop)
    }

    async fn ask(&self, name: &str, argument: Value) -> Result<Value> {
        self.questions.ask(&self.id, name, argument, self.time).await
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({})", self.id)
    }
}

impl NodeStats {
    /// What another version says and this one does not know is left out, and 0 stands for what it does not say.
    fn read(said: &Value) -> Self {
        let number = |name: &str| said[name].as_u64().unwrap_or(0);
        let methods = |name: &str| said[name].as_array().into_iter().flatten().filter_map(MethodStats::read).collect();
        NodeStats {
            uptime: Duration::from_millis(number("uptime")),
            readiness: said["readiness"].as_str().unwrap_or_default().to_owned(),
            in_flight: number("in_flight"),
            max_in_flight: number("max_in_flight"),
            pending: number("pending"),
            events_out: number("events_out"),
            events_in: number("events_in"),
            redeliveries: number("redeliveries"),
            dead_letters: number("dead_letters"),
            calls: methods("calls"),
            requests: methods("requests"),
            resilience: said["resilience"].as_array().into_iter().flatten().filter_map(ResilienceStats::read).collect(),
        }
    }
}

impl ResilienceStats {
    fn read(said: &Value) -> Option<Self> {
        let refused = |by: &str| said["refused"][by].as_u64().unwrap_or(0);
        Some(ResilienceStats {
            path: said["path"].as_str()?.to_owned(),
            breaker: said["breaker"].as_str().map(str::to_owned),
            refused_by_rate_limit: refused("rate_limit"),
            refused_by_concurrency: refused("concurrency"),
            refused_by_breaker: refused("breaker"),
            retries: said["retries"].as_u64().unwrap_or(0),
        })
    }
}

impl Tapped {
    fn read(said: &Value) -> Self {
        Tapped {
            calls: said["calls"].as_array().into_iter().flatten().filter_map(TappedCall::read).collect(),
            next: said["next"].as_u64().unwrap_or(0),
            dropped: said["dropped"].as_u64().unwrap_or(0),
            more: said["more"].as_bool().unwrap_or(false),
        }
    }
}

impl TappedCall {
    fn read(said: &Value) -> Option<Self> {
        let text = |place: usize| said[place].as_str().map(str::to_owned);
        Some(TappedCall {
            at: said[0].as_u64()?,
            path: text(1)?,
            method: text(2)?,
            outcome: text(3)?,
            code: said[4].as_u64().and_then(|code| u16::try_from(code).ok()),
            took: Duration::from_micros(said[5].as_u64()?),
            provider: text(6),
        })
    }
}

impl MethodStats {
    fn read(said: &Value) -> Option<Self> {
        Some(MethodStats {
            path: said["path"].as_str()?.to_owned(),
            method: said["method"].as_str()?.to_owned(),
            errors: said["errors"].as_u64()?,
            latencies: Latencies::from_json(&said["latencies"])?,
        })
    }
}
