//! The conditions of a query, and whether a record satisfies them.

use super::{
    compare::{equal, order},
    limits::{Budget, about, check_depth, check_path},
    path::{Path, PathValue},
    set::Set,
};
use crate::{Error, Result, error::excerpt};
use serde_json::{Map, Value};
use std::cmp::Ordering;

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

/// One condition of a [`Matcher`], for stores that translate it.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// All tests of a field hold.
    Field(Path, Vec<Test>),
    /// One of these is satisfied: `$or`.
    Any(Vec<Matcher>),
    /// All of these are satisfied: `$and`.
    All(Vec<Matcher>),
}

/// What is asked of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// The value itself, or `null` for a missing one.
    Equal(Value),
    /// `$ne`.
    NotEqual(Value),
    /// `$in`.
    In(Set),
    /// `$nin`.
    NotIn(Set),
    /// `$lt`, `$lte`, `$gt` and `$gte`, within one type.
    Ordered(Relation, Value),
    /// An operator of the store's own [`Syntax`](super::Syntax). Here, it holds for nothing.
    Other(&'static str, Value),
}

/// An order of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `$lt`.
    Less,
    /// `$lte`.
    LessOrEqual,
    /// `$gt`.
    Greater,
    /// `$gte`.
    GreaterOrEqual,
}

impl Matcher {
    /// Adds the condition that one key of a query stands for.
    ///
    /// # Errors
    /// `BadRequest` for unknown operators, for known ones in the wrong place, for queries nested too deep, and for what
    /// exceeds the budget.
    pub(super) fn add(&mut self, key: &str, value: &Value, budget: &mut Budget) -> Result<()> {
        check(value, 1, budget)?;
        self.conditions.push(condition(key, value, budget)?);
        Ok(())
    }

    /// The conditions, all of which must hold.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// How many comparisons a record takes at most.
    pub(super) fn weight(&self) -> usize {
        self.conditions.iter().map(Condition::weight).sum()
    }

    /// Does `record` satisfy all conditions? One without any is satisfied by every record.
    pub fn matches(&self, record: &Map<String, Value>) -> bool {
        self.conditions.iter().all(|condition| match condition {
            Condition::Field(path, tests) => tests.iter().all(|test| test.holds(path, record)),
            Condition::Any(matchers) => matchers.iter().any(|matcher| matcher.matches(record)),
            Condition::All(matchers) => matchers.iter().all(|matcher| matcher.matches(record)),
        })
    }

    /// Returns `true` if there are no conditions, so that every record matches.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }
}

impl Condition {
    fn weight(&self) -> usize {
        match self {
            Condition::Field(_, tests) => tests.iter().map(Test::weight).sum(),
            Condition::Any(matchers) | Condition::All(matchers) => {
                matchers.iter().map(|matcher| matcher.weight().max(1)).sum()
            }
        }
    }
}

/// Refuses what Feathers' own check refuses: `$` keys that are no operators, at any depth and inside arrays too. Whatever
/// is in an array or object counts as an item.
fn check(value: &Value, depth: usize, budget: &mut Budget) -> Result<()> {
    check_depth(depth)?;
    match value {
        Value::Array(items) => {
            budget.take_items(items.len())?;
            items.iter().try_for_each(|item| check(item, depth + 1, budget))
        }
        Value::Object(map) => {
            budget.take_items(map.len())?;
            map.iter().try_for_each(|(key, inner)| {
                if key.starts_with('$') && !is_operator(key) && !budget.syntax().operators.contains(&key.as_str()) {
                    let error = Error::bad_request(format!("Invalid query parameter {}", excerpt(key)));
                    return Err(about(error, value));
                }
                check(inner, depth + 1, budget)
            })
        }
        _ => Ok(()),
    }
}

fn is_operator(key: &str) -> bool {
    matches!(key, "$in" | "$nin" | "$lt" | "$lte" | "$gt" | "$gte" | "$ne" | "$or")
}

fn condition(key: &str, value: &Value, budget: &mut Budget) -> Result<Condition> {
    match key {
        "$or" => Ok(Condition::Any(queries(key, value, budget)?)),
        "$and" => Ok(Condition::All(queries(key, value, budget)?)),
        key if key.starts_with('$') => {
            let key = excerpt(key);
            Err(Error::bad_request(format!(
                "Malformed query: {key} stands inside a field, as in {{ age: {{ {key}: … }} }}"
            )))
        }
        key => {
            check_path(key)?;
            Ok(Condition::Field(Path::new(key), tests(key, value, budget)?))
        }
    }
}

