//! Pools of connections.

use crate::{error::configuration, statement::Dialect};
use rachis_core::Result;
use std::{
    fmt,
    future::Future,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How long a call may take in the database, the wait for a connection among it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Connections to one database, shared by all services over its tables. Cheap to clone.
///
/// It opens connections when they are needed. A database that is away makes calls fail with `Unavailable` within
/// [`timeout`](PoolOptions::timeout), and calls go well again as soon as it is back.
///
/// ```no_run
/// use rachis::{App, sql::{PoolOptions, SqlService}};
/// use std::time::Duration;
///
/// # fn run() -> rachis::Result<()> {
/// let pool = PoolOptions::new().max(20).timeout(Duration::from_secs(3)).open("postgres://localhost/shop")?;
/// let app = App::new().register("orders", SqlService::new(&pool, "orders"));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Pool {
    native: Native,
    shared: Arc<Shared>,
}

struct Shared {
    timeout: Duration,
    waits: AtomicU64,
    waited: AtomicU64,
    waiting: AtomicU64,
}

#[derive(Clone)]
pub(crate) enum Native {
    #[cfg(feature = "postgres")]
    Postgres(sqlx::PgPool),
    #[cfg(feature = "mysql")]
    MySql(sqlx::MySqlPool),
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::SqlitePool),
}

/// What a pool does at one moment, and has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// Connections that are open.
    pub open: u32,
    /// Those of them that are not used.
    pub idle: u32,
    /// The most there may be.
    pub max: u32,
    /// Calls that wait for a connection now.
    pub waiting: u64,
    /// Connections that were asked for so far.
    pub acquired: u64,
    /// How long was waited for them, all together.
    pub waited: Duration,
}

/// How a pool is opened.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    max: u32,
    min: u32,
    timeout: Duration,
    idle: Option<Duration>,
    lifetime: Option<Duration>,
}

impl Default for PoolOptions {
    fn default() -> Self {
        PoolOptions {
            max: 10,
            min: 0,
            timeout: TIMEOUT,
            idle: Some(Duration::from_secs(600)),
            lifetime: Some(Duration::from_secs(1800)),
        }
    }
}

impl PoolOptions {
    /// At most 10 connections, calls of 10 seconds at most; one that is idle for 10 minutes or 30 minutes old is closed.
    pub fn new() -> Self {
        PoolOptions::default()
    }

    /// How many connections there may be, 1 at least.
    pub fn max(mut self, connections: u32) -> Self {
        self.max = connections.max(1);
        self
    }

    /// How many connections stay open though they are idle.
    pub fn min(mut self, connections: u32) -> Self {
        self.min = connections;
        self
    }

    /// How long a call may take, from the wait for a connection to the last row. What takes longer fails with
    /// `Unavailable`, and its connection is closed.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// When an idle connection is closed; `None` is never.
    pub fn idle(mut self, after: Option<Duration>) -> Self {
        self.idle = after;
        self
    }

    /// When a connection is closed and another one opened; `None` is never.
    pub fn lifetime(mut self, after: Option<Duration>) -> Self {
        self.lifetime = after;
        self
    }

    /// Makes a pool for a URL: `postgres://user:password@host/database`, `mysql://…` (MariaDB), `sqlite://file.db` or
    /// `sqlite::memory:`. No connection is made yet. The file of SQLite is made where it is missing.
    ///
    /// # Errors
    /// `GeneralError` for a URL that can not be read, or one of a database that this program was built without. The URL,
    /// which may have a password in it, is not a part of the message.
    pub fn open(self, url: &str) -> Result<Pool> {
        let scheme = url.split(':').next().unwrap_or_default();
        let native = match scheme {
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => {
                let options = sqlx::postgres::PgConnectOptions::from_str(url).map_err(configuration)?;
                Native::Postgres(self.native().connect_lazy_with(options))
            }
            #[cfg(feature = "mysql")]
            "mysql" | "mariadb" => {
                let options = sqlx::mysql::MySqlConnectOptions::from_str(url).map_err(configuration)?;
                Native::MySql(self.native().connect_lazy_with(options))
            }
            #[cfg(feature = "sqlite")]
            "sqlite" => {
                use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
                let options = SqliteConnectOptions::from_str(url).map_err(configuration)?.create_if_missing(true);
                if url.contains(":memory:") || url.contains("mode=memory") {
                    // Each connection has a database of its own, which ends with it.
                    let one = PoolOptions { max: 1, min: 1, idle: None, lifetime: None, ..self.clone() };
                    Native::Sqlite(one.native().connect_lazy_with(options))
                } else {
                    Native::Sqlite(self.native().connect_lazy_with(options.journal_mode(SqliteJournalMode::Wal)))
                }
            }
            _ => {
                return Err(rachis_core::Error::general(
                    "The database URL begins with none of `postgres:`, `mysql:` and `sqlite:` that this program is built with \
                     (features `sql-postgres`, `sql-mysql`, `sql-sqlite`)",
                ));
            }
        };
        Ok(Pool::of(native, self.timeout))
    }

    fn native<DB: sqlx::Database>(&self) -> sqlx::pool::PoolOptions<DB> {
        sqlx::pool::PoolOptions::new()
            .max_connections(self.max)
            .min_connections(self.min)
            .acquire_timeout(self.timeout)
            .idle_timeout(self.idle)
            .max_lifetime(self.lifetime)
    }
}

impl Pool {
    /// Makes a pool with the default [`PoolOptions`].
    ///
    /// # Errors
    /// Those of [`PoolOptions::open`].
    pub fn open(url: &str) -> Result<Self> {
        PoolOptions::new().open(url)
    }

