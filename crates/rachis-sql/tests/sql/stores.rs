//! The databases, and tables in them.

use rachis::{
    App, Handle, MemoryService, Method, Multi,
    sql::{Dialect, Pool, PoolOptions, SqlService},
};
use rachis_testing::ThrowawayDatabase;
use serde_json::Value;
use std::sync::atomic::{AtomicU32, Ordering};

/// A place for records.
pub(crate) enum Store {
    Memory,
    Database(Pool),
}

/// What keeps a database there.
pub(crate) enum Keeper {
    Server(ThrowawayDatabase),
    Folder(tempfile::TempDir),
}

impl Keeper {
    pub(crate) fn url(&self) -> String {
        match self {
            Keeper::Server(server) => server.url(),
            Keeper::Folder(folder) => format!("sqlite://{}", folder.path().join("test.db").display()),
        }
    }

    pub(crate) fn pool(&self) -> Pool {
        // What a database says goes to the log, which a failed test shows.
        let _ = tracing_subscriber::fmt().with_env_filter("rachis_sql=debug").with_test_writer().try_init();
        PoolOptions::new().max(5).open(&self.url()).unwrap()
    }
}

pub(crate) fn sqlite() -> Keeper {
    Keeper::Folder(tempfile::tempdir().unwrap())
}

pub(crate) fn postgres() -> Keeper {
    Keeper::Server(ThrowawayDatabase::postgres().unwrap())
}

pub(crate) fn mariadb() -> Keeper {
    Keeper::Server(ThrowawayDatabase::mariadb().unwrap())
}

/// How a service over people is set up.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    pub(crate) multi: Multi,
    pub(crate) paginate: Option<(u64, u64)>,
}

impl Setup {
    pub(crate) fn multi(multi: impl Into<Multi>) -> Self {
        Setup { multi: multi.into(), ..Setup::default() }
    }

    pub(crate) fn paginate(self, default: u64, max: u64) -> Self {
        Setup { paginate: Some((default, max)), ..self }
    }
}

impl Store {
    /// A service over an empty table of people, whose id is `customid`, and counts from 1.
    pub(crate) async fn people(&self, setup: Setup) -> Handle {
        let app = App::new();
        let app = match self {
            Store::Memory => {
                let service = MemoryService::new().id_field("customid").start_id(1).multi(setup.multi);
                app.register(
                    "people",
                    match setup.paginate {
                        Some((default, max)) => service.paginate(default, max),
                        None => service,
                    },
                )
            }
            Store::Database(pool) => {
                let service = SqlService::new(pool, &people(pool).await).id("customid").multi(setup.multi);
                app.register(
                    "people",
                    match setup.paginate {
                        Some((default, max)) => service.paginate(default, max),
                        None => service,
                    },
                )
            }
        };
        app.service("people")
    }
}

/// Makes a table, with a name of its own.
pub(crate) async fn table(pool: &Pool, columns: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // A name that has to be quoted.
    let name = format!("Table {}", COUNT.fetch_add(1, Ordering::Relaxed));
    let quote = if pool.dialect() == Dialect::MySql { '`' } else { '"' };
    run(pool, format!("CREATE TABLE {quote}{name}{quote} ({columns})")).await;
    name
}

/// Runs a statement of a test's own.
pub(crate) async fn run(pool: &Pool, statement: String) {
    pool.execute(Box::leak(statement.into_boxed_str())).await.unwrap();
}

async fn people(pool: &Pool) -> String {
    let id = match pool.dialect() {
        Dialect::Postgres => "SERIAL PRIMARY KEY",
        Dialect::MySql => "INT PRIMARY KEY AUTO_INCREMENT",
        Dialect::Sqlite => "INTEGER PRIMARY KEY",
    };
    let json = if pool.dialect() == Dialect::Postgres { "JSONB" } else { "JSON" };
    let double = if pool.dialect() == Dialect::Postgres { "DOUBLE PRECISION" } else { "DOUBLE" };
    let columns = format!(
        "customid {id}, name VARCHAR(100), age INTEGER, created BOOLEAN, score {double}, meta {json}, email VARCHAR(100) UNIQUE"
    );
    table(pool, &columns).await
}

/// The value without the fields of its records that are `null`: in memory, those are missing.
pub(crate) fn bare(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(bare).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
            fields.map(|(name, value)| if name == "data" { (name, bare(value)) } else { (name, value) }).collect()
        }
        other => other,
    }
}

pub(crate) const CREATE: [Method; 1] = [Method::Create];
