//! Paths into a column of JSON (`meta.tags`), in conditions and in orders.
//!
//! A path is followed as `MemoryService` follows it: a list on the way stands for each of its elements unless the next name
//! is an index, and at the end for its elements and for itself. What is missing is `null`. Lists within lists are not
//! entered.

use crate::{
    catalog::Column,
    filter::{direction, holds_for_null, operator},
    statement::{Bound, Dialect, Statement},
};
use rachis_core::{
    Error, Result,
    query::{Relation, Test},
};
use serde_json::{Number, Value};
use std::cmp::Ordering;

/// Writes one test of what a path leads to.
///
/// # Errors
/// `BadRequest` for names that can not be a part of a path.
pub(crate) fn test(statement: &mut Statement, column: &Column, path: &[&str], test: &Test) -> Result<()> {
    path.iter().try_for_each(|name| check(name))?;
    let no_past_end = matches!(test, Test::Equal(_) | Test::Ordered(..));
    let place = Place { column, path, no_past_end };
    match test {
        Test::Equal(value) => place.is_one_of(statement, std::slice::from_ref(value)),
        Test::NotEqual(value) => {
            statement.push("NOT ");
            place.is_one_of(statement, std::slice::from_ref(value))
        }
        Test::In(set) => place.is_one_of(statement, &set.values().collect::<Vec<_>>()),
        Test::NotIn(set) => {
            statement.push("NOT ");
            place.is_one_of(statement, &set.values().collect::<Vec<_>>())
        }
        Test::Ordered(..) if holds_for_null(test) => place.is_one_of(statement, &[Value::Null]),
        Test::Ordered(relation, bound) => {
            place.some(statement, false, |statement| ordered(statement, *relation, bound));
            Ok(())
        }
        Test::Other(operator, value) => {
            let pattern = value.as_str().filter(|pattern| {
                pattern.chars().rev().take_while(|c| *c == '\\').count() % 2 == 0 && !pattern.contains('\0')
            });
            let Some(pattern) = pattern else {
                return Err(Error::bad_request(format!(
                    "Malformed query: {operator} on '{}' must be a text, as in \"A%\"",
                    column.name
                )));
            };
            place.some(statement, false, |statement| like(statement, operator, pattern));
            Ok(())
        }
    }
}

/// A quote would end the name in a path of SQLite and MariaDB.
fn check(name: &str) -> Result<()> {
    if name.contains(['"', '\\', '\0']) {
        return Err(Error::bad_request("Malformed query: a name within JSON has neither quotes nor backslashes"));
    }
    Ok(())
}

fn index(name: &str) -> Option<usize> {
    name.parse().ok()
}

struct Place<'q> {
    column: &'q Column,
    path: &'q [&'q str],
    /// An element past the end of a list is nothing, not even `null`: to equality and order, while `$in`, `$nin` and `$ne`
    /// take it for `null`.
    no_past_end: bool,
}

