//! What queries mean, asked of one matcher at a time.

use crate::{
    Query,
    query::{Filter, order},
};
use serde_json::{Value, json};

#[track_caller]
fn matches(query: Value, record: Value) -> bool {
    Filter::parse(&Query::from(query)).unwrap().matches(record.as_object().unwrap())
}

#[track_caller]
fn all(query: Value, matching: &[Value], not_matching: &[Value]) {
    for record in matching {
        assert!(matches(query.clone(), record.clone()), "{query} misses {record}");
    }
    for record in not_matching {
        assert!(!matches(query.clone(), record.clone()), "{query} hits {record}");
    }
}

#[track_caller]
fn refused(query: Value) -> String {
    let error = Filter::parse(&Query::from(query)).unwrap_err();
    assert_eq!(error.code(), 400);
    error.message().to_owned()
}

#[test]
fn equality_wants_the_same_type() {
    all(
        json!({ "a": 1 }),
        &[json!({ "a": 1 }), json!({ "a": 1.0 })],
        &[json!({ "a": "1" }), json!({ "a": true }), json!({})],
    );
    all(json!({ "a": "1" }), &[json!({ "a": "1" })], &[json!({ "a": 1 })]);
}

#[test]
fn null_means_null_or_missing() {
    all(json!({ "a": null }), &[json!({ "a": null }), json!({})], &[json!({ "a": 0 }), json!({ "a": "" })]);
    all(json!({ "a": { "$ne": null } }), &[json!({ "a": 0 })], &[json!({ "a": null }), json!({})]);
    all(json!({ "a": { "$in": [null, 1] } }), &[json!({}), json!({ "a": 1 })], &[json!({ "a": 2 })]);
}

#[test]
fn an_array_matches_by_its_elements_or_as_a_whole() {
    all(
        json!({ "a": 1 }),
        &[json!({ "a": [2, 1] }), json!({ "a": [[1]] })],
        &[json!({ "a": [2] }), json!({ "a": [] })],
    );
    all(
        json!({ "a": [1, 2] }),
        &[json!({ "a": [1, 2] }), json!({ "a": [[1, 2]] })],
        &[json!({ "a": [2, 1] }), json!({ "a": 1 })],
    );
    all(json!({ "a": { "$in": [1, 3] } }), &[json!({ "a": [3, 4] })], &[json!({ "a": [4] })]);
    all(json!({ "a": { "$ne": 1 } }), &[json!({ "a": [2] })], &[json!({ "a": [2, 1] })]);
    all(json!({ "a": { "$nin": [1] } }), &[json!({ "a": [2] }), json!({})], &[json!({ "a": [2, 1] })]);
}

#[test]
fn different_elements_may_satisfy_different_operators() {
    all(json!({ "a": { "$gt": 5, "$lt": 3 } }), &[json!({ "a": [1, 9] })], &[json!({ "a": 4 }), json!({ "a": [4] })]);
}

#[test]
fn objects_are_compared_whole_whatever_the_order_of_their_keys() {
    let query = json!({ "a": { "x": 1, "y": 2 } });
    all(
        query,
        &[json!({ "a": { "y": 2, "x": 1 } })],
        &[json!({ "a": { "x": 1 } }), json!({ "a": { "x": 1, "y": 2, "z": 3 } })],
    );
}

#[test]
fn order_exists_within_a_type_only() {
    all(
        json!({ "a": { "$gt": 5 } }),
        &[json!({ "a": 6 }), json!({ "a": [1, 6] })],
        &[json!({ "a": 5 }), json!({ "a": "6" }), json!({}), json!({ "a": null }), json!({ "a": true })],
    );
    all(
        json!({ "a": { "$gte": "b" } }),
        &[json!({ "a": "b" }), json!({ "a": "c" })],
        &[json!({ "a": "a" }), json!({ "a": 1 })],
    );
    all(json!({ "a": { "$lt": true } }), &[json!({ "a": false })], &[json!({ "a": true }), json!({ "a": 0 })]);
    all(json!({ "a": { "$lte": null } }), &[json!({}), json!({ "a": null })], &[json!({ "a": 0 }), json!({ "a": [] })]);
    all(json!({ "a": { "$lt": null } }), &[], &[json!({}), json!({ "a": -1 })]);
}

