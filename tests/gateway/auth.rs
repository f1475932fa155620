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
async fn a_url_can_not_ask_for_what_is_hidden_and_removes_nothing_by_it() {
    let web = Web::remote(app()).await;
    for name in ["ada", "bo"] {
        let user = json!({ "email": format!("{name}@example.org"), "password": name });
        assert_eq!(web.json("POST", "/users", user).await.status, 201);
    }
    let login = json!({ "strategy": "local", "email": "ada@example.org", "password": "ada" });
    let login = web.json("POST", "/authentication", login).await.json();
    let token = login["accessToken"].as_str().unwrap();
    for (verb, path) in [("GET", "/users"), ("GET", "/users/2"), ("HEAD", "/users"), ("DELETE", "/users/2")] {
        for query in [
            "email=bo@example.org&password[$gte]=$2b$10$",
            "password=x",
            "password[$ne]=x",
            "password[$in][]=x",
            "password[x]=1",
            "password.x=1",
            "$or[0][password][$lt]=$2b$10$&$or[1][email]=x",
            "$and[0][$or][0][password]=x",
            "$sort[password]=-1",
            "$sort[email]=1&$sort[password]=1",
            "$select=password",
            "$select[]=email&$select[]=password",
            "$limit=0&password[$gt]=a",
            "%70assword[$gt]=a",
        ] {
            let reply = web.with_header(verb, &format!("{path}?{query}"), token).await;
            assert_eq!(reply.status, 400, "{verb} {path}?{query}: {reply:?}");
        }
    }
    let both = web.with_header("GET", "/users?$sort[email]=-1&$select[]=email", token).await.json();
    assert_eq!(both, json!([{ "email": "bo@example.org", "id": 2 }, { "email": "ada@example.org", "id": 1 }]));
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

/// Clients forget their tokens when the service is not found, so it never is.
#[tokio::test]
async fn an_authentication_service_that_is_away_is_unavailable_and_not_unknown() {
    let web = Web::remote(App::new().register("other", MemoryService::new())).await;
    let asked = [("POST", "/authentication"), ("DELETE", "/authentication/"), ("DELETE", "/%61uthentication/x.y.z")];
    let assert_away = async |why: &str| {
        for (verb, url) in asked {
            let reply = web.json(verb, url, json!({ "strategy": "jwt", "accessToken": "x" })).await;
            assert_eq!(
                (reply.status, &reply.json()["data"]["outcome"]),
                (503, &json!("never ran")),
                "{why}: {reply:?}"
            );
        }
    };
    assert_away("it was never there").await;
    for url in ["/authentications", "/other/authentication/x", "/absent"] {
        assert_eq!(web.json("POST", url, json!({})).await.status, 404, "{url}");
    }
    let auth = Authentication::new(AuthConfig::new("a-fixture-secret-of-at-least-32-bytes!")).unwrap();
    let [services, gateway] = &web.nodes[..] else { unreachable!() };
    services.register("authentication", auth).await.unwrap();
    gateway.wait_for("authentication").await.unwrap();
    assert_eq!(web.json("POST", "/authentication", json!({})).await.status, 401);
    services.unregister("authentication").await.unwrap();
    rachis_testing::eventually("it is gone", async || gateway.resolve("authentication").is_none()).await;
    assert_away("it is gone").await;
}

#[tokio::test]
async fn a_gateway_without_authentication_knows_no_such_path() {
    let mut config = rachis_testing::config();
    config.gateway.authentication_path = String::new();
    let node = rachis_testing::start(config, App::new()).await;
    let web =
        Web { router: axum::Router::new().fallback_service(rachis::gateway::Gateway::new(&node)), nodes: vec![node] };
    assert_eq!(web.json("POST", "/authentication", json!({})).await.status, 404);
}
