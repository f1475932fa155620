//! What the database says of a table: its columns, their types, its constraints. Read once.

mod mysql;
mod postgres;
mod sqlite;

use crate::{
    connection::{Cell, Session},
    error,
    statement::{Dialect, Name, Statement},
};
use rachis_core::{Error, Result};
use std::collections::HashMap;

/// What values of a column are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Whole numbers, from and to.
    Integer(i128, i128),
    /// Of four bytes, or of eight.
    Float {
        single: bool,
    },
    /// Exact numbers, in JSON as text: digits in all, and after the point.
    Numeric(Option<(u32, u32)>),
    Bool,
    /// Characters at most.
    Text(Option<usize>),
    Uuid,
    /// With a zone, or without.
    Timestamp {
        zone: bool,
    },
    Date,
    Time,
    Json,
    Bytes,
    Enum(Vec<String>),
    /// Of PostgreSQL.
    Array(Box<Kind>),
    /// Whatever else has a form as text.
    Other,
}

/// A column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) quoted: Name,
    pub(crate) kind: Kind,
    /// The type as the database writes it.
    pub(crate) type_name: Name,
    pub(crate) is_nullable: bool,
    pub(crate) has_default: bool,
    /// The default as an expression, where `DEFAULT` is none (SQLite).
    pub(crate) default: Option<Name>,
    /// The database computes it, and nothing else may.
    pub(crate) is_computed: bool,
    /// Its text is Unicode, so that its bytes are those of a parameter.
    pub(crate) is_unicode: bool,
}

/// A table, or a view.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) dialect: Dialect,
    pub(crate) name: String,
    pub(crate) quoted: Name,
    pub(crate) columns: Vec<Column>,
    by_name: HashMap<String, usize>,
    /// The columns of unique indexes and other constraints, by their names.
    pub(crate) constraints: HashMap<String, Vec<String>>,
}

impl Table {
    /// Reads a table by its name, `messages` or `schema.messages`.
    ///
    /// # Errors
    /// `NotFound` if there is none, and those of the database.
    pub(crate) async fn read(session: &mut Session, dialect: Dialect, name: &str) -> Result<Self> {
        let (schema, plain) = match name.split_once('.') {
            Some((schema, plain)) => (Some(schema), plain),
            None => (None, name),
        };
        let read = match dialect {
            Dialect::Postgres => postgres::read(session, schema, plain).await,
            Dialect::MySql => mysql::read(session, schema, plain).await?,
            Dialect::Sqlite => sqlite::read(session, schema, plain).await,
        };
        let (columns, constraints) = read.map_err(|error| error::of(&error))?;
        if columns.is_empty() {
            return Err(Error::general(format!("The database has no table '{name}'")));
        }
        let quoted = Name::quoted(dialect, plain);
        let quoted = match schema {
            Some(schema) => quoted.within(Name::quoted(dialect, schema)),
            None => quoted,
        };
        let by_name = columns.iter().enumerate().map(|(at, column)| (column.name.clone(), at)).collect();
        Ok(Table { dialect, name: name.to_owned(), quoted, columns, by_name, constraints })
    }

    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.by_name.get(name).map(|at| &self.columns[*at])
    }

    /// Its name without that of its schema.
    pub(crate) fn plain(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }

    pub(crate) fn statement(&self, text: &'static str) -> Statement {
        Statement::new(self.dialect, text)
    }
}

type Read = (Vec<Column>, HashMap<String, Vec<String>>);

/// Columns by the name of the constraint that each row has beside one.
fn grouped(rows: Vec<Vec<Cell>>) -> HashMap<String, Vec<String>> {
    let mut constraints: HashMap<String, Vec<String>> = HashMap::new();
    for row in rows {
        let mut row = row.into_iter();
        if let (Some(Cell::Text(constraint)), Some(Cell::Text(column))) = (row.next(), row.next()) {
            let columns = constraints.entry(constraint).or_default();
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
    }
    constraints
}

/// Takes the cells of a catalog's row one by one.
struct Cells(std::vec::IntoIter<Cell>);

impl Cells {
    fn text(&mut self) -> String {
        self.optional().unwrap_or_default()
    }

    fn optional(&mut self) -> Option<String> {
        match self.0.next() {
            Some(Cell::Text(text)) => Some(text),
            Some(Cell::Bytes(bytes)) => String::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<i64> {
        match self.0.next() {
            Some(Cell::Integer(number)) => Some(number),
            Some(Cell::Unsigned(number)) => number.try_into().ok(),
            _ => None,
        }
    }

    fn flag(&mut self) -> bool {
        matches!(self.0.next(), Some(Cell::Bool(true) | Cell::Integer(1..)))
    }
}

fn signed(bits: u32) -> Kind {
    Kind::Integer(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
}

/// The numbers in the parentheses of a type: `numeric(10,2)`.
fn arguments(type_name: &str) -> Vec<u32> {
    let inner = type_name.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(inner, _)| inner);
    inner.unwrap_or_default().split(',').filter_map(|number| number.trim().parse().ok()).collect()
}

fn precision(type_name: &str) -> Option<(u32, u32)> {
    match arguments(type_name)[..] {
        [digits] => Some((digits, 0)),
        [digits, scale] => Some((digits, scale)),
        _ => None,
    }
}
