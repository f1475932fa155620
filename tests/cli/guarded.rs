//! A gateway that keeps strangers out, by nothing but its configuration. The users and all services are on another
//! node, which has no secret and takes the gateway's word.

use crate::{Rachis, Running, client::Client};
use rachis::{
    ALL, App, Config, Id, MemoryService, Method, Node, Params, Result, Service, ServiceExt,
    auth::{hash_password, protect},
};
use rachis_testing as testing;
use rachis_testing::eventually;
use reqwest::{Method as Verb, RequestBuilder};
use serde_json::{Value, json};
use std::time::Duration;

const SECRET: &str = "a-fixture-secret-of-at-least-32-bytes!";
const ANY: [&str; 3] = ["gateway", "--listen", "127.0.0.1:0"];

/// Tells who it is told is calling.
struct Whoami;

impl Service for Whoami {
    const METHODS: &[Method] = &[Method::Get, Method::custom("shout")];

    async fn get(&self, _: Id, params: Params) -> Result<Value> {
        Ok(json!({ "user": params.user, "authenticated": params.authenticated, "provider": params.provider }))
    }

    async fn custom(&self, _: &str, _: Value, params: Params) -> Result<Value> {
        Ok(json!({ "user": params.user }))
    }
}

/// A gateway of that configuration, beside what the tests share: users who may sign up, and news for everyone.
struct Guarded {
    node: Node,
    gateway: Running,
    url: String,
}

impl Guarded {
    async fn start(more: &str) -> Guarded {
        let config = Config { app: "home".into(), authentication: false, ..testing::config() };
        let users =
            MemoryService::new().start_id(1).before(ALL, hash_password("password")).after(ALL, protect(["password"]));
        let app = App::new()
            .register("users", users)
            .register("whoami", Whoami)
            .register("news", MemoryService::new())
            .register("orgs/:orgId/whoami", Whoami);
        let rachis = Rachis::on(&config).env("JWT_SECRET", SECRET).file(&format!(
            "[gateway.auth]\npublic = ['news', '!news:remove', 'users:create', 'orgs/*:shout']\n{more}"
        ));
        let node = testing::start(config, app).await;
        let mut gateway = rachis.start(&ANY);
        let url = gateway.line().await;
        Guarded { node, gateway, url }
    }

    fn ask(&self, verb: Verb, path: &str) -> RequestBuilder {
        reqwest::Client::new().request(verb, format!("{}{path}", self.url))
    }

    /// Signs up and logs in: the answer of the login.
    async fn ada(&self) -> Value {
        let ada = json!({ "email": "ada@example.org", "password": "hunter2" });
        let (code, user) = outcome(self.ask(Verb::POST, "/users").json(&ada)).await;
        assert_eq!((code, user), (201, json!({ "email": "ada@example.org", "id": 1 })));
        let (code, login) = outcome(self.ask(Verb::POST, "/authentication").json(&with_password("hunter2"))).await;
        assert_eq!(code, 201, "{login}");
        login
    }

    async fn socket(&self) -> Client {
        Client::connect(self.url.strip_prefix("http://").unwrap().parse().unwrap()).await
    }

    async fn end(self) {
        self.gateway.signal("TERM");
        let (code, rest) = self.gateway.ended().await;
        assert_eq!((code, rest.contains(SECRET)), (0, false), "{rest}");
    }
}

fn with_password(password: &str) -> Value {
    json!({ "strategy": "local", "email": "ada@example.org", "password": password })
}

fn token(login: &Value) -> &str {
    login["accessToken"].as_str().unwrap()
}

