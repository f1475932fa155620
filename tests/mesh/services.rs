//! Small services: one that shows what reached it, one that stands still until it is told, one that says its name.

use rachis::{Id, Method, Params, Result, Service};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::watch;

const EVERY: &[Method] = &[
    Method::Find,
    Method::Get,
    Method::Create,
    Method::Update,
    Method::Patch,
    Method::Remove,
    Method::custom("inspect"),
];

/// Implements every method of a service by one function `(self, method, id, data, params)`.
macro_rules! all_by {
    ($run:ident) => {
        async fn find(&self, params: Params) -> Result<Value> {
            self.$run("find", None, Value::Null, params).await
        }
        async fn get(&self, id: Id, params: Params) -> Result<Value> {
            self.$run("get", Some(id), Value::Null, params).await
        }
        async fn create(&self, data: Value, params: Params) -> Result<Value> {
            self.$run("create", None, data, params).await
        }
        async fn update(&self, id: Option<Id>, data: Value, params: Params) -> Result<Value> {
            self.$run("update", id, data, params).await
        }
        async fn patch(&self, id: Option<Id>, data: Value, params: Params) -> Result<Value> {
            self.$run("patch", id, data, params).await
        }
        async fn remove(&self, id: Option<Id>, params: Params) -> Result<Value> {
            self.$run("remove", id, Value::Null, params).await
        }
        async fn custom(&self, method: &str, data: Value, params: Params) -> Result<Value> {
            self.$run(method, None, data, params).await
        }
    };
}

/// Returns what it was called with.
pub(crate) struct Echo;

impl Service for Echo {
    const METHODS: &[Method] = EVERY;
    const EVENTS: &[&str] = &["shouted"];
    all_by!(seen);
}

impl Echo {
    async fn seen(&self, method: &str, id: Option<Id>, data: Value, params: Params) -> Result<Value> {
        Ok(json!({
            "method": method, "id": id, "data": data, "query": params.query, "provider": params.provider,
            "headers": params.headers, "route": params.route, "user": params.user,
            "authentication": params.authentication, "fromRemote": params.from_remote, "extra": params.extra,
        }))
    }
}

/// Says which replica or app it is.
pub(crate) struct Named(pub(crate) &'static str);

impl Service for Named {
    const METHODS: &[Method] = EVERY;
    const EVENTS: &[&str] = &["shouted"];
    all_by!(name);
}

impl Named {
    async fn name(&self, _: &str, _: Option<Id>, _: Value, _: Params) -> Result<Value> {
        Ok(self.0.into())
    }
}

/// Stands still in every method until it is opened, and counts.
#[derive(Clone)]
pub(crate) struct Gate {
    name: &'static str,
    inner: Arc<Inner>,
}

struct Inner {
    started: AtomicUsize,
    running: AtomicUsize,
    most: AtomicUsize,
    open: watch::Sender<bool>,
}

impl Gate {
    pub(crate) fn closed(name: &'static str) -> Self {
        let counts = || AtomicUsize::new(0);
        let inner = Inner { started: counts(), running: counts(), most: counts(), open: watch::Sender::new(false) };
        Gate { name, inner: Arc::new(inner) }
    }

    pub(crate) fn open(name: &'static str) -> Self {
        let gate = Gate::closed(name);
        gate.open_up();
        gate
    }

    pub(crate) fn open_up(&self) {
        self.inner.open.send_replace(true);
    }

    pub(crate) fn close(&self) {
        self.inner.open.send_replace(false);
    }

    /// Calls that have begun and not ended.
    pub(crate) fn running(&self) -> usize {
        self.inner.running.load(Ordering::SeqCst)
    }

    /// Calls that were ever started.
    pub(crate) fn started(&self) -> usize {
        self.inner.started.load(Ordering::SeqCst)
    }

    /// The most calls that ran at once.
    pub(crate) fn most(&self) -> usize {
        self.inner.most.load(Ordering::SeqCst)
    }

    async fn pass(&self, _: &str, _: Option<Id>, _: Value, _: Params) -> Result<Value> {
        self.inner.started.fetch_add(1, Ordering::SeqCst);
        let now = self.inner.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.inner.most.fetch_max(now, Ordering::SeqCst);
        let _ = self.inner.open.subscribe().wait_for(|open| *open).await;
        self.inner.running.fetch_sub(1, Ordering::SeqCst);
        Ok(self.name.into())
    }
}

impl Service for Gate {
    const METHODS: &[Method] = EVERY;
    all_by!(pass);
}

/// Panics in every method.
pub(crate) struct Bomb;

impl Service for Bomb {
    const METHODS: &[Method] = EVERY;
    all_by!(explode);
}

impl Bomb {
    async fn explode(&self, _: &str, _: Option<Id>, _: Value, _: Params) -> Result<Value> {
        panic!("a bomb that a test has set")
    }
}
