//! What one call does in the database: statements one by one, or several as one unit.

use crate::{
    catalog::Table,
    connection::{Cells, Session},
    error::{self, is_retriable},
    pool::Pool,
    statement::{Dialect, Statement},
};
use rachis_core::{Error, Outcome, Result};
use std::time::Duration;

/// How often a unit is begun that the database gives up for the sake of others.
const ATTEMPTS: u32 = 5;

/// Why a part of a call did not go well.
pub(crate) enum Failure {
    /// The database says why.
    Sql(sqlx::Error),
    /// The call itself is wrong.
    Call(Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Failure::Sql(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Call(error)
    }
}

impl Failure {
    /// As the caller hears it.
    pub(crate) fn into_error(self, table: &Table, outcome: Outcome) -> Error {
        match self {
            Failure::Sql(error) => error::translated(&error, Some(table), outcome),
            Failure::Call(error) => error,
        }
    }
}

/// Several statements of which all are done, or none.
pub(crate) trait Unit: Sync {
    /// What they return.
    type Done: Send;

    /// Runs them; more than once if the database gives them up for the sake of others.
    fn run(&self, work: &mut Work) -> impl Future<Output = Result<Self::Done, Failure>> + Send;
}

/// The connection of a call.
pub(crate) struct Work {
    session: Session,
    dialect: Dialect,
}

impl Work {
    /// # Errors
    /// `Unavailable` when the database is away, or all connections are in use for too long.
    pub(crate) async fn open(pool: &Pool) -> Result<Self> {
        let session = Session::open(pool).await.map_err(|error| error::translated(&error, None, Outcome::NeverRan))?;
        Ok(Work { session, dialect: pool.dialect() })
    }

    pub(crate) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    pub(crate) async fn rows(&mut self, statement: Statement) -> Result<Vec<Cells>, sqlx::Error> {
        self.session.rows(statement).await
    }

    pub(crate) async fn run(&mut self, statement: Statement) -> Result<u64, sqlx::Error> {
        self.session.run(statement).await
    }

    /// Runs `unit` so that all of it is done, or nothing. It runs again when the database gives it up for another one.
    pub(crate) async fn unit<U: Unit>(&mut self, unit: &U) -> Result<U::Done, Failure> {
        let mut attempt = 1;
        loop {
            self.begin().await?;
            let outcome = match unit.run(self).await {
                Ok(done) => self.commit().await.map(|()| done).map_err(Failure::from),
                Err(failure) => {
                    self.rollback().await;
                    Err(failure)
                }
            };
            match outcome {
                Err(Failure::Sql(error)) if is_retriable(&error) && attempt < ATTEMPTS => {
                    let pause = fastrand::u64(1..=10) << attempt;
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        self.session.begin(if self.dialect == Dialect::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" }).await
    }

    async fn commit(&mut self) -> Result<(), sqlx::Error> {
        self.session.end("COMMIT").await
    }

    async fn rollback(&mut self) {
        // A connection that can not even do that is closed, which does it.
        let _ = self.session.end("ROLLBACK").await;
    }
}