impl Place<'_> {
    fn is_one_of(&self, statement: &mut Statement, values: &[Value]) -> Result<()> {
        if values.is_empty() {
            statement.push("FALSE");
            return Ok(());
        }
        statement.push("(");
        self.some(statement, false, |statement| {
            statement.balanced(values, " OR ", &mut |statement, value| equal(statement, value));
        });
        let lists: Vec<&Value> = values.iter().filter(|value| value.is_array()).collect();
        if !lists.is_empty() {
            statement.push(" OR ");
            self.some(statement, true, |statement| {
                statement.balanced(&lists, " OR ", &mut |statement, value| equal(statement, value));
            });
        }
        statement.push(")");
        Ok(())
    }

    /// Writes that one of the values at the path satisfies a condition on `v`: one of the elements of a list there, or,
    /// with `whole`, the list itself.
    fn some(&self, statement: &mut Statement, whole: bool, condition: impl FnOnce(&mut Statement)) {
        statement.push("EXISTS (SELECT 1 FROM ");
        for (step, name) in self.path.iter().enumerate() {
            self.each(statement, step, index(name).is_some());
            statement.push(", ");
        }
        self.each(statement, self.path.len(), whole);
        statement.push(" WHERE (");
        condition(statement);
        statement.push("))");
    }

    /// A row for each value that the first `step` names lead to, as `e0`, `e1` and so on; the last one is `v`.
    fn each(&self, statement: &mut Statement, step: usize, whole: bool) {
        statement.push(match statement.dialect {
            Dialect::Postgres => "jsonb_array_elements(",
            Dialect::Sqlite => "json_each(",
            Dialect::MySql => "JSON_TABLE(",
        });
        let past_end = self.past_end(step);
        if let Some((before, index)) = past_end {
            self.is_past_end(statement, before, index);
        }
        if !whole {
            let kind_of = match statement.dialect {
                Dialect::Postgres => "jsonb_typeof(",
                Dialect::Sqlite => "json_type(",
                Dialect::MySql => "JSON_TYPE(",
            };
            statement.push("CASE WHEN ").push(kind_of);
            self.value(statement, step);
            statement.push(if statement.dialect == Dialect::MySql { ") = 'ARRAY' THEN " } else { ") = 'array' THEN " });
            self.value(statement, step);
            statement.push(" ELSE ");
        }
        match statement.dialect {
            Dialect::Postgres => {
                statement.push("jsonb_build_array(");
                self.value(statement, step);
                statement.push(")");
            }
            Dialect::Sqlite => {
                statement.push("'[' || COALESCE(");
                self.value(statement, step);
                statement.push(", 'null') || ']'");
            }
            Dialect::MySql => {
                statement.push("CONCAT('[', COALESCE(");
                self.value(statement, step);
                statement.push(", 'null'), ']')");
            }
        }
        statement.push(if whole { "" } else { " END" }).push(if past_end.is_some() { " END" } else { "" });
        if statement.dialect == Dialect::MySql {
            statement.push(", '$[*]' COLUMNS (v JSON PATH '$')");
        }
        statement.push(")");
        self.alias(statement, step);
        if statement.dialect == Dialect::Postgres {
            statement.push("(v)");
        }
    }

    /// The step before, and the index it is entered by, where that may be past the end.
    fn past_end(&self, step: usize) -> Option<(usize, usize)> {
        let before = step.checked_sub(1).filter(|_| self.no_past_end)?;
        Some((before, index(self.path[before])?))
    }

    /// Begins a case: no rows where a list is too short for the index.
    fn is_past_end(&self, statement: &mut Statement, before: usize, index: usize) {
        match statement.dialect {
            Dialect::Postgres => {
                statement
                    .push("CASE WHEN CASE jsonb_typeof(e")
                    .number(before)
                    .push(".v) WHEN 'array' THEN jsonb_array_length(e");
                statement.number(before).push(".v) <= ").number(index).push(" ELSE FALSE END THEN '[]'::jsonb ELSE ");
            }
            Dialect::Sqlite => {
                statement.push("CASE WHEN CASE e").number(before).push(".type WHEN 'array' THEN json_array_length(e");
                statement.number(before).push(".value) <= ").number(index).push(" ELSE FALSE END THEN '[]' ELSE ");
            }
            Dialect::MySql => {
                statement.push("CASE WHEN JSON_TYPE(e").number(before).push(".v) = 'ARRAY' AND JSON_LENGTH(e");
                statement.number(before).push(".v) <= ").number(index).push(" THEN '[]' ELSE ");
            }
        }
    }

    fn alias(&self, statement: &mut Statement, step: usize) {
        if step == self.path.len() {
            statement.push(" AS e");
        } else {
            statement.push(" AS e").number(step);
        }
    }

    /// The value that the name of a step leads to from the one before: the column itself at first.
    fn value(&self, statement: &mut Statement, step: usize) {
        let Some(before) = step.checked_sub(1) else {
            statement.name(&self.column.quoted);
            if statement.dialect == Dialect::Postgres {
                statement.push("::jsonb");
            }
            return;
        };
        let name = self.path[before];
        match statement.dialect {
            Dialect::Postgres => {
                statement.push("(CASE jsonb_typeof(e").number(before).push(".v)");
                statement
                    .push(" WHEN 'object' THEN e")
                    .number(before)
                    .push(".v -> ")
                    .bind(Bound::Text(name.to_owned()));
                if let Some(index) = index(name) {
                    statement.push(" WHEN 'array' THEN e").number(before).push(".v -> CAST(");
                    statement
                        .bind(Bound::Integer(index.try_into().unwrap_or(i64::MAX).min(i32::MAX.into())))
                        .push(" AS int4)");
                }
                statement.push(" END)");
            }
            Dialect::Sqlite => {
                statement.push("(CASE e").number(before).push(".type WHEN 'object' THEN e").number(before);
                statement.push(".value -> ").bind(Bound::Text(format!("$.\"{name}\"")));
                if let Some(index) = index(name) {
                    statement.push(" WHEN 'array' THEN e").number(before);
                    statement.push(".value -> ").bind(Bound::Text(format!("$[{index}]")));
                }
                statement.push(" END)");
            }
            Dialect::MySql => {
                statement.push("(CASE JSON_TYPE(e").number(before).push(".v) WHEN 'OBJECT' THEN JSON_EXTRACT(e");
                statement.number(before).push(".v, ").bind(Bound::Text(format!("$.\"{name}\""))).push(")");
                if let Some(index) = index(name) {
                    statement.push(" WHEN 'ARRAY' THEN JSON_EXTRACT(e").number(before).push(".v, ");
                    statement.bind(Bound::Text(format!("$[{index}]"))).push(")");
                }
                statement.push(" END)");
            }
        }
    }
}

