//! Requests whose content is wrong, deep, wide or huge.

use crate::{
    client::{Answer, ask, get, post},
    server::Server,
};
use serde_json::{Value, json};
use std::net::SocketAddr;

const JSON: &str = "application/json";

fn bad_request(message: impl Into<String>) -> (u16, String, String) {
    (400, "BadRequest".to_owned(), message.into())
}

async fn malformed_json(address: SocketAddr) {
    let deep = |open: &str| open.repeat(10_000);
    for (body, why) in [
        ("{\"a\":".to_owned(), "EOF while parsing a value at line 1 column 5"),
        ("{\"a\":1".to_owned(), "EOF while parsing an object at line 1 column 6"),
        ("nope".to_owned(), "expected ident at line 1 column 2"),
        ("{}}".to_owned(), "trailing characters at line 1 column 3"),
        ("{\"a\":1e999}".to_owned(), "number out of range at line 1 column 10"),
        ("\0".to_owned(), "expected value at line 1 column 1"),
        (deep("["), "recursion limit exceeded at line 1 column 128"),
        (deep("{\"a\":"), "recursion limit exceeded at line 1 column 636"),
    ] {
        let message = format!("The body is not valid JSON: {why}");
        assert_eq!(post(address, JSON, body.as_bytes()).await.error(), bad_request(message), "{body:.20}");
    }
    for replaced in [&b"{\"a\":\"\xff\"}"[..], b"{\"a\":\"\\ud800\"}"] {
        assert_eq!(post(address, JSON, replaced).await.json()["data"], json!({ "a": "\u{fffd}" }));
    }
}

async fn primitives(address: SocketAddr) {
    for body in ["null", "1", "-0.5", "\"text\"", "true"] {
        let answer = post(address, JSON, body.as_bytes()).await.error();
        assert_eq!(answer, bad_request("The body must be a JSON object or array"), "{body}");
    }
}

async fn content_types(address: SocketAddr) {
    for content_type in
        ["text/plain", "application/xml", "multipart/form-data; boundary=x", "json", "/", "\u{e9}", ";;"]
    {
        let answer = post(address, content_type, b"{\"a\":1}").await.error();
        assert_eq!((answer.0, answer.1.as_str()), (415, "UnsupportedMediaType"), "{content_type}");
    }
    let packed = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
    let answer = ask(address, "POST /echo", packed, b"{}").await.error();
    assert_eq!(answer, bad_request("The body is not what its Content-Encoding says"));
}

fn query_of(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200);
    answer.json()["query"].clone()
}

async fn queries(address: SocketAddr) {
    for (query, message) in [
        (
            format!("a{}=x", "[b]".repeat(1000)),
            "A key of the query has more than 32 brackets, which is the limit `gateway.query.depth`",
        ),
        (
            (0..11_000).map(|n| format!("{n}")).collect::<Vec<_>>().join("&"),
            "The query has more than 10000 parameters, which is the limit `gateway.query.parameters`",
        ),
        (
            "a[]&".repeat(16_000),
            "The query has more than 10000 parameters, which is the limit `gateway.query.parameters`",
        ),
    ] {
        assert_eq!(get(address, &format!("/echo?{query}")).await.error(), bad_request(message), "{query:.40}");
    }
    let unbalanced = get(address, &format!("/echo?{}=x", "[".repeat(10_000))).await;
    assert_eq!(query_of(&unbalanced), json!({ "[".repeat(10_000): "x" }));
    // What costs most of all that a URL has room for: many keys, and deep trees.
    let wide: Vec<String> = (0..10_000).map(|n| format!("{n}")).collect();
    let wide = query_of(&get(address, &format!("/echo?{}", wide.join("&"))).await);
    assert_eq!(wide.as_object().unwrap().len(), 10_000);
    let deep: Vec<String> = (0..600).map(|n| format!("{n}{}", "[0]".repeat(32))).collect();
    let deep = query_of(&get(address, &format!("/echo?{}", deep.join("&"))).await);
    assert_eq!(deep.as_object().unwrap().len(), 600);
    let list = query_of(&get(address, &format!("/echo?{}", vec!["a[]"; 10_000].join("&"))).await);
    assert_eq!(list["a"].as_array().unwrap().len(), 10_000);
    let wider = get(address, &format!("/echo?{}", "a&".repeat(100_000))).await;
    assert_eq!(wider.status, 414);
}

async fn prototypes(address: SocketAddr) {
    let query =
        "__proto__[admin]=1&a[__proto__][b]=1&a[constructor][prototype][c]=1&constructor=d&%5F_proto__=1&x=__proto__";
    let seen = query_of(&get(address, &format!("/echo?{query}")).await);
    assert!(!seen.to_string().contains("__proto__\":"), "{seen}");
    assert_eq!((&seen["constructor"], &seen["admin"]), (&json!("d"), &Value::Null), "{seen}");
    assert_eq!(seen["a"]["constructor"], json!({ "prototype": { "c": "1" } }));
    let body = json!({ "__proto__": { "admin": true }, "constructor": { "prototype": { "admin": true } } });
    let answer = post(address, JSON, body.to_string().as_bytes()).await;
    // Plain fields: nothing here has prototypes.
    assert_eq!((answer.status, answer.json()), (201, json!({ "data": body, "query": {} })));
}

async fn ids(address: SocketAddr) {
    let id = "x".repeat(60_000);
    assert_eq!(get(address, &format!("/echo/{id}")).await.json(), json!({ "id": id }));
    assert_eq!(get(address, &format!("/echo/{}", "x".repeat(70_000))).await.status, 414);
    assert_eq!(get(address, "/echo/a%00b").await.json(), json!({ "id": "a\0b" }));
    for id in ["%FF", "%C3%28", "%ED%A0%80"] {
        let message = "The path is not valid UTF-8: encode it as such before percent-encoding";
        assert_eq!(get(address, &format!("/echo/{id}")).await.error(), bad_request(message));
    }
    let odd = get(address, "/todos/99999999999999999999999999").await.error();
    assert_eq!(odd, (404, "NotFound".into(), "No record found for id '99999999999999999999999999'".into()));
}

macro_rules! bad_input {
    ($($name:ident: $what:literal by $round:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let mut server = Server::start();
            server.is_well().await;
            server.levels_off($what, 20, 5000, async || $round(server.address).await).await;
            server.is_well().await;
        }
    )*};
}

bad_input! {
    malformed_json_is_a_bad_request_and_costs_nothing: "malformed JSON" by malformed_json;
    json_that_is_no_object_or_array_is_a_bad_request_and_costs_nothing: "JSON primitives" by primitives;
    wrong_content_types_are_no_data_and_cost_nothing: "wrong content types" by content_types;
    deep_and_wide_query_strings_are_read_or_refused_and_cost_nothing: "deep and wide query strings" by queries;
    prototypes_are_nothing_special_and_cost_nothing: "`__proto__` and `constructor`" by prototypes;
    huge_and_odd_ids_have_their_answers_and_cost_nothing: "huge and odd ids" by ids;
}
