//! A checked query as SQL: its conditions and its order.
//!
//! Each condition means what it means to `MemoryService`, whatever the collations of the database are: text is compared by
//! code point, `null` is less than everything, and values of different types never match.

use crate::{
    catalog::{Column, Kind, Table},
    error::no_field,
    json,
    statement::{Bound, Dialect, Statement},
    values::{array, whole},
};
use rachis_core::{
    Error, Result,
    query::{Condition, Matcher, Path, Relation, Sort, Syntax, Test},
};
use serde_json::{Value, json};

/// What queries may say beside the common syntax.
pub(crate) const SYNTAX: Syntax = Syntax { operators: &["$like", "$ilike"], filters: &[] };

/// Writes the conditions of a query.
///
/// # Errors
/// `BadRequest` for fields that are none, and for texts that can be no value of their column.
pub(crate) fn conditions(statement: &mut Statement, table: &Table, matcher: &Matcher) -> Result<()> {
    all(statement, matcher.conditions(), " AND ", "TRUE", |statement, one| condition(statement, table, one))
}

fn all<T>(
    statement: &mut Statement,
    items: &[T],
    between: &'static str,
    none: &'static str,
    mut write: impl FnMut(&mut Statement, &T) -> Result<()>,
) -> Result<()> {
    if items.is_empty() {
        statement.push(none);
        return Ok(());
    }
    let mut outcome = Ok(());
    statement.balanced(items, between, &mut |statement, item| {
        if outcome.is_ok() {
            outcome = write(statement, item);
        }
    });
    outcome
}

fn condition(statement: &mut Statement, table: &Table, condition: &Condition) -> Result<()> {
    match condition {
        Condition::Any(matchers) => {
            all(statement, matchers, " OR ", "FALSE", |statement, one| conditions(statement, table, one))
        }
        Condition::All(matchers) => {
            all(statement, matchers, " AND ", "TRUE", |statement, one| conditions(statement, table, one))
        }
        Condition::Field(path, tests) => {
            let (column, rest) = place(table, path)?;
            all(statement, tests, " AND ", "TRUE", |statement, test| match &column.kind {
                Kind::Json => json::test(statement, column, &rest, test),
                Kind::Array(element) if rest.is_empty() => in_array(statement, column, element, test),
                _ if rest.is_empty() => on_column(statement, column, test),
                // Nothing is below a plain value, which a query takes for null.
                _ => {
                    statement.push(if holds_for_null(test) { "TRUE" } else { "FALSE" });
                    Ok(())
                }
            })
        }
    }
}

/// The column of a path, and what of the path leads into it.
fn place<'t, 'p>(table: &'t Table, path: &'p Path) -> Result<(&'t Column, Vec<&'p str>)> {
    let mut segments = path.segments();
    let first = segments.next().unwrap_or_default();
    let column = table.column(first).ok_or_else(|| no_field(first))?;
    Ok((column, segments.collect()))
}

fn wrong(column: &Column, what: String) -> Error {
    Error::bad_request(format!("The field '{}' {what}", column.name)).with_errors(json!({ &column.name: what }))
}

/// What the test says of a field that is `null` or missing.
pub(crate) fn holds_for_null(test: &Test) -> bool {
    match test {
        Test::Equal(value) => value.is_null(),
        Test::NotEqual(value) => !value.is_null(),
        Test::In(set) => set.values().any(|value| value.is_null()),
        Test::NotIn(set) => !set.values().any(|value| value.is_null()),
        Test::Ordered(relation, bound) => {
            bound.is_null() && matches!(relation, Relation::LessOrEqual | Relation::GreaterOrEqual)
        }
        Test::Other(..) => false,
    }
}

fn on_column(statement: &mut Statement, column: &Column, test: &Test) -> Result<()> {
    match test {
        Test::Equal(value) => equal(statement, column, std::slice::from_ref(value)),
        Test::NotEqual(value) => unequal(statement, column, std::slice::from_ref(value)),
        Test::In(set) => equal(statement, column, &set.values().collect::<Vec<_>>()),
        Test::NotIn(set) => unequal(statement, column, &set.values().collect::<Vec<_>>()),
        Test::Ordered(relation, value) => ordered(statement, column, *relation, value),
        Test::Other(operator, value) => like(statement, column, operator, value),
    }
}

fn operands(statement: &Statement, column: &Column, values: &[Value]) -> Result<Vec<Bound>> {
    let dialect = statement.dialect;
    let operand = |value: &Value| match (&column.kind, value) {
        // One that no column holds equals nothing.
        (Kind::Integer(..), Value::Number(number)) => Ok(whole(number).and_then(integer)),
        _ => column.operand(dialect, value).map_err(|what| wrong(column, what)),
    };
    values.iter().filter_map(|value| operand(value).transpose()).collect()
}

