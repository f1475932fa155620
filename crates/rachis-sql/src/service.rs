//! The service over a table.

use crate::{
    catalog::{Column, Kind, Table},
    connection::Cells,
    error::Faults,
    filter::{self, SYNTAX},
    pool::Pool,
    statement::{Bound, Dialect, Statement},
    work::{Failure, Unit, Work},
};
use rachis_core::{
    Error, Handle, Id, Method, Multi, Outcome, Paginate, Params, Result, Service,
    host::{Options, excerpt, object},
    query::{Filter, Matcher, Select, order},
};
use serde_json::{Map, Value};
use std::{collections::HashSet, fmt, sync::Arc};
use tokio::sync::OnceCell;

type Record = Map<String, Value>;

/// How many values a statement has at most; the databases allow 32,766 and more.
const VALUES: usize = 30_000;

/// A complete service over one table of a database. Cheap to clone.
///
/// It understands the queries that [`MemoryService`](rachis_core::MemoryService) understands and answers them with the same
/// records in the same order: text is compared by code point whatever the collation of a column, `null` sorts first, and
/// records that are equal in `$sort` come in the order of their ids. More than that, `$like` and `$ilike` compare text with
/// patterns, and `meta.tags` leads into columns of JSON.
///
/// | column | JSON |
/// |---|---|
/// | whole numbers, floats | a number |
/// | `numeric`, `decimal` | a text with all its digits (a number in SQLite); numbers are taken, too |
/// | `boolean`, `tinyint(1)` | `true` or `false` |
/// | text, `uuid`, enums | a text |
/// | dates and times | a text as in `2026-12-01T08:30:00.000Z`; without zone, without `Z` |
/// | `json`, `jsonb` | any JSON |
/// | `bytea`, blobs | a text in base64 |
/// | arrays (PostgreSQL) | a list |
///
/// The columns are read from the catalog when the service is set up, with the start of its node or before its first call. A
/// table or an id column that does not exist is an error then. A value that does not fit its column is a `BadRequest` that
/// names the field in `errors`, and so is a field that is no column; a unique value that is taken is a `Conflict`. What the
/// database itself says goes to the log. A database that is away is `Unavailable`, within the pool's
/// [`timeout`](crate::PoolOptions::timeout).
///
/// Fields that a record was created without have their default, or `null`; an `update` gives it to all that it does not name.
#[derive(Clone)]
pub struct SqlService {
    pool: Pool,
    name: Arc<str>,
    id: Arc<str>,
    options: Options,
    table: Arc<OnceCell<Arc<Table>>>,
}

impl SqlService {
    /// A service over `table` (`messages`, or `schema.messages`): id column `id`, no pagination, one record at a time.
    pub fn new(pool: impl Into<Pool>, table: &str) -> Self {
        SqlService {
            pool: pool.into(),
            name: table.into(),
            id: "id".into(),
            options: Options::default(),
            table: Arc::default(),
        }
    }

    /// Names the column that holds the id, instead of `id`. Where it has no default, records without an id get a new uuid.
    pub fn id(mut self, column: &str) -> Self {
        self.id = column.into();
        self.table = Arc::default();
        self
    }

    /// Allows several records at once: `true` for all of `create`, `patch` and `remove`, or a list of these.
    pub fn multi(mut self, multi: impl Into<Multi>) -> Self {
        self.options.multi = multi.into();
        self
    }

    /// Returns pages from `find`: of `default` records, or as many as `$limit` says, but never more than `max`.
    pub fn paginate(mut self, default: u64, max: u64) -> Self {
        self.options.paginate = Some(Paginate { default, max: Some(max) });
        self
    }

    /// Reads the table from the catalog, unless that is done. A node does this when it starts.
    ///
    /// # Errors
    /// `GeneralError` that names a table or a column that does not exist; `Unavailable` when the database is away.
    pub async fn check(&self) -> Result<()> {
        let mut work = Work::open(&self.pool).await?;
        self.table(&mut work).await.map(drop)
    }

