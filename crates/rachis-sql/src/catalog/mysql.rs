//! The catalog of MariaDB.

use super::{Cells, Column, Kind, Read, grouped, precision, signed};
use crate::{
    connection::Session,
    statement::{Bound, Dialect, Name, Statement},
};
use rachis_core::{Error, Result};

const COLUMNS: &str = "
    SELECT CAST(column_name AS CHAR), CAST(data_type AS CHAR), CAST(column_type AS CHAR), CAST(is_nullable AS CHAR),
        CAST(column_default AS CHAR), CAST(extra AS CHAR), character_maximum_length, CAST(character_set_name AS CHAR)
    FROM information_schema.columns WHERE table_name = ";
const CONSTRAINTS: &str = "
    SELECT CAST(index_name AS CHAR), CAST(column_name AS CHAR) FROM information_schema.statistics
    WHERE non_unique = 0 AND table_name = ";
const FOREIGN: &str = "
    SELECT CAST(constraint_name AS CHAR), CAST(column_name AS CHAR) FROM information_schema.key_column_usage WHERE table_name = ";
const CHECKS: &str = "
    SELECT CAST(constraint_name AS CHAR), CAST(check_clause AS CHAR) FROM information_schema.check_constraints
    WHERE table_name = ";

pub(super) async fn read(
    session: &mut Session,
    schema: Option<&str>,
    table: &str,
) -> Result<Result<Read, sqlx::Error>> {
    let version = session.rows(Statement::new(Dialect::MySql, "SELECT CAST(VERSION() AS CHAR)")).await;
    let version =
        version.map(|rows| rows.into_iter().next().map(|row| Cells(row.into_iter()).text()).unwrap_or_default());
    match version {
        Ok(version) if !version.contains("MariaDB") => Err(Error::general(format!(
            "The database is MySQL {version}: services need MariaDB 10.7 or newer, whose INSERT has a RETURNING"
        ))),
        Ok(_) => Ok(columns(session, schema, table).await),
        Err(error) => Ok(Err(error)),
    }
}

async fn columns(session: &mut Session, schema: Option<&str>, table: &str) -> Result<Read, sqlx::Error> {
    let about = |text: &'static str, schema_column: &'static str| {
        let mut statement = Statement::new(Dialect::MySql, text);
        statement.bind(Bound::Text(table.to_owned())).push(" AND ").push(schema_column).push(" = ");
        match schema {
            Some(schema) => statement.bind(Bound::Text(schema.to_owned())),
            None => statement.push("DATABASE()"),
        };
        statement
    };
    // JSON is text with a check there.
    let checks = grouped(session.rows(about(CHECKS, "constraint_schema")).await?);
    let is_json = |name: &str| {
        let valid = format!("json_valid(`{}`)", name.replace('`', "``"));
        checks.values().flatten().any(|check| check.eq_ignore_ascii_case(&valid))
    };
    let mut statement = about(COLUMNS, "table_schema");
    statement.push(" ORDER BY ordinal_position");
    let rows = session.rows(statement).await?;
    let columns: Vec<Column> = rows.into_iter().map(|row| column(Cells(row.into_iter()), &is_json)).collect();
    let mut constraints = grouped(session.rows(about(CONSTRAINTS, "table_schema")).await?);
    constraints.extend(grouped(session.rows(about(FOREIGN, "table_schema")).await?));
    for (name, clauses) in checks {
        let mentions = |column: &&Column| clauses.iter().any(|clause| clause.contains(&format!("`{}`", column.name)));
        constraints.insert(name, columns.iter().filter(mentions).map(|column| column.name.clone()).collect());
    }
    Ok((columns, constraints))
}

fn column(mut row: Cells, is_json: &dyn Fn(&str) -> bool) -> Column {
    let name = row.text();
    let data_type = row.text();
    let column_type = row.text();
    let is_nullable = row.text() == "YES";
    let default = row.optional();
    let extra = row.text().to_lowercase();
    let longest = row.number();
    let charset = row.optional();
    let kind = if is_json(&name) { Kind::Json } else { kind(&data_type, &column_type, longest) };
    Column {
        quoted: Name::quoted(Dialect::MySql, &name),
        name,
        kind,
        type_name: Name::verbatim(column_type),
        is_nullable,
        has_default: default.is_some_and(|default| default != "NULL") || extra.contains("auto_increment"),
        default: None,
        is_computed: extra.contains("generated") && !extra.contains("default_generated"),
        is_unicode: charset.is_none_or(|charset| charset.starts_with("utf8")),
    }
}

fn kind(data_type: &str, column_type: &str, longest: Option<i64>) -> Kind {
    let unsigned = column_type.contains("unsigned");
    let integer = |bits: u32| if unsigned { Kind::Integer(0, (1 << bits) - 1) } else { signed(bits) };
    match data_type {
        "tinyint" if column_type.starts_with("tinyint(1)") => Kind::Bool,
        "tinyint" => integer(8),
        "smallint" => integer(16),
        "mediumint" => integer(24),
        "int" => integer(32),
        "bigint" => integer(64),
        "year" => Kind::Integer(0, 2155),
        "float" => Kind::Float { single: true },
        "double" => Kind::Float { single: false },
        "decimal" => Kind::Numeric(precision(column_type)),
        "char" | "varchar" => Kind::Text(longest.and_then(|most| most.try_into().ok())),
        "tinytext" | "text" | "mediumtext" | "longtext" => Kind::Text(None),
        "uuid" => Kind::Uuid,
        "datetime" => Kind::Timestamp { zone: false },
        "timestamp" => Kind::Timestamp { zone: true },
        "date" => Kind::Date,
        "time" => Kind::Time,
        "json" => Kind::Json,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Kind::Bytes,
        "enum" => Kind::Enum(labels(column_type)),
        _ => Kind::Other,
    }
}

/// The labels of `enum('a','it''s')`.
fn labels(column_type: &str) -> Vec<String> {
    let inner = column_type.trim_start_matches("enum(").trim_end_matches(')');
    let trimmed = inner.strip_prefix('\'').and_then(|inner| inner.strip_suffix('\'')).unwrap_or(inner);
    trimmed.split("','").map(|label| label.replace("''", "'")).collect()
}
