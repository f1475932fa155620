//! The services that are called: they note in the journal what runs, and take as long as the call says.

use crate::journal::Pen;
use rachis::{App, Error, Event, Id, Method, Params, Registration, Result, Service};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// Which version of the app a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Version {
    /// Has neither `patch` nor `charge` on `jobs`, and no `added`.
    Old,
    New,
}

/// The services of a replica.
pub(crate) fn app(pen: Pen, version: Version) -> App {
    let jobs = Jobs { pen: Arc::new(pen) };
    let app = App::new().register("ticker", Registration::from(Ticker).events(["tick"]));
    match version {
        Version::New => app.register("jobs", jobs.clone()).register("added", jobs),
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

/// Emits numbered events at a steady rate for as long as it is told: `start { rate, count }`.
#[derive(Clone)]
struct Ticker;

impl Service for Ticker {
    const METHODS: &[Method] = &[Method::custom("start")];

    async fn custom(&self, _: &str, data: Value, params: Params) -> Result<Value> {
        let (Some(rate), Some(count)) = (number(&data["rate"]), number(&data["count"])) else {
            return Err(Error::bad_request("no rate or count"));
        };
        let ticker = params.service("ticker");
        tokio::spawn(async move {
            let started = tokio::time::Instant::now();
            for number in 0..count {
                tokio::time::sleep_until(started + Duration::from_micros(number * 1_000_000 / rate)).await;
                ticker.emit("tick", json!({ "number": number })).expect("the event was declared");
            }
        });
        Ok(Value::Null)
    }
}

/// The number of an event of the ticker.
pub(crate) fn ticked(event: &Event) -> Option<u64> {
    event.data["number"].as_u64()
}