    async fn table(&self, work: &mut Work) -> Result<Arc<Table>> {
        let read = async || {
            let table = Table::read(work.session(), self.pool.dialect(), &self.name).await?;
            if table.column(&self.id).is_none() {
                return Err(Error::general(format!(
                    "The table '{}' has no column '{}': name the one with the ids by SqlService::id",
                    self.name, self.id
                )));
            }
            Ok(Arc::new(table))
        };
        self.table.get_or_try_init(read).await.cloned()
    }

    fn filter(params: &Params) -> Result<Filter> {
        Filter::parse_with(&params.query, &params.query_limits(), SYNTAX)
    }

    async fn open(&self) -> Result<(Work, View)> {
        let mut work = Work::open(&self.pool).await?;
        let table = self.table(&mut work).await?;
        let id = self.id.clone();
        Ok((work, View { table, id }))
    }

    async fn find_all(&self, params: &Params) -> Result<Value> {
        let filter = Self::filter(params)?;
        let paginate = self.options.paginate(params)?;
        let limit = paginate.map_or(filter.limit(), |paginate| paginate.limit(filter.limit()));
        let (mut work, view) = self.open().await?;
        let columns = view.columns(filter.select());
        let statement = view.select(&columns, &filter, limit)?;
        let read = |failure: Failure| failure.into_error(&view.table, Outcome::NeverRan);
        let rows = match limit {
            Some(0) => Vec::new(),
            _ => work.rows(statement).await.map_err(|error| read(error.into()))?,
        };
        let Some(_) = paginate else { return Ok(view.records(&columns, rows, filter.select()).into()) };
        let skip = filter.skip() as u64;
        let found = rows.len() as u64;
        let is_last = limit.is_none_or(|limit| found < limit) && (found > 0 || skip == 0) && limit != Some(0);
        let total = if is_last {
            skip + found
        } else {
            let mut count = view.table.statement("SELECT COUNT(*) FROM ");
            count.name(&view.table.quoted).push(" WHERE ");
            filter::conditions(&mut count, &view.table, filter.matcher())?;
            let counted = work.rows(count).await.map_err(|error| read(error.into()))?;
            view.number(counted)
        };
        let data = Value::Array(view.records(&columns, rows, filter.select()));
        let limit = limit.unwrap_or(total);
        let page = [("total", total.into()), ("limit", limit.into()), ("skip", skip.into()), ("data", data)];
        Ok(page.into_iter().collect())
    }

    async fn get_one(&self, id: &Id, params: &Params) -> Result<Value> {
        let filter = Self::filter(params)?;
        let (mut work, view) = self.open().await?;
        let columns = view.columns(filter.select());
        let mut statement = view.list("SELECT ", &columns);
        statement.push(" FROM ").name(&view.table.quoted).push(" WHERE ");
        view.by_id(&mut statement, id, filter.matcher())?;
        let rows = work.rows(statement).await.map_err(|error| view.failed(error.into(), Outcome::NeverRan))?;
        view.one(&columns, rows, filter.select(), id)
    }

    async fn create_some(&self, data: Value, params: &Params) -> Result<Value> {
        // The rest of the query means nothing here, whatever it says.
        let select = Select::of(params)?;
        let (items, is_list) = match data {
            Value::Array(items) => {
                self.options.check_multi(Method::Create, params)?;
                (items, true)
            }
            data => (vec![data], false),
        };
        let records: Vec<Record> = items.into_iter().map(|item| object(Method::Create, item)).collect::<Result<_>>()?;
        let (mut work, view) = self.open().await?;
        let prepared: Vec<_> = records.into_iter().map(|record| view.new_row(record)).collect::<Result<_>>()?;
        let columns = view.columns(&select);
        let statements = view.inserts(&prepared, &columns);
        let created = match <[Statement; 1]>::try_from(statements) {
            Ok([statement]) => work.rows(statement).await.map_err(Failure::from),
            Err(statements) => work.unit(&Inserts(&statements)).await,
        };
        let rows = match created {
            Ok(rows) => rows,
            Err(failure) => {
                let error = view.failed(failure, Outcome::Unknown);
                return Err(view.name_taken_id(&mut work, error, &prepared).await);
            }
        };
        let mut created = view.records(&columns, rows, &select);
        Ok(if is_list { created.into() } else { created.pop().unwrap_or_default() })
    }