async fn outcome(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn not_authenticated() -> (u16, Value) {
    let error = json!({
        "name": "NotAuthenticated", "message": "Not authenticated", "code": 401, "className": "not-authenticated",
    });
    (401, error)
}

#[tokio::test]
async fn a_stranger_gets_what_is_public_and_nothing_else() {
    let guarded = Guarded::start("").await;
    assert_eq!(outcome(guarded.ask(Verb::POST, "/news").json(&json!({ "text": "a" }))).await.0, 201);
    assert_eq!(outcome(guarded.ask(Verb::GET, "/news/0/")).await, (200, json!({ "text": "a", "id": 0 })));
    for (verb, path) in [
        (Verb::DELETE, "/news/0"),
        (Verb::GET, "/users"),
        (Verb::GET, "/users/1"),
        (Verb::PATCH, "/users/1"),
        (Verb::GET, "/whoami/1"),
        (Verb::GET, "//whoami/1/"),
        (Verb::GET, "/%77hoami/1"),
        (Verb::GET, "/orgs/news/whoami/1"),
    ] {
        let asked = outcome(guarded.ask(verb.clone(), path).json(&json!({}))).await;
        assert_eq!(asked, not_authenticated(), "{verb} {path}");
    }
    // Nor is told what there is that it may not call.
    for verb in [Verb::PUT, Verb::PATCH, Verb::DELETE] {
        let reply = guarded.ask(verb.clone(), "/whoami/1").send().await.unwrap();
        let found = (reply.status().as_u16(), reply.headers().contains_key("allow"));
        assert_eq!(found, (401, false), "{verb}");
    }
    let text = guarded.ask(Verb::POST, "/whoami").header("x-service-method", "shout");
    assert_eq!(outcome(text.header("content-type", "text/plain").body("x")).await, not_authenticated());
    let text = guarded.ask(Verb::POST, "/news").header("content-type", "text/plain").body("x");
    assert_eq!(outcome(text).await.0, 415);
    let unknown = guarded.ask(Verb::POST, "/news").header("x-service-method", "shout").json(&json!({}));
    assert_eq!(outcome(unknown).await.0, 405);
    let shout = guarded.ask(Verb::POST, "/whoami").header("x-service-method", "shout").json(&json!({}));
    assert_eq!(outcome(shout).await, not_authenticated());
    let shout = guarded.ask(Verb::POST, "/orgs/1/whoami").header("x-service-method", "shout").json(&json!({}));
    assert_eq!(outcome(shout).await, (200, json!({ "user": null })));
    // What comes later is closed, too.
    guarded.node.register("later", MemoryService::new()).await.unwrap();
    eventually("a service that came later is guarded", async || {
        outcome(guarded.ask(Verb::GET, "/later")).await == not_authenticated()
    })
    .await;
    assert_eq!(guarded.node.service("whoami").get(1).await.unwrap()["user"], json!(null));
    guarded.end().await;
}

#[tokio::test]
async fn whoever_signed_up_logs_in_and_is_known_to_the_services_behind() {
    let guarded = Guarded::start("[gateway.auth.jwt]\nissuer = 'https://rachis.example'\nalgorithm = 'HS384'").await;
    let login = guarded.ada().await;
    assert_eq!(login["user"], json!({ "email": "ada@example.org", "id": 1 }));
    assert_eq!(login["authentication"]["payload"]["iss"], "https://rachis.example");

    for path in ["/whoami/1", "/orgs/1/whoami/1"] {
        let (code, seen) = outcome(guarded.ask(Verb::GET, path).bearer_auth(token(&login))).await;
        assert_eq!((code, &seen["user"]["email"]), (200, &json!("ada@example.org")), "{seen}");
        assert_eq!((&seen["authenticated"], &seen["provider"]), (&json!(true), &json!("rest")));
    }
    let mine = outcome(guarded.ask(Verb::GET, "/users/1").bearer_auth(token(&login))).await;
    assert_eq!(mine, (200, json!({ "email": "ada@example.org", "id": 1 })));

    let (code, error) = outcome(guarded.ask(Verb::GET, "/whoami/1").bearer_auth("a.b.c")).await;
    assert_eq!((code, &error["name"]), (401, &json!("NotAuthenticated")), "{error}");
    let (code, error) = outcome(guarded.ask(Verb::POST, "/authentication").json(&with_password("hunter3"))).await;
    assert_eq!((code, &error["message"]), (401, &json!("Invalid login")));
    let logout = outcome(guarded.ask(Verb::DELETE, "/authentication").bearer_auth(token(&login))).await;
    assert_eq!((logout.0, &logout.1["accessToken"]), (200, &login["accessToken"]));
    guarded.end().await;
}

#[tokio::test]
async fn a_gateway_that_shares_the_secret_knows_the_tokens_of_another() {
    let first = Guarded::start("").await;
    let login = first.ada().await;
    let file = first.gateway._folder.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let second = Rachis::on(first.node.config()).env("JWT_SECRET_FILE", file.to_str().unwrap());
    let mut second = second.start(&ANY);
    let url = second.line().await;
    let asked = reqwest::Client::new().get(format!("{url}/whoami/1"));
    assert_eq!(outcome(asked.try_clone().unwrap()).await, not_authenticated());
    assert_eq!(outcome(asked.bearer_auth(token(&login))).await.0, 200);
    second.signal("TERM");
    assert_eq!(second.ended().await.0, 0);
    first.end().await;
}

#[tokio::test]
async fn only_sockets_that_have_logged_in_hear_events() {
    let guarded = Guarded::start("entity = 'person'\n[gateway.channels]\npublish = 'authenticated'").await;
    guarded.ada().await;
    let mut ada = guarded.socket().await;
    let mut stranger = guarded.socket().await;
    let error = ada.call(json!(["get", "whoami", 1])).await.unwrap_err();
    assert_eq!((&error["code"], &error["message"]), (&json!(401), &json!("Not authenticated")));
    ada.call(json!(["create", "authentication", with_password("hunter2")])).await.unwrap();
    let seen = ada.call(json!(["get", "whoami", 1])).await.unwrap();
    assert_eq!((&seen["user"]["id"], &seen["provider"]), (&json!(1), &json!("socketio")));

    let public = ada.call(json!(["shout", "orgs/1/whoami", {}])).await.unwrap();
    assert_eq!(public["user"], json!({ "email": "ada@example.org", "id": 1 }));
    // The gateway listens soon after it knows the service; until then nobody hears.
    let news = guarded.node.service("news");
    let probing = tokio::spawn(async move {
        loop {
            news.create(json!({ "text": "probe" })).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert_eq!(ada.event().await.0, "news created");
    probing.abort();
    assert!(probing.await.unwrap_err().is_cancelled());
    let last = stranger.call(json!(["create", "news", { "text": "last" }])).await.unwrap();
    while ada.event().await.1 != last {}

    // Once it is no stranger, it hears what comes from then on, and has not heard the first.
    stranger.call(json!(["create", "authentication", with_password("hunter2")])).await.unwrap();
    let created = ada.call(json!(["create", "news", { "text": "b" }])).await.unwrap();
    assert_eq!(stranger.event().await, ("news created".into(), created));
    guarded.end().await;
}

#[tokio::test]
async fn without_a_secret_everyone_may_call() {
    let config = testing::config();
    let rachis = Rachis::on(&config);
    let _node = testing::start(config, App::new().register("whoami", Whoami)).await;
    let mut gateway = rachis.start(&ANY);
    let url = gateway.line().await;
    let (code, seen) = outcome(reqwest::Client::new().get(format!("{url}/whoami/1"))).await;
    assert_eq!((code, &seen["authenticated"]), (200, &json!(false)));
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await.0, 0);
}

#[tokio::test]
async fn what_would_not_keep_anyone_out_is_refused() {
    let cases = [
        (
            Rachis::new().env("JWT_SECRET", "hunter2"),
            "`gateway.auth.secret` is shorter than 32 bytes: take a longer one, or set gateway.auth.allow_weak_secret",
        ),
        (
            Rachis::new().file("[gateway.auth]\npublic = ['news']"),
            "`gateway.auth.secret` is not set, but other keys of gateway.auth are: set it, e.g. by JWT_SECRET_FILE, or \
             leave them all out",
        ),
        (Rachis::new().file("[gateway.auth]\nsecret = ''"), "`gateway.auth.secret` is empty: set one, or leave it out"),
        (
            Rachis::new().env("JWT_SECRET", SECRET).file("[gateway.auth]\nstrategies = ['hunter']"),
            "`gateway.auth.strategies` names \"hunter\": there are \"jwt\" and \"local\"; others are added by code",
        ),
    ];
    for (rachis, message) in cases {
        for command in [&ANY[..], &["config", "check"]] {
            let ended = rachis.run(command).await;
            assert_eq!((ended.code, ended.err.trim_end()), (2, format!("error: {message}").as_str()), "{ended:?}");
            assert!(!ended.out.contains("hunter2"), "{ended:?}");
        }
    }
}

#[tokio::test]
async fn the_secret_is_never_shown() {
    let rachis =
        Rachis::new().file(&format!("[gateway.auth]\nsecret = '{SECRET}'")).env("REDIS_URL", "redis://127.0.0.1:1");
    let show = ["config", "show", "-vv"];
    for command in [&show[..], &["config", "show", "--json"], &["config", "check"]] {
        let ended = rachis.run(command).await;
        assert_eq!(
            (ended.code, ended.out.contains(SECRET), ended.err.contains(SECRET)),
            (0, false, false),
            "{ended:?}"
        );
    }
    assert!(rachis.run(&show).await.out.contains("[gateway.auth]\nsecret = \"***\""));
    let ended = rachis.run(&["call", "a", "find", "-vv", "--connect-timeout", "300ms"]).await;
    assert!(!ended.out.contains(SECRET) && !ended.err.contains(SECRET), "{ended:?}");
}
