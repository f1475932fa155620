//! The dashboard as its page reads it: its services, and to whom they say nothing.

use crate::{Reply, Web};
use axum::{Router, body::Body};
use http::Request;
use rachis::{
    ALL, App, MemoryService, Method, ServiceExt,
    auth::{AuthConfig, Authentication, hash_password, protect},
    config::Config,
    gateway::Gateway,
};
use rachis_testing::{cluster_with, eventually};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The services of the dashboard, with a request of each method that can be made by REST.
const READS: [&str; 10] = [
    "/distribution/feed",
    "/distribution/overview",
    "/distribution/nodes",
    "/distribution/nodes/any",
    "/distribution/services",
    "/distribution/services/todos",
    "/distribution/traffic",
    "/distribution/queues",
    "/distribution/dead-letters",
    "/distribution/dead-letters/default%2Fapp-0%2F1-0",
];

/// Users `ada`, who is an admin, and `bo`, who is not, on the node of the gateway; todos on the other.
async fn web(configure: impl Fn(&mut Config)) -> Web {
    let auth = Authentication::new(AuthConfig::new("a-fixture-secret-of-at-least-32-bytes!")).unwrap();
    let users = MemoryService::new()
        .methods([Method::Get])
        .before(ALL, auth.authenticate("jwt"))
        .before(Method::Create, hash_password("password"))
        .after(ALL, protect(["password"]));
    let own = App::new().register("authentication", auth).register("users", users);
    for (name, roles) in [("ada", json!(["editor", "admin"])), ("bo", json!(["editor"]))] {
        let user = json!({ "email": name, "password": name, "roles": roles });
        own.service("users").create(user).await.unwrap();
    }
    let todos = App::new().register("todos", MemoryService::new());
    let [services, gateway] = cluster_with([todos, own], |number, config| {
        if number == 1 {
            config.gateway.dashboard.enabled = true;
            configure(config);
        }
    })
    .await;
    Web { router: Router::new().fallback_service(Gateway::new(&gateway)), nodes: vec![services, gateway] }
}

impl Web {
    async fn token_of(&self, name: &str) -> String {
        let login = json!({ "strategy": "local", "email": name, "password": name });
        self.json("POST", "/authentication", login).await.json()["accessToken"].as_str().unwrap().to_owned()
    }

    async fn read(&self, url: &str, token: &str) -> Reply {
        self.ask(Request::get(url).header("authorization", token), Body::empty()).await
    }

    async fn replay(&self, token: &str, id: &str) -> Reply {
        let request = Request::post("/distribution/dead-letters")
            .header("content-type", "application/json")
            .header("x-service-method", "replay")
            .header("authorization", token);
        self.ask(request, json!({ "id": id }).to_string()).await
    }
}

/// Nothing of the mesh stands in what was refused.
#[track_caller]
fn is_refused(reply: &Reply, code: u16, nodes: &[rachis::Node]) {
    assert_eq!(reply.status, code, "{reply:?}");
    let names = ["todos", "app-0"].into_iter().chain(nodes.iter().map(rachis::Node::id));
    for name in names {
        assert!(!reply.text.contains(name), "{name} in {}", reply.text);
    }
}

#[tokio::test]
async fn without_a_login_or_without_the_role_nothing_is_told() {
    let web = web(|_| {}).await;
    let bo = web.token_of("bo").await;
    for url in READS {
        is_refused(&web.get(url).await, 401, &web.nodes);
        is_refused(&web.read(url, &bo).await, 403, &web.nodes);
        is_refused(&web.read(url, "nonsense").await, 401, &web.nodes);
    }
    is_refused(&web.replay(&bo, "default/app-0/1-0").await, 403, &web.nodes);
    // What the mesh itself serves is as open as before.
    assert_eq!(web.get("/todos").await.status, 200);
}