#[test]
fn or_wants_one_and_and_wants_all_beside_the_rest() {
    let query =
        json!({ "$or": [{ "a": 1 }, { "b": { "$gt": 1 } }], "$and": [{ "c": 3 }, { "$or": [{ "d": 4 }] }], "e": 5 });
    all(
        query,
        &[json!({ "a": 1, "c": 3, "d": 4, "e": 5 }), json!({ "b": 2, "c": 3, "d": 4, "e": 5 })],
        &[json!({ "c": 3, "d": 4, "e": 5 }), json!({ "a": 1, "d": 4, "e": 5 }), json!({ "a": 1, "c": 3, "d": 4 })],
    );
}

#[test]
fn dots_lead_into_objects_and_arrays() {
    let nested = json!({ "a": { "b": [{ "c": 1 }, { "c": 2 }] } });
    for query in
        [json!({ "a.b.c": 2 }), json!({ "a.b.0.c": 1 }), json!({ "a.b.c": { "$gt": 1 } }), json!({ "a.x.y": null })]
    {
        all(query, std::slice::from_ref(&nested), &[]);
    }
    for query in
        [json!({ "a.b.c": 3 }), json!({ "a.b.1.c": 1 }), json!({ "a.b.c": { "$ne": 2 } }), json!({ "a.b.7": null })]
    {
        all(query, &[], std::slice::from_ref(&nested));
    }
}

#[test]
fn a_dollar_inside_a_compared_object_is_no_operator() {
    all(json!({ "a": { "b": { "$gt": 1 } } }), &[json!({ "a": { "b": { "$gt": 1 } } })], &[json!({ "a": { "b": 2 } })]);
}

#[test]
fn unknown_dollar_keys_are_refused_with_feathers_words() {
    assert_eq!(refused(json!({ "$where": 1 })), "Invalid filter value $where");
    assert_eq!(refused(json!({ "$gt": 1 })), "Invalid filter value $gt");
    for query in [
        json!({ "a": { "$regex": "x" } }),
        json!({ "a": { "b": { "$regex": "x" } } }),
        json!({ "a": [{ "$regex": "x" }] }),
        json!({ "a": { "$in": [{ "$regex": "x" }] } }),
        json!({ "$or": [{ "a": { "$regex": "x" } }] }),
        json!({ "$and": [{ "$regex": "x" }] }),
    ] {
        assert_eq!(refused(query), "Invalid query parameter $regex");
    }
    assert_eq!(refused(json!({ "$or": [{ "$and": [] }] })), "Invalid query parameter $and");
}

#[test]
fn a_refusal_carries_the_object_it_is_about() {
    let query = Query::new().with("a", json!({ "$regex": "x" }));
    assert_eq!(Filter::parse(&query).unwrap_err().data(), Some(&json!({ "$regex": "x" })));
}

#[test]
fn malformed_queries_are_bad_requests() {
    for query in [
        json!({ "$or": [] }),
        json!({ "$or": { "a": 1 } }),
        json!({ "$and": ["a"] }),
        json!({ "$or": [{ "$gt": 1 }] }),
        json!({ "a": { "$or": [{ "b": 1 }] } }),
        json!({ "a": { "$gt": 1, "b": 2 } }),
        json!({ "a": { "$in": [{ "$gt": 1 }] } }),
    ] {
        assert!(refused(query.clone()).starts_with("Malformed query: "), "{query}");
    }
    for (name, value) in [("$sort", json!("a")), ("$sort", json!({ "a": "up" })), ("$select", json!({ "a": 1 }))] {
        assert!(refused(json!({ name: value })).starts_with(&format!("Invalid value for {name}: ")));
    }
}

