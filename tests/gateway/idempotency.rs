//! The header `Idempotency-Key`.

use crate::{Reply, Web};
use http::Request;
use rachis::{App, MemoryService, Registration};
use serde_json::{Value, json};

fn app() -> App {
    App::new().register("orders", Registration::from(MemoryService::new()))
}

async fn post(web: &Web, key: &str, token: &str, data: Value) -> Reply {
    let request = Request::post("/orders").header("content-type", "application/json");
    let request = request.header("idempotency-key", key).header("authorization", format!("Bearer {token}"));
    web.ask(request, data.to_string()).await
}

async fn both() -> [Web; 2] {
    [Web::local(app()).await, Web::remote(app()).await]
}

#[tokio::test]
async fn a_repeat_gets_the_first_reply_and_says_so() {
    for web in both().await {
        let first = post(&web, "order-17", "a", json!({ "text": "x" })).await;
        assert_eq!((first.status, first.header("idempotency-replayed")), (201, None), "{first:?}");
        // In quotes it is the same key.
        for key in ["order-17", "\"order-17\""] {
            let repeat = post(&web, key, "a", json!({ "text": "x" })).await;
            assert_eq!((repeat.status, repeat.json()), (201, first.json()));
            assert_eq!(repeat.header("idempotency-replayed"), Some("true"));
        }
        assert_eq!(web.get("/orders").await.json().as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn other_data_under_the_same_key_is_a_mistake() {
    for web in both().await {
        post(&web, "order-17", "a", json!({ "text": "x" })).await;
        let reply = post(&web, "order-17", "a", json!({ "text": "y" })).await;
        assert_eq!((reply.status, &reply.json()["name"]), (422, &json!("Unprocessable")));
        assert_eq!(web.get("/orders").await.json().as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn who_has_other_credentials_gets_a_run_of_its_own() {
    for web in both().await {
        let first = post(&web, "order-17", "a", json!({ "text": "x" })).await;
        let other = post(&web, "order-17", "b", json!({ "text": "x" })).await;
        assert_eq!((other.status, other.header("idempotency-replayed")), (201, None));
        assert_ne!(first.json(), other.json());
    }
}

#[tokio::test]
async fn what_is_no_key_is_refused_and_nothing_runs() {
    for web in both().await {
        for key in ["", "a b", "\"\"", &"x".repeat(256)] {
            assert_eq!(post(&web, key, "a", json!({})).await.status, 400, "{key:?}");
        }
        let twice = Request::post("/orders").header("idempotency-key", "a").header("idempotency-key", "a");
        assert_eq!(web.ask(twice.header("content-type", "application/json"), "{}").await.status, 400);
        assert_eq!(web.get("/orders").await.json(), json!([]));
    }
}

#[tokio::test]
async fn a_key_is_set_by_its_header_and_nothing_else() {
    for web in both().await {
        for _ in 0..2 {
            let body = json!({ "idempotencyKey": "k", "idempotency_key": "k" });
            let url = "/orders?idempotency_key=k&idempotencyKey=k&$idempotencyKey=k&idempotency-key=k";
            let reply = web.json("POST", url, body).await;
            assert_eq!((reply.status, reply.header("idempotency-replayed")), (201, None));
        }
        assert_eq!(web.get("/orders").await.json().as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn methods_that_may_run_twice_do_so() {
    for web in both().await {
        let first = web.get("/orders").await.json();
        post(&web, "k", "a", json!({})).await;
        let request = || Request::get("/orders").header("idempotency-key", "k");
        for _ in 0..2 {
            let found = web.ask(request(), axum::body::Body::empty()).await;
            assert_eq!(found.header("idempotency-replayed"), None);
            assert_ne!(found.json(), first);
        }
    }
}