#[tokio::test]
async fn a_user_with_the_role_sees_nodes_services_and_queues() {
    let web = web(|_| {}).await;
    let ada = web.token_of("ada").await;
    web.json("POST", "/todos", json!({ "text": "write" })).await;

    let nodes = web.read("/distribution/nodes?$sort[app]=1", &ada).await.json();
    assert_eq!((&nodes["total"], &nodes["data"][0]["app"]), (&json!(2), &json!("app-0")));
    assert_eq!(nodes["data"][0]["state"], "up");
    assert!(nodes["data"][0]["beat"].as_u64().is_some_and(|age| age < 10_000), "{nodes}");

    let found = web.read("/distribution/services?search=TODO", &ada).await.json();
    assert_eq!((&found["total"], &found["data"][0]["path"]), (&json!(1), &json!("todos")));
    // Those of the dashboard itself are not among them, and in no document either.
    assert_eq!(web.read("/distribution/services?search=distribution", &ada).await.json()["total"], 0);
    assert!(!web.get("/openapi.json").await.text.contains("distribution"));

    let todos = web.read("/distribution/services/todos", &ada).await.json();
    let create = todos["counted"].as_array().unwrap().iter().find(|method| method["method"] == "create");
    assert_eq!(create.unwrap()["calls"], 1);
    let one = web.read(&format!("/distribution/nodes/{}", web.nodes[0].id()), &ada).await.json();
    assert_eq!((&one["app"], &one["readiness"]), (&json!("app-0"), &json!("ready")));

    let queues = web.read("/distribution/queues", &ada).await.json();
    assert_eq!((&queues["data"][0]["id"], &queues["data"][0]["depth"]), (&json!("default/app-0"), &json!(0)));
    assert_eq!(web.read("/distribution/dead-letters", &ada).await.json()["data"], json!([]));
    assert_eq!(web.read("/distribution/nodes/nobody", &ada).await.status, 404);
    assert_eq!(web.read("/distribution/traffic?minutes=1", &ada).await.status, 200);
    assert_eq!(web.read("/distribution/traffic?minutes=0", &ada).await.status, 400);
}

#[tokio::test]
async fn what_nodes_keep_of_their_last_hour_becomes_rates_and_edges() {
    let web = web(|config| config.gateway.dashboard.anonymous = true).await;
    let told = async || {
        web.get("/todos").await;
        let overview = web.get("/distribution/overview").await.json();
        let rates = overview["chart"]["calls"].as_array().unwrap();
        // Each node takes its samples at times of its own.
        let traffic = web.get("/distribution/traffic").await.json();
        rates.iter().any(|rate| rate.as_f64().is_some_and(|rate| rate > 0.0))
            && traffic["edges"].as_array().unwrap().iter().any(|edge| edge["path"] == "todos")
    };
    // A sample is taken each ten seconds, which is as long as `eventually` waits.
    let deadline = Instant::now() + Duration::from_secs(40);
    while !told().await {
        assert!(Instant::now() < deadline, "still waiting until a sample is told");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let overview = web.get("/distribution/overview").await.json();
    assert_eq!(overview["chart"]["calls"][0], Value::Null, "what was before the mesh is not known");
    let traffic = web.get("/distribution/traffic").await.json();
    let edges = traffic["edges"].as_array().unwrap();
    let edge = edges.iter().find(|edge| edge["path"] == "todos").unwrap();
    assert_eq!((&edge["from"], &edge["to"]), (&json!("default/app-1"), &json!("default/app-0")));
}

#[tokio::test]
async fn a_node_that_leaves_is_told_of_as_gone() {
    let web = web(|config| config.gateway.dashboard.anonymous = true).await;
    assert_eq!(web.get("/distribution/nodes").await.json()["total"], 2);
    web.nodes[0].shutdown().await.unwrap();
    eventually("the node is gone", async || {
        let nodes = web.get("/distribution/nodes?search=app-0").await.json();
        nodes["data"][0]["state"] == "gone"
    })
    .await;
    let url = format!("/distribution/nodes/{}", web.nodes[0].id());
    assert_eq!(web.get(&url).await.json()["state"], "gone");
}

#[tokio::test]
async fn what_may_be_changed_is_said_by_the_configuration() {
    let web = web(|_| {}).await;
    let ada = web.token_of("ada").await;
    let refused = web.replay(&ada, "default/app-0/1-0").await;
    assert_eq!(refused.status, 403);
    assert!(refused.text.contains("gateway.dashboard.writable"), "{refused:?}");

    let web = self::web(|config| config.gateway.dashboard.writable = true).await;
    let ada = web.token_of("ada").await;
    assert_eq!(web.replay(&ada, "default/app-0/1-0").await.status, 404);
}

#[tokio::test]
async fn without_a_dashboard_there_is_neither_page_nor_service() {
    let web = Web::remote(App::new().register("todos", MemoryService::new())).await;
    for url in READS.into_iter().chain(["/distribution/", "/distribution/app.js"]) {
        assert_eq!(web.get(url).await.status, 404, "{url}");
    }
}

#[tokio::test]
async fn the_page_says_nothing_runs_no_foreign_script_and_is_where_it_is_put() {
    let web = web(|config| config.gateway.dashboard.path = "/ops/mesh/".into()).await;
    let page = web.get("/ops/mesh/").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(
        page.text.contains("data-sockets=\"../../socket.io/\"") && page.text.contains("data-services=\"ops/mesh\"")
    );
    assert!(!page.text.contains("{{"));
    let away = web.get("/ops/mesh").await;
    assert_eq!((away.status, away.header("location")), (308, Some("mesh/")));
    assert_eq!(web.get("/ops/mesh/app.js").await.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(web.get("/ops/mesh/other.js").await.status, 404);
    assert_eq!(web.send("POST", "/ops/mesh/").await.status, 405);
}