#[test]
fn a_query_nested_without_end_is_refused() {
    let mut query = json!({ "a": 1 });
    for _ in 0..100 {
        query = json!({ "$or": [query] });
    }
    assert_eq!(refused(query), "The query is nested deeper than 32 levels");
    let mut value = json!(1);
    for _ in 0..33 {
        value = json!([value]);
    }
    assert_eq!(refused(json!({ "a": value })), "The query is nested deeper than 32 levels");
}

#[test]
fn numbers_of_filters_may_be_strings() {
    let parse = |query: Value| Filter::parse(&Query::from(query)).unwrap();
    let filter = parse(json!({ "$limit": "10", "$skip": " 3 of many" }));
    assert_eq!((filter.limit(), filter.skip()), (Some(10), 3));
    let filter = parse(json!({ "$limit": 2.9, "$skip": "0" }));
    assert_eq!((filter.limit(), filter.skip()), (Some(2), 0));
    for odd in [json!("x"), json!(-1), json!("-1"), json!(null), json!([1]), json!("")] {
        let filter = parse(json!({ "$limit": odd, "$skip": odd }));
        assert_eq!((filter.limit(), filter.skip()), (None, 0), "{odd}");
    }
    let filter = parse(json!({ "$limit": u64::MAX, "$skip": "99999999999999999999" }));
    assert_eq!((filter.limit(), filter.skip()), (Some(i64::MAX as u64), i64::MAX as usize));
}

fn sorted(query: Value, records: &[Value]) -> Vec<Value> {
    let filter = Filter::parse(&Query::from(query)).unwrap();
    let found = filter.find(records.iter().filter_map(Value::as_object), None);
    found.records.into_iter().map(|record| Value::Object(record.clone())).collect()
}

#[test]
fn sort_goes_by_its_keys_in_the_order_given() {
    let records = [json!({ "a": 1, "b": 1 }), json!({ "a": 2, "b": 1 }), json!({ "a": 1, "b": 2 })];
    let [first, second, third] = records.clone();
    assert_eq!(
        sorted(json!({ "$sort": { "b": 1, "a": -1 } }), &records),
        [second.clone(), first.clone(), third.clone()]
    );
    assert_eq!(sorted(json!({ "$sort": { "a": "-1", "b": "1" } }), &records), [second, first, third]);
}

#[test]
fn sort_takes_missing_for_null_and_follows_dots() {
    let records = [json!({ "n": 1, "a": { "b": 2 } }), json!({ "n": 2 }), json!({ "n": 3, "a": { "b": 1 } })];
    let numbers = |query| sorted(query, &records).iter().map(|record| record["n"].clone()).collect::<Vec<_>>();
    assert_eq!(numbers(json!({ "$sort": { "a.b": 1 } })), [2, 3, 1]);
    assert_eq!(numbers(json!({ "$sort": { "a.b": -1 } })), [1, 3, 2]);
    assert!(order(&json!(null), &json!(0)).is_lt());
}

#[test]
fn select_picks_literal_names_and_always_the_id() {
    let record = json!({ "id": 1, "a": 2, "a.b": 3, "c": { "d": 4 } });
    let pick = |select: Value| {
        let filter = Filter::parse(&Query::new().with("$select", select)).unwrap();
        filter.select().pick(record.as_object().unwrap(), "id")
    };
    assert_eq!(pick(json!(["a"])), json!({ "id": 1, "a": 2 }));
    assert_eq!(pick(json!(["a.b", "c.d", "x"])), json!({ "id": 1, "a.b": 3 }));
    assert_eq!(pick(json!("a")), json!({ "id": 1, "a": 2 }));
    assert_eq!(pick(json!([])), json!({ "id": 1 }));
}
