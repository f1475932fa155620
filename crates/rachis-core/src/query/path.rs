//! The field a query names: a key, or a dotted path into nested objects and arrays.

use serde_json::{Map, Value};

/// A key such as `name`, or a path such as `address.city`.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    segments: Vec<Box<str>>,
}

/// What a path leads to in one record: a value, or the fact that there is none.
#[derive(Clone, Copy, Debug)]
pub(super) enum PathValue<'a> {
    /// A value.
    Value(&'a Value),
    /// Nothing, or `null` further up, which a query takes for `null`.
    Missing,
    /// An array that is too short for the index; only `$in`, `$nin` and `$ne` take that for `null`.
    PastEnd,
}

impl Path {
    /// Its names, one at least: the field, and what leads into it.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &str> {
        self.segments.iter().map(|segment| &**segment)
    }

    pub(super) fn new(key: &str) -> Self {
        Path { segments: key.split('.').map(Into::into).collect() }
    }

    /// The one value at the path, for sorting; arrays are entered by index only.
    pub(super) fn get<'a>(&self, record: &'a Map<String, Value>) -> Option<&'a Value> {
        let (first, rest) = self.segments.split_first()?;
        rest.iter().try_fold(record.get(&**first)?, |value, key| match value {
            Value::Object(map) => map.get(&**key),
            Value::Array(items) => items.get(index(key)?),
            _ => None,
        })
    }

    /// Shows every place the path can mean to `seen`, until that returns `true`; says whether it did.
    ///
    /// An array stands for each of its elements and, where the path ends, for itself as well.
    pub(super) fn any(&self, record: &Map<String, Value>, seen: &mut dyn FnMut(PathValue<'_>) -> bool) -> bool {
        match self.segments.split_first() {
            Some((first, rest)) => match record.get(&**first) {
                Some(value) => any_in(value, rest, seen),
                None => seen(PathValue::Missing),
            },
            None => false,
        }
    }
}

fn any_in(value: &Value, path: &[Box<str>], seen: &mut dyn FnMut(PathValue<'_>) -> bool) -> bool {
    let Some((key, rest)) = path.split_first() else {
        return elements(value).iter().any(|element| any_in(element, path, seen)) || seen(PathValue::Value(value));
    };
    match (value, index(key)) {
        (Value::Array(items), Some(index)) => match items.get(index) {
            Some(item) => any_in(item, rest, seen),
            None => seen(PathValue::PastEnd),
        },
        (Value::Array(items), None) => items.iter().any(|item| any_in(item, path, seen)),
        (Value::Object(map), _) => match map.get(&**key) {
            Some(value) => any_in(value, rest, seen),
            None => seen(PathValue::Missing),
        },
        _ => seen(PathValue::Missing),
    }
}

fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        _ => &[],
    }
}

fn index(key: &str) -> Option<usize> {
    key.parse().ok()
}
