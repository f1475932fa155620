//! Which request calls which method, and what status it gets.

use crate::{
    Web,
    services::{Echo, app},
};
use axum::{Router, body::Body};
use http::Request;
use rachis::App;
use serde_json::{Value, json};

#[tokio::test]
async fn each_verb_calls_its_method() {
    let web = Web::remote(app()).await;
    for (verb, url, method, id, data, status) in [
        ("GET", "/echo", "find", json!(null), json!(null), 200),
        ("GET", "/echo/1", "get", json!("1"), json!(null), 200),
        ("POST", "/echo", "create", json!(null), json!({"a": 1}), 201),
        ("POST", "/echo/1", "create", json!(null), json!({"a": 1}), 201),
        ("PUT", "/echo/1", "update", json!("1"), json!({"a": 1}), 200),
        ("PATCH", "/echo/1", "patch", json!("1"), json!({"a": 1}), 200),
        ("DELETE", "/echo/1", "remove", json!("1"), json!(null), 200),
        ("PUT", "/echo", "update", json!(null), json!({"a": 1}), 200),
        ("PATCH", "/echo", "patch", json!(null), json!({"a": 1}), 200),
        ("DELETE", "/echo", "remove", json!(null), json!(null), 200),
    ] {
        let reply = web.json(verb, url, json!({"a": 1})).await;
        let seen = reply.json();
        assert_eq!(
            (reply.status, &seen["method"], &seen["id"], &seen["data"]),
            (status, &json!(method), &id, &data),
            "{verb} {url}"
        );
    }
}

#[tokio::test]
async fn a_service_of_the_gateways_own_node_is_served_alike() {
    let web = Web::local(app()).await;
    let seen = web.json("PATCH", "/echo/7?a=b", json!({"c": 1})).await.json();
    assert_eq!((&seen["id"], &seen["fromRemote"], &seen["query"]), (&json!("7"), &json!(false), &json!({"a": "b"})));
}

#[tokio::test]
async fn head_answers_as_get_without_a_body() {
    let web = Web::remote(app()).await;
    let get = web.get("/readonly/1").await;
    let head = web.send("HEAD", "/readonly/1").await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), Some(get.text.len().to_string().as_str()));
    assert_eq!(web.send("HEAD", "/meta/null").await.status, 204);
    assert_eq!(web.send("HEAD", "/nowhere").await.status, 404);
}

#[tokio::test]
async fn a_post_with_a_service_method_calls_a_custom_method() {
    let web = Web::remote(app()).await;
    for url in ["/echo", "/echo/1"] {
        let reply = web.call(url, "inspect", json!({"a": 1})).await;
        let seen = reply.json();
        assert_eq!((reply.status, &seen["method"], &seen["id"]), (200, &json!("inspect"), &Value::Null));
        assert_eq!(seen["data"], json!({"a": 1}));
    }
}

#[tokio::test]
async fn a_post_to_the_name_of_a_custom_method_calls_it_and_any_other_creates() {
    for web in [Web::local(app()).await, Web::remote(app()).await] {
        for (url, method) in [
            ("/echo/inspect", "inspect"),
            ("/echo/internalOnly", "create"),
            ("/echo/create", "create"),
            ("/echo/find", "create"),
            ("/echo/7", "create"),
        ] {
            let reply = web.ask(Request::post(url), Body::empty()).await.json();
            assert_eq!((&reply["method"], &reply["id"]), (&json!(method), &Value::Null), "{url}");
        }
        let named = Request::post("/echo/inspect").header("x-service-method", "find");
        assert_eq!(web.ask(named, Body::empty()).await.status, 405);
        assert_eq!(web.get("/echo/inspect").await.json()["id"], "inspect");
    }
}

#[tokio::test]
async fn other_verbs_ignore_a_custom_service_method() {
    let web = Web::remote(app()).await;
    let request = Request::patch("/echo/1").header("x-service-method", "inspect");
    assert_eq!(web.ask(request, Body::empty()).await.json()["method"], "patch");
}

#[tokio::test]
async fn a_standard_or_unknown_service_method_is_refused() {
    let web = Web::remote(app()).await;
    for (verb, url, header, shown) in [
        ("POST", "/echo", "find", "find"),
        ("POST", "/echo", "create", "create"),
        ("POST", "/echo", "internalOnly", "internalOnly"),
        ("POST", "/echo", "Inspect", "Inspect"),
        ("POST", "/echo", "inspect, inspect", "inspect, inspect"),
        ("GET", "/echo/1", "get", "get"),
        ("PATCH", "/echo/1", "remove", "patch"),
    ] {
        let request = Request::builder().method(verb).uri(url).header("x-service-method", header);
        let reply = web.ask(request, Body::empty()).await;
        let message = format!("Method `{shown}` is not supported by this endpoint.");
        assert_eq!((reply.status, &reply.json()["message"]), (405, &json!(message)), "{verb} {header}");
    }
}