fn integer(whole: i128) -> Option<Bound> {
    i64::try_from(whole).map(Bound::Integer).or_else(|_| u64::try_from(whole).map(Bound::Unsigned)).ok()
}

fn equal(statement: &mut Statement, column: &Column, values: &[Value]) -> Result<()> {
    let bounds = signed_for(statement.dialect, operands(statement, column, values)?);
    let or_null = values.iter().any(Value::is_null);
    if bounds.is_empty() {
        if or_null {
            statement.name(&column.quoted).push(" IS NULL");
        } else {
            statement.push("FALSE");
        }
        return Ok(());
    }
    statement.push("(");
    is_one_of(statement, column, bounds);
    if or_null {
        statement.push(" OR ").name(&column.quoted).push(" IS NULL");
    }
    statement.push(")");
    Ok(())
}

fn unequal(statement: &mut Statement, column: &Column, values: &[Value]) -> Result<()> {
    let bounds = signed_for(statement.dialect, operands(statement, column, values)?);
    let not_null = values.iter().any(Value::is_null);
    if bounds.is_empty() {
        if not_null {
            statement.name(&column.quoted).push(" IS NOT NULL");
        } else {
            statement.push("TRUE");
        }
        return Ok(());
    }
    statement.push("(").name(&column.quoted);
    statement.push(if not_null { " IS NOT NULL AND NOT (" } else { " IS NULL OR NOT (" });
    is_one_of(statement, column, bounds);
    statement.push("))");
    Ok(())
}

/// Only MariaDB has numbers beyond the `i64`s.
fn signed_for(dialect: Dialect, mut bounds: Vec<Bound>) -> Vec<Bound> {
    if dialect != Dialect::MySql {
        bounds.retain(|bound| !matches!(bound, Bound::Unsigned(_)));
    }
    bounds
}

/// Writes that a column is this value, exactly.
pub(crate) fn is(statement: &mut Statement, column: &Column, value: Bound) {
    is_one_of(statement, column, vec![value]);
}

/// Writes that a column is one of these values, exactly.
pub(crate) fn is_one_of(statement: &mut Statement, column: &Column, bounds: Vec<Bound>) {
    let exact = statement.dialect == Dialect::MySql && is_text(column);
    if exact && column.is_unicode {
        // By its own collation, which finds it in an index and takes `a` for `A`; then by its bytes.
        list(
            statement,
            |statement| _ = statement.name(&column.quoted),
            &bounds,
            |statement, bound| {
                column.bind_compared(statement, bound);
            },
        );
        statement.push(" AND ");
    }
    list(
        statement,
        |statement| text(statement, column, exact),
        &bounds,
        |statement, bound| {
            if exact {
                statement.push("CAST(").bind(bound).push(" AS BINARY)");
            } else {
                column.bind_compared(statement, bound);
            }
        },
    );
}

fn list(
    statement: &mut Statement,
    left: impl Fn(&mut Statement),
    bounds: &[Bound],
    write: impl Fn(&mut Statement, Bound),
) {
    left(statement);
    match bounds {
        [bound] => {
            statement.push(" = ");
            write(statement, bound.clone());
        }
        bounds => {
            statement.push(" IN (").list(bounds, ", ", |statement, bound| write(statement, bound.clone())).push(")");
        }
    }
}

fn is_text(column: &Column) -> bool {
    matches!(column.kind, Kind::Text(_) | Kind::Enum(_))
}

/// The column, so that its texts are compared as they are and ordered by code point. Equality needs that only where the
/// database would take different texts for equal ones.
fn text(statement: &mut Statement, column: &Column, exact: bool) {
    match statement.dialect {
        Dialect::MySql if exact && column.is_unicode => {
            statement.push("CAST(").name(&column.quoted).push(" AS BINARY)");
        }
        Dialect::MySql if exact => {
            statement.push("CAST(CONVERT(").name(&column.quoted).push(" USING utf8mb4) AS BINARY)");
        }
        Dialect::Sqlite if is_text(column) => {
            statement.name(&column.quoted).push(" COLLATE BINARY");
        }
        _ => {
            statement.name(&column.quoted);
        }
    }
}

/// The column as it is put into order.
fn in_order(statement: &mut Statement, column: &Column) {
    match (statement.dialect, &column.kind) {
        (Dialect::Postgres, Kind::Text(_)) => {
            statement.name(&column.quoted).push(" COLLATE \"C\"");
        }
        (Dialect::Postgres, Kind::Enum(_)) => {
            statement.name(&column.quoted).push("::text COLLATE \"C\"");
        }
        _ => text(statement, column, is_text(column)),
    }
}

