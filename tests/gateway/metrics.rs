//! Counters.

use crate::{
    Web,
    services::{Echo, app},
};
use rachis::{App, Config, Method, Service, config::Metrics, gateway::serve_metrics};
use rachis_testing as testing;
use rachis_testing::eventually;
use serde_json::json;

/// The value of the first series whose name and labels begin so.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find(|line| line.starts_with(series)).and_then(|line| line.rsplit(' ').next()?.parse().ok())
}

#[tokio::test]
async fn a_gateway_tells_how_calls_ended_and_how_long_they_took() {
    let web = Web::remote(App::new().register("todos", Echo)).await;
    for _ in 0..3 {
        assert_eq!(web.get("/todos/1").await.status, 200);
    }
    let reply = web.get("/metrics").await;
    assert_eq!(reply.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let told = |series| value(&reply.text, series);
    assert_eq!(told("rachis_calls_total{path=\"todos\",method=\"get\",outcome=\"ok\"}"), Some(3.0), "{}", reply.text);
    assert_eq!(told("rachis_call_seconds_count{path=\"todos\",method=\"get\"}"), Some(3.0));
    assert_eq!(
        (told("rachis_ready"), told("rachis_redis_up"), told("rachis_sockets")),
        (Some(1.0), Some(1.0), Some(0.0))
    );
    assert!(told("rachis_queue_depth{app=").is_some() && told("rachis_queue_age_seconds{app=").is_some());
    assert!(reply.text.ends_with("# EOF\n"));
    assert_eq!(web.send("POST", "/metrics").await.status, 405);
}

/// Waits until it is told to go on.
struct Slow(tokio::sync::Semaphore);

impl Service for Slow {
    const METHODS: &[Method] = &[Method::Get];

    async fn get(&self, _: rachis::Id, _: rachis::Params) -> rachis::Result<serde_json::Value> {
        self.0.acquire().await.map(|_| json!(1)).map_err(rachis::Error::other)
    }
}

#[tokio::test]
async fn a_queue_has_a_depth_and_an_age_and_what_nobody_serves_is_counted() {
    let config = testing::config();
    let served = App::new().register("slow", Slow(tokio::sync::Semaphore::new(0)));
    let slow = testing::start(Config { app: "slow".into(), ..config.clone() }, served).await;
    let node = testing::start(config, App::new()).await;
    node.wait_for("slow").await.unwrap();
    let calling = tokio::spawn({
        let slow = node.service("slow");
        async move { slow.get(1).await }
    });
    let series = "rachis_queue_depth{app=\"default/slow\"}";
    eventually("it is in the queue", async || value(&node.metrics().await, series) == Some(1.0)).await;
    let age = "rachis_queue_age_seconds{app=\"default/slow\"}";
    eventually("it grows older", async || value(&node.metrics().await, age).is_some_and(|age| age > 0.0)).await;
    assert_eq!(value(&slow.metrics().await, "rachis_in_flight"), Some(1.0));
    calling.abort();

    node.service("nowhere").get(1).await.unwrap_err();
    let unknown = "rachis_calls_total{path=\"(unknown)\",method=\"\",outcome=\"NotFound\"}";
    assert_eq!(value(&node.metrics().await, unknown), Some(1.0));
}

#[tokio::test]
async fn a_node_that_is_no_gateway_tells_on_a_listener_of_its_own() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let metrics = Metrics { listen: format!("127.0.0.1:{port}"), ..Metrics::default() };
    let node = testing::start(Config { metrics, ..testing::config() }, app()).await;
    serve_metrics(&node).await.unwrap();
    for (path, part) in [("metrics", "rachis_nodes 1"), ("livez", "alive"), ("readyz", "ready")] {
        let text = reqwest::get(format!("http://127.0.0.1:{port}/{path}")).await.unwrap().text().await.unwrap();
        assert!(text.contains(part), "{text}");
    }
    let asked = async |verb: http::Method, path: &str| {
        let url = format!("http://127.0.0.1:{port}/{path}");
        reqwest::Client::new().request(verb, url).send().await.unwrap()
    };
    for (path, status) in
        [("distribution/healthcheck", 200), ("distribution/healthcheck/nobody/", 404), ("echo", 404), ("", 404)]
    {
        assert_eq!(asked(http::Method::GET, path).await.status().as_u16(), status, "{path}");
    }
    for path in ["metrics", "livez", "distribution/healthcheck"] {
        assert_eq!(asked(http::Method::POST, path).await.status().as_u16(), 405, "{path}");
        let head = asked(http::Method::HEAD, path).await;
        assert_eq!((head.status().as_u16(), head.text().await.unwrap().as_str()), (200, ""), "{path}");
    }
    assert!(serve_metrics(&node).await.unwrap_err().message().contains("metrics.listen"), "the address is taken");
    node.shutdown().await.unwrap();
    eventually("nobody listens", async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err()).await;
}

