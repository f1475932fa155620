//! What the database says, as callers may hear it. Its own words, which may quote the rows of others, go to the log.

use crate::catalog::Table;
use rachis_core::{Error, Outcome, Result};
use serde_json::{Map, Value, json};
use sqlx::error::{DatabaseError, ErrorKind};

/// Returns `true` if the connection is of no use after this error, or there was none.
pub(crate) fn is_away(error: &sqlx::Error) -> bool {
    use sqlx::Error::{AnyDriverError, BeginFailed, Io, PoolClosed, PoolTimedOut, Protocol, Tls, WorkerCrashed};
    match error {
        Io(_) | Tls(_) | Protocol(_) | PoolTimedOut | PoolClosed | WorkerCrashed | BeginFailed | AnyDriverError(_) => {
            true
        }
        sqlx::Error::Database(error) => refuses_to_serve(&**error),
        _ => false,
    }
}

/// The server starts, stops, is full, or knows neither the user nor the database.
fn refuses_to_serve(error: &dyn DatabaseError) -> bool {
    let Some(code) = error.code() else { return false };
    let code = &*code;
    // PostgreSQL: connection exceptions, too many connections, shutdowns, logins. MariaDB: the same by SQLSTATE.
    ["08", "53", "57P", "28", "3D"].iter().any(|class| code.starts_with(class)) && code.len() == 5
        // SQLite: can not open, disk full, read-only, i/o error.
        || matches!(code.parse::<u32>().map(|code| code & 0xff), Ok(8 | 10 | 13 | 14)) && code.len() < 5
}

/// Returns `true` if the database gave up this transaction for the sake of another one, so that it may go well the next time.
pub(crate) fn is_retriable(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    let Some(code) = error.code() else { return false };
    match &*code {
        "40001" | "40P01" | "55P03" => true,
        code => code.len() < 5 && matches!(code.parse::<u32>().map(|code| code & 0xff), Ok(5 | 6)),
    }
}

/// The error of a statement that is about no table of a service's.
pub(crate) fn of(error: &sqlx::Error) -> Error {
    translated(error, None, Outcome::Unknown)
}

/// An unreadable URL or option. The text of it may quote a password, so it is not repeated.
pub(crate) fn configuration(_: sqlx::Error) -> Error {
    Error::general("The database URL cannot be read: it is like `postgres://user:password@host:5432/database`")
}

/// The error of a statement on a table. `outcome` is that of the call if the connection broke.
pub(crate) fn translated(error: &sqlx::Error, table: Option<&Table>, outcome: Outcome) -> Error {
    if is_away(error) {
        tracing::warn!(%error, "the database is away");
        let outcome = match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Outcome::NeverRan,
            _ => outcome,
        };
        return Error::unavailable("The database does not answer").with_outcome(outcome);
    }
    if is_retriable(error) {
        tracing::warn!(%error, "the database gave up a transaction for another one");
        return Error::unavailable("The database is busy with other changes of the same records: try again")
            .with_outcome(Outcome::NeverRan);
    }
    let sqlx::Error::Database(said) = error else {
        tracing::error!(%error, "a statement failed");
        return failed();
    };
    let broken = constraint(&**said, table);
    if let Some(error) = broken {
        tracing::debug!(error = %said, "a constraint does not hold");
        return error;
    }
    match said.code().as_deref() {
        // PostgreSQL: the data is none of its type. MariaDB: 22003 and its like.
        Some(code) if code.len() == 5 && code.starts_with("22") => {
            tracing::debug!(error = %said, "a value fits no column");
            Error::bad_request("A value does not fit the type of its field")
        }
        Some("57014") => Error::timeout("The database stopped the call after its own time limit"),
        Some("42P01" | "42S02" | "42703" | "42S22") => {
            tracing::error!(error = %said, "the table has changed since the service started");
            Error::general("The table of this service has changed since it started: start it anew")
        }
        _ => {
            tracing::error!(error = %said, "a statement failed");
            failed()
        }
    }
}

fn failed() -> Error {
    Error::general("The database could not do that; its log and that of this service say why")
}