    async fn update_one(&self, id: Option<Id>, data: Value, params: &Params) -> Result<Value> {
        let filter = Self::filter(params)?;
        let (Some(id), false) = (id, data.is_array()) else {
            return Err(Error::bad_request("You can not replace multiple instances. Did you mean 'patch'?"));
        };
        let record = object(Method::Update, data)?;
        let (mut work, view) = self.open().await?;
        let changes = view.replacement(record)?;
        let columns = view.columns(filter.select());
        let rows = view.change(&mut work, Some(&id), &filter, &changes, &columns).await?;
        view.one(&columns, rows, filter.select(), &id)
    }

    async fn patch_some(&self, id: Option<Id>, data: Value, params: &Params) -> Result<Value> {
        let filter = Self::filter(params)?;
        if id.is_none() {
            self.options.check_multi(Method::Patch, params)?;
        }
        let record = object(Method::Patch, data)?;
        let (mut work, view) = self.open().await?;
        let changes = view.changes(record)?;
        let columns = view.columns(filter.select());
        let rows = view.change(&mut work, id.as_ref(), &filter, &changes, &columns).await?;
        match id {
            Some(id) => view.one(&columns, rows, filter.select(), &id),
            None => Ok(view.sorted(&columns, rows, filter.select())),
        }
    }

    async fn remove_some(&self, id: Option<Id>, params: &Params) -> Result<Value> {
        let filter = Self::filter(params)?;
        if id.is_none() {
            self.options.check_multi(Method::Remove, params)?;
        }
        let (mut work, view) = self.open().await?;
        let columns = view.columns(filter.select());
        let mut statement = view.table.statement("DELETE FROM ");
        statement.name(&view.table.quoted).push(" WHERE ");
        view.chosen(&mut statement, id.as_ref(), filter.matcher())?;
        view.returning(&mut statement, &columns);
        let rows = work.rows(statement).await.map_err(|error| view.failed(error.into(), Outcome::Unknown))?;
        match id {
            Some(id) => view.one(&columns, rows, filter.select(), &id),
            None => Ok(view.sorted(&columns, rows, filter.select())),
        }
    }
}

/// What a column is set to.
#[derive(Clone, Debug)]
enum Change {
    To(Bound),
    Default,
}

type Changes = Vec<(usize, Change)>;

/// A row to insert: places of columns and their values, in the order of the table.
type Row = Vec<(usize, Bound)>;

/// The table as one call sees it.
struct View {
    table: Arc<Table>,
    id: Arc<str>,
}

impl View {
    fn id(&self) -> &Column {
        // Looked for when the table was read.
        self.table.column(&self.id).unwrap_or(&self.table.columns[0])
    }

    fn failed(&self, failure: Failure, outcome: Outcome) -> Error {
        failure.into_error(&self.table, outcome)
    }

    /// The columns that `select` asks for, and the id.
    fn columns(&self, select: &Select) -> Vec<&Column> {
        self.table.columns.iter().filter(|column| *column.name == *self.id || select.names(&column.name)).collect()
    }

    fn list(&self, text: &'static str, columns: &[&Column]) -> Statement {
        let mut statement = self.table.statement(text);
        statement.list(columns, ", ", |statement, column| column.select(statement));
        statement
    }

    fn returning(&self, statement: &mut Statement, columns: &[&Column]) {
        statement.push(" RETURNING ").list(columns, ", ", |statement, column| column.select(statement));
    }

