//! Services over the tables of PostgreSQL, MariaDB and SQLite.
//!
//! Applications use this crate as `rachis::sql`, by the features `sql-postgres`, `sql-mysql` and `sql-sqlite`. A table goes
//! in, a service comes out:
//!
//! ```
//! use rachis::{App, sql::{Pool, SqlService}};
//! use serde_json::json;
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let pool = Pool::open("sqlite::memory:")?;
//! pool.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, text TEXT NOT NULL, likes INTEGER NOT NULL DEFAULT 0)").await?;
//!
//! let app = App::new().register("messages", SqlService::new(&pool, "messages").multi(true).paginate(10, 100));
//! let messages = app.service("messages");
//! messages.create(json!([{ "text": "Hello" }, { "text": "Good morning", "likes": 3 }])).await?;
//!
//! let page = messages.find().query(json!({ "likes": { "$gt": 1 }, "$sort": { "text": 1 } })).await?;
//! let found = json!([{ "id": 2, "text": "Good morning", "likes": 3 }]);
//! assert_eq!(page, json!({ "total": 1, "limit": 10, "skip": 0, "data": found }));
//! # Ok::<(), rachis::Error>(()) }).unwrap();
//! ```

// What only some of the databases need is dead without them; the check with all of them finds what is dead in truth.
#![cfg_attr(not(all(feature = "postgres", feature = "mysql", feature = "sqlite")), allow(dead_code))]

#[cfg(not(any(feature = "postgres", feature = "mysql", feature = "sqlite")))]
compile_error!("rachis-sql needs a database: choose one of the features `postgres`, `mysql` and `sqlite`");

mod catalog;
mod connection;
mod error;
mod filter;
mod json;
mod pool;
mod service;
mod statement;
mod values;
mod work;

pub use pool::{Pool, PoolOptions, PoolStatus};
pub use service::SqlService;
/// The crate that speaks with the databases: for migrations, and for statements of an application's own.
pub use sqlx;
pub use statement::Dialect;
