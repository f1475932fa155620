//! Does a record satisfy a query?

use super::{
    compare::{equal, order},
    path::{Path, Place},
};
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// How deep a query may be nested. Real ones stay below ten; without a bound, a hostile one would exhaust the stack.
const MAX_DEPTH: usize = 32;

/// The part of a query that chooses records, checked and ready to run.
///
/// The rules are those of Feathers' memory adapter (`@feathersjs/adapter-commons` says what is allowed, the `sift`
/// library what it means):
///
/// - `{ field: value }` wants equality of type and content; `null` also matches a missing field.
/// - `$ne $in $nin $lt $lte $gt $gte` work on a field. Order exists within numbers, strings and booleans only; `$lte` and
///   `$gte` of `null` match `null` and missing. Several operators on a field must all hold.
/// - `$or` and `$and` hold lists of queries.
/// - A field that is an array matches if one of its elements does, or the array itself; with `$ne` and `$nin` none may.
/// - `address.city` looks into nested objects and into the objects of nested arrays; `tags.0` means one element.
///
/// Where `sift` follows JavaScript's conversions (`[] <= null`), nothing matches here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matcher {
    // All must hold.
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq)]
enum Condition {
    Field(Path, Vec<Test>),
    Any(Vec<Matcher>),
    All(Vec<Matcher>),
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Equal(Value),
    NotEqual(Value),
    In(Vec<Value>),
    NotIn(Vec<Value>),
    Ordered(Relation, Value),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Relation {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Matcher {
    /// Adds the condition that one key of a query stands for.
    ///
    /// # Errors
    /// `BadRequest` for unknown operators, for known ones in the wrong place, and for queries nested too deep.
    pub(super) fn add(&mut self, key: &str, value: &Value) -> Result<()> {
        check(value, 1)?;
        self.conditions.push(condition(key, value)?);
        Ok(())
    }

    /// Does `record` satisfy all conditions? One without any is satisfied by every record.
    pub fn matches(&self, record: &Map<String, Value>) -> bool {
        self.conditions.iter().all(|condition| match condition {
            Condition::Field(path, tests) => tests.iter().all(|test| test.holds(path, record)),
            Condition::Any(matchers) => matchers.iter().any(|matcher| matcher.matches(record)),
            Condition::All(matchers) => matchers.iter().all(|matcher| matcher.matches(record)),
        })
    }

    /// Does it match everything, since it has no conditions?
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }
}

/// Refuses what Feathers' own check refuses: `$` keys that are no operators, at any depth and inside arrays too.
fn check(value: &Value, depth: usize) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::bad_request(format!("The query is nested deeper than {MAX_DEPTH} levels")));
    }
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| check(item, depth + 1)),
        Value::Object(map) => map.iter().try_for_each(|(key, inner)| {
            if key.starts_with('$') && !is_operator(key) {
                return Err(Error::bad_request(format!("Invalid query parameter {key}")).with_data(value.clone()));
            }
            check(inner, depth + 1)
        }),
        _ => Ok(()),
    }
}

fn is_operator(key: &str) -> bool {
    matches!(key, "$in" | "$nin" | "$lt" | "$lte" | "$gt" | "$gte" | "$ne" | "$or")
}

fn condition(key: &str, value: &Value) -> Result<Condition> {
    match key {
        "$or" => Ok(Condition::Any(queries(key, value)?)),
        "$and" => Ok(Condition::All(queries(key, value)?)),
        key if key.starts_with('$') => Err(Error::bad_request(format!(
            "Malformed query: {key} stands inside a field, as in {{ age: {{ {key}: … }} }}"
        ))),
        key => Ok(Condition::Field(Path::new(key), tests(key, value)?)),
    }
}

fn queries(key: &str, value: &Value) -> Result<Vec<Matcher>> {
    let malformed = || Error::bad_request(format!("Malformed query: {key} must be a nonempty array of queries"));
    let items = value.as_array().filter(|items| !items.is_empty()).ok_or_else(malformed)?;
    items.iter().map(|item| query(item.as_object().ok_or_else(malformed)?)).collect()
}