    fn select(&self, columns: &[&Column], filter: &Filter, limit: Option<u64>) -> Result<Statement> {
        let mut statement = self.list("SELECT ", columns);
        statement.push(" FROM ").name(&self.table.quoted).push(" WHERE ");
        filter::conditions(&mut statement, &self.table, filter.matcher())?;
        filter::order(&mut statement, &self.table, filter.sort(), self.id(), false)?;
        let skip = i64::try_from(filter.skip()).unwrap_or(i64::MAX);
        if limit.is_some() || skip > 0 {
            // Two of the three databases know no OFFSET without a LIMIT.
            let limit = limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(i64::MAX);
            statement.push(" LIMIT ").bind(Bound::Integer(limit));
        }
        if skip > 0 {
            statement.push(" OFFSET ").bind(Bound::Integer(skip));
        }
        Ok(statement)
    }

    /// The id as its column has it, or `None` if no record can have it.
    fn id_bound(&self, id: &Id) -> Option<Bound> {
        let dialect = self.table.dialect;
        let column = self.id();
        match (&column.kind, id) {
            (Kind::Integer(..), Id::Number(number)) => Some(Bound::Integer(*number)),
            (Kind::Integer(..), Id::String(text)) => match text.parse::<i64>() {
                Ok(number) if number.to_string() == *text => Some(Bound::Integer(number)),
                _ => None,
            },
            (Kind::Float { .. } | Kind::Numeric(_), id) => {
                let number: serde_json::Number = id.to_string().parse().ok()?;
                column.operand(dialect, &Value::Number(number)).ok()?
            }
            (_, id) => column.operand(dialect, &id.to_string().into()).ok()?,
        }
    }

    fn by_id(&self, statement: &mut Statement, id: &Id, matcher: &Matcher) -> Result<()> {
        let none = || Error::not_found(format!("No record found for id '{}'", excerpt(&id.to_string())));
        let mut conditions = self.table.statement("");
        // What is wrong with the query is said even if there is no such record.
        filter::conditions(&mut conditions, &self.table, matcher)?;
        let bound = self.id_bound(id).ok_or_else(none)?;
        filter::is(statement, self.id(), bound);
        if !matcher.is_empty() {
            statement.push(" AND ");
            filter::conditions(statement, &self.table, matcher)?;
        }
        Ok(())
    }

    fn chosen(&self, statement: &mut Statement, id: Option<&Id>, matcher: &Matcher) -> Result<()> {
        match id {
            Some(id) => self.by_id(statement, id, matcher),
            None => filter::conditions(statement, &self.table, matcher),
        }
    }

    fn records(&self, columns: &[&Column], rows: Vec<Cells>, select: &Select) -> Vec<Value> {
        let record = |row: Cells| -> Record {
            columns.iter().zip(row).map(|(column, cell)| (column.name.clone(), column.json(cell))).collect()
        };
        let records = rows.into_iter().map(record);
        if select.is_all() {
            records.map(Value::Object).collect()
        } else {
            records.map(|record| select.pick(&record, &self.id)).collect()
        }
    }

    /// Records in the order of their ids, which a change does not return them in.
    fn sorted(&self, columns: &[&Column], rows: Vec<Cells>, select: &Select) -> Value {
        let mut records = self.records(columns, rows, select);
        records.sort_by(|a, b| order(&a[&*self.id], &b[&*self.id]));
        records.into()
    }

    fn one(&self, columns: &[&Column], rows: Vec<Cells>, select: &Select, id: &Id) -> Result<Value> {
        let none = || Error::not_found(format!("No record found for id '{}'", excerpt(&id.to_string())));
        self.records(columns, rows, select).pop().ok_or_else(none)
    }

    fn number(&self, rows: Vec<Cells>) -> u64 {
        match rows.into_iter().next().and_then(|row| row.into_iter().next()) {
            Some(crate::connection::Cell::Integer(number)) => number.try_into().unwrap_or_default(),
            Some(crate::connection::Cell::Unsigned(number)) => number,
            _ => 0,
        }
    }

