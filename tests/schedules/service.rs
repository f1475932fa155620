//! The services that are called, and the journal of what really ran.

use crate::trace::Trace;
use rachis::{App, Error, Id, Method, Params, Registration, Result, Service};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// One run of a method.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) tag: u64,
    /// The node that ran it.
    pub(crate) node: usize,
    pub(crate) started: Duration,
    pub(crate) ended: Option<Duration>,
}

/// What ran, in the order in which it began.
#[derive(Clone)]
pub(crate) struct Journal {
    book: Arc<Mutex<Book>>,
}

struct Book {
    begin: Instant,
    runs: Vec<Run>,
}

impl Journal {
    pub(crate) fn new() -> Journal {
        Journal { book: Arc::new(Mutex::new(Book { begin: Instant::now(), runs: Vec::new() })) }
    }

    /// From now on times count.
    pub(crate) fn begin(&self) {
        self.lock().begin = Instant::now();
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, tag: u64, node: usize) -> usize {
        let mut book = self.lock();
        let started = book.begin.elapsed();
        book.runs.push(Run { tag, node, started, ended: None });
        book.runs.len() - 1
    }

    fn end(&self, run: usize) {
        let mut book = self.lock();
        book.runs[run].ended = Some(book.begin.elapsed());
    }

    /// The runs with their numbers.
    pub(crate) fn runs(&self) -> Vec<Run> {
        self.lock().runs.clone()
    }
}

/// The app of a replica.
pub(crate) fn app(node: usize, journal: &Journal, trace: &Trace) -> App {
    let jobs = Jobs { node, journal: journal.clone(), trace: trace.clone() };
    App::new().register("jobs", jobs).register("ticker", Registration::from(Ticker).events(["tick"]))
}

struct Jobs {
    node: usize,
    journal: Journal,
    trace: Trace,
}

impl Jobs {
    async fn run(&self, method: &str, whole: &Value) -> Result<Value> {
        let tag = whole["tag"].as_u64().ok_or_else(|| Error::bad_request("no tag"))?;
        let run = self.journal.start(tag, self.node);
        self.trace.note(format_args!("node {} runs {method} of call {tag}", self.node));
        sleep(Duration::from_millis(whole["work"].as_u64().unwrap_or(0))).await;
        self.journal.end(run);
        self.trace.note(format_args!("node {} has run call {tag}", self.node));
        Ok(json!({ "tag": tag, "run": run }))
    }
}

impl Service for Jobs {
    const METHODS: &[Method] = &[Method::Get, Method::Create, Method::Update, Method::Patch, Method::custom("charge")];

    async fn get(&self, _: Id, params: Params) -> Result<Value> {
        self.run("get", &params.query.into()).await
    }
    async fn create(&self, data: Value, _: Params) -> Result<Value> {
        self.run("create", &data).await
    }
    async fn update(&self, _: Option<Id>, data: Value, _: Params) -> Result<Value> {
        self.run("update", &data).await
    }
    async fn patch(&self, _: Option<Id>, data: Value, _: Params) -> Result<Value> {
        self.run("patch", &data).await
    }
    async fn custom(&self, method: &str, data: Value, _: Params) -> Result<Value> {
        self.run(method, &data).await
    }
}

/// Has events and nothing else.
struct Ticker;

impl Service for Ticker {
    const METHODS: &[Method] = &[Method::Get];

    async fn get(&self, _: Id, _: Params) -> Result<Value> {
        Ok(Value::Null)
    }
}