/// Writes that the value `e` is this one, of the same type.
fn equal(statement: &mut Statement, value: &Value) {
    match statement.dialect {
        Dialect::Postgres => {
            statement.push("e.v = CAST(").bind(Bound::Text(value.to_string())).push(" AS jsonb)");
        }
        Dialect::MySql => match value {
            Value::Number(number) => {
                statement.push("(");
                decimal(statement, None, number);
                statement.push(")");
            }
            _ => {
                statement.push("JSON_EQUALS(e.v, ").bind(Bound::Text(value.to_string())).push(")");
            }
        },
        Dialect::Sqlite => match value {
            Value::Null => _ = statement.push("e.type = 'null'"),
            Value::Bool(flag) => _ = statement.push(if *flag { "e.type = 'true'" } else { "e.type = 'false'" }),
            Value::Number(_) => {
                statement.push("(e.type IN ('integer', 'real') AND e.value = ").bind(scalar(value)).push(")");
            }
            Value::String(_) => {
                statement.push("(e.type = 'text' AND e.value = ").bind(scalar(value)).push(")");
            }
            Value::Array(_) => {
                statement.push("(e.type = 'array' AND ");
                same(statement, value, "$".to_owned());
                statement.push(")");
            }
            Value::Object(_) => {
                statement.push("(e.type = 'object' AND ");
                same(statement, value, "$".to_owned());
                statement.push(")");
            }
        },
    }
}

/// SQLite compares no JSON, so each part is compared: as many, and each the same.
fn same(statement: &mut Statement, value: &Value, path: String) {
    let count = |statement: &mut Statement, kind: &'static str, count: usize| {
        statement.push("(json_type(e.value, ").bind(Bound::Text(path.clone())).push(") = ").push(kind);
        statement.push(" AND (SELECT COUNT(*) FROM json_each(e.value, ").bind(Bound::Text(path.clone())).push(")) = ");
        statement.number(count);
    };
    match value {
        Value::Array(items) => {
            count(statement, "'array'", items.len());
            for (number, item) in items.iter().enumerate() {
                statement.push(" AND ");
                same(statement, item, format!("{path}[{number}]"));
            }
            statement.push(")");
        }
        Value::Object(fields) => {
            count(statement, "'object'", fields.len());
            for (name, field) in fields {
                statement.push(" AND ");
                if check(name).is_ok() {
                    same(statement, field, format!("{path}.\"{name}\""));
                } else {
                    statement.push("FALSE");
                }
            }
            statement.push(")");
        }
        scalar_value => {
            let kinds = match scalar_value {
                Value::Null => "'null'",
                Value::Bool(true) => "'true'",
                Value::Bool(false) => "'false'",
                Value::Number(_) => "'integer', 'real'",
                _ => "'text'",
            };
            statement.push("(json_type(e.value, ").bind(Bound::Text(path.clone())).push(") IN (").push(kinds).push(")");
            if matches!(scalar_value, Value::Number(_) | Value::String(_)) {
                statement.push(" AND json_extract(e.value, ").bind(Bound::Text(path)).push(") = ").bind(scalar(value));
            }
            statement.push(")");
        }
    }
}

fn scalar(value: &Value) -> Bound {
    match value {
        Value::Number(number) => {
            number.as_i64().map_or_else(|| Bound::Float(number.as_f64().unwrap_or_default()), Bound::Integer)
        }
        Value::Bool(flag) => Bound::Bool(*flag),
        Value::String(text) => Bound::Text(text.clone()),
        other => Bound::Text(other.to_string()),
    }
}

