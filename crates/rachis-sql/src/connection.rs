//! One connection of a pool while it is used, and what rows bring.

use crate::{
    pool::{Native, Pool},
    statement::{Bound, Statement},
};
use sqlx::{AssertSqlSafe, Database, Row, SqlSafeStr, ValueRef, pool::PoolConnection};
use std::{future::Future, io};
use tokio::time::{Instant, timeout_at};

/// One value of a row, before its column says what it means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Bool(bool),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

pub(crate) type Cells = Vec<Cell>;

/// A connection, of whichever database.
pub(crate) enum Connection {
    #[cfg(feature = "postgres")]
    Postgres(PoolConnection<sqlx::Postgres>),
    #[cfg(feature = "mysql")]
    MySql(PoolConnection<sqlx::MySql>),
    #[cfg(feature = "sqlite")]
    Sqlite(PoolConnection<sqlx::Sqlite>),
}

/// Runs `$run` with the connection and the name of its database's module here.
macro_rules! with {
    ($connection:expr, $inner:ident, $database:ident => $run:expr) => {
        match $connection {
            #[cfg(feature = "postgres")]
            Connection::Postgres($inner) => {
                #[allow(unused_imports)] // by some of the uses
                use postgres as $database;
                $run
            }
            #[cfg(feature = "mysql")]
            Connection::MySql($inner) => {
                #[allow(unused_imports)] // by some of the uses
                use mysql as $database;
                $run
            }
            #[cfg(feature = "sqlite")]
            Connection::Sqlite($inner) => {
                #[allow(unused_imports)] // by some of the uses
                use sqlite as $database;
                $run
            }
        }
    };
}

impl Connection {
    async fn rows(&mut self, statement: Statement) -> Result<Vec<Cells>, sqlx::Error> {
        let (text, values) = statement.into_parts();
        with!(self, connection, database => {
            let query = sqlx::query_with(AssertSqlSafe(text), database::arguments(values)?);
            let rows = query.fetch_all(&mut **connection).await?;
            rows.iter().map(|row| (0..row.len()).map(|at| database::cell(row, at)).collect()).collect()
        })
    }

    async fn run(&mut self, statement: Statement) -> Result<u64, sqlx::Error> {
        let (text, values) = statement.into_parts();
        with!(self, connection, database => {
            let query = sqlx::query_with(AssertSqlSafe(text), database::arguments(values)?);
            Ok(query.execute(&mut **connection).await?.rows_affected())
        })
    }

    /// Runs a statement that the database does not prepare: one about transactions.
    async fn control(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        with!(self, connection, _database => {
            use sqlx::Executor;
            (&mut **connection).execute(sqlx::raw_sql(text.into_sql_str())).await?;
            Ok(())
        })
    }

    /// Closes the connection without another word to the server, which ends what it was doing for it.
    fn sever(self) {
        with!(self, connection, _database => drop(connection.detach()));
    }
}

