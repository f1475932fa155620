//! Probes.

use crate::{
    Web,
    services::{Echo, app},
};
use rachis::{App, Config, config::StartDelay};
use rachis_testing as testing;
use serde_json::{Value, json};

#[tokio::test]
async fn health_lists_the_remote_services() {
    let web = Web::remote(App::new().register("todos", Echo).register("api/notes", Echo)).await;
    for url in ["/distribution/healthcheck", "/distribution/healthcheck/"] {
        let reply = web.get(url).await;
        assert_eq!((reply.status, reply.json()), (200, json!({"todos": true, "api/notes": true})), "{url}");
    }
}

#[tokio::test]
async fn a_key_chooses_whose_services() {
    let web = Web::remote(App::new().register("todos", Echo)).await;
    for url in ["/distribution/healthcheck/default", "/distribution/healthcheck/default/"] {
        assert_eq!(web.get(url).await.json(), json!({"todos": true}), "{url}");
    }
    let reply = web.get("/distribution/healthcheck/no%20body").await;
    let expected = json!({
        "name": "NotFound", "message": "No app registered with key no body", "code": 404, "className": "not-found",
    });
    assert_eq!((reply.status, reply.json()), (404, expected));
}

#[tokio::test]
async fn the_process_says_that_it_lives_and_is_ready() {
    let web = Web::remote(app()).await;
    for (url, status) in [("/livez", "alive"), ("/livez/", "alive"), ("/readyz", "ready")] {
        let reply = web.get(url).await;
        assert_eq!((reply.status, reply.json()), (200, json!({"status": status})), "{url}");
    }
    let head = web.send("HEAD", "/livez").await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
}

#[tokio::test]
async fn a_gateway_that_has_not_joined_does_not_say_that_there_is_no_such_service() {
    let config = Config { start_delay: StartDelay::Manual, ..testing::config() };
    let node = testing::start(config, App::new().register("here", Echo)).await;
    let web = Web {
        router: axum::Router::new().fallback_service(rachis::gateway::Gateway::new(&node)),
        nodes: vec![node.clone()],
    };
    let reply = web.get("/todos/1").await;
    assert_eq!((reply.status, &reply.json()["data"]), (503, &json!({ "outcome": "never ran" })));
    assert_eq!(web.get("/readyz").await.status, 503);
    assert_eq!(web.get("/here/1").await.status, 200, "its own services are there");
    node.join().await.unwrap();
    assert_eq!(web.get("/todos/1").await.status, 404);
}

#[tokio::test]
async fn probes_win_over_services_of_the_same_path() {
    let app = App::new().register("livez", Echo).register("readyz", Echo).register("distribution/healthcheck", Echo);
    let web = Web::local(app).await;
    for url in ["/livez", "/readyz", "/distribution/healthcheck"] {
        assert_eq!(web.get(url).await.json().get("method"), None::<&Value>, "{url}");
    }
}

#[tokio::test]
async fn probes_are_only_read() {
    let web = Web::remote(app()).await;
    for url in ["/livez", "/readyz", "/distribution/healthcheck/"] {
        let reply = web.send("POST", url).await;
        let found = (reply.status, reply.header("allow"), reply.json()["message"].take());
        assert_eq!(found, (405, Some("GET, HEAD, OPTIONS"), json!("Method POST not allowed")), "{url}");
    }
}