fn queries(key: &str, value: &Value, budget: &mut Budget) -> Result<Vec<Matcher>> {
    let malformed = || Error::bad_request(format!("Malformed query: {key} must be a nonempty array of queries"));
    let items = value.as_array().filter(|items| !items.is_empty()).ok_or_else(malformed)?;
    items.iter().map(|item| query(item.as_object().ok_or_else(malformed)?, budget)).collect()
}

fn query(map: &Map<String, Value>, budget: &mut Budget) -> Result<Matcher> {
    // One without conditions is looked at, too.
    budget.take_conditions(usize::from(map.is_empty()))?;
    let conditions = map.iter().map(|(key, value)| condition(key, value, budget)).collect::<Result<_>>()?;
    Ok(Matcher { conditions })
}

/// The tests of one field: those its operators name, or equality where it has none.
fn tests(field: &str, value: &Value, budget: &mut Budget) -> Result<Vec<Test>> {
    match value {
        Value::Object(map) if has_operators(value) => {
            budget.take_conditions(map.len())?;
            map.iter().map(|(key, value)| test(field, key, value, budget)).collect()
        }
        value => {
            budget.take_conditions(1)?;
            Ok(vec![Test::Equal(value.clone())])
        }
    }
}

fn has_operators(value: &Value) -> bool {
    value.as_object().is_some_and(|map| map.keys().any(|key| key.starts_with('$')))
}

fn test(field: &str, operator: &str, value: &Value, budget: &mut Budget) -> Result<Test> {
    Ok(match operator {
        "$ne" => Test::NotEqual(value.clone()),
        "$in" => Test::In(list(field, operator, value, budget)?),
        "$nin" => Test::NotIn(list(field, operator, value, budget)?),
        "$lt" => Test::Ordered(Relation::Less, value.clone()),
        "$lte" => Test::Ordered(Relation::LessOrEqual, value.clone()),
        "$gt" => Test::Ordered(Relation::Greater, value.clone()),
        "$gte" => Test::Ordered(Relation::GreaterOrEqual, value.clone()),
        other => {
            if let Some(known) = budget.syntax().operators.iter().find(|known| **known == other) {
                return Ok(Test::Other(known, value.clone()));
            }
            let field = excerpt(field);
            let other = excerpt(other);
            return Err(Error::bad_request(if other.starts_with('$') {
                format!("Malformed query: {other} cannot be used on the field '{field}'")
            } else {
                format!("Malformed query: the field '{field}' mixes operators with the plain key '{other}'")
            }));
        }
    })
}

/// The operand of `$in` or `$nin`; a single value stands for a list of one.
fn list(field: &str, operator: &str, value: &Value, budget: &mut Budget) -> Result<Set> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    if items.iter().any(has_operators) {
        let field = excerpt(field);
        return Err(Error::bad_request(format!(
            "Malformed query: {operator} on '{field}' cannot hold other operators"
        )));
    }
    let set = Set::from_iter(items);
    budget.take_conditions(set.nested())?;
    Ok(set)
}

impl Test {
    fn weight(&self) -> usize {
        match self {
            Test::In(set) | Test::NotIn(set) => 1 + set.nested(),
            _ => 1,
        }
    }

    fn holds(&self, path: &Path, record: &Map<String, Value>) -> bool {
        match self {
            Test::Equal(wanted) => path.any(record, &mut |place| match place {
                PathValue::PastEnd => false,
                place => equal(or_null(place), wanted),
            }),
            Test::NotEqual(unwanted) => !path.any(record, &mut |place| equal(or_null(place), unwanted)),
            Test::In(wanted) => path.any(record, &mut |place| wanted.contains(or_null(place))),
            Test::NotIn(unwanted) => !path.any(record, &mut |place| unwanted.contains(or_null(place))),
            Test::Ordered(relation, bound) => path.any(record, &mut |place| match place {
                PathValue::PastEnd => false,
                place => relation.holds(or_null(place), bound),
            }),
            Test::Other(..) => false,
        }
    }
}

fn or_null(place: PathValue<'_>) -> &Value {
    match place {
        PathValue::Value(value) => value,
        PathValue::Missing | PathValue::PastEnd => &Value::Null,
    }
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
