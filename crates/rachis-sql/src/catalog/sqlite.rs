//! The catalog of SQLite.

use super::{Cells, Column, Kind, Read, signed};
use crate::{
    connection::Session,
    statement::{Bound, Dialect, Name, Statement},
};

pub(super) async fn read(session: &mut Session, schema: Option<&str>, table: &str) -> Result<Read, sqlx::Error> {
    let mut statement = Statement::new(
        Dialect::Sqlite,
        "SELECT name, type, \"notnull\", dflt_value, pk, hidden, (SELECT COUNT(*) FROM pragma_table_info(",
    );
    let named = |statement: &mut Statement| {
        statement.bind(Bound::Text(table.to_owned()));
        if let Some(schema) = schema {
            statement.push(", ").bind(Bound::Text(schema.to_owned()));
        }
    };
    named(&mut statement);
    statement.push(") WHERE pk > 0) FROM pragma_table_xinfo(");
    named(&mut statement);
    statement.push(") WHERE hidden <> 1 ORDER BY cid");
    let rows = session.rows(statement).await?;
    Ok((rows.into_iter().map(|row| column(Cells(row.into_iter()))).collect(), Default::default()))
}

fn column(mut row: Cells) -> Column {
    let name = row.text();
    let declared = row.text().to_uppercase();
    let is_nullable = !row.flag();
    let default = row.optional();
    let is_key = row.flag();
    let is_computed = row.flag();
    let keys = row.number().unwrap_or_default();
    let is_rowid = is_key && keys == 1 && declared == "INTEGER";
    Column {
        quoted: Name::quoted(Dialect::Sqlite, &name),
        name,
        kind: kind(&declared),
        type_name: Name::verbatim(declared),
        is_nullable: is_nullable && !is_key,
        has_default: default.is_some() || is_rowid,
        default: default.map(|default| Name::verbatim(format!("({default})"))),
        is_computed,
        is_unicode: true,
    }
}

/// By the names that SQLite knows, and those that it takes without knowing them.
fn kind(declared: &str) -> Kind {
    let plain = declared.split('(').next().unwrap_or_default().trim();
    match plain {
        "UUID" | "GUID" => Kind::Uuid,
        "DATE" => Kind::Date,
        "TIME" => Kind::Time,
        "DATETIME" | "TIMESTAMP" => Kind::Timestamp { zone: false },
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => Kind::Timestamp { zone: true },
        "" => Kind::Other,
        _ if plain.contains("BOOL") => Kind::Bool,
        _ if plain.contains("JSON") => Kind::Json,
        _ if plain.contains("INT") => signed(64),
        _ if ["CHAR", "CLOB", "TEXT"].iter().any(|text| plain.contains(text)) => Kind::Text(None),
        _ if plain.contains("BLOB") => Kind::Bytes,
        _ => Kind::Float { single: false },
    }
}
