//! Logging in over HTTP. The users, the authentication and what it guards are on another node than the gateway.

use crate::{Reply, Web};
use axum::body::Body;
use http::Request;
use rachis::{
    ALL, App, MemoryService, Method, ServiceExt,
    auth::{AuthConfig, Authentication, hash_password, protect},
};
use serde_json::json;

fn app() -> App {
    let auth = Authentication::new(AuthConfig::new("a-fixture-secret-of-at-least-32-bytes!")).unwrap();
    let guarded = [Method::Find, Method::Get, Method::Update, Method::Patch, Method::Remove];
    let users = MemoryService::new()
        .start_id(1)
        .before(guarded, auth.authenticate("jwt"))
        .before(ALL, hash_password("password"))
        .after(ALL, protect(["password"]));
    App::new()
        .register("users", users)
        .register("secured", MemoryService::new().before(ALL, auth.authenticate("jwt")))
        .register("open", MemoryService::new())
        .register("authentication", auth)
}

impl Web {
    async fn with_header(&self, verb: &str, url: &str, header: &str) -> Reply {
        self.ask(Request::builder().method(verb).uri(url).header("authorization", header), Body::empty()).await
    }
}

#[tokio::test]
async fn a_client_signs_up_logs_in_works_and_logs_out() {
    let web = Web::remote(app()).await;
    let ada = json!({ "email": "ada@example.org", "password": "hunter2" });
    let signed_up = web.json("POST", "/users", ada.clone()).await;
    assert_eq!((signed_up.status, signed_up.json()), (201, json!({ "email": "ada@example.org", "id": 1 })));

    let mut request = ada;
    request["strategy"] = "local".into();
    let login = web.json("POST", "/authentication", request).await;
    assert_eq!((login.status, &login.json()["user"]), (201, &json!({ "email": "ada@example.org", "id": 1 })));
    let token = login.json()["accessToken"].as_str().unwrap().to_owned();

    assert_eq!(web.get("/secured").await.status, 401);
    for header in [format!("Bearer {token}"), format!("jwt {token}"), token.clone()] {
        assert_eq!(web.with_header("GET", "/secured", &header).await.status, 200, "{header}");
    }
    let mine = web.with_header("GET", "/users/1", &token).await;
    assert_eq!((mine.status, mine.json()), (200, json!({ "email": "ada@example.org", "id": 1 })));

    let logout = web.with_header("DELETE", "/authentication", &token).await;
    assert_eq!((logout.status, &logout.json()["accessToken"]), (200, &json!(token)));
    assert_eq!(web.send("DELETE", "/authentication").await.status, 401);
}

#[tokio::test]
async fn a_token_is_verified_only_where_it_is_asked_for() {
    let web = Web::remote(app()).await;
    assert_eq!(web.with_header("GET", "/open", "Bearer garbage").await.status, 200);
    let refused = web.with_header("GET", "/secured", "Bearer garbage").await;
    let error = json!({
        "name": "NotAuthenticated", "message": "jwt malformed", "code": 401, "className": "not-authenticated",
        "data": { "name": "JsonWebTokenError" },
    });
    assert_eq!((refused.status, refused.json()), (401, error));
    let other = web.with_header("GET", "/secured", "Basic YWRhOnB3").await;
    assert_eq!(other.json()["message"], "Not authenticated");
}

#[tokio::test]
async fn other_verbs_on_the_authentication_are_not_allowed() {
    let web = Web::remote(app()).await;
    for (verb, url) in [("GET", "/authentication"), ("GET", "/authentication/1"), ("PATCH", "/authentication/1")] {
        assert_eq!(web.send(verb, url).await.status, 405, "{verb} {url}");
    }
}
