//! Clients call, and are always answered.

use crate::{
    Server,
    client::{Client, placeholder},
    services::{Echo, Gate, app},
};
use rachis::{
    ALL, App, Context, MemoryService, Method, ServiceExt,
    auth::{AuthConfig, Authentication},
    gateway::{Channels, Connection},
    schema::Schemas,
};
use rachis_testing::{cluster, eventually};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};

fn error(name: &str, code: u16, class: &str, message: &str) -> Result<Value, Value> {
    Err(json!({ "name": name, "message": message, "code": code, "className": class }))
}

#[tokio::test]
async fn every_method_reaches_a_service_on_another_node() {
    let server = Server::remote(app(), Channels::new()).await;
    let mut client = Client::connect_with(server.address, &[("X-Test", "yes")]).await.unwrap();
    let query = json!({ "a": { "$gt": 5 }, "flag": true, "none": null });
    for (call, id, data) in [
        (json!(["find", "echo", query]), Value::Null, Value::Null),
        (json!(["get", "/echo/", 1, query]), json!(1), Value::Null),
        (json!(["create", "echo", [{ "n": 1.5 }], query]), Value::Null, json!([{ "n": 1.5 }])),
        (json!(["update", "echo", "x", { "d": 1 }, query]), json!("x"), json!({ "d": 1 })),
        (json!(["patch", "echo", null, { "d": 1 }, query]), Value::Null, json!({ "d": 1 })),
        (json!(["remove", "echo", "a/b", query]), json!("a/b"), Value::Null),
        (json!(["inspect", "echo", "text", query]), Value::Null, json!("text")),
    ] {
        let expected = json!({
            "method": call[0], "id": id, "data": data, "query": query, "route": {}, "provider": "socketio",
            "test": "yes", "authentication": null, "authenticated": false, "user": null,
        });
        assert_eq!(client.call(call).await, Ok(expected));
    }
}

#[tokio::test]
async fn a_query_may_be_missing_and_placeholders_are_filled() {
    let server = Server::remote(app(), Channels::new()).await;
    let mut client = server.connect().await;
    let seen = client.call(json!(["get", "orgs/7/echo", 1])).await.unwrap();
    assert_eq!((&seen["route"], &seen["query"]), (&json!({ "orgId": "7" }), &json!({})));
    assert_eq!(client.call(json!(["find", "todos"])).await, Ok(json!([])));
}

#[tokio::test]
async fn local_services_are_called_alike() {
    let server = Server::local(app(), Channels::new()).await;
    let mut client = server.connect().await;
    let seen = client.call(json!(["create", "orgs/7/echo", {}, {}])).await.unwrap();
    assert_eq!((&seen["provider"], &seen["route"]["orgId"]), (&json!("socketio"), &json!("7")));
}

#[tokio::test]
async fn a_client_that_goes_ends_the_query_that_another_node_answers_for_it() {
    let many = MemoryService::new().records((0..20_000).map(|n| json!({ "n": n })));
    let server = Server::remote(App::new().register("many", many), Channels::new()).await;
    let in_flight = || server.nodes[0].in_flight();
    // Takes minutes.
    let conditions: Vec<_> = (0..990).map(|n| json!({ "text": format!("no {n}") })).collect();
    let mut client = server.connect().await;
    client.ask(json!(["find", "many", { "$or": conditions, "$sort": { "n": -1 } }])).await;
    eventually("it is answered", async || in_flight() == 1).await;
    drop(client);
    eventually("the socket's has ended", async || in_flight() == 0).await;

    let conditions: Vec<_> = (0..990).map(|n| format!("$or[{n}][text]={n}")).collect();
    let mut request = TcpStream::connect(server.address).await.unwrap();
    let head = format!("GET /many?{} HTTP/1.1\r\nhost: x\r\n\r\n", conditions.join("&"));
    request.write_all(head.as_bytes()).await.unwrap();
    eventually("it is answered", async || in_flight() == 1).await;
    drop(request);
    eventually("the request's has ended", async || in_flight() == 0).await;
    // Its thread is free again: there may be one only.
    let query = json!({ "n": { "$gte": 19_999 } });
    assert_eq!(
        server.nodes[1].service("many").find().query(query).await.unwrap(),
        json!([{ "n": 19_999, "id": 19_999 }])
    );
}

