//! What clients say of themselves is not believed, in whatever part of a request they say it.

use crate::{Web, services::app};
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

const CLAIMS: &str = "fromRemote=false&from_remote=false&provider=&provider[x]=1&user[id]=1&authenticated=true&\
                      authentication[strategy]=jwt&connection[id]=1&route[orgId]=9&extra[a]=1&headers[a]=1&params[user]=1";

fn claims() -> Value {
    json!({
        "fromRemote": true, "provider": null, "user": { "id": 1 }, "authenticated": true, "extra": { "a": 1 },
        "authentication": { "strategy": "jwt", "accessToken": "x" }, "route": { "orgId": 9 },
        "params": { "provider": null, "user": { "id": 1 } }, "$fromRemote": true,
    })
}

#[track_caller]
fn is_a_plain_client(seen: &Value, remote: bool) {
    assert_eq!((&seen["provider"], &seen["fromRemote"]), (&json!("rest"), &json!(remote)), "{seen}");
    assert_eq!(
        (&seen["user"], &seen["authentication"], &seen["authenticated"]),
        (&Value::Null, &Value::Null, &json!(false))
    );
    assert_eq!((&seen["route"], &seen["extra"]), (&json!({ "orgId": "7" }), &json!({})), "{seen}");
}

#[tokio::test]
async fn nothing_in_query_body_or_headers_makes_a_client_anybody_else() {
    for (web, remote) in [(Web::local(app()).await, false), (Web::remote(app()).await, true)] {
        for (verb, url, method) in [
            ("GET", "/orgs/7/echo", ""),
            ("GET", "/orgs/7/echo/1", ""),
            ("POST", "/orgs/7/echo", ""),
            ("PUT", "/orgs/7/echo/1", ""),
            ("PATCH", "/orgs/7/echo/1", ""),
            ("DELETE", "/orgs/7/echo/1", ""),
            ("POST", "/orgs/7/echo", "inspect"),
        ] {
            let url = format!("{url}?{CLAIMS}");
            let mut request = Request::builder().method(verb).uri(&url).header("content-type", "application/json");
            for name in
                ["provider", "user", "authenticated", "authentication", "from-remote", "x-from-remote", "fromRemote"]
            {
                request = request.header(name, r#"{"id":1}"#);
            }
            if !method.is_empty() {
                request = request.header("x-service-method", method);
            }
            let seen = web.ask(request, claims().to_string()).await.json();
            is_a_plain_client(&seen, remote);
        }
        // A form has the same fields.
        let form = Request::post("/orgs/7/echo").header("content-type", "application/x-www-form-urlencoded");
        is_a_plain_client(&web.ask(form, CLAIMS).await.json(), remote);
    }
}

#[tokio::test]
async fn a_url_has_a_longest_length() {
    let web = Web::local(app()).await;
    let url = |length: usize| format!("/echo?a={}", "x".repeat(length));
    assert_eq!(web.get(&url(60_000)).await.status, 200);
    assert!(Request::get(url(70_000)).body(Body::empty()).is_err(), "no server can even make such a request of it");
}
