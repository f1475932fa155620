//! Secrets stay where they belong: a day of logins, failures and outages at the most talkative log level, after which
//! nothing that was written down may contain one.
//!
//! One test, since the log is that of the whole process. Every secret in it contains `hush`.

#![cfg(feature = "cli")]
// Clippy spares the tests themselves, not what they share.
#![allow(clippy::unwrap_used)]

// The sockets of the tests for them; not all of it is needed here.
#[allow(dead_code)]
#[path = "realtime/client.rs"]
mod client;

use axum::{Router, body::Body};
use http::{Request, request::Builder};
use rachis::{
    ALL, App, Config, Context, Error, MemoryService, Method, Node, ServiceExt,
    auth::{hash_password, protect},
    gateway::{Channels, Gateway, guarded},
};
use rachis_testing as testing;
use rachis_testing::ThrowawayRedis;
use redis::AsyncCommands;
use serde_json::{Value, json};
use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

const PASSWORD: &str = "hush-password-of-ada";
const REDIS_PASSWORD: &str = "hush-redis-password";
const MESH_SECRET: &str = "hush-mesh-secret-of-all-nodes";
const TOKEN_SECRET: &str = "hush-token-secret-of-at-least-32-bytes";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start() -> Log {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
        tracing::subscriber::set_global_default(subscriber.with_writer(move || writer.clone()).finish()).unwrap();
        log
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

fn config(redis: &ThrowawayRedis) -> Config {
    let url = redis.url().replace("redis://", &format!("redis://:{REDIS_PASSWORD}@"));
    let mut config = testing::config_for(&url);
    config.mesh.secret = Some(MESH_SECRET.into());
    config.mesh.previous_secret = Some("hush-previous-mesh-secret".into());
    config.gateway.auth.secret = Some(TOKEN_SECRET.into());
    config.gateway.auth.public = rachis::config::CallFilter::new(["users:create", "fails"]).unwrap();
    config
}

/// Users who sign up, a service for those who have, and one that fails at everything.
async fn services(config: &Config) -> Node {
    let users = MemoryService::new().before(ALL, hash_password("password")).after(ALL, protect(["password"]));
    let fail = async |ctx: Context| match ctx.method {
        Method::Find => Err(Error::unavailable("it fails")),
        _ => panic!("a panic that a test has set"),
    };
    let app = App::new()
        .register("users", users)
        .register("secured", MemoryService::new())
        .register("fails", MemoryService::new().before(ALL, fail));
    testing::start(Config { app: "services".into(), authentication: false, ..config.clone() }, app).await
}

async fn ask(router: &Router, request: Builder, body: impl Into<Body>) -> (u16, String) {
    use tower::ServiceExt;
    let reply = router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let status = reply.status().as_u16();
    let bytes = axum::body::to_bytes(reply.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

fn post(url: &str) -> Builder {
    Request::post(url).header("content-type", "application/json")
}

#[track_caller]
fn hushed(what: &str, text: &str, token: &str) {
    let signature = token.rsplit('.').next().unwrap();
    for secret in ["hush", token, signature] {
        if let Some(at) = text.find(secret) {
            let shown: String = text[..at].chars().rev().take(500).collect::<Vec<_>>().into_iter().rev().collect();
            panic!("{what} shows {secret:?} after: {shown}");
        }
    }
}

/// Signs up and logs in; the token.
async fn log_in(router: &Router) -> String {
    let ada = json!({ "email": "ada@example.org", "password": PASSWORD });
    let (status, user) = ask(router, post("/users"), ada.to_string()).await;
    assert!(status == 201 && !user.contains("password"), "{user}");
    let login = json!({ "strategy": "local", "email": "ada@example.org", "password": PASSWORD });
    let (status, login) = ask(router, post("/authentication"), login.to_string()).await;
    assert_eq!(status, 201, "{login}");
    serde_json::from_str::<Value>(&login).unwrap()["accessToken"].as_str().unwrap().to_owned()
}

/// Whatever a client may do wrong while it sends secrets; what it is told.
async fn mistakes(router: &Router, token: &str) -> Vec<String> {
    let bearer = |request: Builder| request.header("authorization", format!("Bearer {token}"));
    let wrong = |strategy: &str| json!({ "strategy": strategy, "email": "ada@example.org", "password": "hush-wrong", "accessToken": "hush-wrong" });
    let requests = [
        (post("/authentication"), wrong("local").to_string()),
        (post("/authentication"), wrong("jwt").to_string()),
        (post("/authentication"), wrong("hush-strategy").to_string().replace("hush-strategy", "none")),
        (post("/users"), "{ \"password\": \"hush-half".to_owned()),
        (post("/users"), "\"hush-text\"".to_owned()),
        (Request::get("/secured").header("authorization", "Bearer hush.bad.token"), String::new()),
        (Request::get("/secured").header("authorization", "Basic hush"), String::new()),
        (bearer(Request::get("/secured/1?access_token=hush-query")), String::new()),
        (bearer(Request::get("/fails?token=hush-query").header("cookie", "id=hush-cookie")), String::new()),
        (bearer(Request::get("/fails/1").header("x-api-key", "hush-key")), String::new()),
        (bearer(post("/fails")), json!({ "password": "hush-data" }).to_string()),
        (bearer(post("/secured").header("x-service-method", "absent")), json!({ "secret": "hush" }).to_string()),
        (bearer(Request::delete("/authentication")).header("x-other", "hush"), String::new()),
    ];
    let mut told = Vec::new();
    for (number, (request, body)) in requests.into_iter().enumerate() {
        let (status, reply) = ask(router, request, body).await;
        assert!(status >= 400 || number == 12, "{number}: {status} {reply}");
        // The last one logs out, of which Feathers' answer is what was logged in by.
        if number < 12 {
            told.push(reply);
        }
    }
    told
}

/// The same by sockets, over a server as programs run it.
async fn sockets(router: &Router, token: &str) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let grace = Duration::from_secs(1);
    let server = tokio::spawn(rachis::gateway::serve(listener, router.clone()).grace(grace).into_future());
    let bad = client::Client::connect_with(address, &[("authorization", "Bearer hush.bad.token")]).await;
    hushed("a refusal", &bad.err().unwrap().to_string(), token);
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("cookie", "hush-cookie")];
    let mut socket = client::Client::connect_with(address, &headers).await.unwrap();
    let login = json!({ "strategy": "local", "email": "ada@example.org", "password": PASSWORD });
    socket.call(json!(["create", "authentication", login, {}])).await.unwrap();
    for call in [
        json!(["create", "authentication", { "strategy": "local", "email": "x", "password": "hush" }, {}]),
        json!(["create", "fails", { "password": "hush" }, { "token": "hush" }]),
        json!(["hush", "secured", { "password": "hush" }, {}]),
        json!(["get", "fails", 1, { "token": "hush" }]),
    ] {
        let told = socket.call(call.clone()).await.unwrap_err();
        // What a client itself named as the method is told back to it.
        hushed("an answer", &told.to_string().replace("'hush'", ""), token);
    }
    socket.call(json!(["create", "secured", { "text": "b" }, { "access_token": "hush" }])).await.unwrap();
    server.abort();
}

/// Every key but inboxes, which hold replies as they were made for a while, with all that Redis has in it.
async fn keys(config: &Config) -> String {
    let client = redis::Client::open(config.redis.url.expose()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis.keys("*").await.unwrap();
    let mut text = String::new();
    for key in keys.into_iter().filter(|key| !key.ends_with(":inbox")) {
        let kind: String = redis::cmd("TYPE").arg(&key).query_async(&mut redis).await.unwrap();
        let read = match kind.as_str() {
            "hash" => redis::cmd("HGETALL").arg(&key).to_owned(),
            "stream" => redis::cmd("XRANGE").arg(&key).arg("-").arg("+").to_owned(),
            "zset" => redis::cmd("ZRANGE").arg(&key).arg(0).arg(-1).to_owned(),
            _ => redis::cmd("GET").arg(&key).to_owned(),
        };
        let value: redis::Value = read.query_async(&mut redis).await.unwrap();
        text.push_str(&key);
        gather(&value, &mut text);
    }
    text
}

fn gather(value: &redis::Value, text: &mut String) {
    match value {
        redis::Value::BulkString(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
        redis::Value::Array(items) => items.iter().for_each(|item| gather(item, text)),
        redis::Value::Map(pairs) => pairs.iter().for_each(|(name, value)| {
            gather(name, text);
            gather(value, text);
        }),
        other => text.push_str(&format!("{other:?}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_told_by_logs_errors_events_or_what_redis_keeps() {
    let log = Log::start();
    let mut redis = ThrowawayRedis::start_with(&["--requirepass", REDIS_PASSWORD]).unwrap();
    let config = config(&redis);
    let there = services(&config).await;
    let web_config = Config { app: "web".into(), ..config.clone() };
    let web = testing::start(web_config.clone(), guarded(App::new(), &web_config).unwrap()).await;
    testing::eventually("they know each other", async || web.resolve("fails").is_some()).await;
    let mut events = web.service("users").on("*").await.unwrap();
    let everyone = Channels::new().publish(|_, channels| channels.channel("everyone"));
    let router = Router::new().fallback_service(Gateway::with_channels(&web, everyone));

    let token = log_in(&router).await;
    let bearer = format!("Bearer {token}");
    let create = post("/secured?token=hush-query").header("authorization", &bearer).header("cookie", "hush-cookie");
    assert_eq!(ask(&router, create, json!({ "text": "a" }).to_string()).await.0, 201);
    for told in mistakes(&router, &token).await {
        hushed("an answer", &told, &token);
    }
    sockets(&router, &token).await;
    // What Redis keeps of it: the announcements, and the log of events.
    hushed("Redis", &keys(&config).await, &token);
    hushed("an event", &format!("{:?}", events.next().await.unwrap()), &token);

    // Somebody writes nonsense to Redis, with secrets in it.
    let client = redis::Client::open(config.redis.url.expose()).unwrap();
    let mut raw = client.get_multiplexed_async_connection().await.unwrap();
    let calls = format!("{}:{{app:default/services}}:calls", config.namespace);
    for frame in [&b"hush"[..], b"\x01Qhush-hush-hush", b"\x01qhush-hush-hush-hush-hush-hush-hush-hush-hush-hush-hush"]
    {
        for stream in [calls.clone(), format!("{}:{{node:{}}}:inbox", config.namespace, web.id())] {
            redis::cmd("XADD").arg(stream).arg("*").arg("m").arg(frame).query_async::<()>(&mut raw).await.unwrap();
        }
    }
    let dead = format!("{}:{{app:default/services}}:dead", config.namespace);
    for _ in 0..200 {
        redis::cmd("XADD").arg(&calls).arg("*").arg("m").arg("hush").query_async::<()>(&mut raw).await.unwrap();
    }
    testing::eventually("all is set aside", async || raw.clone().xlen::<_, u64>(&dead).await.unwrap() == 203).await;
    let refusals = log.text().matches("a request was refused").count();
    assert!((1..=2).contains(&refusals), "{refusals} warnings of one kind within seconds");

    // Redis goes, and what comes in its place has another password.
    redis.stop();
    let lost = web.service("secured").create(json!({ "password": "hush" })).timeout(Duration::from_millis(300)).await;
    hushed("an error", &format!("{0} {0:?}", lost.unwrap_err()), &token);
    redis.launch().unwrap();
    let mut wrong = config.clone();
    wrong.redis.url = rachis::config::RedisUrl::from(redis.url().replace("redis://", "redis://:hush-wrong@"));
    let refused = Node::builder(wrong).connect_within(Duration::from_millis(500)).start().await.unwrap_err();
    hushed("an error", &format!("{0} {0:?} {1}", refused, refused.to_json()), &token);
    testing::eventually("they are back", async || web.service("fails").find().await.unwrap_err().code() == 503).await;

    let shown = format!("{config:?} {} {there:?} {web:?} {router:?}", serde_json::to_string(&config).unwrap());
    hushed("a configuration or a node", &shown, &token);
    hushed("the catalog", &format!("{:?} {:?} {:?}", web.nodes(), web.services(), web.resolve("users")), &token);
    web.shutdown().await.unwrap();
    there.shutdown().await.unwrap();
    tracing::trace!("as talkative as can be");
    let log = log.text();
    for said in ["as talkative as can be", "DEBUG", "WARN", "joined the mesh", "a request was refused", "answered"] {
        assert!(log.contains(said), "the log has no {said:?}, so this test sees nothing");
    }
    hushed("the log", &log, &token);
}
