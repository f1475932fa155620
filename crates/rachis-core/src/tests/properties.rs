//! Properties of the query engine, for whatever records and queries proptest thinks of.

use crate::{
    MemoryService, Params, Query, Service,
    query::{Filter, Select, order},
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value, json};
use std::cmp::Ordering;

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..4).prop_map(Value::from),
        (-6_i64..7).prop_map(|half| Value::from(half as f64 / 2.0)),
        prop_oneof![Just(i64::MAX), Just(i64::MIN), Just(9_007_199_254_740_993)].prop_map(Value::from),
        "[ab1]{0,2}".prop_map(Value::from),
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[abc]",
        1 => "[ab]\\.[bc0]",
        1 => prop::sample::select(vec![
            "$or", "$and", "$in", "$nin", "$gt", "$lte", "$ne", "$sort", "$select", "$limit", "$skip", "$where", "",
        ]).prop_map(str::to_owned),
    ]
}

fn anything() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key(), inner), 0..4).prop_map(|fields| fields.into_iter().collect::<Value>()),
        ]
    })
}

fn record() -> impl Strategy<Value = Map<String, Value>> {
    vec(("[abc]", scalar()), 0..4).prop_map(|fields| fields.into_iter().collect())
}

fn rough_record() -> impl Strategy<Value = Map<String, Value>> {
    vec(("[abc]", anything()), 0..4).prop_map(|fields| fields.into_iter().collect())
}

/// What the operators mean for plain values, written down without any cleverness.
fn naive(operator: &str, value: Option<&Value>, operand: &Value) -> bool {
    let same = |a: &Value, b: &Value| match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a == b,
        _ => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        },
    };
    let value = value.unwrap_or(&Value::Null);
    let less = || match (value, operand) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a < b,
            _ => a.as_f64() < b.as_f64(),
        },
        (Value::String(a), Value::String(b)) => a < b,
        (Value::Bool(a), Value::Bool(b)) => !a & b,
        _ => false,
    };
    let comparable = std::mem::discriminant(value) == std::mem::discriminant(operand);
    match operator {
        "=" => same(value, operand),
        "$ne" => !same(value, operand),
        "$in" => operand.as_array().unwrap().iter().any(|item| same(value, item)),
        "$nin" => !operand.as_array().unwrap().iter().any(|item| same(value, item)),
        "$lt" => less(),
        "$lte" => less() || same(value, operand),
        "$gt" => comparable && !less() && !same(value, operand),
        "$gte" => comparable && !less(),
        _ => unreachable!(),
    }
}

fn test() -> impl Strategy<Value = (&'static str, Value)> {
    prop_oneof![
        (prop::sample::select(vec!["=", "$ne", "$lt", "$lte", "$gt", "$gte"]), scalar()),
        (prop::sample::select(vec!["$in", "$nin"]), vec(scalar(), 0..3).prop_map(Value::from)),
    ]
}

fn sort() -> impl Strategy<Value = Value> {
    vec(("[abc]", prop::sample::select(vec![1, -1])), 1..3).prop_map(|keys| keys.into_iter().collect())
}

fn parse(query: Value) -> Filter {
    Filter::parse(&Query::from(query)).unwrap()
}