    fn of(native: Native, timeout: Duration) -> Self {
        let shared =
            Shared { timeout, waits: AtomicU64::new(0), waited: AtomicU64::new(0), waiting: AtomicU64::new(0) };
        Pool { native, shared: Arc::new(shared) }
    }

    /// Whose SQL the database speaks.
    pub fn dialect(&self) -> Dialect {
        match self.native {
            #[cfg(feature = "postgres")]
            Native::Postgres(_) => Dialect::Postgres,
            #[cfg(feature = "mysql")]
            Native::MySql(_) => Dialect::MySql,
            #[cfg(feature = "sqlite")]
            Native::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// The pool of sqlx, where this is one of PostgreSQL: for migrations and for statements of an application's own.
    #[cfg(feature = "postgres")]
    pub fn postgres(&self) -> Option<&sqlx::PgPool> {
        match &self.native {
            Native::Postgres(pool) => Some(pool),
            #[allow(unreachable_patterns)] // where no other database is built in
            _ => None,
        }
    }

    /// The pool of sqlx, where this is one of MariaDB.
    #[cfg(feature = "mysql")]
    pub fn mysql(&self) -> Option<&sqlx::MySqlPool> {
        match &self.native {
            Native::MySql(pool) => Some(pool),
            #[allow(unreachable_patterns)] // where no other database is built in
            _ => None,
        }
    }

    /// The pool of sqlx, where this is one of SQLite.
    #[cfg(feature = "sqlite")]
    pub fn sqlite(&self) -> Option<&sqlx::SqlitePool> {
        match &self.native {
            Native::Sqlite(pool) => Some(pool),
            #[allow(unreachable_patterns)] // where no other database is built in
            _ => None,
        }
    }

    /// Runs statements that are written in the program itself, such as those that make its tables, one after the other.
    ///
    /// # Errors
    /// As services have them; see [`SqlService`](crate::SqlService).
    pub async fn execute(&self, statements: &'static str) -> Result<()> {
        let mut session = crate::connection::Session::open(self).await.map_err(|error| crate::error::of(&error))?;
        session.control(statements).await.map_err(|error| crate::error::of(&error))
    }

    /// Runs the migrations that `migrator` has and the database does not.
    ///
    /// # Errors
    /// `GeneralError` when one fails; what the database says is logged.
    pub async fn migrate(&self, migrator: &sqlx::migrate::Migrator) -> Result<()> {
        let done = match &self.native {
            #[cfg(feature = "postgres")]
            Native::Postgres(pool) => migrator.run(pool).await,
            #[cfg(feature = "mysql")]
            Native::MySql(pool) => migrator.run(pool).await,
            #[cfg(feature = "sqlite")]
            Native::Sqlite(pool) => migrator.run(pool).await,
        };
        done.map_err(|error| {
            tracing::error!(%error, "a migration failed");
            rachis_core::Error::general("A migration of the database failed; the log says which")
        })
    }

    /// What the pool does now, and has done so far.
    pub fn status(&self) -> PoolStatus {
        let (open, idle, max) = match &self.native {
            #[cfg(feature = "postgres")]
            Native::Postgres(pool) => (pool.size(), pool.num_idle(), pool.options().get_max_connections()),
            #[cfg(feature = "mysql")]
            Native::MySql(pool) => (pool.size(), pool.num_idle(), pool.options().get_max_connections()),
            #[cfg(feature = "sqlite")]
            Native::Sqlite(pool) => (pool.size(), pool.num_idle(), pool.options().get_max_connections()),
        };
        PoolStatus {
            open,
            idle: idle.try_into().unwrap_or(u32::MAX),
            max,
            waiting: self.shared.waiting.load(Ordering::Relaxed),
            acquired: self.shared.waits.load(Ordering::Relaxed),
            waited: Duration::from_micros(self.shared.waited.load(Ordering::Relaxed)),
        }
    }

    /// Closes all connections, once what runs on them is done. Later calls fail with `Unavailable`.
    pub async fn close(&self) {
        match &self.native {
            #[cfg(feature = "postgres")]
            Native::Postgres(pool) => pool.close().await,
            #[cfg(feature = "mysql")]
            Native::MySql(pool) => pool.close().await,
            #[cfg(feature = "sqlite")]
            Native::Sqlite(pool) => pool.close().await,
        }
    }

    pub(crate) fn native(&self) -> &Native {
        &self.native
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.shared.timeout
    }

    /// Counts and times a wait for a connection.
    pub(crate) async fn waiting<T>(&self, acquired: impl Future<Output = T>) -> T {
        struct Waiting<'s>(&'s Shared, Instant);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.waiting.fetch_sub(1, Ordering::Relaxed);
                let waited = self.1.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
                self.0.waited.fetch_add(waited, Ordering::Relaxed);
            }
        }
        self.shared.waits.fetch_add(1, Ordering::Relaxed);
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.shared, Instant::now());
        acquired.await
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("dialect", &self.dialect()).field("status", &self.status()).finish()
    }
}

impl From<&Pool> for Pool {
    fn from(pool: &Pool) -> Self {
        pool.clone()
    }
}

#[cfg(feature = "postgres")]
impl From<sqlx::PgPool> for Pool {
    fn from(pool: sqlx::PgPool) -> Self {
        Pool::of(Native::Postgres(pool), TIMEOUT)
    }
}

#[cfg(feature = "mysql")]
impl From<sqlx::MySqlPool> for Pool {
    fn from(pool: sqlx::MySqlPool) -> Self {
        Pool::of(Native::MySql(pool), TIMEOUT)
    }
}

#[cfg(feature = "sqlite")]
impl From<sqlx::SqlitePool> for Pool {
    fn from(pool: sqlx::SqlitePool) -> Self {
        Pool::of(Native::Sqlite(pool), TIMEOUT)
    }
}