#[tokio::test]
async fn with_a_token_only_who_has_it_is_told_the_counters_and_the_health_of_the_mesh() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let token = Some("hush-hush".into());
    let metrics = Metrics { listen: format!("127.0.0.1:{port}"), token, ..Metrics::default() };
    let node = testing::start(Config { metrics, ..testing::config() }, app()).await;
    serve_metrics(&node).await.unwrap();
    let web = Web {
        router: axum::Router::new().fallback_service(rachis::gateway::Gateway::new(&node)),
        nodes: vec![node.clone()],
    };
    for (sent, status) in [
        (None, 401),
        (Some("Bearer hush"), 401),
        (Some("hush-hush"), 401),
        (Some("Basic hush-hush"), 401),
        (Some("Bearer hush-hush"), 200),
        (Some("bearer  hush-hush"), 200),
    ] {
        for url in ["/metrics", "/distribution/healthcheck"] {
            let request = http::Request::get(url);
            let request = match sent {
                Some(sent) => request.header("authorization", sent),
                None => request,
            };
            let reply = web.ask(request, axum::body::Body::empty()).await;
            assert_eq!(reply.status, status, "{url} {sent:?}");
        }
        for path in ["metrics", "distribution/healthcheck"] {
            let own = reqwest::Client::new().get(format!("http://127.0.0.1:{port}/{path}"));
            let own = sent.into_iter().fold(own, |own, sent| own.header("authorization", sent));
            assert_eq!(own.send().await.unwrap().status().as_u16(), status, "{path} {sent:?}");
        }
    }
    for url in ["/livez", "/readyz"] {
        assert_eq!(web.get(url).await.status, 200);
    }
}

#[tokio::test]
async fn the_path_of_the_counters_can_be_another_or_none() {
    for (path, there) in [("internal/metrics", true), ("", false)] {
        let metrics = Metrics { path: path.into(), ..Metrics::default() };
        let node = testing::start(Config { metrics, ..testing::config() }, App::new()).await;
        let web = Web {
            router: axum::Router::new().fallback_service(rachis::gateway::Gateway::new(&node)),
            nodes: vec![node.clone()],
        };
        assert_eq!(web.get("/metrics").await.status, 404);
        assert_eq!(web.get("/internal/metrics").await.status == 200, there);
    }
}

#[tokio::test]
async fn a_gateway_may_leave_counters_and_health_to_the_other_port() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let metrics = Metrics { listen: format!("127.0.0.1:{port}"), path: String::new(), ..Metrics::default() };
    let mut config = Config { metrics, ..testing::config() };
    config.gateway.healthcheck = false;
    let node = testing::start(config, app()).await;
    serve_metrics(&node).await.unwrap();
    let web =
        Web { router: axum::Router::new().fallback_service(rachis::gateway::Gateway::new(&node)), nodes: vec![node] };
    for (path, here) in
        [("/metrics", 404), ("/distribution/healthcheck", 404), ("/livez", 200), ("/readyz", 200), ("/echo", 200)]
    {
        assert_eq!(web.get(path).await.status, here, "{path}");
        let there = reqwest::get(format!("http://127.0.0.1:{port}{path}")).await.unwrap().status().as_u16();
        assert_eq!(there, if path == "/echo" { 404 } else { 200 }, "{path}");
    }
}