fn decoded<'r, DB: Database, T: sqlx::Decode<'r, DB>>(value: DB::ValueRef<'r>) -> Result<T, sqlx::Error> {
    T::decode(value).map_err(sqlx::Error::Decode)
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::*;
    use sqlx::{Arguments, Postgres, TypeInfo, postgres::PgArguments};

    pub(super) fn arguments(values: Vec<Bound>) -> Result<PgArguments, sqlx::Error> {
        let mut arguments = PgArguments::default();
        for value in values {
            match value {
                Bound::Null => arguments.add(None::<String>),
                Bound::Bool(flag) => arguments.add(flag),
                Bound::Integer(number) => arguments.add(number),
                Bound::Unsigned(number) => arguments.add(number.to_string()),
                Bound::Float(number) => arguments.add(number),
                Bound::Text(text) => arguments.add(text),
                Bound::Bytes(bytes) => arguments.add(bytes),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        Ok(arguments)
    }

    pub(super) fn cell(row: &sqlx::postgres::PgRow, at: usize) -> Result<Cell, sqlx::Error> {
        let value = row.try_get_raw(at)?;
        if value.is_null() {
            return Ok(Cell::Null);
        }
        let type_info = value.type_info().into_owned();
        Ok(match type_info.name() {
            "BOOL" => Cell::Bool(decoded::<Postgres, _>(value)?),
            "INT2" => Cell::Integer(decoded::<Postgres, i16>(value)?.into()),
            "INT4" => Cell::Integer(decoded::<Postgres, i32>(value)?.into()),
            "INT8" => Cell::Integer(decoded::<Postgres, _>(value)?),
            "FLOAT4" => Cell::Float(shortest(decoded::<Postgres, f32>(value)?)),
            "FLOAT8" => Cell::Float(decoded::<Postgres, _>(value)?),
            "BYTEA" => Cell::Bytes(decoded::<Postgres, _>(value)?),
            _ => Cell::Text(decoded::<Postgres, _>(value)?),
        })
    }
}

#[cfg(feature = "mysql")]
mod mysql {
    use super::*;
    use sqlx::{Arguments, MySql, TypeInfo, mysql::MySqlArguments};

    pub(super) fn arguments(values: Vec<Bound>) -> Result<MySqlArguments, sqlx::Error> {
        let mut arguments = MySqlArguments::default();
        for value in values {
            match value {
                Bound::Null => arguments.add(None::<String>),
                Bound::Bool(flag) => arguments.add(flag),
                Bound::Integer(number) => arguments.add(number),
                Bound::Unsigned(number) => arguments.add(number),
                Bound::Float(number) => arguments.add(number),
                Bound::Text(text) => arguments.add(text),
                Bound::Bytes(bytes) => arguments.add(bytes),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        Ok(arguments)
    }

    pub(super) fn cell(row: &sqlx::mysql::MySqlRow, at: usize) -> Result<Cell, sqlx::Error> {
        let value = row.try_get_raw(at)?;
        if value.is_null() {
            return Ok(Cell::Null);
        }
        let type_info = value.type_info().into_owned();
        let name = type_info.name();
        Ok(match name {
            "BOOLEAN" => Cell::Bool(decoded::<MySql, _>(value)?),
            "FLOAT" => Cell::Float(shortest(decoded::<MySql, f32>(value)?)),
            "DOUBLE" => Cell::Float(decoded::<MySql, _>(value)?),
            "BIT" | "YEAR" => Cell::Unsigned(decoded::<MySql, _>(value)?),
            name if name.ends_with("UNSIGNED") => Cell::Unsigned(decoded::<MySql, _>(value)?),
            name if name.contains("INT") => Cell::Integer(decoded::<MySql, _>(value)?),
            name if name.contains("BLOB") || name.contains("BINARY") => Cell::Bytes(decoded::<MySql, _>(value)?),
            _ => Cell::Text(decoded::<MySql, _>(value)?),
        })
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;
    use sqlx::{Arguments, Sqlite, TypeInfo, sqlite::SqliteArguments};

    pub(super) fn arguments(values: Vec<Bound>) -> Result<SqliteArguments, sqlx::Error> {
        let mut arguments = SqliteArguments::default();
        for value in values {
            match value {
                Bound::Null => arguments.add(None::<String>),
                Bound::Bool(flag) => arguments.add(flag),
                Bound::Integer(number) => arguments.add(number),
                Bound::Unsigned(number) => arguments.add(number as f64),
                Bound::Float(number) => arguments.add(number),
                Bound::Text(text) => arguments.add(text),
                Bound::Bytes(bytes) => arguments.add(bytes),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        Ok(arguments)
    }

    pub(super) fn cell(row: &sqlx::sqlite::SqliteRow, at: usize) -> Result<Cell, sqlx::Error> {
        let value = row.try_get_raw(at)?;
        if value.is_null() {
            return Ok(Cell::Null);
        }
        // What the row has, which need not be what its column says.
        let type_info = value.type_info().into_owned();
        Ok(match type_info.name() {
            "INTEGER" | "BOOLEAN" => Cell::Integer(decoded::<Sqlite, _>(value)?),
            "REAL" => Cell::Float(decoded::<Sqlite, _>(value)?),
            "BLOB" => Cell::Bytes(decoded::<Sqlite, _>(value)?),
            _ => Cell::Text(decoded::<Sqlite, _>(value)?),
        })
    }
}

/// The number that was written: `0.1`, and not the `0.10000000149011612` that four bytes hold of it.
#[cfg(any(feature = "postgres", feature = "mysql"))]
fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| number.into())
}

/// A connection with a deadline. One that is given up in the middle of something is closed, so that its answer is not read
/// as another's, and no transaction stays open.
pub(crate) struct Session {
    connection: Option<Connection>,
    deadline: Instant,
    is_busy: bool,
    is_begun: bool,
}

impl Session {
    /// # Errors
    /// When no connection comes free, or none can be made, until the deadline.
    pub(crate) async fn open(pool: &Pool) -> Result<Self, sqlx::Error> {
        let deadline = Instant::now() + pool.timeout();
        let acquired = pool.waiting(timeout_at(deadline, acquire(pool.native()))).await;
        let connection = acquired.map_err(|_| sqlx::Error::PoolTimedOut)??;
        Ok(Session { connection: Some(connection), deadline, is_busy: false, is_begun: false })
    }

    pub(crate) async fn rows(&mut self, statement: Statement) -> Result<Vec<Cells>, sqlx::Error> {
        self.within(async |connection| connection.rows(statement).await).await
    }

    pub(crate) async fn run(&mut self, statement: Statement) -> Result<u64, sqlx::Error> {
        self.within(async |connection| connection.run(statement).await).await
    }

    pub(crate) async fn control(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        self.within(async |connection| connection.control(text).await).await
    }

    pub(crate) async fn begin(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        self.is_begun = true;
        self.control(text).await
    }

    pub(crate) async fn end(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        self.control(text).await?;
        self.is_begun = false;
        Ok(())
    }

    async fn within<T>(
        &mut self,
        run: impl AsyncFnOnce(&mut Connection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let lost = || io::Error::new(io::ErrorKind::NotConnected, "the connection was lost before");
        if self.is_busy {
            return Err(lost().into());
        }
        let Some(connection) = &mut self.connection else { return Err(lost().into()) };
        self.is_busy = true;
        let outcome = match timeout_at(self.deadline, run(connection)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the database did not answer in time").into()),
        };
        self.is_busy = match &outcome {
            Ok(_) => false,
            Err(error) => crate::error::is_away(error),
        };
        outcome
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(|_| self.is_busy || self.is_begun) {
            connection.sever();
        }
    }
}

fn acquire(native: &Native) -> impl Future<Output = Result<Connection, sqlx::Error>> + Send {
    let native = native.clone();
    async move {
        Ok(match native {
            #[cfg(feature = "postgres")]
            Native::Postgres(pool) => Connection::Postgres(pool.acquire().await?),
            #[cfg(feature = "mysql")]
            Native::MySql(pool) => Connection::MySql(pool.acquire().await?),
            #[cfg(feature = "sqlite")]
            Native::Sqlite(pool) => Connection::Sqlite(pool.acquire().await?),
        })
    }
}
