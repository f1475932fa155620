//! Queries as broad as a message may be, and as broad as they may be.

use crate::{
    client::{Socket, get, write},
    server::{MANY, Server},
};
use futures_util::future::join_all;
use rachis_testing::eventually;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

fn fields(count: usize, value: &Value) -> Value {
    (0..count).map(|n| (format!("f{n}"), value.clone())).collect()
}

/// What took a gigabyte and seconds of every thread.
fn too_broad() -> [(Value, &'static str); 7] {
    [
        (json!({ "$sort": fields(30_000, &json!(1)) }), "limits.query_sort_keys"),
        (json!({ "$or": vec![json!({ "n": 1 }); 40_000] }), "limits.query_items"),
        (json!({ "$or": vec![json!({ "n": 1 }); 1001] }), "limits.query_conditions"),
        (json!({ "$and": vec![json!({ "n": 1 }); 30_000] }), "limits.query_items"),
        (json!({ "n": { "$in": vec![1; 90_000] } }), "limits.query_items"),
        (json!({ "$select": vec!["n"; 90_000] }), "limits.query_items"),
        (fields(30_000, &json!(1)), "limits.query_conditions"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_is_too_broad_is_refused_by_name_and_costs_nothing() {
    let mut server = Server::start();
    server.is_well().await;
    let round = async || {
        let mut socket = Socket::connect(server.address).await;
        for (query, key) in too_broad() {
            let answer = socket.call(&json!(["find", "many", query])).await.unwrap();
            assert_eq!(answer[0]["code"], 400, "{key}");
            assert!(answer[0]["message"].as_str().unwrap().contains(key), "{key}: {}", answer[0]);
            assert!(answer.to_string().len() < 1000);
        }
    };
    server.levels_off("queries that are too broad", 30, 10_000, round).await;
    server.is_well().await;
}

/// The costliest that is taken.
fn broadest() -> Value {
    let conditions: Vec<_> = (0..950).map(|n| json!({ "text": format!("no {n}") })).collect();
    let sort = fields(30, &json!(1));
    json!({ "$or": [{ "n": { "$nin": vec![-1; 4000] } }, { "$or": conditions }], "text": { "$ne": 1 }, "$sort": sort })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_answered_while_the_broadest_queries_are() {
    const CALLS: usize = 3;
    let mut server = Server::start();
    server.is_well().await;
    let before = server.memory();
    // None of the conditions holds, so that each is looked at.
    let conditions: Vec<_> = (0..990).map(|n| json!({ "text": format!("no {n}") })).collect();
    let slow = json!({ "$or": conditions, "$sort": fields(30, &json!(1)) });
    let answered = AtomicUsize::new(0);
    let attack = async {
        let calls = (0..CALLS).map(async |_| {
            let mut socket = Socket::connect(server.address).await;
            let answer = socket.call(&json!(["find", "many", slow])).await.unwrap();
            assert_eq!(answer, json!([null, []]));
            answered.fetch_add(1, Ordering::SeqCst);
        });
        join_all(calls).await;
    };
    let others = async {
        let mut under_way = 0;
        for _ in 0..10 {
            assert_eq!(get(server.address, "/livez").await.status, 200);
            assert_eq!(get(server.address, "/many/7").await.json()["n"], 7);
            under_way += usize::from(answered.load(Ordering::SeqCst) < CALLS);
        }
        under_way
    };
    let ((), under_way) = tokio::join!(attack, others);
    println!(
        "figure: {CALLS} queries of 990 conditions over {MANY} records: {before} KiB before, {} after; {under_way} of 10 \
         rounds of others were answered meanwhile",
        server.memory()
    );
    assert_eq!(under_way, 10, "others had to wait for all of the long queries");
    assert!(server.memory() < before + 60_000);
    let mut socket = Socket::connect(server.address).await;
    let answer = socket.call(&json!(["find", "many", broadest()])).await.unwrap();
    assert_eq!(answer[1].as_array().unwrap().len(), MANY);
    server.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_nobody_waits_for_any_more_is_given_up() {
    let mut server = Server::start();
    let waited_for = async || get(server.address, "/endless/1").await.json()["lists"].as_u64().unwrap();
    let mut socket = Socket::connect(server.address).await;
    socket.write("421[\"find\",\"endless\",{}]").await;
    let request = write(server.address, b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await;
    eventually("both are waited for", async || waited_for().await == 2).await;
    drop(socket);
    eventually("the socket's is given up", async || waited_for().await == 1).await;
    drop(request);
    eventually("the request's is given up", async || waited_for().await == 0).await;
    server.is_well().await;
}
