//! Queries: a filter answers or refuses each, and its answers agree with each other.

use rachis_core::{Query, query::Filter};
use serde_json::{Map, Value, json};

/// Queries as other nodes and Socket.IO clients send them: any JSON.
pub fn filters(text: &str) {
    if let Ok(query) = serde_json::from_str::<Map<String, Value>>(text) {
        answer(&query.into());
    }
}

/// Runs a query over records and holds the answers against each other.
pub fn answer(query: &Query) {
    let Ok(filter) = Filter::parse(query) else { return };
    let records = records();
    let all = || records.iter().filter_map(Value::as_object);
    let matching = all().filter(|record| filter.matches(record)).count();
    for limit in [filter.limit(), Some(1), None] {
        let found = filter.find(all(), limit);
        assert_eq!(found.total, matching);
        assert_eq!(found.records, filter.first(all(), limit));
        let wanted = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        assert_eq!(found.records.len(), matching.saturating_sub(filter.skip()).min(wanted));
        for record in found.records {
            let _ = filter.select().pick(record, "id");
        }
    }
}

fn records() -> [Value; 4] {
    [
        json!({ "id": 1, "name": "Ada", "age": 36, "tags": ["a", "b"], "address": { "city": "London", "zip": [1, 2] } }),
        json!({ "id": 2, "name": "Bo", "age": 7.5, "tags": [], "a": [{ "b": 1 }, { "b": [null] }], "done": true }),
        json!({ "id": 3, "name": null, "age": -1, "a": { "b": { "c": { "d": "x" } } }, "done": false }),
        json!({ "id": u64::MAX, "": "", "0": [[0]], "age": "36" }),
    ]
}