proptest! {
    #[test]
    fn the_matcher_agrees_with_a_naive_one((operator, operand) in test(), record in record()) {
        let condition = if operator == "=" { operand.clone() } else { json!({ operator: operand }) };
        let matched = parse(json!({ "a": condition })).matches(&record);
        prop_assert_eq!(matched, naive(operator, record.get("a"), &operand));
    }

    #[test]
    fn a_test_and_its_opposite_divide_all_records(value in scalar(), record in rough_record()) {
        let is = |condition: Value| parse(json!({ "a": condition })).matches(&record);
        let equal = is(value.clone());
        prop_assert_eq!(is(json!({ "$ne": value })), !equal);
        prop_assert_eq!(is(json!({ "$in": [value] })), equal);
        prop_assert_eq!(is(json!({ "$nin": [value] })), !equal);
    }

    #[test]
    fn nothing_panics_whatever_the_query_and_the_records(query in anything(), records in vec(rough_record(), 0..5)) {
        if let Ok(filter) = Filter::parse(&Query::from(query)) {
            let found = filter.find(records.iter(), filter.limit());
            prop_assert!(found.records.len() <= found.total);
            prop_assert_eq!(filter.first(records.iter(), filter.limit()), found.records);
        }
    }

    #[test]
    fn select_never_panics(select in anything(), record in rough_record()) {
        if let Ok(select) = Select::parse(&select) {
            prop_assert!(select.pick(&record, "a").is_object());
        }
    }

    #[test]
    fn the_order_of_values_is_total(a in anything(), b in anything(), c in anything()) {
        prop_assert_eq!(order(&a, &a), Ordering::Equal);
        prop_assert_eq!(order(&a, &b), order(&b, &a).reverse());
        let mut sorted = [&a, &b, &c];
        sorted.sort_by(|a, b| order(a, b));
        prop_assert!(order(sorted[0], sorted[1]).is_le() && order(sorted[1], sorted[2]).is_le());
        prop_assert!(order(sorted[0], sorted[2]).is_le());
        if order(sorted[0], sorted[1]).is_eq() && order(sorted[1], sorted[2]).is_eq() {
            prop_assert!(order(sorted[0], sorted[2]).is_eq());
        }
    }

    #[test]
    fn sorting_is_stable(sort in sort(), records in vec(rough_record(), 0..30)) {
        let mut expected: Vec<&Map<String, Value>> = records.iter().collect();
        expected.sort_by(|a, b| {
            let compare = |(key, direction): (&String, &Value)| {
                let get = |record: &Map<String, Value>| record.get(key).cloned().unwrap_or_default();
                let ascending = order(&get(a), &get(b));
                if direction == 1 { ascending } else { ascending.reverse() }
            };
            sort.as_object().unwrap().iter().map(compare).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
        let found = parse(json!({ "$sort": sort })).find(records.iter(), None);
        prop_assert!(found.records.iter().zip(&expected).all(|(a, b)| std::ptr::eq(*a, *b)));
        prop_assert_eq!(found.records.len(), expected.len());
    }

    #[test]
    fn pages_concatenate_to_the_whole(
        sort in proptest::option::of(sort()), size in 1_usize..7, records in vec(record(), 0..25),
    ) {
        let query = |extra: Value| {
            let mut query = json!({ "a": { "$ne": 1 } });
            query.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            if let Some(sort) = &sort {
                query["$sort"] = sort.clone();
            }
            parse(query)
        };
        let whole = query(json!({})).find(records.iter(), None);
        let mut pages = Vec::new();
        for skip in (0..whole.total).step_by(size) {
            let filter = query(json!({ "$skip": skip, "$limit": size }));
            let page = filter.find(records.iter(), filter.limit());
            prop_assert_eq!(page.total, whole.total);
            pages.extend(page.records);
        }
        prop_assert!(pages.iter().zip(&whole.records).all(|(a, b)| std::ptr::eq(*a, *b)));
        prop_assert_eq!(pages.len(), whole.total);
    }

    #[test]
    fn a_memory_service_answers_any_query_and_any_data(
        query in anything(), data in anything(), id in proptest::option::of("[012a]"),
    ) {
        let service = MemoryService::new().multi(true).records([json!({ "a": 1 }), json!({ "b": [1, null] })]);
        let params = || Params::default().with_query(query.clone());
        let run = async {
            let id = || id.as_deref().map(Into::into);
            let _ = service.find(params()).await;
            let _ = service.create(data.clone(), params()).await;
            let _ = service.update(id(), data.clone(), params()).await;
            let _ = service.patch(id(), data.clone(), params()).await;
            let _ = service.remove(id(), params()).await;
            service.find(Params::default()).await
        };
        let left = futures_util::FutureExt::now_or_never(run).unwrap().unwrap();
        prop_assert_eq!(left.as_array().unwrap().len(), service.len());
        prop_assert!(left.as_array().unwrap().iter().all(|record| record["id"].is_string() || record["id"].is_number()));
    }
}
