//! What queries mean, asked of one matcher at a time.

use crate::{
    Query,
    query::{Filter, Limits, Select, order},
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

fn within(query: &Value, limits: &Limits) -> Result<(), String> {
    let parsed = Filter::parse_within(&Query::from(query.clone()), limits);
    parsed.map(drop).map_err(|error| {
        assert_eq!(error.code(), 400);
        error.message().to_owned()
    })
}

#[test]
fn a_query_has_as_many_conditions_as_the_limit_and_no_more() {
    let limits = Limits { conditions: 10, ..Limits::default() };
    let refused = Err("The query has more than 10 conditions, which is the limit `limits.query_conditions`".to_owned());
    let fields = |count: usize| -> Value { (0..count).map(|n| (format!("f{n}"), json!(n))).collect() };
    let list = |count: usize, item: Value| Value::from(vec![item; count]);
    for (most, query) in [
        (10, &fields as &dyn Fn(usize) -> Value),
        (10, &|count| json!({ "$or": list(count, json!({ "a": 1 })) })),
        (10, &|count| json!({ "$and": list(count, json!({ "a": { "$gt": 1 } })) })),
        (10, &|count| json!({ "$or": list(count, json!({})) })),
        (5, &|count| json!({ "$and": [{ "$or": list(count, json!({ "a": 1, "b": { "$ne": 1 } })) }] })),
        (9, &|count| json!({ "a": { "$in": list(count, json!([])) } })),
        (9, &|count| json!({ "a": { "$nin": list(count, json!({ "b": 1 })) } })),
    ] {
        assert_eq!(within(&query(most), &limits), Ok(()), "{}", query(most));
        assert_eq!(within(&query(most + 1), &limits), refused, "{}", query(most + 1));
    }
    assert_eq!(within(&json!({ "a": { "$in": list(1000, json!(1)), "$gt": 1, "$lt": 2 } }), &limits), Ok(()));
}

#[test]
fn a_query_has_as_many_items_as_the_limit_and_no_more() {
    let limits = Limits { items: 10, ..Limits::default() };
    let refused = "The query has more than 10 items in its lists and objects, which is the limit `limits.query_items`";
    for query in [
        &(|count: usize| json!({ "a": { "$in": vec![1; count - 1] } })) as &dyn Fn(usize) -> Value,
        &|count| json!({ "a": { "$nin": vec!["x"; count - 1] } }),
        &|count| json!({ "a": vec![Value::Null; count] }),
        &|count| json!({ "a": { "$in": [vec![1; count - 2]] } }),
        &|count| json!({ "a": { "$in": vec![1; 4] }, "b": { "$in": vec![1; count - 6] } }),
        &|count| json!({ "$or": [{ "a": { "$nin": vec![1; count - 3] } }] }),
        &|count| json!({ "$select": vec!["a"; count] }),
        &|count| json!({ "a": { "b": (0..count - 1).map(|n| (n.to_string(), json!(n))).collect::<Value>() } }),
    ] {
        assert_eq!(within(&query(10), &limits), Ok(()), "{}", query(10));
        assert_eq!(within(&query(11), &limits), Err(refused.to_owned()), "{}", query(11));
    }
}

#[test]
fn a_sort_has_as_many_keys_as_the_limit_and_no_more() {
    let sort = |count: usize| json!({ "$sort": (0..count).map(|n| (format!("f{n}"), json!(1))).collect::<Value>() });
    assert_eq!(within(&sort(32), &Limits::default()), Ok(()));
    let refused = "The query has more than 32 keys in $sort, which is the limit `limits.query_sort_keys`";
    assert_eq!(within(&sort(33), &Limits::default()), Err(refused.to_owned()));
    assert_eq!(within(&sort(33), &Limits { sort_keys: 33, ..Limits::default() }), Ok(()));
}

#[test]
fn a_path_has_no_more_names_than_a_query_has_levels() {
    let path = |names: usize| vec!["a"; names].join(".");
    for query in [json!({ path(32): 1 }), json!({ "$sort": { path(32): 1 } })] {
        assert_eq!(within(&query, &Limits::default()), Ok(()));
    }
    for query in [json!({ path(33): 1 }), json!({ "$sort": { path(100_000): 1 } }), json!({ "$or": [{ path(33): 1 }] })]
    {
        assert_eq!(refused(query), "The query is nested deeper than 32 levels");
    }
}

#[test]
fn a_refusal_does_not_grow_with_what_was_asked() {
    let long = "x".repeat(100_000);
    for query in [
        json!({ format!("${long}"): 1 }),
        json!({ "a": { format!("${long}"): 1 } }),
        json!({ "a": { "$regex": long } }),
        json!({ "a": { "$regex": vec![1; 5000] } }),
        json!({ "$or": [{ format!("${long}"): 1 }] }),
        json!({ "a": { "$gt": 1, long.as_str(): 1 } }),
        json!({ long.as_str(): { "$or": [1] } }),
        json!({ long.as_str(): { "$in": [{ "$gt": 1 }] } }),
        json!({ "$sort": { long.as_str(): "up" } }),
    ] {
        let error = Filter::parse(&Query::from(query)).unwrap_err();
        assert!(error.to_json().to_string().len() < 1500, "{error:.300}");
    }
    assert!(refused(json!({ format!("${long}"): 1 })).ends_with("xxx…"));
}

#[test]
fn a_name_that_is_selected_twice_is_there_once() {
    let select = Select::parse(&json!(["b", "a", "b"])).unwrap();
    let record = json!({ "id": 1, "a": 2, "b": 3, "c": 4 });
    assert_eq!(select.pick(record.as_object().unwrap(), "id").to_string(), r#"{"b":3,"a":2,"id":1}"#);
}