#[tokio::test]
async fn an_unreadable_service_method_does_not_turn_into_create() {
    let web = Web::remote(app()).await;
    let request = Request::post("/echo").header("x-service-method", &b"\xff"[..]);
    assert_eq!(web.ask(request, Body::empty()).await.status, 405);
}

#[tokio::test]
async fn what_a_service_does_not_offer_is_405_and_says_what_is_allowed() {
    let web = Web::remote(app()).await;
    for (verb, url, message, allow) in [
        ("POST", "/readonly", "Method `create` is not supported by this endpoint.", "GET, HEAD, OPTIONS"),
        ("DELETE", "/readonly/1", "Method `remove` is not supported by this endpoint.", "GET, HEAD, OPTIONS"),
        ("GET", "/meta", "Method `find` is not supported by this endpoint.", "POST, DELETE, OPTIONS"),
        ("PUT", "/meta/1", "Method `update` is not supported by this endpoint.", "GET, HEAD, POST, DELETE, OPTIONS"),
        ("PROPFIND", "/echo", "Method PROPFIND not allowed", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        ("TRACE", "/echo/1", "Method TRACE not allowed", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        ("GET", "/failures/limited", "Can not create multiple entries", "GET, HEAD, POST, OPTIONS"),
    ] {
        let reply = web.send(verb, url).await;
        let expected = json!({
            "name": "MethodNotAllowed", "message": message, "code": 405, "className": "method-not-allowed",
        });
        assert_eq!((reply.status, reply.json(), reply.header("allow")), (405, expected, Some(allow)), "{verb} {url}");
    }
}

#[tokio::test]
async fn hooks_set_status_headers_and_location() {
    let web = Web::remote(app()).await;
    assert_eq!(web.get("/meta/status").await.status, 202);

    let reply = web.get("/meta/headers").await;
    assert_eq!((reply.status, reply.header("x-compat-reply")), (200, Some("yes")));

    let reply = web.get("/meta/redirect").await;
    assert_eq!((reply.status, reply.header("location")), (303, Some("/messages?name=a%20b")));
    assert_eq!(reply.json(), json!({"id": "redirect"}));

    let reply = web.get("/meta/found").await;
    assert_eq!((reply.status, reply.header("location")), (302, Some("/x")));

    let reply = web.json("POST", "/meta", json!({"location": "/meta/1"})).await;
    assert_eq!((reply.status, reply.header("location")), (303, Some("/meta/1")));
}

#[tokio::test]
async fn dispatch_goes_out_instead_of_the_result() {
    let web = Web::remote(app()).await;
    assert_eq!(web.get("/meta/dispatch").await.json(), json!({"id": "dispatch", "external": true}));
    let hidden = web.get("/meta/hidden").await;
    assert_eq!((hidden.status, hidden.text.as_str()), (204, ""));
}

#[tokio::test]
async fn falsy_results_are_no_content_and_all_others_json() {
    let web = Web::remote(app()).await;
    for id in ["null", "zero", "false", "empty"] {
        let reply = web.get(&format!("/meta/{id}")).await;
        assert_eq!((reply.status, reply.text.as_str(), reply.header("content-type")), (204, "", None), "{id}");
    }
    assert_eq!(web.send("DELETE", "/meta/1").await.status, 204);
    assert_eq!(web.json("POST", "/meta", json!({"nothing": true})).await.status, 204);
    assert_eq!(web.json("POST", "/meta", json!({"some": true})).await.status, 201);
    assert_eq!(web.get("/meta/array").await.json(), json!([1, 2, 3]));
    assert_eq!(web.get("/meta/string").await.json(), json!("text"));
}

#[tokio::test]
async fn paths_are_exact_but_for_outer_slashes() {
    let web = Web::remote(app()).await;
    for url in ["/api/v1/echo", "/api/v1/echo/", "//api/v1/echo//"] {
        assert_eq!(web.get(url).await.json()["method"], "find", "{url}");
    }
    assert_eq!(web.get("/api/v1/echo/5").await.json()["id"], "5");
    for url in
        ["/", "/Echo", "/echo/1/2", "/echo//1", "/api", "/api/v1", "/api//v1/echo", "/orgs/7", "/api%2Fv1%2Fecho"]
    {
        assert_eq!(web.get(url).await.status, 404, "{url}");
    }
}

#[tokio::test]
async fn placeholders_go_to_the_route_and_never_to_the_id() {
    let web = Web::remote(app()).await;
    let seen = web.get("/orgs/7/echo/5").await.json();
    assert_eq!((&seen["route"], &seen["id"]), (&json!({"orgId": "7"}), &json!("5")));
    let seen = web.get("/orgs/a%20b/echo").await.json();
    assert_eq!((&seen["route"], &seen["id"]), (&json!({"orgId": "a b"}), &Value::Null));
}

#[tokio::test]
async fn ids_are_decoded_once() {
    let web = Web::remote(app()).await;
    for (url, id) in [
        ("/echo/a%20b", "a b"),
        ("/echo/a%2Fb", "a/b"),
        ("/echo/a%252Fb", "a%2Fb"),
        ("/echo/%C3%A9t%C3%A9", "\u{e9}t\u{e9}"),
        ("/echo/%F0%9F%AA%B6", "\u{1fab6}"),
        ("/echo/100%", "100%"),
        ("/echo/a+b", "a+b"),
        ("/echo/%20", " "),
        ("/echo/%2E%2E", ".."),
        ("/echo/%00", "\0"),
    ] {
        assert_eq!(web.get(url).await.json()["id"], id, "{url}");
    }
    assert_eq!(web.get("/caf%C3%A9/1").await.json()["id"], "1");
}

#[tokio::test]
async fn literal_segments_win_over_placeholders() {
    let app = App::new().register("messages", Echo).register(":tenant/:thing", Echo).register("a/:b", Echo);
    let web = Web::remote(app.register("a/b/c", Echo)).await;
    let seen = web.get("/messages/5").await.json();
    assert_eq!((&seen["id"], &seen["route"]), (&json!("5"), &json!({})));
    let seen = web.get("/other/5").await.json();
    assert_eq!((&seen["id"], &seen["route"]), (&Value::Null, &json!({"tenant": "other", "thing": "5"})));
    let seen = web.get("/a/b/c").await.json();
    assert_eq!((&seen["id"], &seen["route"]), (&Value::Null, &json!({})));
    let seen = web.get("/a/b/d").await.json();
    assert_eq!((&seen["id"], &seen["route"]), (&json!("d"), &json!({"b": "b"})));
}

#[tokio::test]
async fn the_root_service_takes_ids_too() {
    let web = Web::remote(App::new().register("/", Echo)).await;
    assert_eq!(web.get("/").await.json()["method"], "find");
    assert_eq!(web.get("/5").await.json()["id"], "5");
}

#[tokio::test]
async fn params_hold_provider_headers_and_credentials() {
    let web = Web::remote(app()).await;
    let request = Request::get("/echo")
        .header("X-Compat", "a")
        .header("x-compat", "b")
        .header("x-odd", &b"\xff"[..])
        .header("Authorization", "Bearer abc.def");
    let seen = web.ask(request, Body::empty()).await.json();
    assert_eq!(seen["provider"], "rest");
    assert_eq!((&seen["headers"]["x-compat"], &seen["headers"]["x-odd"]), (&json!("a, b"), &Value::Null));
    assert_eq!(seen["headers"]["authorization"], "Bearer abc.def");
    assert_eq!(seen["authentication"], json!({"strategy": "jwt", "accessToken": "abc.def"}));
    assert_eq!((&seen["authenticated"], &seen["user"]), (&json!(false), &Value::Null));
}

#[tokio::test]
async fn a_client_can_set_nothing_but_query_and_data() {
    let web = Web::local(app()).await;
    let forged = "fromRemote=true&provider=&user[id]=1&authenticated=true&authentication[strategy]=x&route[orgId]=9";
    let body = json!({"fromRemote": true, "provider": null, "user": {"id": 1}, "params": {"provider": null}});
    let seen = web.json("POST", &format!("/orgs/7/echo?{forged}"), body.clone()).await.json();
    assert_eq!(seen["provider"], "rest");
    assert_eq!(seen["fromRemote"], false);
    assert_eq!(seen["authenticated"], false);
    assert_eq!(seen["route"], json!({"orgId": "7"}));
    assert_eq!((&seen["user"], &seen["authentication"]), (&Value::Null, &Value::Null));
    assert_eq!(seen["extra"], json!({}));
    assert_eq!((&seen["data"], &seen["query"]["fromRemote"]), (&body, &json!("true")));
}

#[tokio::test]
async fn the_router_nests_and_merges_like_any_other() {
    let Web { router, nodes: _nodes } = Web::remote(app()).await;
    let own = axum::routing::get(async || "mine");
    let nested = Web { router: Router::new().route("/", own).nest("/v1", router.clone()), nodes: Vec::new() };
    assert_eq!(nested.get("/v1/echo/5").await.json()["id"], "5");
    assert_eq!(nested.get("/v1/nowhere?a=b").await.json()["data"], json!({"url": "/v1/nowhere?a=b"}));
    assert_eq!(nested.get("/").await.text, "mine");

    let own = axum::routing::get(async || "mine");
    let merged = Web { router: Router::new().route("/echo/mine", own).merge(router), nodes: Vec::new() };
    assert_eq!(merged.get("/echo/mine").await.text, "mine");
    assert_eq!(merged.get("/echo/5").await.json()["id"], "5");
}

#[tokio::test]
async fn services_that_come_and_go_are_served_without_a_restart() {
    let app = App::new();
    let web = Web::local(app.clone()).await;
    assert_eq!(web.get("/late").await.status, 404);
    app.try_register("late", Echo).unwrap();
    assert_eq!(web.get("/late").await.status, 200);
    assert!(app.unregister("late").await.unwrap());
    assert_eq!(web.get("/late").await.status, 404);
}