fn ordered(statement: &mut Statement, column: &Column, relation: Relation, value: &Value) -> Result<()> {
    if value.is_null() {
        match relation {
            Relation::LessOrEqual | Relation::GreaterOrEqual => statement.name(&column.quoted).push(" IS NULL"),
            Relation::Less | Relation::Greater => statement.push("FALSE"),
        };
        return Ok(());
    }
    let (relation, bound) = match (&column.kind, value) {
        (Kind::Integer(..), Value::Number(number)) => match integer_bound(relation, number) {
            Place::At(relation, whole) => match i64::try_from(whole) {
                Ok(whole) => (relation, Bound::Integer(whole)),
                Err(_) if statement.dialect == Dialect::MySql && whole > 0 => (relation, Bound::Unsigned(whole as u64)),
                Err(_) => return beyond(statement, column, relation, whole > 0),
            },
            Place::Beyond(above) => return beyond(statement, column, relation, above),
        },
        (Kind::Enum(_), Value::String(text)) => (relation, Bound::Text(text.clone())),
        (Kind::Float { .. }, Value::Number(number)) => (relation, Bound::Float(number.as_f64().unwrap_or_default())),
        _ => match column.operand(statement.dialect, value).map_err(|what| wrong(column, what))? {
            Some(bound) => (relation, bound),
            None => {
                statement.push("FALSE");
                return Ok(());
            }
        },
    };
    in_order(statement, column);
    statement.push(operator(relation));
    if is_text(column) {
        match statement.dialect {
            Dialect::MySql => statement.push("CAST(").bind(bound).push(" AS BINARY)"),
            _ => statement.bind(bound),
        };
    } else {
        column.bind_compared(statement, bound);
    }
    Ok(())
}

pub(crate) fn operator(relation: Relation) -> &'static str {
    match relation {
        Relation::Less => " < ",
        Relation::LessOrEqual => " <= ",
        Relation::Greater => " > ",
        Relation::GreaterOrEqual => " >= ",
    }
}

enum Place {
    At(Relation, i128),
    /// Above, or below, whatever a column can hold.
    Beyond(bool),
}

/// The whole number that bounds whole numbers as `number` does.
fn integer_bound(relation: Relation, number: &serde_json::Number) -> Place {
    let place = |relation, whole: i128| match u64::try_from(whole) {
        Err(_) if whole > 0 => Place::Beyond(true),
        Err(_) if whole < i64::MIN.into() => Place::Beyond(false),
        _ => Place::At(relation, whole),
    };
    if let Some(whole) = whole(number) {
        return place(relation, whole);
    }
    let float = number.as_f64().unwrap_or_default();
    match relation {
        Relation::Less | Relation::LessOrEqual => place(Relation::Less, float.ceil() as i128),
        Relation::Greater | Relation::GreaterOrEqual => place(Relation::Greater, float.floor() as i128),
    }
}

/// Compares with a number that is above, or below, all that the column can hold.
fn beyond(statement: &mut Statement, column: &Column, relation: Relation, above: bool) -> Result<()> {
    let all = matches!(relation, Relation::Less | Relation::LessOrEqual) == above;
    if all {
        statement.name(&column.quoted).push(" IS NOT NULL");
    } else {
        statement.push("FALSE");
    }
    Ok(())
}

/// `%` is any text, `_` one character, and a backslash takes their meaning from both.
fn like(statement: &mut Statement, column: &Column, operator: &str, value: &Value) -> Result<()> {
    let Some(pattern) = value.as_str() else {
        let message = format!("Malformed query: {operator} on '{}' must be a text, as in \"A%\"", column.name);
        return Err(Error::bad_request(message));
    };
    check_pattern(column, operator, pattern)?;
    if !is_text(column) {
        statement.push("FALSE");
        return Ok(());
    }
    let pattern = Bound::Text(pattern.to_owned());
    match (statement.dialect, operator) {
        (Dialect::Postgres, operator) => {
            statement.name(&column.quoted).push("::text");
            statement.push(if operator == "$like" { " LIKE " } else { " ILIKE " }).bind(pattern);
        }
        (Dialect::MySql, "$like") => {
            statement.push("CONVERT(").name(&column.quoted).push(" USING utf8mb4) COLLATE utf8mb4_bin LIKE ");
            statement.bind(pattern);
        }
        (Dialect::MySql, _) => {
            statement.push("CONVERT(").name(&column.quoted).push(" USING utf8mb4) COLLATE utf8mb4_general_ci LIKE ");
            statement.bind(pattern);
        }
        // Its LIKE takes `a` for `A`, among ASCII; its GLOB does not.
        (Dialect::Sqlite, "$like") => {
            let Bound::Text(pattern) = pattern else { return Ok(()) };
            statement.name(&column.quoted).push(" GLOB ").bind(Bound::Text(glob(&pattern)));
        }
        (Dialect::Sqlite, _) => {
            statement.name(&column.quoted).push(" LIKE ").bind(pattern).push(" ESCAPE '\\'");
        }
    }
    Ok(())
}