fn ordered(statement: &mut Statement, relation: Relation, bound: &Value) {
    let operator = operator(relation);
    match (statement.dialect, bound) {
        (Dialect::Postgres, Value::Number(number)) => {
            statement.push("CASE WHEN jsonb_typeof(e.v) = 'number' THEN (e.v #>> '{}')::numeric").push(operator);
            statement.push("CAST(").bind(Bound::Text(number.to_string())).push(" AS numeric) ELSE FALSE END");
        }
        (Dialect::Postgres, Value::String(text)) => {
            statement.push("jsonb_typeof(e.v) = 'string' AND (e.v #>> '{}') COLLATE \"C\"").push(operator);
            statement.bind(Bound::Text(text.replace('\0', "")));
        }
        (Dialect::Postgres, Value::Bool(flag)) => {
            statement.push("jsonb_typeof(e.v) = 'boolean' AND (e.v #>> '{}')").push(operator);
            statement.bind(Bound::Text(flag.to_string()));
        }
        (Dialect::Sqlite, Value::Number(_)) => {
            statement.push("e.type IN ('integer', 'real') AND e.value").push(operator).bind(scalar(bound));
        }
        (Dialect::Sqlite, Value::String(_)) => {
            statement.push("e.type = 'text' AND e.value").push(operator).bind(scalar(bound));
        }
        (Dialect::Sqlite, Value::Bool(flag)) => {
            statement.push("e.type IN ('true', 'false') AND e.type").push(operator).bind(Bound::Text(flag.to_string()));
        }
        (Dialect::MySql, Value::Number(number)) => decimal(statement, Some(relation), number),
        (Dialect::MySql, Value::String(_)) => {
            statement.push("JSON_TYPE(e.v) = 'STRING' AND CAST(JSON_UNQUOTE(e.v) AS BINARY)").push(operator);
            statement.push("CAST(").bind(scalar(bound)).push(" AS BINARY)");
        }
        (Dialect::MySql, Value::Bool(flag)) => {
            statement.push("JSON_TYPE(e.v) = 'BOOLEAN' AND e.v").push(operator).bind(Bound::Text(flag.to_string()));
        }
        // There is no order among others.
        _ => _ = statement.push("FALSE"),
    }
}

/// Writes that `e` is this number, or how it is related to it, for MariaDB: its own `JSON_EQUALS` reads past the end of a
/// `1e300` that stands alone, and a comparison of floats alone would make different large integers equal. So what is written
/// as an integer is compared as one, and anything else as a float.
fn decimal(statement: &mut Statement, relation: Option<Relation>, number: &Number) {
    let float = number.as_f64().unwrap_or_default();
    let integer = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    statement.push("JSON_TYPE(e.v) IN ('INTEGER', 'DOUBLE') AND CASE WHEN e.v REGEXP '[.eE]' THEN ");
    // The float that is the nearest to a large integer is above it, below it, or the same.
    let nearest = integer.map_or(Ordering::Equal, |integer| (float as i128).cmp(&integer));
    let operator_of_floats = match (relation, nearest) {
        (Some(relation), Ordering::Equal) => Some(operator(relation)),
        (Some(Relation::Less | Relation::LessOrEqual), Ordering::Greater) => Some(" < "),
        (Some(Relation::Less | Relation::LessOrEqual), Ordering::Less) => Some(" <= "),
        (Some(Relation::Greater | Relation::GreaterOrEqual), Ordering::Greater) => Some(" >= "),
        (Some(Relation::Greater | Relation::GreaterOrEqual), Ordering::Less) => Some(" > "),
        (None, Ordering::Equal) => Some(" = "),
        (None, _) => None,
    };
    match operator_of_floats {
        Some(operator) => statement.push("CAST(e.v AS DOUBLE)").push(operator).bind(Bound::Float(float)),
        None => statement.push("FALSE"),
    };
    statement.push(" ELSE ");
    // The whole number that stands for one with a fraction among integers.
    let whole = match (integer, relation) {
        (Some(integer), _) => Some(integer.to_string()),
        (None, Some(Relation::Less | Relation::GreaterOrEqual)) => Some(digits(float.ceil())),
        (None, Some(Relation::LessOrEqual | Relation::Greater)) => Some(digits(float.floor())),
        (None, None) => (float.fract() == 0.0).then(|| digits(float)),
    };
    match whole {
        Some(whole) => {
            statement.push("CAST(e.v AS DECIMAL(65))").push(relation.map_or(" = ", operator));
            statement.push("CAST(").bind(Bound::Text(whole)).push(" AS DECIMAL(65))");
        }
        None => _ = statement.push("FALSE"),
    }
    statement.push(" END");
}

/// All digits of a whole number, or of the largest that `DECIMAL` holds.
fn digits(float: f64) -> String {
    format!("{:.0}", float.clamp(-1e64, 1e64))
}

