//! Whatever is asked, a database answers as the service in memory does.

use crate::stores::{Keeper, Setup, Store, bare, mariadb, postgres, sqlite};
use proptest::{collection::vec, prelude::*, strategy::ValueTree, test_runner::TestRunner};
use rachis::Handle;
use serde_json::{Map, Value, json};

/// How many queries are asked of each database.
const QUERIES: usize = 1500;

fn text() -> impl Strategy<Value = Value> {
    prop::sample::select(vec!["", "a", "A", "b", "a ", "ä", "Z", "z", "aa", "1", "😀", "a%"]).prop_map(Value::from)
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-3_i64..4).prop_map(Value::from),
        (-6_i64..7).prop_map(|half| Value::from(half as f64 / 2.0)),
        prop::sample::select(vec![i64::MAX, i64::MIN, 2_147_483_647, 2_147_483_648]).prop_map(Value::from),
        prop::sample::select(vec![json!(u64::MAX), json!(1e300), json!(-1e300), json!(i64::MAX - 1), json!(9.2e18)]),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![1 => Just(Value::Null), 2 => any::<bool>().prop_map(Value::from), 4 => number(), 4 => text()]
}

fn meta() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        scalar().prop_map(|a| json!({ "a": a })),
        vec(scalar(), 0..3).prop_map(|a| json!({ "a": a })),
        (scalar(), scalar()).prop_map(|(b, c)| json!({ "a": { "b": b }, "c": c })),
        vec(scalar(), 1..3).prop_map(|b| json!({ "a": b.into_iter().map(|b| json!({ "b": b })).collect::<Value>() })),
    ]
}

fn record() -> impl Strategy<Value = Value> {
    (
        prop_oneof![Just(Value::Null), text()],
        prop_oneof![Just(Value::Null), (-3_i64..4).prop_map(Value::from)],
        prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from)],
        prop_oneof![Just(Value::Null), (-6_i64..7).prop_map(|half| Value::from(half as f64 / 2.0))],
        meta(),
    )
        .prop_map(|(name, age, created, score, meta)| {
            bare(json!({ "name": name, "age": age, "created": created, "score": score, "meta": meta }))
        })
}

fn field() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "name", "age", "created", "score", "customid", "meta.a", "meta.a.b", "meta.c", "meta.a.0", "name.x", "age.0",
    ])
    .prop_map(str::to_owned)
}

fn condition() -> impl Strategy<Value = Value> {
    prop_oneof![
        scalar(),
        (prop::sample::select(vec!["$ne", "$lt", "$lte", "$gt", "$gte"]), scalar())
            .prop_map(|(operator, value)| json!({ operator: value })),
        (prop::sample::select(vec!["$in", "$nin"]), vec(scalar(), 0..4))
            .prop_map(|(operator, values)| json!({ operator: values })),
        (scalar(), scalar()).prop_map(|(a, b)| json!({ "$gte": a, "$lt": b })),
        vec(scalar(), 0..3).prop_map(Value::from),
        scalar().prop_map(|b| json!({ "b": b })),
    ]
}

fn conditions() -> impl Strategy<Value = Map<String, Value>> {
    vec((field(), condition()), 0..3).prop_map(|fields| fields.into_iter().collect())
}

fn query() -> impl Strategy<Value = Value> {
    let all = (
        conditions(),
        prop::option::of((prop::sample::select(vec!["$or", "$and"]), vec(conditions(), 1..3))),
        vec((prop::sample::select(vec!["name", "age", "created", "score"]), prop::sample::select(vec![1, -1])), 0..3),
        prop::option::of(0_u64..8),
        prop::option::of(0_u64..8),
        prop::option::of(vec(prop::sample::select(vec!["name", "meta", "nothing"]), 0..3)),
    );
    all.prop_map(|(mut query, either, sort, limit, skip, select)| {
        if let Some((name, parts)) = either {
            query.insert(name.to_owned(), parts.into_iter().map(Value::Object).collect());
        }
        if !sort.is_empty() {
            query.insert("$sort".to_owned(), sort.into_iter().map(|(key, way)| (key.to_owned(), json!(way))).collect());
        }
        for (name, value) in
            [("$limit", limit.map(Value::from)), ("$skip", skip.map(Value::from)), ("$select", select.map(Value::from))]
        {
            if let Some(value) = value {
                query.insert(name.to_owned(), value);
            }
        }
        Value::Object(query)
    })
}