    /// The values of a record by the places of their columns.
    fn assigned(&self, method: &Method, record: Record) -> Result<Vec<(usize, Bound)>> {
        let mut faults = Faults::default();
        let mut assigned = Vec::with_capacity(record.len());
        for (name, value) in &record {
            let Some(at) = self.table.columns.iter().position(|column| column.name == *name) else {
                faults.add(name, "is no field");
                continue;
            };
            let column = &self.table.columns[at];
            if column.is_computed {
                faults.add(name, "is computed by the database");
                continue;
            }
            match column.bound(self.table.dialect, value) {
                Ok(Bound::Null) if !column.is_nullable => faults.add(name, "must not be null"),
                Ok(bound) => assigned.push((at, bound)),
                Err(what) => faults.add(name, what),
            }
        }
        faults.check(method)?;
        assigned.sort_by_key(|(at, _)| *at);
        Ok(assigned)
    }

    fn new_row(&self, mut record: Record) -> Result<Row> {
        let column = self.id();
        match record.get(&*self.id) {
            None | Some(Value::Null) => drop(record.shift_remove(&*self.id)),
            Some(Value::String(text)) if text.is_empty() => drop(record.shift_remove(&*self.id)),
            Some(value @ (Value::String(_) | Value::Number(_))) => {
                // `7` and `"7"`, which a URL can not tell apart.
                let value = match (&column.kind, value) {
                    (Kind::Integer(..), Value::String(text)) => text.parse::<i64>().map_or(value.clone(), Value::from),
                    (Kind::Text(_), Value::Number(number)) => number.to_string().into(),
                    _ => value.clone(),
                };
                record.insert(self.id.to_string(), value);
            }
            Some(_) => {
                let message = format!("The field '{}' must be a number or a string: it is the id", self.id);
                return Err(Error::bad_request(message));
            }
        }
        if !record.contains_key(&*self.id) && !column.has_default && matches!(column.kind, Kind::Uuid | Kind::Text(_)) {
            record.insert(self.id.to_string(), uuid::Uuid::new_v4().to_string().into());
        }
        let row = self.assigned(&Method::Create, record)?;
        let mut faults = Faults::default();
        for (at, column) in self.table.columns.iter().enumerate() {
            let is_required = !column.is_nullable && !column.has_default && !column.is_computed;
            if is_required && !row.iter().any(|(given, _)| *given == at) {
                faults.add(&column.name, "is required");
            }
        }
        faults.check(&Method::Create)?;
        Ok(row)
    }

    /// Statements that insert the rows in their order: neighbours that name the same columns share one.
    fn inserts(&self, rows: &[Row], columns: &[&Column]) -> Vec<Statement> {
        let same = |a: &Row, b: &Row| a.iter().map(|(at, _)| at).eq(b.iter().map(|(at, _)| at));
        let mut statements = Vec::new();
        for rows in rows.chunk_by(same) {
            let width = rows.first().map_or(0, Vec::len);
            // Rows of defaults alone have no form for several.
            let most = VALUES.checked_div(width).map_or(1, |most| most.max(1));
            for rows in rows.chunks(most) {
                let mut statement = self.table.statement("INSERT INTO ");
                statement.name(&self.table.quoted);
                if width == 0 {
                    let is_mysql = self.table.dialect == Dialect::MySql;
                    statement.push(if is_mysql { " () VALUES ()" } else { " DEFAULT VALUES" });
                } else {
                    let names = rows[0].iter().map(|(at, _)| &self.table.columns[*at].quoted);
                    statement
                        .push(" (")
                        .list(names, ", ", |statement, name| _ = statement.name(name))
                        .push(") VALUES ");
                    statement.list(rows, ", ", |statement, row| {
                        statement.push("(");
                        statement.list(row, ", ", |statement, (at, bound)| {
                            self.table.columns[*at].bind(statement, bound.clone());
                        });
                        statement.push(")");
                    });
                }
                self.returning(&mut statement, columns);
                statements.push(statement);
            }
        }
        statements
    }

