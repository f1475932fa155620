//! Whatever comes in, the answer is a proper one.

use crate::{Web, services::app};
use axum::body::Body;
use http::Request;
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::json;

#[tokio::test]
async fn a_query_string_beyond_a_limit_is_a_bad_request_that_names_it_and_nothing_runs() {
    let web = Web::remote(app()).await;
    let wide: Vec<String> = (0..10_001).map(|n| format!("k{n}=v")).collect();
    for (query, key) in [
        (format!("a{}=x", "[b]".repeat(10_000)), "gateway.query.depth"),
        (wide.join("&").replace("=v", ""), "gateway.query.parameters"),
        ("&".repeat(10_000), "gateway.query.parameters"),
        ("b[4294967295]=y".to_owned(), "gateway.query.sparse_index"),
    ] {
        for (verb, path) in [("GET", "/echo"), ("DELETE", "/echo"), ("PATCH", "/echo/1"), ("POST", "/echo")] {
            let reply = web.send(verb, &format!("{path}?{query}")).await;
            let error = reply.json();
            assert_eq!((reply.status, &error["name"]), (400, &json!("BadRequest")), "{verb} {query:.40}");
            assert!(error["message"].as_str().unwrap().contains(key), "{error}");
        }
    }

    let seen = web.get("/echo?a[99999999999999999999]=x").await.json();
    assert_eq!(seen["query"], json!({"a": {"99999999999999999999": "x"}}));
}

#[tokio::test]
async fn a_huge_id_is_an_id_like_any_other() {
    let web = Web::remote(app()).await;
    let id = "x".repeat(50_000);
    assert_eq!(web.get(&format!("/echo/{id}")).await.json()["id"], id);
}

#[tokio::test]
async fn a_path_that_is_no_utf8_is_a_bad_request() {
    let web = Web::remote(app()).await;
    for url in ["/echo/%FF", "/%C3%28/1", "/orgs/%ED%A0%80/echo"] {
        let reply = web.get(url).await;
        assert_eq!((reply.status, &reply.json()["name"]), (400, &json!("BadRequest")), "{url}");
    }
}

#[tokio::test]
async fn floods_of_headers_are_refused() {
    let web = Web::remote(app()).await;
    let many = (0..200).fold(Request::get("/echo"), |request, n| request.header(format!("x-{n}"), "v"));
    let big = Request::get("/echo").header("x-big", "v".repeat(20_000));
    for request in [many, big] {
        let reply = web.ask(request, Body::empty()).await;
        assert_eq!((reply.status, &reply.json()["name"]), (400, &json!("BadRequest")));
    }
}

#[tokio::test]
async fn prototypes_in_json_are_plain_fields() {
    let web = Web::remote(app()).await;
    let reply = web.json("POST", "/echo", json!({"__proto__": {"admin": true}, "constructor": 1})).await;
    assert_eq!((&reply.json()["user"], reply.status), (&json!(null), 201));
}

#[test]
fn any_request_gets_an_answer_that_is_no_server_error() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let web = runtime.block_on(Web::local(app()));
    let verbs = prop::sample::select(vec!["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "LINK"]);
    let url = "/(echo|orgs|readonly|livez|distribution/healthcheck|)[a-z0-9%/:.\\[\\]{}|;,@!~+=&-]{0,30}(\\?[ -~&&[^ \"<>#`]]{0,40})?";
    let content_type =
        prop::sample::select(vec!["application/json", "application/x-www-form-urlencoded", "text/plain"]);
    let requests = (verbs, url, content_type, prop::collection::vec(any::<u8>(), 0..60), "[!-~]{0,12}");
    let mut runner = TestRunner::default();
    let outcome = runner.run(&requests, |(verb, url, content_type, body, header)| {
        let request = Request::builder().method(verb).uri(&url).header("content-type", content_type);
        let request = request.header("authorization", &header).header("x-service-method", &header);
        // Some of the texts are no URL that an HTTP server would let pass.
        let Ok(request) = request.body(Body::from(body)) else { return Ok(()) };
        let reply = runtime.block_on(async { tower::ServiceExt::oneshot(web.router.clone(), request).await.unwrap() });
        prop_assert!(reply.status().as_u16() < 500, "{} {}", verb, url);
        Ok(())
    });
    outcome.unwrap();
}
