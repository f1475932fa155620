//! Fields of records by name, where a dot leads into a nested record.

use serde_json::Value;

/// The field, looked for under its whole name first.
pub(super) fn get<'a>(record: &'a Value, field: &str) -> Option<&'a Value> {
    match (record.get(field), field.split_once('.')) {
        (Some(value), _) => Some(value),
        (None, Some((outer, inner))) => get(record.get(outer)?, inner),
        (None, None) => None,
    }
}

/// The same, to be changed.
pub(super) fn get_mut<'a>(record: &'a mut Value, field: &str) -> Option<&'a mut Value> {
    if record.get(field).is_some() {
        return record.get_mut(field);
    }
    let (outer, inner) = field.split_once('.')?;
    get_mut(record.get_mut(outer)?, inner)
}

/// Takes the field away, in every record of a list.
pub(super) fn remove(record: &mut Value, field: &str) {
    match record {
        Value::Array(records) => records.iter_mut().for_each(|record| remove(record, field)),
        Value::Object(fields) => {
            // Not `swap_remove`: the order of the others is what clients see.
            fields.shift_remove(field);
            if let Some((outer, inner)) = field.split_once('.')
                && let Some(outer) = fields.get_mut(outer)
            {
                remove(outer, inner);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_dot_leads_into_a_nested_record() {
        let mut record = json!({ "a": { "b": { "c": 1 } }, "x.y": 2 });
        assert_eq!(get(&record, "a.b.c"), Some(&json!(1)));
        assert_eq!(get(&record, "x.y"), Some(&json!(2)));
        assert_eq!((get(&record, "a.z"), get(&record, "x")), (None, None));
        *get_mut(&mut record, "a.b.c").unwrap() = json!(3);
        assert_eq!(record["a"]["b"]["c"], 3);
    }

    #[test]
    fn fields_are_removed_at_any_depth_and_the_order_of_the_rest_stays() {
        let mut record = json!({ "z": 1, "p": 2, "a": [{ "p": 3, "q": 4 }, { "p": 5 }], "m": 6 });
        remove(&mut record, "p");
        remove(&mut record, "a.p");
        remove(&mut record, "m.p");
        assert_eq!(record.to_string(), r#"{"z":1,"a":[{"q":4},{}],"m":6}"#);
    }
}