    /// The error with the id in its message, if it is about one that is taken.
    async fn name_taken_id(&self, work: &mut Work, error: Error, rows: &[Row]) -> Error {
        let is_about_id = error
            .errors()
            .and_then(Value::as_object)
            .is_some_and(|fields| error.code() == 409 && fields.len() == 1 && fields.contains_key(&*self.id));
        if !is_about_id {
            return error;
        }
        let text = |row: &Row| {
            let id = row.iter().find(|(at, _)| *self.table.columns[*at].name == *self.id)?;
            Some(match &id.1 {
                Bound::Integer(number) => number.to_string(),
                Bound::Unsigned(number) => number.to_string(),
                Bound::Float(number) => number.to_string(),
                Bound::Text(text) => text.clone(),
                _ => return None,
            })
        };
        let ids: Vec<String> = rows.iter().filter_map(text).collect();
        let mut seen = HashSet::new();
        let mut taken = ids.iter().find(|id| !seen.insert(id.as_str())).cloned();
        if ids.len() == 1 {
            taken = ids.into_iter().next();
        } else if taken.is_none() {
            for id in ids {
                let mut statement = self.list("SELECT ", &[self.id()]);
                statement.push(" FROM ").name(&self.table.quoted).push(" WHERE ");
                let exists = match self.by_id(&mut statement, &Id::String(id.clone()), &Matcher::default()) {
                    Ok(()) => work.rows(statement).await.is_ok_and(|rows| !rows.is_empty()),
                    Err(_) => false,
                };
                if exists {
                    taken = Some(id);
                    break;
                }
            }
        }
        match taken {
            Some(id) => {
                let id = excerpt(&id).into_owned();
                Error::conflict(format!("A record with the {} '{id}' exists already", self.id))
            }
            None => error,
        }
    }

    fn changes(&self, mut record: Record) -> Result<Changes> {
        record.shift_remove(&*self.id);
        let assigned = self.assigned(&Method::Patch, record)?;
        Ok(assigned.into_iter().map(|(at, bound)| (at, Change::To(bound))).collect())
    }

    /// All columns but the id: those that `record` does not name are what they would be in a new record.
    fn replacement(&self, mut record: Record) -> Result<Changes> {
        record.shift_remove(&*self.id);
        let mut assigned = self.assigned(&Method::Update, record)?.into_iter().peekable();
        let mut faults = Faults::default();
        let mut changes = Vec::with_capacity(self.table.columns.len());
        for (at, column) in self.table.columns.iter().enumerate() {
            if let Some((_, bound)) = assigned.next_if(|(given, _)| *given == at) {
                changes.push((at, Change::To(bound)));
            } else if column.is_computed || *column.name == *self.id {
                continue;
            } else if column.is_nullable || column.has_default {
                changes.push((at, Change::Default));
            } else {
                faults.add(&column.name, "is required");
            }
        }
        faults.check(&Method::Update)?;
        Ok(changes)
    }

    fn set(&self, statement: &mut Statement, changes: &Changes) {
        statement.list(changes, ", ", |statement, (at, change)| {
            let column = &self.table.columns[*at];
            statement.name(&column.quoted).push(" = ");
            match (change, &column.default) {
                (Change::To(bound), _) => column.bind(statement, bound.clone()),
                (Change::Default, Some(default)) => _ = statement.name(default),
                (Change::Default, None) if self.table.dialect == Dialect::Sqlite => _ = statement.push("NULL"),
                (Change::Default, None) => _ = statement.push("DEFAULT"),
            }
        });
    }

    /// Changes what the query chooses, and returns it as it became.
    async fn change(
        &self,
        work: &mut Work,
        id: Option<&Id>,
        filter: &Filter,
        changes: &Changes,
        columns: &[&Column],
    ) -> Result<Vec<Cells>> {
        if changes.is_empty() {
            let mut statement = self.list("SELECT ", columns);
            statement.push(" FROM ").name(&self.table.quoted).push(" WHERE ");
            self.chosen(&mut statement, id, filter.matcher())?;
            return work.rows(statement).await.map_err(|error| self.failed(error.into(), Outcome::NeverRan));
        }
        if self.table.dialect == Dialect::MySql {
            return self.change_chosen(work, id, filter, changes, columns).await;
        }
        let mut statement = self.table.statement("UPDATE ");
        statement.name(&self.table.quoted).push(" SET ");
        self.set(&mut statement, changes);
        statement.push(" WHERE ");
        self.chosen(&mut statement, id, filter.matcher())?;
        self.returning(&mut statement, columns);
        work.rows(statement).await.map_err(|error| self.failed(error.into(), Outcome::Unknown))
    }

