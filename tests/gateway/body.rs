//! What bodies are read, and as what.

use crate::{Reply, Web, services::app};
use axum::body::{Body, Bytes};
use futures_util::{StreamExt, stream};
use http::Request;
use serde_json::json;
use std::io;

/// Larger than any body limit one would configure for a JSON API.
const HUGE: usize = 64 << 20;

async fn post(web: &Web, content_type: &str, body: impl Into<Body>) -> Reply {
    web.ask(Request::post("/echo").header("content-type", content_type), body).await
}

#[tokio::test]
async fn json_and_forms_become_data() {
    let web = Web::remote(app()).await;
    for (content_type, body, data) in [
        ("application/json", r#"{"a":{"b":[1,null,true]}}"#, json!({"a": {"b": [1, null, true]}})),
        ("application/json; charset=utf-8", r#"[{"a":1},{"a":2}]"#, json!([{"a": 1}, {"a": 2}])),
        ("application/json", "", json!({})),
        ("application/x-www-form-urlencoded", "a[b]=1&c=x+y&d[]=1", json!({"a": {"b": "1"}, "c": "x y", "d": ["1"]})),
        ("application/merge-patch+json", r#"{"a":1}"#, json!({"a": 1})),
        ("application/json", r#"{"a":"cut \ud83d"}"#, json!({"a": "cut \u{fffd}"})),
        ("application/json", "\u{feff}{\"a\":1}", json!({"a": 1})),
    ] {
        let reply = post(&web, content_type, body).await;
        assert_eq!((reply.status, &reply.json()["data"]), (201, &data), "{content_type}");
    }
    let nothing = web.ask(Request::post("/echo"), "").await;
    assert_eq!(nothing.json()["data"], json!({}));
}

#[tokio::test]
async fn a_body_of_a_type_that_is_not_read_reaches_no_service() {
    let web = Web::remote(app()).await;
    for verb in ["POST", "PUT", "PATCH"] {
        let request = || Request::builder().method(verb).uri("/echo/1");
        for request in [
            request().header("content-type", "text/plain"),
            request().header("content-type", "multipart/form-data; boundary=x"),
            request().header("content-type", "application/json; charset=utf-7"),
            request().header("content-type", "application/json").header("content-encoding", "zstd"),
            request(),
        ] {
            let reply = web.ask(request, "{\"a\":1}").await;
            assert_eq!((reply.status, &reply.json()["name"]), (415, &json!("UnsupportedMediaType")), "{verb}");
        }
    }
}

#[tokio::test]
async fn what_is_no_json_object_or_array_is_a_bad_request() {
    let web = Web::remote(app()).await;
    for body in ["null", "1", "\"text\"", "true", "{\"a\":", "{\"a\":1", "[1,", "nope", "{}}", "\u{0}"] {
        let reply = post(&web, "application/json", body).await;
        assert_eq!((reply.status, &reply.json()["name"]), (400, &json!("BadRequest")), "{body}");
    }
    let not_utf8 = post(&web, "application/json", &b"{\"a\":\"\xff\"}"[..]).await;
    assert_eq!(not_utf8.json()["data"], json!({"a": "\u{fffd}"}));
}

#[tokio::test]
async fn a_body_above_the_limit_is_too_large() {
    let web = Web::remote(app()).await;
    let announced = Request::post("/echo").header("content-type", "application/json").header("content-length", HUGE);
    let reply = web.ask(announced, "[]").await;
    assert_eq!((reply.status, &reply.json()["name"]), (413, &json!("PayloadTooLarge")));

    let chunk = Bytes::from(vec![b' '; 1 << 20]);
    let endless = stream::repeat(chunk).map(Ok::<_, io::Error>);
    let reply = post(&web, "application/json", Body::from_stream(endless)).await;
    assert_eq!((reply.status, &reply.json()["className"]), (413, &json!("payload-too-large")));
}

#[tokio::test]
async fn refused_calls_do_not_wait_for_their_body() {
    let web = Web::remote(app()).await;
    let never = || Body::from_stream(stream::pending::<Result<Bytes, io::Error>>());
    let request = |url: &str| Request::post(url).header("content-type", "application/json");
    assert_eq!(web.ask(request("/nowhere"), never()).await.status, 404);
    assert_eq!(web.ask(request("/readonly"), never()).await.status, 405);
}

#[tokio::test]
async fn methods_without_data_ignore_a_body() {
    let web = Web::remote(app()).await;
    for verb in ["GET", "DELETE"] {
        let request = Request::builder().method(verb).uri("/echo/1").header("content-type", "application/json");
        assert_eq!(web.ask(request, "{broken").await.status, 200, "{verb}");
    }
}
