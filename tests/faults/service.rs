//! The services that are called: they note in the journal what runs, and take as long as the call says.

use crate::journal::{Pen, unix_ms};
use rachis::{App, Error, Handle, Id, Method, Params, Registration, Result, Service};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

/// Which version of the app a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Version {
    /// Has neither `patch` nor `charge` on `jobs`, and no `added`.
    Old,
    New,
    /// The same as `New`, in Node.js.
    JavaScript,
}

/// The services of a replica.
pub(crate) fn app(pen: Pen, version: Version) -> App {
    let jobs = Jobs { pen: Arc::new(pen) };
    let app = App::new().register("ticker", Registration::from(Ticker::default()).events(["tick"]));
    match version {
        Version::New | Version::JavaScript => app.register("jobs", jobs.clone()).register("added", jobs),
        Version::Old => {
            let methods = ["find", "get", "update", "remove", "create", "recount"];
            app.register("jobs", Registration::from(jobs).methods(methods))
        }
    }
}

#[derive(Clone)]
struct Jobs {
    pen: Arc<Pen>,
}

impl Jobs {
    /// What every method does: `whole` says which call this is and how long it takes, unless the id says the former.
    async fn run(&self, method: &str, id: Option<Id>, whole: &Value) -> Result<Value> {
        let tag = match &id {
            Some(id) => id.to_string().parse().ok(),
            None => number(&whole["tag"]),
        };
        let tag = tag.ok_or_else(|| Error::bad_request("no tag"))?;
        self.pen.started(tag, method);
        if let Some(work) = number(&whole["work"]).filter(|work| *work > 0) {
            tokio::time::sleep(Duration::from_millis(work)).await;
        }
        self.pen.ended(tag, method);
        Ok(json!({ "tag": tag, "pid": std::process::id() }))
    }
}

/// A number, which is text where it came in by a URL.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

impl Service for Jobs {
    const METHODS: &[Method] = &[
        Method::Find,
        Method::Get,
        Method::Create,
        Method::Update,
        Method::Patch,
        Method::Remove,
        Method::custom("charge"),
        Method::custom("recount"),
    ];
    const IDEMPOTENT: &[Method] = &[Method::custom("recount")];

    async fn find(&self, params: Params) -> Result<Value> {
        self.run("find", None, &params.query.into()).await
    }
    async fn get(&self, id: Id, params: Params) -> Result<Value> {
        self.run("get", Some(id), &params.query.into()).await
    }
    async fn create(&self, data: Value, _: Params) -> Result<Value> {
        self.run("create", None, &data).await
    }
    async fn update(&self, id: Option<Id>, data: Value, _: Params) -> Result<Value> {
        self.run("update", id, &data).await
    }
    async fn patch(&self, id: Option<Id>, data: Value, _: Params) -> Result<Value> {
        self.run("patch", id, &data).await
    }
    async fn remove(&self, id: Option<Id>, params: Params) -> Result<Value> {
        self.run("remove", id, &params.query.into()).await
    }
    async fn custom(&self, method: &str, data: Value, _: Params) -> Result<Value> {
        self.run(method, None, &data).await
    }
}

/// An event of the ticker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Tick {
    /// 0 is before it counts.
    pub(crate) round: u64,
    pub(crate) number: u64,
    /// When it was sent, in ms since 1970.
    pub(crate) sent_at: u64,
    /// When it was read.
    #[serde(skip_serializing, default = "unix_ms")]
    pub(crate) heard_at: u64,
}

impl Tick {
    fn new(round: u64, number: u64) -> Tick {
        Tick { round, number, sent_at: unix_ms(), heard_at: 0 }
    }
}

/// Emits numbered events at a steady rate, from `start { rate, round }` until `stop`, which returns the round and how many there were;
/// and one event with number 0 of round 0 for each `tick`.
#[derive(Clone, Default)]
struct Ticker {
    running: Arc<Mutex<Option<Running>>>,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<u64>,
    round: u64,
}

impl Ticker {
    fn start(&self, ticker: Handle, rate: u64, round: u64) {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let started = Instant::now();
            for number in 0.. {
                let due = started + Duration::from_micros(number * 1_000_000 / rate);
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = stopped.cancelled() => return number,
                }
                ticker.emit("tick", Tick::new(round, number)).expect("the event was declared");
            }
            unreachable!("numbers do not end")
        });
        *self.lock() = Some(Running { stop, task, round });
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service for Ticker {
    const METHODS: &[Method] = &[Method::custom("start"), Method::custom("stop"), Method::custom("tick")];

    async fn custom(&self, method: &str, data: Value, params: Params) -> Result<Value> {
        let ticker = params.service("ticker");
        match (method, number(&data["rate"]), number(&data["round"])) {
            // So that whoever starts several reaches each of them.
            ("start", Some(_), Some(_)) if self.lock().is_some() => return Err(Error::conflict("it ticks already")),
            ("start", Some(rate), Some(round)) => self.start(ticker, rate, round),
            ("tick", ..) => ticker.emit("tick", Tick::new(0, 0))?,
            ("stop", ..) => {
                let running = self.lock().take().ok_or_else(|| Error::bad_request("it does not tick"))?;
                running.stop.cancel();
                let events = running.task.await.map_err(Error::other)?;
                return Ok(json!({ "round": running.round, "events": events }));
            }
            _ => return Err(Error::bad_request("start needs rate and round")),
        }
        Ok(Value::Null)
    }
}
