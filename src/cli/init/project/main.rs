//! Serves `SERVICE` to the mesh. As many of this program as wanted may run: each answers a part of the calls.

use rachis::{App, Config, Error, Id, Listing, Method, Node, Params, Result, Typed, TypedService};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the service keeps.
#[derive(Clone, Serialize)]
struct Record {
    id: usize,
    text: String,
}

/// What a record is made of.
#[derive(Deserialize)]
struct NewRecord {
    text: String,
}

/// Records in the memory of one process: put a database in its place before a second one runs.
#[derive(Default)]
struct Records(Mutex<Vec<Record>>);

impl Records {
    fn all(&self) -> MutexGuard<'_, Vec<Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TypedService for Records {
    const METHODS: &'static [Method] = &[Method::Find, Method::Get, Method::Create];
    type Record = Record;
    type Create = NewRecord;
    type Patch = NewRecord;

    async fn find(&self, _: Params) -> Result<Listing<Record>> {
        Ok(self.all().clone().into())
    }

    async fn get(&self, id: Id, _: Params) -> Result<Record> {
        let found = self.all().iter().find(|record| record.id.to_string() == id.to_string()).cloned();
        found.ok_or_else(|| Error::not_found(format!("No record found for id '{id}'")))
    }

    async fn create(&self, new: NewRecord, _: Params) -> Result<Record> {
        let mut records = self.all();
        let record = Record { id: records.len(), text: new.text };
        records.push(record.clone());
        Ok(record)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let app = App::new().register("SERVICE", Typed(Records::default()));
    // Where Redis is: `redis.url` in distribution.toml, or REDIS_URL. Default: redis://127.0.0.1:6379.
    let node = Node::builder(Config::load()?).app(app).start().await?;
    println!("serving SERVICE; try: rachis call SERVICE create '{{\"text\":\"hello\"}}'");
    node.run_until_signal().await
}
