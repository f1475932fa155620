//! Two queries as one.

use super::Query;
use serde_json::{Map, Value};

impl Query {
    /// Returns the query whose answer is in the answers of both: what two places ask for, e.g. params that are passed on
    /// and a query of one's own. It never finds more than one of them alone.
    ///
    /// Conditions on one key, where they differ, are joined by `$and`. Of `$limit` the smaller one counts, of `$select` the
    /// fields that both name; `$sort` and `$skip` are those of `other`, where it has any.
    ///
    /// ```
    /// use rachis::Query;
    /// use serde_json::json;
    ///
    /// let own = Query::new().with("userId", 7).with("$limit", 50);
    /// let asked = Query::new().with("userId", 8).with("done", true).with("$limit", 10);
    /// let both = own.narrowed_by(asked);
    /// assert_eq!(serde_json::to_value(both)?, json!({
    ///     "$limit": 10, "done": true, "$and": [{ "userId": 7 }, { "userId": 8 }],
    /// }));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn narrowed_by(self, other: Query) -> Query {
        let Query(mut fields) = self;
        let mut both = Vec::new();
        for (key, theirs) in other.0 {
            let Some(own) = fields.get_mut(&key) else {
                fields.insert(key, theirs);
                continue;
            };
            if *own == theirs {
                continue;
            }
            match key.as_str() {
                "$sort" | "$skip" => *own = theirs,
                "$limit" => *own = smaller(own.take(), theirs),
                "$select" => *own = common(own.take(), theirs),
                "$and" => *own = all(own.take(), theirs),
                _ => {
                    let own = fields.shift_remove(&key).unwrap_or_default();
                    both.extend([own, theirs].map(|value| Value::Object(Map::from_iter([(key.clone(), value)]))));
                }
            }
        }
        if !both.is_empty() {
            match fields.get_mut("$and") {
                Some(Value::Array(conditions)) => conditions.extend(both),
                // A value that is no list is refused by the service, as it would be alone.
                Some(_) => {}
                None => {
                    fields.insert("$and".to_owned(), both.into());
                }
            }
        }
        Query(fields)
    }
}

/// The conditions of both; a value that is no list is kept, so that the service refuses it.
fn all(own: Value, theirs: Value) -> Value {
    match (own, theirs) {
        (Value::Array(mut own), Value::Array(theirs)) => {
            own.extend(theirs);
            own.into()
        }
        (Value::Array(_), other) | (other, _) => other,
    }
}

/// The smaller of two limits; one that is no number is kept, so that the service refuses it.
fn smaller(own: Value, theirs: Value) -> Value {
    match (number(&own), number(&theirs)) {
        (Some(a), Some(b)) if a <= b => own,
        (Some(_), Some(_)) => theirs,
        (None, _) => own,
        (_, None) => theirs,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    }
}

/// The fields that both name; a selection that is no list is kept, so that the service refuses it.
fn common(own: Value, theirs: Value) -> Value {
    match (own, theirs) {
        (Value::Array(own), Value::Array(theirs)) => {
            own.into_iter().filter(|field| theirs.contains(field)).collect::<Vec<_>>().into()
        }
        (own @ Value::Array(_), other) | (other, own @ Value::Array(_)) => {
            if other.as_str().is_some_and(|name| own.as_array().is_some_and(|names| names.iter().any(|n| n == name))) {
                Value::Array(vec![other])
            } else {
                Value::Array(Vec::new())
            }
        }
        (own, _) => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Filter;
    use proptest::prelude::*;
    use serde_json::json;

    fn query() -> impl Strategy<Value = Query> {
        let condition = prop_oneof![
            (0..3).prop_map(|n| json!(n)),
            (0..3).prop_map(|n| json!({ "$gte": n })),
            (0..3).prop_map(|n| json!({ "$ne": n })),
        ];
        let key = prop_oneof![Just("a"), Just("b")];
        let own = prop::collection::vec((key.clone(), condition.clone()), 0..3);
        let joined = prop::collection::vec((key.clone(), condition.clone()), 0..3);
        let either = prop::collection::vec((key, condition), 0..3);
        (own, joined, either, prop::option::of(0..4)).prop_map(|(own, joined, either, limit)| {
            let mut query = own.into_iter().fold(Query::new(), |query, (key, value)| query.with(key, value));
            for (name, conditions) in [("$and", joined), ("$or", either)] {
                if !conditions.is_empty() {
                    let list: Vec<Value> = conditions.into_iter().map(|(key, value)| json!({ key: value })).collect();
                    query = query.with(name, list);
                }
            }
            if let Some(limit) = limit {
                query = query.with("$limit", limit);
            }
            query
        })
    }

    proptest! {
        #[test]
        fn what_two_queries_find_together_each_of_them_finds(a in query(), b in query()) {
            let records: Vec<Value> =
                (0..9).map(|n| json!({ "a": n % 3, "b": n / 3 })).collect();
            let matching = |query: &Query| {
                let filter = Filter::parse(query).unwrap();
                let all: Vec<bool> =
                    records.iter().map(|record| filter.matches(record.as_object().unwrap())).collect();
                (all, filter.limit())
            };
            let ((a_finds, a_limit), (b_finds, b_limit)) = (matching(&a), matching(&b));
            let (found, limit) = matching(&a.narrowed_by(b));
            let each = a_finds.iter().zip(&b_finds).map(|(a, b)| *a && *b).collect::<Vec<_>>();
            prop_assert_eq!(found, each);
            prop_assert_eq!(limit, match (a_limit, b_limit) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            });
        }
    }

    #[test]
    fn of_selected_fields_the_common_ones_are_left() {
        let select = |fields: Value| Query::new().with("$select", fields);
        let both = select(json!(["a", "b"])).narrowed_by(select(json!(["b", "c"])));
        assert_eq!(both["$select"], json!(["b"]));
        let one = select(json!(["a", "b"])).narrowed_by(select(json!("a")));
        assert_eq!(one["$select"], json!(["a"]));
    }
}
