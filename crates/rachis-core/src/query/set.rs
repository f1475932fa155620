//! The list of a `$in` or `$nin`, in which a value is found without looking at every item.

use super::compare::equal;
use serde_json::{Number, Value};
use std::collections::HashSet;

/// Values, equal as [`equal`] has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Set {
    texts: HashSet<Box<str>>,
    numbers: HashSet<Whole>,
    null: bool,
    yes: bool,
    no: bool,
    /// Arrays and objects, which have no hash and are compared one by one.
    nested: Vec<Value>,
}

/// A number by its value: `1` and `1.0` are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Whole {
    Integer(i128),
    /// The bits of a number with a fraction, or of one beyond all integers.
    Float(u64),
}

impl Whole {
    fn of(number: &Number) -> Whole {
        let integer = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
        let float = number.as_f64().unwrap_or_default();
        // Far beyond what a JSON integer is here, and exact below.
        const EXACT: f64 = 1e30;
        match integer {
            Some(integer) => Whole::Integer(integer),
            None if float.fract() == 0.0 && float.abs() < EXACT => Whole::Integer(float as i128),
            None => Whole::Float(float.to_bits()),
        }
    }

    fn value(self) -> Value {
        match self {
            Whole::Integer(integer) => i64::try_from(integer)
                .map(Value::from)
                .or_else(|_| u64::try_from(integer).map(Value::from))
                .unwrap_or_else(|_| Value::from(integer as f64)),
            Whole::Float(bits) => f64::from_bits(bits).into(),
        }
    }
}

impl Set {
    /// The values, each once, in no order.
    pub fn values(&self) -> impl Iterator<Item = Value> {
        let fixed = [(self.null, Value::Null), (self.yes, true.into()), (self.no, false.into())];
        let fixed = fixed.into_iter().filter(|(is_there, _)| *is_there).map(|(_, value)| value);
        let numbers = self.numbers.iter().map(|number| number.value());
        let texts = self.texts.iter().map(|text| Value::from(&**text));
        fixed.chain(numbers).chain(texts).chain(self.nested.iter().cloned())
    }

    pub(super) fn contains(&self, value: &Value) -> bool {
        match value {
            Value::Null => self.null,
            Value::Bool(true) => self.yes,
            Value::Bool(false) => self.no,
            Value::Number(number) => self.numbers.contains(&Whole::of(number)),
            Value::String(text) => self.texts.contains(text.as_str()),
            nested => self.nested.iter().any(|item| equal(item, nested)),
        }
    }

    /// How many items are compared one by one.
    pub(super) fn nested(&self) -> usize {
        self.nested.len()
    }
}

impl<'a> FromIterator<&'a Value> for Set {
    fn from_iter<I: IntoIterator<Item = &'a Value>>(items: I) -> Self {
        let mut set = Set::default();
        for item in items {
            match item {
                Value::Null => set.null = true,
                Value::Bool(true) => set.yes = true,
                Value::Bool(false) => set.no = true,
                Value::Number(number) => drop(set.numbers.insert(Whole::of(number))),
                Value::String(text) => drop(set.texts.insert(text.as_str().into())),
                nested => set.nested.push(nested.clone()),
            }
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_set_contains_what_equals_one_of_its_items() {
        let values = [
            json!(null),
            json!(true),
            json!(false),
            json!(0),
            json!(-0.0),
            json!(1),
            json!(1.0),
            json!(1.5),
            json!(1e300),
            json!(-1e300),
            json!(u64::MAX),
            json!(18_446_744_073_709_551_615.0),
            json!(i64::MIN),
            json!(9_007_199_254_740_993_i64),
            json!(9_007_199_254_740_992.0),
            json!("1"),
            json!(""),
            json!([]),
            json!([1]),
            json!([1.0]),
            json!({ "a": 1, "b": 2 }),
            json!({ "b": 2.0, "a": 1 }),
        ];
        for item in &values {
            let set = Set::from_iter([item]);
            assert!(set.values().map(|value| equal(&value, item)).eq([true]), "{item}");
            for value in &values {
                assert_eq!(set.contains(value), equal(item, value), "{value} in [{item}]");
            }
        }
    }
}
