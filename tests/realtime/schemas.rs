//! Services with schemas: what does not fit is refused in the same words by whatever way it comes.

#![cfg(feature = "schema")]

use crate::{Server, everyone};
use rachis::{App, MemoryService, Method, ServiceExt, schema::Schemas};
use serde_json::{Value, json};

async fn people() -> Server {
    let person = json!({
        "type": "object",
        "properties": { "name": { "type": "string", "minLength": 1 }, "age": { "type": "integer" }, "free": true },
        "required": ["name"],
        "additionalProperties": false,
    });
    let schemas = Schemas::new().record(person.clone()).data(Method::Create, person);
    Server::remote(App::new().register("people", MemoryService::new().schemas(schemas)), everyone()).await
}

/// The code and the errors of a `create`, by REST, by a socket and from another node.
async fn created(server: &Server, data: &str) -> [Option<(Value, Value)>; 3] {
    let told = |error: &Value| (error["code"].clone(), error["errors"].clone());
    let request = reqwest::Client::new().post(format!("http://{}/people", server.address));
    let answer = request.header("content-type", "application/json").body(data.to_owned()).send().await.unwrap();
    let refused = !answer.status().is_success();
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let by_rest = refused.then(|| told(&body));

    let mut socket = server.connect().await;
    let id = 7;
    socket.write(format!(r#"42{id}["create","people",{data}]"#)).await;
    let by_socket = socket.answer(id).await.err().map(|error| told(&error));

    let data: Value = serde_json::from_str(data).unwrap();
    let by_node = server.nodes[1].service("people").create(data).await.err().map(|error| told(&error.to_json()));
    [by_rest, by_socket, by_node]
}

#[tokio::test]
async fn what_does_not_fit_is_told_by_field_by_whatever_way_it_comes() {
    let server = people().await;
    let told = json!({ "name": "is required", "age": "value is not of type \"integer\"", "extra": "is unknown" });
    for outcome in created(&server, r#"{"age":"old","extra":1}"#).await {
        let (code, errors) = outcome.expect("it is refused");
        assert_eq!((code, &errors["name"], &errors["extra"]), (json!(400), &told["name"], &told["extra"]));
        assert_eq!(errors.as_object().unwrap().len(), 3, "{errors}");
    }
    assert_eq!(created(&server, r#"{"name":"Ada","age":36}"#).await, [None, None, None]);
}

#[tokio::test]
async fn data_as_deep_as_a_frame_may_be_is_taken_or_refused_and_harms_nobody() {
    let server = people().await;
    let deep = |depth: usize| format!(r#"{{"name":"Ada","free":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert_eq!(created(&server, &deep(60)).await, [None, None, None]);
    // No parser of JSON takes it in; the program itself could only make it by hand.
    let answer = reqwest::Client::new().post(format!("http://{}/people", server.address));
    let answer = answer.header("content-type", "application/json").body(deep(1000)).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    let mut data = json!(1);
    for _ in 0..1000 {
        data = Value::Array(vec![data]);
    }
    let error = server.nodes[1].service("people").create(json!({ "name": "Ada", "free": data })).await.unwrap_err();
    assert_eq!(error.code(), 400, "{error}");
    let mut socket = server.connect().await;
    socket.write(format!(r#"427["create","people",{}]"#, deep(1000))).await;
    let ended = socket.answer_or_end(7).await;
    assert!(ended.is_none_or(|answer| answer.contains("400")), "it is no success");
    // Both nodes go on.
    assert_eq!(created(&server, r#"{"name":"Ada"}"#).await, [None, None, None]);
}
