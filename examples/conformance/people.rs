//! Records whose callers may change the adapter's options, for checks of the adapter from outside.
//!
//! An application would not allow that, but have the second half: a hook that turns the strings of a URL into what the
//! records have.

use rachis::{ALL, Context, Error, MemoryService, Query, Registration, Result, Service, ServiceExt, schema::Schemas};
use rachis_sql::{Dialect, Pool, SqlService};
use serde_json::{Map, Value};

const NUMBERS: &[&str] = &["id", "customid", "age"];
const BOOLEANS: &[&str] = &["created"];

/// Records that are kept in memory.
pub(crate) fn in_memory(id_field: &str) -> Registration {
    people(MemoryService::new().id_field(id_field))
}

/// Records that are kept in a table.
pub(crate) fn in_database(pool: &Pool, table: &str, id_field: &str) -> Registration {
    people(SqlService::new(pool, table).id(id_field))
}

/// Makes the tables `people` and `people_customid`, unless they are there.
pub(crate) async fn tables(pool: &Pool) -> Result<()> {
    pool.execute(match pool.dialect() {
        Dialect::Postgres => {
            "CREATE TABLE IF NOT EXISTS people (id SERIAL PRIMARY KEY, name TEXT, age INTEGER, time BIGINT, created BOOLEAN);
             CREATE TABLE IF NOT EXISTS people_customid
                (customid SERIAL PRIMARY KEY, name TEXT, age INTEGER, time BIGINT, created BOOLEAN)"
        }
        Dialect::MySql => {
            "CREATE TABLE IF NOT EXISTS people
                (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(255), age INTEGER, time BIGINT, created BOOLEAN);
             CREATE TABLE IF NOT EXISTS people_customid
                (customid INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(255), age INTEGER, time BIGINT, created BOOLEAN)"
        }
        Dialect::Sqlite => {
            "CREATE TABLE IF NOT EXISTS people (id INTEGER PRIMARY KEY, name TEXT, age INTEGER, time BIGINT, created BOOLEAN);
             CREATE TABLE IF NOT EXISTS people_customid
                (customid INTEGER PRIMARY KEY, name TEXT, age INTEGER, time BIGINT, created BOOLEAN)"
        }
    })
    .await
}

fn people(service: impl Service) -> Registration {
    service.before(ALL, with_params).before(ALL, with_types).schemas(Schemas::new())
}

/// Takes `$params`, JSON such as `{ "paginate": false, "adapter": { "multi": true } }`, from the query into the params.
async fn with_params(mut ctx: Context) -> Result<Context> {
    let mut query = into_map(&ctx.params.query);
    if let Some(sent) = query.remove("$params") {
        let sent = sent.as_str().ok_or_else(|| Error::bad_request("$params is JSON in a string"))?;
        let params: Map<String, Value> = serde_json::from_str(sent)?;
        ctx.params.extra.extend(params);
        ctx.params.query = Query::from(query);
    }
    Ok(ctx)
}

/// Turns strings into the types that the fields have.
async fn with_types(mut ctx: Context) -> Result<Context> {
    let query = into_map(&ctx.params.query).into_iter().map(typed_entry).collect::<Map<_, _>>();
    ctx.params.query = Query::from(query);
    Ok(ctx)
}

fn into_map(query: &Query) -> Map<String, Value> {
    match Value::from(query.clone()) {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn typed_entry((name, value): (String, Value)) -> (String, Value) {
    let value = match name.as_str() {
        "$or" | "$and" => each(value, |value| match value {
            Value::Object(query) => query.into_iter().map(typed_entry).collect(),
            other => other,
        }),
        field => typed(field, value),
    };
    (name, value)
}

/// The value of a field: as it is, in a list, or behind an operator.
fn typed(field: &str, value: Value) -> Value {
    match value {
        Value::String(text) => typed_text(field, text),
        Value::Object(operators) => {
            operators.into_iter().map(|(name, value)| (name, typed(field, value))).collect::<Map<_, _>>().into()
        }
        other => each(other, |value| typed(field, value)),
    }
}

fn typed_text(field: &str, text: String) -> Value {
    if NUMBERS.contains(&field) {
        if let Ok(number) = text.parse::<i64>() {
            return number.into();
        }
        return text.parse::<f64>().map_or(Value::String(text), Value::from);
    }
    match (BOOLEANS.contains(&field), text.as_str()) {
        (true, "true") => true.into(),
        (true, "false") => false.into(),
        _ => text.into(),
    }
}

/// What `change` makes of each element of an array; anything else as it is.
fn each(value: Value, change: impl Fn(Value) -> Value) -> Value {
    match value {
        Value::Array(values) => values.into_iter().map(change).collect(),
        other => other,
    }
}