#[tokio::test]
async fn what_can_not_be_called_is_answered_with_the_words_of_feathers() {
    let server = Server::remote(app(), Channels::new()).await;
    let mut client = server.connect().await;
    let not_found = |message: &str| error("NotFound", 404, "not-found", message);
    let not_allowed = |message: &str| error("MethodNotAllowed", 405, "method-not-allowed", message);
    let bad = |message: &str| error("BadRequest", 400, "bad-request", message);
    for (call, expected) in [
        (json!(["find", "nothing", {}]), not_found("Service 'nothing' not found")),
        (json!(["find", 5, {}]), not_found("Invalid service path")),
        (json!(["find"]), not_found("Invalid service path")),
        (json!(["messages::find", {}]), not_found("Invalid service path")),
        (json!(["create", "readonly", {}]), not_allowed("Method 'create' not allowed on service 'readonly'")),
        (json!(["unheard", "echo", {}]), not_allowed("Method 'unheard' not allowed on service 'echo'")),
        (json!(["setup", "echo"]), not_allowed("Method 'setup' not allowed on service 'echo'")),
        (json!(["find", "echo", {}, 1]), bad("Too many arguments for 'find' method")),
        (json!(["update", "echo", 1, {}, {}, 1]), bad("Too many arguments for 'update' method")),
        (json!(["remove", "todos", null, "all"]), bad("The query must be an object")),
    ] {
        let shown = call.to_string();
        assert_eq!(client.call(call).await, expected, "{shown}");
    }
}

#[tokio::test]
async fn errors_keep_their_class_data_and_fields() {
    let server = Server::remote(app(), Channels::new()).await;
    let mut client = server.connect().await;
    let expected = json!({
        "name": "Unprocessable", "message": "Can not", "code": 422, "className": "unprocessable",
        "data": { "a": 1 }, "errors": { "b": "bad" },
    });
    assert_eq!(client.call(json!(["get", "failures", 1])).await, Err(expected));
}

#[tokio::test]
async fn data_and_queries_that_do_not_fit_their_schema_are_answered_field_by_field() {
    let person =
        json!({ "type": "object", "properties": { "age": { "type": "integer" } }, "additionalProperties": false });
    let schemas = Schemas::new().record(person.clone()).data(Method::Create, person);
    let server = Server::remote(App::new().register("people", Echo.schemas(schemas)), Channels::new()).await;
    let mut client = server.connect().await;
    let seen = client.call(json!(["find", "people", { "age": { "$gt": "5" } }])).await.unwrap();
    assert_eq!(seen["query"], json!({ "age": { "$gt": 5 } }));
    for (call, field, message) in [
        (json!(["create", "people", { "age": "5" }, {}]), "age", "value is not of type \"integer\""),
        (json!(["find", "people", { "agee": 5 }]), "agee", "is unknown"),
    ] {
        let refused = client.call(call).await.unwrap_err();
        assert_eq!((&refused["name"], &refused["code"]), (&json!("BadRequest"), &json!(400)));
        assert_eq!(refused["errors"], json!({ field: message }));
    }
}

#[tokio::test]
async fn a_service_that_panics_is_answered_for() {
    let server = Server::local(app(), Channels::new()).await;
    let mut client = server.connect().await;
    let failed = client.call(json!(["get", "failures", "panic"])).await.unwrap_err();
    assert_eq!(failed["code"], 500);
    assert_eq!(client.call(json!(["find", "todos"])).await, Ok(json!([])));
}

#[tokio::test]
async fn an_external_view_is_sent_unless_javascript_takes_it_for_false() {
    let server = Server::remote(app(), Channels::new()).await;
    let mut client = server.connect().await;
    assert_eq!(client.call(json!(["get", "dispatch", "object"])).await, Ok(json!({ "external": true })));
    for id in ["null", "zero", "none"] {
        assert_eq!(client.call(json!(["get", "dispatch", id])).await.unwrap()["method"], "get");
    }
}

#[tokio::test]
async fn a_call_without_acknowledgement_runs() {
    let server = Server::remote(app(), Channels::new()).await;
    let mut client = server.connect().await;
    client.send(json!(["create", "todos", { "text": "quiet" }, {}])).await;
    let todos = server.nodes[0].service("todos");
    eventually("the record is there", async || todos.find().await.unwrap() == json!([{ "text": "quiet", "id": 0 }]))
        .await;
}

#[tokio::test]
async fn a_slow_answer_holds_up_no_other() {
    let server = Server::remote(App::new().register("gate", Gate::default()), Channels::new()).await;
    let mut client = server.connect().await;
    let slow = client.ask(json!(["get", "gate", 1])).await;
    assert_eq!(client.call(json!(["create", "gate", {}])).await, Ok(json!("open")));
    assert_eq!(client.answer(slow).await, Ok(json!("passed")));
}