async fn answers(people: &Handle, query: &Value) -> Value {
    match people.find().query(query).await {
        Ok(found) => bare(found),
        Err(error) => error.to_json(),
    }
}

/// Numbers that are written in many ways, or lie closer to each other than floats do.
fn near() -> Vec<Value> {
    let integers = [0, 1, 1000, 9_007_199_254_740_992, 9_007_199_254_740_993, i64::MAX - 1, i64::MAX, i64::MIN];
    let floats = [-0.0, 0.5, -0.5, 1.0, 1e3, 1e-7, 1e300, -1e300, 9_007_199_254_740_992.0, 9_223_372_036_854_775_808.0];
    let floats = floats.into_iter().map(Value::from);
    integers.into_iter().map(Value::from).chain(floats).chain([json!(u64::MAX)]).collect()
}

/// Numbers as they are compared: `1` is `1.0`.
fn plain(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().map(|(name, value)| (name, plain(value))).collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            fields.into_iter().collect()
        }
        other => other,
    }
}

async fn is_like_memory(keeper: Keeper) {
    let mut runner = TestRunner::deterministic();
    let mut draw = |strategy: BoxedStrategy<Value>| strategy.new_tree(&mut runner).unwrap().current();
    let numbers = near().into_iter().map(|number| json!({ "meta": { "a": number } }));
    let records: Vec<Value> = (0..60).map(|_| draw(record().boxed())).chain(numbers).collect();
    let setup = || Setup::multi(true);
    let [memory, database] = [Store::Memory, Store::Database(keeper.pool())];
    let (memory, database) = (memory.people(setup()).await, database.people(setup()).await);
    let created = memory.create(&records).await.unwrap();
    assert_eq!(plain(bare(database.create(&records).await.unwrap())), plain(created));
    // As broad as a query may be.
    let many = |count: i64| (0..count).map(|n| json!({ "age": n % 5, "name": { "$ne": "b" } })).collect::<Value>();
    let long = |count: i64| (0..count).map(|n| json!(format!("t{n}"))).chain([json!("a")]).collect::<Value>();
    for query in [
        json!({ "$or": many(490) }),
        json!({ "name": { "$in": long(9000) } }),
        json!({ "meta.a": { "$nin": long(3000) } }),
    ] {
        let [expected, found] = [answers(&memory, &query).await, answers(&database, &query).await];
        assert_eq!(plain(found), plain(expected), "a broad query");
    }
    for number in near() {
        for operator in ["$ne", "$lt", "$lte", "$gt", "$gte"] {
            let query = json!({ "meta.a": { operator: number } });
            let [expected, found] = [answers(&memory, &query).await, answers(&database, &query).await];
            assert_eq!(plain(found), plain(expected), "{query}");
        }
    }
    for _ in 0..QUERIES {
        let query = draw(query().boxed());
        let [expected, found] = [answers(&memory, &query).await, answers(&database, &query).await];
        assert_eq!(plain(found), plain(expected), "{query}");
    }
}

#[tokio::test]
async fn sqlite_answers_any_query_as_memory_does() {
    is_like_memory(sqlite()).await;
}

#[tokio::test]
async fn postgresql_answers_any_query_as_memory_does() {
    is_like_memory(postgres()).await;
}

#[tokio::test]
async fn mariadb_answers_any_query_as_memory_does() {
    is_like_memory(mariadb()).await;
}
