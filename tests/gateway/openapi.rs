//! The document of all services.

use crate::{
    Web,
    services::{Echo, app},
};
use axum::{Router, body::Body};
use http::Request;
use rachis::{
    App, MemoryService, Method, ServiceExt,
    config::CallFilter,
    gateway::{Gateway, guarded},
    schema::Schemas,
};
use rachis_testing as testing;
use serde_json::{Value, json};

fn notes() -> Schemas {
    let note = json!({ "title": "Note", "type": "object", "properties": { "text": { "type": "string" } } });
    Schemas::new().record(note.clone()).data(Method::Create, note).describe("What was noted")
}

fn paths(document: &Value) -> Vec<&str> {
    document["paths"].as_object().into_iter().flat_map(|paths| paths.keys().map(String::as_str)).collect()
}

#[tokio::test]
async fn it_names_the_services_of_this_node_and_of_others_those_without_schemas_too() {
    let web = Web::remote(app()).await;
    web.nodes[1].register("notes", MemoryService::new().schemas(notes())).await.unwrap();
    let document = web.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(paths(&document).contains(&"/notes/{id}") && paths(&document).contains(&"/echo/{id}"));
    assert_eq!(document["components"]["schemas"]["Note"]["properties"]["text"]["type"], "string");
    let tag = document["tags"].as_array().unwrap().iter().find(|tag| tag["name"] == "notes").unwrap();
    assert_eq!(tag["description"], "What was noted");
    let open = &document["paths"]["/echo"]["post"]["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(open["type"], json!(["object", "array"]));
}

#[tokio::test]
async fn its_version_is_that_of_the_gateway() {
    for (version, told) in [("", "0.0.0"), ("2.7.1", "2.7.1")] {
        let mut config = testing::config();
        config.version = version.into();
        let node = testing::start(config, app()).await;
        let web = Web { router: Router::new().fallback_service(Gateway::new(&node)), nodes: vec![node] };
        assert_eq!(web.get("/openapi.json").await.json()["info"]["version"], told);
    }
}

#[tokio::test]
async fn it_follows_services_that_come_and_go_and_is_sent_again_only_when_it_has_changed() {
    let web = Web::local(App::new().register("echo", MemoryService::new())).await;
    let first = web.get("/openapi.json").await;
    let tag = first.header("etag").unwrap().to_owned();
    let again = async |tag: &str| {
        let request = Request::get("/openapi.json").header("if-none-match", tag);
        web.ask(request, Body::empty()).await
    };
    assert_eq!((again(&tag).await.status, again(&format!("\"x\", W/{tag}")).await.status), (304, 304));
    web.nodes[0].register("notes", MemoryService::new()).await.unwrap();
    let changed = again(&tag).await;
    assert_eq!((changed.status, paths(&changed.json())), (200, vec!["/echo", "/echo/{id}", "/notes", "/notes/{id}"]));
    web.nodes[0].unregister("notes").await.unwrap();
    assert_eq!(again(&tag).await.status, 304);
}

#[tokio::test]
async fn it_says_where_the_services_are_below_a_prefix_and_in_another_router() {
    let mut config = testing::config();
    config.gateway.prefix = "/api/".into();
    let node = testing::start(config, App::new().register("echo", Echo)).await;
    let gateway = Gateway::new(&node);
    for (router, url, server) in [
        (Router::new().fallback_service(gateway.clone()), "/openapi.json", "/api"),
        (Router::new().nest_service("/v1", gateway), "/v1/openapi.json", "/v1/api"),
    ] {
        let web = Web { router, nodes: vec![node.clone()] };
        assert_eq!(web.get(url).await.json()["servers"], json!([{ "url": server }]));
        assert_eq!(web.get(&format!("{server}/echo")).await.status, 200);
    }
}

#[tokio::test]
async fn a_gateway_that_is_closed_to_strangers_does_not_tell_them_what_is_behind_it() {
    let mut config = testing::config();
    config.gateway.auth.secret = Some("x".repeat(32).into());
    let open = |config: &rachis::Config, public: &str| {
        let mut config = config.clone();
        config.gateway.auth.public = CallFilter::new([public]).unwrap();
        config
    };
    for (config, status) in [(open(&config, "echo:find"), 401), (open(&config, "openapi.json"), 200)] {
        let app = guarded(App::new().register("echo", Echo), &config).unwrap();
        let node = testing::start(config, app).await;
        let web = Web { router: Router::new().fallback_service(Gateway::new(&node)), nodes: vec![node] };
        let reply = web.get("/openapi.json").await;
        assert_eq!(reply.status, status);
        if status == 200 {
            let document = reply.json();
            assert_eq!(document["paths"]["/echo"]["get"]["security"], json!([{ "token": [] }]));
            assert_eq!(document["paths"]["/authentication"]["post"]["security"], json!([]));
        }
    }
}

#[tokio::test]
async fn it_can_be_elsewhere_or_nowhere_and_hides_no_service() {
    let service = App::new().register("openapi.json", Echo);
    for (path, there, elsewhere) in [("/openapi.json", 200, 404), ("", 200, 404), ("/docs/api.json", 200, 200)] {
        let mut config = testing::config();
        config.gateway.openapi = path.into();
        let node = testing::start(config, service.clone()).await;
        let web = Web { router: Router::new().fallback_service(Gateway::new(&node)), nodes: vec![node] };
        let reply = web.get("/openapi.json").await;
        assert_eq!((reply.status, &reply.json()["method"]), (there, &json!("find")), "{path}");
        assert_eq!(web.get("/docs/api.json").await.status, elsewhere, "{path}");
    }
    let web = Web::local(App::new()).await;
    assert_eq!(
        (web.send("POST", "/openapi.json").await.status, web.send("HEAD", "/openapi.json").await.status),
        (405, 200)
    );
}

#[tokio::test]
async fn the_page_has_all_its_files_from_the_gateway_wherever_that_is() {
    let node = testing::start(testing::config(), App::new().register("echo", Echo)).await;
    for (router, prefix) in [
        (Router::new().fallback_service(Gateway::new(&node)), ""),
        (Router::new().nest_service("/a/b", Gateway::new(&node)), "/a/b"),
    ] {
        let web = Web { router, nodes: vec![node.clone()] };
        let moved = web.get(&format!("{prefix}/docs")).await;
        assert_eq!((moved.status, moved.header("location")), (308, Some("docs/")));
        let page = web.get(&format!("{prefix}/docs/")).await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        assert!(page.text.contains("data-openapi=\"../openapi.json\"") && !page.text.contains("http"), "{}", page.text);
        assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'; script-src 'self';"));
        for file in ["docs.js", "swagger-ui-bundle.js", "swagger-ui.css"] {
            assert_eq!(web.get(&format!("{prefix}/docs/{file}")).await.status, 200, "{file}");
        }
        assert_eq!(web.get(&format!("{prefix}/docs/other.js")).await.status, 404);
        assert_eq!(web.send("POST", &format!("{prefix}/docs/")).await.status, 405);
    }
}

#[tokio::test]
async fn a_service_named_docs_is_served_and_the_page_can_be_elsewhere_or_nowhere() {
    for (path, elsewhere) in [("/docs", 404), ("/api/docs", 200), ("", 404)] {
        let mut config = testing::config();
        config.gateway.docs = path.into();
        let node = testing::start(config, App::new().register("docs", Echo)).await;
        let web = Web { router: Router::new().fallback_service(Gateway::new(&node)), nodes: vec![node] };
        assert_eq!(web.get("/docs").await.json()["method"], "find", "{path}");
        assert_eq!(web.get("/docs/docs.js").await.json()["method"], "get", "{path}");
        let page = web.get("/api/docs/").await;
        assert_eq!((page.status, page.text.contains("../../openapi.json")), (elsewhere, elsewhere == 200), "{path}");
    }
}

#[tokio::test]
async fn it_shows_the_newest_schemas_of_replicas_that_differ_and_says_so() {
    let web = Web::remote(App::new().register("notes", MemoryService::new().schemas(notes()))).await;
    let newer = notes().describe("What is noted since");
    let config = rachis::Config { version: "2.0.0".into(), ..web.nodes[0].config().clone() };
    let _newer = testing::start(config, App::new().register("notes", MemoryService::new().schemas(newer))).await;
    testing::eventually("both are known", async || {
        web.nodes[1].services().iter().any(|service| service.path == "notes" && service.replicas.len() == 2)
    })
    .await;
    let document = web.get("/openapi.json").await.json();
    let tag = document["tags"].as_array().unwrap().iter().find(|tag| tag["name"] == "notes").unwrap();
    let text = tag["description"].as_str().unwrap();
    assert!(text.contains("What is noted since") && text.contains("the newest, of version 2.0.0"), "{text}");
}