#[tokio::test]
async fn services_and_methods_that_come_later_work_on_open_sockets() {
    let [services, web] = cluster([App::new(), App::new()]).await;
    let server = Server::of(&web, Channels::new()).await;
    let mut client = server.connect().await;
    assert_eq!(client.call(json!(["inspect", "late", 1])).await.unwrap_err()["code"], 404);
    services.register("late", Echo).await.unwrap();
    web.wait_for("late").await.unwrap();
    assert_eq!(client.call(json!(["inspect", "late", 1])).await.unwrap()["data"], 1);
    web.register("here", MemoryService::new()).await.unwrap();
    assert_eq!(client.call(json!(["find", "here"])).await, Ok(json!([])));
}

#[tokio::test]
async fn bytes_cross_the_mesh_and_come_back_as_bytes() {
    let server = Server::remote(app(), Channels::new()).await;
    let mut client = server.connect().await;
    let bytes = [0, 1, 127, 128, 255];
    let call = json!(["create", "todos", { "file\"name": placeholder(), "text": "x" }, {}]);
    let (answer, back) = client.call_with_bytes(call, &bytes).await;
    assert_eq!(answer, Ok(json!({ "file\"name": placeholder(), "text": "x", "id": 0 })));
    assert_eq!(back, bytes);
    let stored = server.nodes[0].service("todos").get(0).await.unwrap();
    assert_eq!(stored["file\"name"], json!({ "type": "Buffer", "data": bytes }));
}

#[tokio::test]
async fn keys_with_escaped_characters_are_read() {
    let server = Server::remote(app(), Channels::new()).await;
    let mut client = server.connect().await;
    let data = json!({ "a\"b\\\n": 1 });
    assert_eq!(client.call(json!(["create", "echo", data])).await.unwrap()["data"], data);
}

#[tokio::test]
async fn nesting_that_has_no_end_is_refused_and_answered() {
    let server = Server::remote(app(), Channels::new()).await;
    let mut client = server.connect().await;
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    client.write(format!("427[\"create\",\"echo\",{deep}]")).await;
    assert_eq!(client.answer(7).await.unwrap_err()["code"], 400);
}

#[tokio::test]
async fn a_service_finds_the_connection_of_its_caller() {
    let named = Echo.after(Method::Get, async |mut context: Context| {
        let id = Connection::of(&context.params).map(|connection| connection.id().to_owned());
        context.result = Some(json!(id));
        Ok(context)
    });
    let server = Server::local(App::new().register("named", named), Channels::new()).await;
    let mut client = server.connect().await;
    let id = client.id.clone();
    assert_eq!(client.call(json!(["get", "named", 1])).await, Ok(json!(id)));
}

/// Offers two methods to whoever has a token that stands for itself.
fn guarded() -> (App, String) {
    let config = AuthConfig::new("a-fixture-secret-of-at-least-32-bytes!");
    let auth = Authentication::new(AuthConfig { entity: String::new(), ..config }).unwrap();
    let (token, _) = auth.sign(serde_json::Map::new(), None).unwrap();
    let notes = MemoryService::new().methods([Method::Find, Method::Get]).before(ALL, auth.authenticate("jwt"));
    (App::new().register("notes", notes).register("authentication", auth), token)
}

#[tokio::test]
async fn a_stranger_to_a_guarded_service_hears_that_first_and_not_what_it_offers() {
    let (app, token) = guarded();
    for server in [Server::remote(app.clone(), Channels::new()).await, Server::local(app, Channels::new()).await] {
        let mut client = server.connect().await;
        let calls = [
            (405, json!(["create", "notes", {}, {}])),
            (405, json!(["shout", "notes", {}, {}])),
            (400, json!(["find", "notes", {}, 1])),
            (400, json!(["get", "notes", 1, []])),
        ];
        for (_, call) in &calls {
            let error = client.call(call.clone()).await.unwrap_err();
            assert_eq!((&error["code"], &error["message"]), (&json!(401), &json!("Not authenticated")), "{call}");
        }
        let login = json!(["create", "authentication", { "strategy": "jwt", "accessToken": token }, {}]);
        client.call(login).await.unwrap();
        for (code, call) in calls {
            assert_eq!(client.call(call.clone()).await.unwrap_err()["code"], code, "{call}");
        }
    }
}
