//! The most expensive of what is still taken, one after the other: what each costs, alone, in memory and processor time. The
//! figures are those of docs/security.md.

use crate::{
    client::{Answer, Socket, ask, get, post},
    server::{MANY, Server, auth},
};
use rachis_testing::eventually;
use serde_json::{Map, Value, json};
use std::{net::SocketAddr, time::Duration};

/// As many bytes as a body may have.
const BODY: usize = 100 << 10;
/// As many bytes as a message of a socket may have.
const MESSAGE: usize = 1_000_000;
/// Calls of one socket that may be under way.
const CALLS: usize = 256;
const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

/// A list of empty lists, which of all JSON becomes the largest for its size.
fn lists(bytes: usize) -> String {
    format!("[{}[]]", "[],".repeat((bytes - 4) / 3))
}

async fn body(address: SocketAddr) {
    assert_eq!(post(address, "application/json", lists(BODY).as_bytes()).await.status, 201);
}

async fn form(address: SocketAddr) {
    let deep: Vec<String> = (0..1000).map(|n| format!("{n}{}", "[0]".repeat(32))).collect();
    let body = deep.join("&");
    assert!(body.len() < BODY);
    let answer = post(address, "application/x-www-form-urlencoded", body.as_bytes()).await;
    assert_eq!((answer.status, answer.json()["data"].as_object().map(Map::len)), (201, Some(1000)));
}

async fn url(address: SocketAddr) {
    let deep: Vec<String> = (0..600).map(|n| format!("{n}{}", "[0]".repeat(32))).collect();
    let answer = get(address, &format!("/echo?{}", deep.join("&"))).await;
    assert_eq!((answer.status, answer.json()["query"].as_object().map(Map::len)), (200, Some(600)));
}

/// A genuine token, so that all of it is looked at.
async fn token(address: SocketAddr) {
    let claims = Map::from_iter([("claim".to_owned(), json!("x".repeat(11_000)))]);
    let token = auth().sign(claims, Some("1")).unwrap().0;
    let header = format!("authorization: Bearer {token}\r\n");
    assert!((14_000..16_000).contains(&header.len()));
    assert_eq!(ask(address, "GET /secured", &header, b"").await.status, 200);
}

fn fields(count: usize) -> Value {
    (0..count).map(|n| (format!("f{n}"), json!(1))).collect()
}

async fn find(address: SocketAddr, query: Value) -> usize {
    let mut socket = Socket::connect(address).await;
    let answer = socket.call(&json!(["find", "many", query])).await.unwrap();
    answer[1].as_array().unwrap_or_else(|| panic!("{answer}")).len()
}

async fn conditions(address: SocketAddr) {
    let none: Vec<Value> = (0..998).map(|n| json!({ "text": format!("no {n}") })).collect();
    assert_eq!(find(address, json!({ "$or": none })).await, 0);
}

async fn items(address: SocketAddr) {
    let texts: Vec<String> = (0..9_999).map(|n| format!("{n:090}")).collect();
    assert_eq!(find(address, json!({ "text": { "$nin": texts } })).await, MANY);
}

async fn sort_keys(address: SocketAddr) {
    let mut sort = fields(31);
    sort["n"] = json!(-1);
    assert_eq!(find(address, json!({ "$sort": sort })).await, MANY);
}

async fn message(address: SocketAddr) {
    let mut socket = Socket::connect(address).await;
    socket.write(&format!("421[\"create\",\"echo\",{},{{}}]", lists(MESSAGE - 40))).await;
    assert!(socket.answer("431").await.unwrap()[1]["data"].is_array());
}

/// Bytes are lists of numbers between nodes.
async fn attachments(address: SocketAddr) {
    let mut socket = Socket::connect(address).await;
    let places: Vec<Value> = (0..1000).map(|n| json!({ "_placeholder": true, "num": n })).collect();
    let text = format!("451000-1{}", json!(["create", "echo", places]));
    let each = vec![7; (MESSAGE - text.len()) / 1000];
    socket.write(&text).await;
    for _ in 0..1000 {
        socket.write_binary(&each).await;
    }
    // The answer has as many attachments, of which the first frame tells.
    assert!(socket.read().await.unwrap().starts_with("461000-1["));
}

