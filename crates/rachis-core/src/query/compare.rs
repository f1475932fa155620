//! Equality and order of JSON values, as a query means them.

use serde_json::{Map, Number, Value};
use std::cmp::Ordering;

/// Are these the same value? Numbers are compared by value (`1` is `1.0`), and the order of an object's keys is nothing.
///
/// Types are never converted: `1` is not `"1"`.
pub fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => numbers(a, b) == Ordering::Equal,
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        (a, b) => a == b,
    }
}

/// The order that `$sort` puts values in, ascending: null and missing, numbers, strings, booleans, arrays, objects.
///
/// Strings go by code point. Arrays go by their first different element, then by length; objects likewise by their
/// values in the order of their keys. Feathers' adapters have dates between booleans and arrays; JSON has none.
pub fn order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => numbers(a, b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => sequences(a.iter(), b.iter()),
        (Value::Object(a), Value::Object(b)) => sequences(by_key(a), by_key(b)),
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Number(_) => 1,
        Value::String(_) => 2,
        Value::Bool(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

fn sequences<'a>(mut a: impl Iterator<Item = &'a Value>, mut b: impl Iterator<Item = &'a Value>) -> Ordering {
    loop {
        match (a.next(), b.next()) {
            (Some(a), Some(b)) => match order(a, b) {
                Ordering::Equal => {}
                different => return different,
            },
            (a, b) => return a.is_some().cmp(&b.is_some()),
        }
    }
}

fn by_key(map: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    entries.into_iter().map(|(_, value)| value)
}

/// Exact for every pair: comparing large integers as floats would make different ids equal, and an order in which
/// `a = b` and `b = c` but `a < c` is none that a sort can use.
pub(super) fn numbers(a: &Number, b: &Number) -> Ordering {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(a), None) => integer_with_float(a, float(b)),
        (None, Some(b)) => integer_with_float(b, float(a)).reverse(),
        (None, None) => float(a).total_cmp(&float(b)),
    }
}

fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// Minus zero is zero, so that `total_cmp` is the usual order.
fn float(number: &Number) -> f64 {
    number.as_f64().unwrap_or_default() + 0.0
}

fn integer_with_float(integer: i128, float: f64) -> Ordering {
    // `as` saturates, and no 64-bit integer comes near the ends of an i128.
    let whole = float.trunc() as i128;
    integer.cmp(&whole).then_with(|| 0.0_f64.partial_cmp(&float.fract()).unwrap_or(Ordering::Equal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_of_different_types_sort_by_rank() {
        let sorted = [json!(null), json!(9), json!("1"), json!(false), json!(true), json!([0]), json!({})];
        for pair in sorted.windows(2) {
            assert_eq!(order(&pair[0], &pair[1]), Ordering::Less, "{pair:?}");
        }
    }

    #[test]
    fn arrays_and_objects_sort_by_their_first_difference_and_then_by_length() {
        assert_eq!(order(&json!([1, 2]), &json!([1, 3])), Ordering::Less);
        assert_eq!(order(&json!([1, 2]), &json!([1])), Ordering::Greater);
        assert_eq!(order(&json!({"b": 1, "a": 2}), &json!({"a": 2, "b": 3})), Ordering::Less);
        assert_eq!(order(&json!({"a": 2}), &json!({"a": 2, "b": 3})), Ordering::Less);
    }

    #[test]
    fn a_whole_float_equals_the_integer() {
        assert!(equal(&json!({"a": [1, 2]}), &json!({"a": [1.0, 2]})));
        assert!(equal(&json!(-0.0), &json!(0)));
        assert!(!equal(&json!(1), &json!("1")));
        assert!(!equal(&json!({"x": null}), &json!({"y": null})));
    }

    #[test]
    fn large_integers_are_not_rounded() {
        let small = 9_007_199_254_740_992_i64;
        let large = 9_007_199_254_740_993_i64;
        assert_eq!(order(&json!(small), &json!(large)), Ordering::Less);
        assert_eq!(order(&json!(large), &json!(9_007_199_254_740_992.0)), Ordering::Greater);
        assert_eq!(order(&json!(1), &json!(1.5)), Ordering::Less);
        assert_eq!(order(&json!(-1), &json!(-1.5)), Ordering::Greater);
        assert_eq!(order(&json!(u64::MAX), &json!(1e300)), Ordering::Less);
    }
}
