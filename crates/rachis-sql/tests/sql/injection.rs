//! Whatever stands where a query takes a name or a value, it stays a name or a value.

use crate::stores::{Setup, Store, sqlite};
use proptest::{collection::vec, prelude::*, strategy::ValueTree, test_runner::TestRunner};
use rachis::Id;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// How many calls are made; `RACHIS_FUZZ_SECONDS` makes it a time instead.
const CALLS: usize = 600;

/// Pieces that mean something to a database, or to a path within JSON.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "'",
        "\"",
        "`",
        ";",
        "--",
        "/*",
        "*/",
        "\\",
        "\0",
        "%",
        "_",
        "?",
        "$1",
        ":a",
        "@a",
        "(",
        ")",
        " OR 1=1",
        "' OR ''='",
        "\"; DROP TABLE people; --",
        "UNION SELECT",
        "x'00'",
        "$",
        "$.",
        "[",
        "]",
        "[#-1]",
        ".",
        "a",
        "name",
        "meta",
        "\u{7f}",
        "é",
        "😀",
        "\n",
        "{}",
        "NULL",
        "1e999",
        "-1",
    ]);
    vec(pieces, 0..5).prop_map(|pieces| pieces.concat())
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => prop::sample::select(vec!["name", "age", "created", "score", "meta", "customid", "email"]).prop_map(str::to_owned),
        2 => hostile(),
        2 => hostile().prop_map(|rest| format!("meta.{rest}")),
        1 => prop::sample::select(vec![
            "$or", "$and", "$in", "$nin", "$gt", "$lte", "$ne", "$like", "$ilike", "$sort", "$select", "$limit", "$skip", "$search",
        ])
        .prop_map(str::to_owned),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        hostile().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((name(), inner), 0..4).prop_map(|fields| fields.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

fn query() -> impl Strategy<Value = Value> {
    let operators = prop::sample::select(vec!["$in", "$nin", "$gt", "$lte", "$ne", "$like", "$ilike"]);
    let condition = prop_oneof![value(), (operators, value()).prop_map(|(operator, value)| json!({ operator: value }))];
    let conditions = vec((name(), condition), 0..3).prop_map(|fields| fields.into_iter().collect::<Map<_, _>>());
    (conditions, prop::option::of(name()), prop::option::of(name())).prop_map(|(mut query, sort, select)| {
        query.extend(sort.map(|name| ("$sort".to_owned(), json!({ name: 1 }))));
        query.extend(select.map(|name| ("$select".to_owned(), json!([name]))));
        Value::Object(query)
    })
}

#[tokio::test]
async fn what_a_client_sends_never_becomes_a_statement() {
    let keeper = sqlite();
    let pool = keeper.pool();
    let people = Store::Database(pool.clone()).people(Setup::multi(true)).await;
    people.create(json!([{ "name": "Ada", "meta": { "a": [1] } }, { "name": "Bo" }])).await.unwrap();
    let mut runner = match std::env::var_os("RACHIS_FUZZ_SECONDS") {
        Some(_) => TestRunner::default(),
        None => TestRunner::deterministic(),
    };
    let seconds = std::env::var("RACHIS_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut calls = 0;
    while until.map_or(calls < CALLS, |until| Instant::now() < until) {
        calls += 1;
        let query = query().new_tree(&mut runner).unwrap().current();
        let data = value().new_tree(&mut runner).unwrap().current();
        let id: Id = hostile().new_tree(&mut runner).unwrap().current().into();
        let answers = [
            people.find().query(&query).await,
            people.get(id.clone()).query(&query).await,
            people.create(&data).query(&query).await,
            people.patch(id.clone(), &data).query(&query).await,
            people.update(id.clone(), &data).await,
            people.remove(id).query(&query).await,
        ];
        for answer in answers {
            // An error of the database, such as one of syntax, would be a 500.
            let code = answer.as_ref().map_or_else(|error| error.code(), |_| 200);
            assert!(matches!(code, 200 | 400 | 404 | 409), "{answer:?} for {query}, {data}");
        }
        if calls % 100 == 0 {
            people.remove_many().query(json!({ "customid": { "$nin": [1, 2] } })).await.unwrap();
        }
    }
    println!("{calls} calls");
    let names = people.find().query(json!({ "customid": { "$in": [1, 2] }, "$select": ["name"] })).await.unwrap();
    assert_eq!(names, json!([{ "name": "Ada", "customid": 1 }, { "name": "Bo", "customid": 2 }]));
}