fn query(map: &Map<String, Value>) -> Result<Matcher> {
    let conditions = map.iter().map(|(key, value)| condition(key, value)).collect::<Result<_>>()?;
    Ok(Matcher { conditions })
}

/// The tests of one field: those its operators name, or equality where it has none.
fn tests(field: &str, value: &Value) -> Result<Vec<Test>> {
    match value {
        Value::Object(map) if has_operators(value) => map.iter().map(|(key, value)| test(field, key, value)).collect(),
        value => Ok(vec![Test::Equal(value.clone())]),
    }
}

fn has_operators(value: &Value) -> bool {
    value.as_object().is_some_and(|map| map.keys().any(|key| key.starts_with('$')))
}

fn test(field: &str, operator: &str, value: &Value) -> Result<Test> {
    Ok(match operator {
        "$ne" => Test::NotEqual(value.clone()),
        "$in" => Test::In(list(field, operator, value)?),
        "$nin" => Test::NotIn(list(field, operator, value)?),
        "$lt" => Test::Ordered(Relation::Less, value.clone()),
        "$lte" => Test::Ordered(Relation::LessOrEqual, value.clone()),
        "$gt" => Test::Ordered(Relation::Greater, value.clone()),
        "$gte" => Test::Ordered(Relation::GreaterOrEqual, value.clone()),
        other if other.starts_with('$') => {
            return Err(Error::bad_request(format!("Malformed query: {other} cannot be used on the field '{field}'")));
        }
        _ => {
            return Err(Error::bad_request(format!(
                "Malformed query: the field '{field}' mixes operators with the plain key '{operator}'"
            )));
        }
    })
}

/// The operand of `$in` or `$nin`; a single value stands for a list of one.
fn list(field: &str, operator: &str, value: &Value) -> Result<Vec<Value>> {
    let items = match value {
        Value::Array(items) => items.clone(),
        single => vec![single.clone()],
    };
    if items.iter().any(has_operators) {
        return Err(Error::bad_request(format!(
            "Malformed query: {operator} on '{field}' cannot hold other operators"
        )));
    }
    Ok(items)
}

impl Test {
    fn holds(&self, path: &Path, record: &Map<String, Value>) -> bool {
        match self {
            Test::Equal(wanted) => path.any(record, &mut |place| match place {
                Place::PastEnd => false,
                place => equal(or_null(place), wanted),
            }),
            Test::NotEqual(unwanted) => !path.any(record, &mut |place| equal(or_null(place), unwanted)),
            Test::In(wanted) => path.any(record, &mut |place| contains(wanted, or_null(place))),
            Test::NotIn(unwanted) => !path.any(record, &mut |place| contains(unwanted, or_null(place))),
            Test::Ordered(relation, bound) => path.any(record, &mut |place| match place {
                Place::PastEnd => false,
                place => relation.holds(or_null(place), bound),
            }),
        }
    }
}

fn or_null(place: Place<'_>) -> &Value {
    match place {
        Place::Value(value) => value,
        Place::Missing | Place::PastEnd => &Value::Null,
    }
}

fn contains(list: &[Value], value: &Value) -> bool {
    list.iter().any(|item| equal(item, value))
}

impl Relation {
    fn holds(self, value: &Value, bound: &Value) -> bool {
        use Value::{Bool, Null, Number, String};
        if !matches!(
            (value, bound),
            (Null, Null) | (Number(_), Number(_)) | (String(_), String(_)) | (Bool(_), Bool(_))
        ) {
            return false;
        }
        let order = order(value, bound);
        match self {
            Relation::Less => order == Ordering::Less,
            Relation::LessOrEqual => order != Ordering::Greater,
            Relation::Greater => order == Ordering::Greater,
            Relation::GreaterOrEqual => order != Ordering::Less,
        }
    }
}