fn like(statement: &mut Statement, operator: &str, pattern: &str) {
    let bound = Bound::Text(pattern.to_owned());
    match (statement.dialect, operator == "$like") {
        (Dialect::Postgres, exact) => {
            statement.push("jsonb_typeof(e.v) = 'string' AND (e.v #>> '{}')");
            statement.push(if exact { " LIKE " } else { " ILIKE " }).bind(bound);
        }
        (Dialect::MySql, exact) => {
            statement.push("JSON_TYPE(e.v) = 'STRING' AND CONVERT(JSON_UNQUOTE(e.v) USING utf8mb4) COLLATE ");
            statement.push(if exact { "utf8mb4_bin LIKE " } else { "utf8mb4_general_ci LIKE " }).bind(bound);
        }
        (Dialect::Sqlite, true) => {
            statement.push("e.type = 'text' AND e.value GLOB ").bind(Bound::Text(crate::filter::glob(pattern)));
        }
        (Dialect::Sqlite, false) => {
            statement.push("e.type = 'text' AND e.value LIKE ").bind(bound).push(" ESCAPE '\\'");
        }
    }
}

/// Writes an order by what a path leads to, lists entered by index only: by type, then by number, then by text. Lists and
/// objects go by how they are written.
///
/// # Errors
/// `BadRequest` for names that can not be a part of a path.
pub(crate) fn order(statement: &mut Statement, column: &Column, path: &[&str], descends: bool) -> Result<()> {
    path.iter().try_for_each(|name| check(name))?;
    let end = |statement: &mut Statement| direction(statement, descends, true);
    let steps = || {
        path.iter().fold("$".to_owned(), |path, name| match index(name) {
            Some(index) => format!("{path}[{index}]"),
            None => format!("{path}.\"{name}\""),
        })
    };
    match statement.dialect {
        Dialect::Postgres => {
            let value = |statement: &mut Statement| {
                let names = Value::from(path.to_vec());
                // Written as PostgreSQL writes an array of texts.
                let literal = crate::values::array(&crate::catalog::Kind::Text(None), Dialect::Postgres, &names);
                statement.push("(").name(&column.quoted).push("::jsonb #> CAST(");
                statement.bind(Bound::Text(literal.unwrap_or_default())).push(" AS text[]))");
            };
            statement.push("CASE jsonb_typeof(");
            value(statement);
            statement.push(") WHEN 'number' THEN 1 WHEN 'string' THEN 2 WHEN 'boolean' THEN 3 WHEN 'array' THEN 4 ");
            statement.push("WHEN 'object' THEN 5 ELSE 0 END");
            end(statement);
            statement.push(", CASE WHEN jsonb_typeof(");
            value(statement);
            statement.push(") = 'number' THEN (");
            value(statement);
            statement.push(" #>> '{}')::numeric END");
            end(statement);
            statement.push(", (");
            value(statement);
            statement.push(" #>> '{}') COLLATE \"C\"");
            end(statement);
        }
        Dialect::Sqlite => {
            let of = |statement: &mut Statement| {
                statement.name(&column.quoted).push(", ").bind(Bound::Text(steps())).push(")");
            };
            statement.push("CASE json_type(");
            of(statement);
            statement.push(" WHEN 'integer' THEN 1 WHEN 'real' THEN 1 WHEN 'text' THEN 2 WHEN 'false' THEN 3 ");
            statement.push("WHEN 'true' THEN 4 WHEN 'array' THEN 5 WHEN 'object' THEN 6 ELSE 0 END");
            end(statement);
            statement.push(", json_extract(");
            of(statement);
            end(statement);
        }
        Dialect::MySql => {
            let value = |statement: &mut Statement| {
                statement.push("JSON_EXTRACT(").name(&column.quoted).push(", ").bind(Bound::Text(steps())).push(")");
            };
            statement.push("CASE JSON_TYPE(");
            value(statement);
            statement.push(") WHEN 'INTEGER' THEN 1 WHEN 'DOUBLE' THEN 1 WHEN 'STRING' THEN 2 WHEN 'BOOLEAN' THEN 3 ");
            statement.push("WHEN 'ARRAY' THEN 4 WHEN 'OBJECT' THEN 5 ELSE 0 END");
            end(statement);
            statement.push(", CASE WHEN JSON_TYPE(");
            value(statement);
            statement.push(") IN ('INTEGER', 'DOUBLE') THEN CAST(");
            value(statement);
            statement.push(" AS DOUBLE) END");
            end(statement);
            statement.push(", CAST(JSON_UNQUOTE(");
            value(statement);
            statement.push(") AS BINARY)");
            end(statement);
        }
    }
    Ok(())
}