/// A backslash at the end takes the meaning from nothing; databases refuse it, each in its own words.
fn check_pattern(column: &Column, operator: &str, pattern: &str) -> Result<()> {
    let ending = pattern.chars().rev().take_while(|c| *c == '\\').count();
    if ending % 2 == 1 {
        let message = format!("Malformed query: the pattern of {operator} on '{}' ends with a backslash", column.name);
        return Err(Error::bad_request(message));
    }
    if pattern.contains('\0') {
        let message = format!("Malformed query: the pattern of {operator} on '{}' contains U+0000", column.name);
        return Err(Error::bad_request(message));
    }
    Ok(())
}

/// The pattern as SQLite's GLOB has it.
pub(crate) fn glob(pattern: &str) -> String {
    let mut glob = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            '%' => {
                glob.push('*');
                continue;
            }
            '_' => {
                glob.push('?');
                continue;
            }
            '\\' => characters.next().unwrap_or('\\'),
            other => other,
        };
        if matches!(literal, '*' | '?' | '[') {
            glob.push('[');
            glob.push(literal);
            glob.push(']');
        } else {
            glob.push(literal);
        }
    }
    glob
}

/// An array matches by one of its elements, or as a whole.
fn in_array(statement: &mut Statement, column: &Column, element: &Kind, test: &Test) -> Result<()> {
    let element =
        Column { kind: element.clone(), quoted: crate::statement::Name::verbatim("e".into()), ..column.clone() };
    let any = |statement: &mut Statement, values: &[Value]| -> Result<()> {
        statement.push("(");
        if values.iter().any(Value::is_null) {
            statement.name(&column.quoted).push(" IS NULL OR ");
        }
        for value in values.iter().filter(|value| value.is_array()) {
            if let Ok(literal) = array(&element.kind, statement.dialect, value) {
                statement.push("COALESCE(").name(&column.quoted).push(" = CAST(").bind(Bound::Text(literal));
                statement.push(" AS ").name(&column.type_name).push("), FALSE) OR ");
            }
        }
        statement.push("EXISTS (SELECT 1 FROM unnest(").name(&column.quoted).push(") AS e WHERE ");
        equal(statement, &Element::of(&element), values)?;
        statement.push("))");
        Ok(())
    };
    match test {
        Test::Equal(value) => any(statement, std::slice::from_ref(value)),
        Test::In(set) => any(statement, &set.values().collect::<Vec<_>>()),
        Test::NotEqual(value) => {
            statement.push("NOT ");
            any(statement, std::slice::from_ref(value))
        }
        Test::NotIn(set) => {
            statement.push("NOT ");
            any(statement, &set.values().collect::<Vec<_>>())
        }
        Test::Ordered(..) | Test::Other(..) => {
            statement.push("(");
            if holds_for_null(test) {
                statement.name(&column.quoted).push(" IS NULL OR ");
            }
            statement.push("EXISTS (SELECT 1 FROM unnest(").name(&column.quoted).push(") AS e WHERE ");
            on_column(statement, &Element::of(&element), test)?;
            statement.push("))");
            Ok(())
        }
    }
}

/// The elements of an array as a column of their own, whose type PostgreSQL knows by the array's name without `[]`.
struct Element;

impl Element {
    fn of(column: &Column) -> Column {
        Column { type_name: column.type_name.element(), ..column.clone() }
    }
}

/// Writes the order that a query asks for, and the id after it, so that pages do not overlap.
///
/// # Errors
/// `BadRequest` for fields that are none.
pub(crate) fn order(statement: &mut Statement, table: &Table, sort: &Sort, id: &Column, backwards: bool) -> Result<()> {
    statement.push(" ORDER BY ");
    for (path, descends) in sort.keys() {
        let (column, rest) = place(table, path)?;
        let descends = descends != backwards;
        match &column.kind {
            Kind::Json => json::order(statement, column, &rest, descends)?,
            _ if rest.is_empty() => {
                in_order(statement, column);
                direction(statement, descends, column.is_nullable);
            }
            // The same for all records.
            _ => continue,
        }
        statement.push(", ");
    }
    in_order(statement, id);
    direction(statement, backwards, false);
    Ok(())
}

/// `null` is less than everything: so it is everywhere but in PostgreSQL.
pub(crate) fn direction(statement: &mut Statement, descends: bool, is_nullable: bool) {
    statement.push(if descends { " DESC" } else { " ASC" });
    if is_nullable && statement.dialect == Dialect::Postgres {
        statement.push(if descends { " NULLS LAST" } else { " NULLS FIRST" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_of_like_means_the_same_to_glob() {
        assert_eq!(glob(r"a%_b"), "a*?b");
        assert_eq!(glob(r"50\%*[x]?"), "50%[*][[]x][?]");
        assert_eq!(glob(r"\\"), r"\");
    }
}
