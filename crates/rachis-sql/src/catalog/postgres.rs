//! The catalog of PostgreSQL.

use super::{Cells, Column, Kind, Read, grouped, precision, signed};
use crate::{
    connection::Session,
    statement::{Bound, Dialect, Name, Statement},
};

const COLUMNS: &str = "
    SELECT c.oid::int8, a.attname::text, format_type(a.atttypid, a.atttypmod), t.typname::text, t.typtype::text,
        e.typname::text, NOT a.attnotnull, a.atthasdef OR a.attidentity <> '', a.attgenerated <> '' OR a.attidentity = 'a',
        (SELECT json_agg(l.enumlabel ORDER BY l.enumsortorder)::text FROM pg_enum l WHERE l.enumtypid = t.oid),
        format_type(t.oid, CASE WHEN d.typtype = 'd' THEN d.typtypmod ELSE a.atttypmod END)
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type d ON d.oid = a.atttypid
    JOIN pg_type t ON t.oid = CASE WHEN d.typtype = 'd' THEN d.typbasetype ELSE d.oid END
    LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname = ";

const CONSTRAINTS: &str = "
    SELECT x.name, a.attname::text FROM (
        SELECT c.relname::text AS name, i.indrelid AS rel, unnest(i.indkey::int2[]) AS num
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indisunique
        UNION SELECT conname::text, conrelid, unnest(conkey) FROM pg_constraint
    ) x JOIN pg_attribute a ON a.attrelid = x.rel AND a.attnum = x.num WHERE x.rel::int8 = ";

pub(super) async fn read(session: &mut Session, schema: Option<&str>, table: &str) -> Result<Read, sqlx::Error> {
    let mut statement = Statement::new(Dialect::Postgres, COLUMNS);
    statement.bind(Bound::Text(table.to_owned()));
    match schema {
        Some(schema) => statement.push(" AND n.nspname = ").bind(Bound::Text(schema.to_owned())),
        None => statement.push(" AND pg_table_is_visible(c.oid)"),
    };
    statement.push(" ORDER BY a.attnum");
    let mut table = None;
    let mut columns = Vec::new();
    for row in session.rows(statement).await? {
        let mut row = Cells(row.into_iter());
        table = row.number();
        columns.push(column(row));
    }
    let Some(table) = table else { return Ok(Read::default()) };
    let mut statement = Statement::new(Dialect::Postgres, CONSTRAINTS);
    statement.bind(Bound::Integer(table));
    Ok((columns, grouped(session.rows(statement).await?)))
}

fn column(mut row: Cells) -> Column {
    let name = row.text();
    let type_name = row.text();
    let base = row.text();
    let class = row.text();
    let element = row.optional();
    let (is_nullable, has_default, is_computed) = (row.flag(), row.flag(), row.flag());
    let labels = row.optional().and_then(|labels| serde_json::from_str(&labels).ok());
    let base_name = row.text();
    let kind = match (element, labels) {
        (Some(element), _) => Kind::Array(Box::new(kind(&element, ""))),
        (None, Some(labels)) if class == "e" => Kind::Enum(labels),
        _ => kind(&base, &base_name),
    };
    Column {
        quoted: Name::quoted(Dialect::Postgres, &name),
        name,
        kind,
        type_name: Name::verbatim(type_name),
        is_nullable,
        has_default,
        default: None,
        is_computed,
        is_unicode: true,
    }
}

fn kind(base: &str, type_name: &str) -> Kind {
    match base {
        "int2" => signed(16),
        "int4" => signed(32),
        "int8" => signed(64),
        "float4" => Kind::Float { single: true },
        "float8" => Kind::Float { single: false },
        "numeric" => Kind::Numeric(precision(type_name)),
        "bool" => Kind::Bool,
        "text" => Kind::Text(None),
        "varchar" | "bpchar" => Kind::Text(super::arguments(type_name).first().map(|most| *most as usize)),
        "uuid" => Kind::Uuid,
        "timestamp" => Kind::Timestamp { zone: false },
        "timestamptz" => Kind::Timestamp { zone: true },
        "date" => Kind::Date,
        "time" => Kind::Time,
        "json" | "jsonb" => Kind::Json,
        "bytea" => Kind::Bytes,
        _ => Kind::Other,
    }
}
