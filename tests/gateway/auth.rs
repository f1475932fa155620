//! Logging in over HTTP. The users, the authentication and what it guards are on another node than the gateway.

use crate::{Reply, Web};
use axum::body::Body;
use futures_util::stream;
use http::Request;
use rachis::{
    ALL, App, MemoryService, Method, ServiceExt,
    auth::{AuthConfig, Authentication, hash_password, protect},
};
use serde_json::json;
use std::convert::Infallible;

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

/// A service that offers two methods, guarded in all the ways there are, and one that is open for one of them.
fn of_two_methods() -> App {
    let auth = without_users();
    let two = [Method::Find, Method::Create];
    let notes = || MemoryService::new().methods(two.clone());
    // As examples/api_key has it: what is no token is one, after a hook in front.
    let by_key = notes()
        .before(ALL, async |mut ctx: rachis::Context| {
            if let Some(key) = ctx.params.headers.get("x-api-key") {
                ctx.params.authentication = Some(json!({ "strategy": "jwt", "accessToken": key }));
            }
            Ok(ctx)
        })
        .before(ALL, auth.authenticate("jwt"));
    App::new()
        .register("by-all", notes().before(ALL, auth.authenticate("jwt")))
        .register("by-name", notes().before(two.clone(), auth.authenticate("jwt")))
        .register("around", notes().around(ALL, auth.authenticate("jwt")))
        .register("by-key", by_key)
        .register("half", notes().before(Method::Create, auth.authenticate("jwt")))
        .register("open", notes())
        .register("authentication", auth)
}

/// Takes tokens that stand for themselves.
fn without_users() -> Authentication {
    let config = AuthConfig::new("a-fixture-secret-of-at-least-32-bytes!");
    Authentication::new(AuthConfig { entity: String::new(), ..config }).unwrap()
}

/// Requests that are refused whoever calls, with how.
fn refused_requests(path: &str) -> Vec<(u16, http::request::Builder, &'static str)> {
    let request = |verb: &str, rest: &str| Request::builder().method(verb).uri(format!("/{path}{rest}"));
    let json = |request: http::request::Builder| request.header("content-type", "application/json");
    vec![
        (405, request("PUT", "/1"), ""),
        (405, request("PATCH", ""), ""),
        (405, request("DELETE", "/1"), ""),
        (405, request("GET", "/1"), ""),
        (405, request("PROPFIND", ""), ""),
        (405, json(request("POST", "").header("x-service-method", "shout")), "{}"),
        (405, json(request("PUT", "/1")), "no JSON"),
        (415, request("POST", "").header("content-type", "text/plain"), "text"),
        (400, json(request("POST", "")), "no JSON"),
        (400, json(request("POST", "").header("idempotency-key", "a b")), "{}"),
        (400, request("GET", &format!("?a{}=1", "[a]".repeat(40))), ""),
    ]
}

#[tokio::test]
async fn a_stranger_to_a_guarded_service_hears_401_and_nothing_of_what_it_offers() {
    let (token, _) = without_users().sign(serde_json::Map::new(), None).unwrap();
    for web in [Web::remote(of_two_methods()).await, Web::local(of_two_methods()).await] {
        for path in ["by-all", "by-name", "around", "by-key"] {
            for sent in [None, Some("Bearer garbage"), Some("Basic YWRhOnB3")] {
                for (status, request, body) in refused_requests(path) {
                    let request = sent.into_iter().fold(request, |request, sent| request.header("authorization", sent));
                    let reply = web.ask(request, body).await;
                    let found = (reply.status, reply.header("allow"));
                    assert_eq!(found, (401, None), "{path} {sent:?} instead of {status}: {reply:?}");
                }
            }
            for (status, request, body) in refused_requests(path) {
                let reply = web.ask(request.header("authorization", format!("Bearer {token}")), body).await;
                let found = (reply.status, reply.header("allow").is_some());
                assert_eq!(found, (status, status == 405), "{path}: {reply:?}");
            }
        }
        let by_key = Request::put("/by-key/1").header("x-api-key", &token);
        assert_eq!(web.ask(by_key, Body::empty()).await.status, 405);
    }
}

#[tokio::test]
async fn what_is_open_to_strangers_tells_them_what_it_offers() {
    for web in [Web::remote(of_two_methods()).await, Web::local(of_two_methods()).await] {
        for (status, request, body) in refused_requests("open") {
            assert_eq!(web.ask(request, body).await.status, status);
        }
        // What it offers is no secret, but who creates has to be known.
        for (status, request, body) in refused_requests("half") {
            let creates = request.method_ref() == Some(&http::Method::POST) && status != 405;
            let reply = web.ask(request, body).await;
            assert_eq!(reply.status, if creates { 401 } else { status }, "{reply:?}");
            assert_eq!(reply.header("allow").is_some(), status == 405, "{reply:?}");
        }
        // What the others do is told to whoever asks for it by that.
        assert_eq!(web.send("OPTIONS", "/by-all").await.status, 204);
    }
}

#[tokio::test]
async fn a_stranger_is_refused_before_the_body_is_read() {
    let web = Web::remote(of_two_methods()).await;
    for path in ["by-all", "by-name", "around"] {
        let endless = Body::from_stream(stream::pending::<Result<&'static str, Infallible>>());
        let request = Request::post(format!("/{path}")).header("content-type", "application/json");
        assert_eq!(web.ask(request, endless).await.status, 401, "{path}");
    }
}