    /// The same where an UPDATE returns nothing: the records are chosen and locked, changed, and read.
    async fn change_chosen(
        &self,
        work: &mut Work,
        id: Option<&Id>,
        filter: &Filter,
        changes: &Changes,
        columns: &[&Column],
    ) -> Result<Vec<Cells>> {
        let own = self.id();
        let mut choose = self.list("SELECT ", &[own]);
        choose.push(" FROM ").name(&self.table.quoted).push(" WHERE ");
        self.chosen(&mut choose, id, filter.matcher())?;
        choose.push(" FOR UPDATE");
        let unit = Chosen { view: self, choose, changes, columns };
        work.unit(&unit).await.map_err(|failure| self.failed(failure, Outcome::Unknown))
    }
}

/// Rows that need more than one statement.
struct Inserts<'s>(&'s [Statement]);

impl Unit for Inserts<'_> {
    type Done = Vec<Cells>;

    async fn run(&self, work: &mut Work) -> Result<Vec<Cells>, Failure> {
        let mut created = Vec::new();
        for statement in self.0 {
            created.extend(work.rows(statement.clone()).await?);
        }
        Ok(created)
    }
}

/// Records that are chosen and locked, changed, and read.
struct Chosen<'v> {
    view: &'v View,
    choose: Statement,
    changes: &'v Changes,
    columns: &'v [&'v Column],
}

impl Unit for Chosen<'_> {
    type Done = Vec<Cells>;

    async fn run(&self, work: &mut Work) -> Result<Vec<Cells>, Failure> {
        let View { table, .. } = self.view;
        let own = self.view.id();
        let chosen = work.rows(self.choose.clone()).await?;
        let bound = |cell| own.bound(table.dialect, &own.json(cell)).ok();
        let ids: Vec<Bound> = chosen.into_iter().flatten().filter_map(bound).collect();
        let mut rows = Vec::with_capacity(ids.len());
        let most = (VALUES / 2).saturating_sub(self.changes.len()).max(1);
        for ids in ids.chunks(most) {
            let mut update = table.statement("UPDATE ");
            update.name(&table.quoted).push(" SET ");
            self.view.set(&mut update, self.changes);
            update.push(" WHERE ");
            filter::is_one_of(&mut update, own, ids.to_vec());
            work.run(update).await?;
            let mut read = self.view.list("SELECT ", self.columns);
            read.push(" FROM ").name(&table.quoted).push(" WHERE ");
            filter::is_one_of(&mut read, own, ids.to_vec());
            rows.extend(work.rows(read).await?);
        }
        Ok(rows)
    }
}

impl Service for SqlService {
    const METHODS: &'static [Method] = Method::STANDARD;

    async fn find(&self, params: Params) -> Result<Value> {
        self.find_all(&params).await
    }

    async fn get(&self, id: Id, params: Params) -> Result<Value> {
        self.get_one(&id, &params).await
    }

    async fn create(&self, data: Value, params: Params) -> Result<Value> {
        self.create_some(data, &params).await
    }

    async fn update(&self, id: Option<Id>, data: Value, params: Params) -> Result<Value> {
        self.update_one(id, data, &params).await
    }

    async fn patch(&self, id: Option<Id>, data: Value, params: Params) -> Result<Value> {
        self.patch_some(id, data, &params).await
    }

    async fn remove(&self, id: Option<Id>, params: Params) -> Result<Value> {
        self.remove_some(id, &params).await
    }

    async fn setup(&self, _: Handle) -> Result<()> {
        self.check().await
    }
}

impl fmt::Debug for SqlService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlService")
            .field("table", &self.name)
            .field("id", &self.id)
            .field("options", &self.options)
            .field("pool", &self.pool)
            .finish()
    }
}
