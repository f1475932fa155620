//! Errors as Feathers clients expect them, to the letter.

use crate::{Web, services::app};
use axum::body::Body;
use http::Request;
use rachis::ErrorKind;
use serde_json::json;

#[tokio::test]
async fn every_class_arrives_with_its_status_and_all_its_fields() {
    let web = Web::remote(app()).await;
    for kind in ErrorKind::ALL {
        let name = kind.name();
        let reply = web.get(&format!("/failures/{name}")).await;
        let expected = json!({
            "name": name, "message": format!("failure {name}"), "code": kind.code(), "className": kind.class_name(),
            "data": { "reason": name, "nested": { "deep": true } }, "errors": { "field": "invalid" },
        });
        assert_eq!((reply.status, reply.json()), (kind.code(), expected));
    }
}

#[tokio::test]
async fn data_and_errors_are_left_out_unless_set() {
    let web = Web::remote(app()).await;
    let forbidden = json!({"name": "Forbidden", "message": "no data", "code": 403, "className": "forbidden"});
    assert_eq!(web.get("/failures").await.json(), forbidden);
    let bare = json!({"name": "NotFound", "message": "Error", "code": 404, "className": "not-found"});
    assert_eq!(web.get("/failures/bare").await.json(), bare);
}

#[tokio::test]
async fn data_may_be_an_array() {
    let web = Web::remote(app()).await;
    assert_eq!(
        web.json("POST", "/failures", json!({})).await.json(),
        json!({"name": "Conflict", "message": "array data", "code": 409, "className": "conflict", "data": ["a", "b"]})
    );
}

#[tokio::test]
async fn any_other_error_is_a_general_error_with_its_message() {
    let web = Web::remote(app()).await;
    let reply = web.get("/failures/plain").await;
    let expected = json!({
        "name": "GeneralError", "message": "plain failure", "code": 500, "className": "general-error",
    });
    assert_eq!((reply.status, reply.json()), (500, expected));
}

#[tokio::test]
async fn an_unknown_path_is_not_found_and_says_which() {
    let web = Web::remote(app()).await;
    for verb in ["GET", "POST", "PROPFIND", "OPTIONAL"] {
        let reply = web.send(verb, "/no/where?a=1").await;
        let expected = json!({
            "name": "NotFound", "message": "Page not found", "code": 404, "className": "not-found",
            "data": { "url": "/no/where?a=1" },
        });
        assert_eq!((reply.status, reply.json()), (404, expected));
    }
}

#[tokio::test]
async fn only_who_asks_for_html_and_not_for_json_gets_a_page() {
    let web = Web::remote(app()).await;
    let with = |accept: &'static str| web.ask(Request::get("/%3Cscript%3E").header("accept", accept), Body::empty());
    let page = with("text/html,application/xhtml+xml,*/*;q=0.8").await;
    assert_eq!((page.status, page.header("content-type")), (404, Some("text/html; charset=utf-8")));
    assert!(page.text.contains("Page not found") && !page.text.contains("script"), "{}", page.text);
    for accept in ["application/json", "text/html, application/json", "*/*", ""] {
        assert_eq!(with(accept).await.json()["name"], "NotFound", "{accept}");
    }
}

#[tokio::test]
async fn a_panic_is_a_500_that_tells_nothing() {
    let web = Web::local(app()).await;
    let reply = web.get("/meta/panic").await;
    assert_eq!((reply.status, &reply.json()["name"]), (500, &json!("GeneralError")));
    assert!(!reply.text.contains("secret"), "{}", reply.text);
    assert_eq!(web.get("/meta/1").await.status, 200);
}