fn constraint(said: &dyn DatabaseError, table: Option<&Table>) -> Option<Error> {
    let fields = fields(said, table);
    let named = |what: &str| -> Value {
        fields.iter().map(|field| (field.clone(), Value::from(what))).collect::<Map<_, _>>().into()
    };
    let list = fields.iter().map(|field| format!("'{field}'")).collect::<Vec<_>>().join(" and ");
    Some(match kind(said)? {
        ErrorKind::UniqueViolation if fields.is_empty() => Error::conflict("Another record has the same values"),
        ErrorKind::UniqueViolation => {
            Error::conflict(format!("Another record has the same {list}")).with_errors(named("is taken"))
        }
        ErrorKind::NotNullViolation if fields.is_empty() => Error::bad_request("A field is missing"),
        ErrorKind::NotNullViolation => {
            Error::bad_request(format!("The field {list} is required")).with_errors(named("is required"))
        }
        ErrorKind::ForeignKeyViolation if is_still_used(said, table) => {
            Error::conflict("Other records refer to this one")
        }
        ErrorKind::ForeignKeyViolation if fields.is_empty() => {
            Error::bad_request("The record refers to one that does not exist, or others refer to it")
        }
        ErrorKind::ForeignKeyViolation => Error::bad_request(format!("The field {list} refers to no record"))
            .with_errors(named("refers to no record")),
        ErrorKind::CheckViolation if fields.is_empty() => Error::bad_request("The record breaks a rule of its table"),
        ErrorKind::CheckViolation => Error::bad_request(format!("The field {list} breaks a rule of its table"))
            .with_errors(named("is not valid")),
        _ => return None,
    })
}

/// What kind of constraint was broken; sqlx does not know all that MariaDB reports.
fn kind(said: &dyn DatabaseError) -> Option<ErrorKind> {
    #[cfg(feature = "mysql")]
    if let Some(said) = said.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        match said.number() {
            1364 | 1048 => return Some(ErrorKind::NotNullViolation),
            4025 | 3819 => return Some(ErrorKind::CheckViolation),
            _ => {}
        }
    }
    Some(said.kind()).filter(|kind| !matches!(kind, ErrorKind::Other))
}

/// Returns `true` if a record was to go that others refer to.
fn is_still_used(said: &dyn DatabaseError, table: Option<&Table>) -> bool {
    #[cfg(feature = "mysql")]
    if let Some(said) = said.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        return said.number() == 1451;
    }
    #[cfg(feature = "postgres")]
    if let Some(said) = said.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        // The table is the one that refers: another one, or this one to itself.
        return said.detail().is_some_and(|detail| detail.contains("is still referenced"))
            || said.table().zip(table).is_some_and(|(named, own)| named != own.plain());
    }
    let _ = (said, table);
    false
}

/// The fields that a broken constraint is about, as far as the database says.
fn fields(said: &dyn DatabaseError, table: Option<&Table>) -> Vec<String> {
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    let by_constraint = |name: &str| table.and_then(|table| table.constraints.get(name)).cloned();
    #[cfg(feature = "postgres")]
    if let Some(said) = said.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        return match said.column() {
            Some(column) => vec![column.to_owned()],
            None => said.constraint().and_then(by_constraint).unwrap_or_default(),
        };
    }
    let message = said.message();
    #[cfg(feature = "mysql")]
    if let Some(said) = said.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        // What stands in backquotes or, at the end, in quotes, is a name of the schema; a value stands before it.
        let last = message.rsplit('\'').nth(1).unwrap_or_default();
        let quoted = |after: &str| Some(message.split_once(after)?.1.split('`').nth(1)?.to_owned());
        return match said.number() {
            1048 | 1364 => message.split('\'').nth(1).map(|name| vec![name.to_owned()]).unwrap_or_default(),
            1062 => by_constraint(last.rsplit('.').next().unwrap_or(last)).unwrap_or_default(),
            1452 => quoted("FOREIGN KEY").map(|name| vec![name]).unwrap_or_default(),
            4025 => quoted("CONSTRAINT").and_then(|name| by_constraint(name.rsplit('.').next()?)).unwrap_or_default(),
            _ => Vec::new(),
        };
    }
    // SQLite: `UNIQUE constraint failed: people.email, people.name`.
    let Some((_, names)) = message.split_once("constraint failed: ") else { return Vec::new() };
    let columns = names.split(", ").filter_map(|name| name.rsplit_once('.')).map(|(_, column)| column.to_owned());
    columns.filter(|column| table.is_some_and(|table| table.column(column).is_some())).collect()
}

/// A field that a query names and the table does not have.
pub(crate) fn no_field(field: &str) -> Error {
    let field = rachis_core::host::excerpt(field);
    Error::bad_request(format!("There is no field '{field}'")).with_errors(json!({ &*field: "is no field" }))
}

/// Collects what is wrong with the fields of a record.
#[derive(Default)]
pub(crate) struct Faults(Map<String, Value>);

impl Faults {
    pub(crate) fn add(&mut self, field: &str, what: impl Into<String>) {
        self.0.insert(rachis_core::host::excerpt(field).into_owned(), Value::from(what.into()));
    }

    /// # Errors
    /// `BadRequest` if anything is wrong.
    pub(crate) fn check(self, method: &rachis_core::Method) -> Result<()> {
        let Some((field, what)) = self.0.iter().next() else { return Ok(()) };
        let what = what.as_str().unwrap_or_default();
        let message = format!("Invalid data for {method}: the field '{field}' {what}");
        Err(Error::bad_request(message).with_errors(Value::Object(self.0)))
    }
}