/// Messages of calls that never end, as many and as large as are read from one socket.
async fn calls_under_way(address: SocketAddr) {
    let waited_for = async || get(address, "/endless/1").await.json()["lists"].as_u64().unwrap() as usize;
    let mut socket = Socket::connect(address).await;
    let lists = lists(4_000_000 / CALLS - 100);
    for id in 0..CALLS {
        socket.write(&format!("42{id}[\"find\",\"endless\",{{\"x\":{lists}}}]")).await;
    }
    eventually("as many as may run do", async || waited_for().await > CALLS - 10).await;
    drop(socket);
    eventually("none is waited for", async || waited_for().await == 0).await;
}

/// Answers of a megabyte that nobody reads.
async fn unread_answers(address: SocketAddr) {
    let mut socket = Socket::connect(address).await;
    let id = "x".repeat(900_000);
    for number in 0..100 {
        let call = format!("42{number}[\"get\",\"echo\",\"{id}\"]");
        // It reads no more from whoever does not read.
        if tokio::time::timeout(Duration::from_secs(1), socket.write(&call)).await.is_err() {
            return;
        }
    }
    panic!("it reads on");
}

/// Opens a session that polls; its address.
async fn session(address: SocketAddr) -> String {
    let open = String::from_utf8(get(address, POLLING).await.body).unwrap();
    let (_, rest) = open.split_once("\"sid\":\"").unwrap_or_else(|| panic!("{open}"));
    format!("{POLLING}&sid={}", rest.split_once('"').unwrap().0)
}

/// One body of as many small calls as it has room for.
async fn polled_calls(address: SocketAddr) {
    let url = session(address).await;
    let call = "421[\"find\"]\u{1e}";
    let count = MESSAGE / call.len();
    let body = call.repeat(count);
    assert_eq!(ask(address, &format!("POST {url}"), "", b"40").await.status, 200);
    let written = async {
        let post = format!("POST {url}");
        let answer: Answer = ask(address, &post, "", body.trim_end_matches('\u{1e}').as_bytes()).await;
        assert_eq!(answer.status, 200);
    };
    let read = async {
        let mut answered = 0;
        while answered < count {
            let answer = get(address, &url).await;
            assert_eq!(answer.status, 200);
            answered += answer.body.windows(5).filter(|five| five == b"431[{").count();
        }
    };
    tokio::join!(written, read);
}

/// Sessions that open no socket.
async fn handshakes(address: SocketAddr) {
    for _ in 0..1000 {
        assert_eq!(get(address, POLLING).await.status, 200);
    }
}

macro_rules! worst {
    ($($name:ident: $what:literal by $round:ident, $mib:literal MiB and $ms:literal ms;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let mut server = Server::start();
            server.is_well().await;
            server.costs($what, $mib << 10, Duration::from_millis($ms), async || $round(server.address).await).await;
            server.is_well().await;
        }
    )*};
}

worst! {
    the_widest_body_costs_a_known_amount: "a body of 100 KiB in 34,000 lists" by body, 40 MiB and 5_000 ms;
    the_deepest_form_costs_a_known_amount: "a form of 1000 keys with 32 brackets" by form, 60 MiB and 5_000 ms;
    the_deepest_query_string_costs_a_known_amount: "a URL of 600 keys with 32 brackets" by url, 40 MiB and 5_000 ms;
    the_longest_token_costs_a_known_amount: "a token of 15 KiB" by token, 10 MiB and 2_000 ms;
    the_most_conditions_cost_a_known_amount: "998 conditions over 4000 records" by conditions, 40 MiB and 30_000 ms;
    the_most_items_cost_a_known_amount: "9999 items in a $nin over 4000 records" by items, 60 MiB and 10_000 ms;
    the_most_sort_keys_cost_a_known_amount: "32 keys of $sort over 4000 records" by sort_keys, 60 MiB and 10_000 ms;
    the_widest_message_costs_a_known_amount: "a message of 1 MB in 333,000 lists" by message, 250 MiB and 15_000 ms;
    the_largest_attachments_cost_a_known_amount: "a message of 1 MB in 1000 attachments" by attachments, 700 MiB and 20_000 ms;
    the_most_calls_of_a_socket_cost_a_known_amount: "256 calls of 4 MB under way" by calls_under_way, 400 MiB and 30_000 ms;
    the_most_unread_answers_cost_a_known_amount: "answers that a socket does not read" by unread_answers, 100 MiB and 20_000 ms;
    the_most_calls_in_a_body_cost_a_known_amount: "a polled body of 90,000 calls" by polled_calls, 60 MiB and 120_000 ms;
    a_thousand_handshakes_cost_a_known_amount: "1000 handshakes that open no socket" by handshakes, 60 MiB and 30_000 ms;
}
