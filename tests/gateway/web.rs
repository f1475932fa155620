//! What browsers and proxies need: CORS, compression, request ids.

use crate::{Web, services::app};
use axum::{Router, body::Body, routing::get};
use http::Request;
use rachis::gateway::{Gateway, cors};
use rachis_testing as testing;
use serde_json::json;

#[tokio::test]
async fn a_preflight_allows_what_feathers_clients_send() {
    let web = Web::remote(app()).await;
    let preflight = Request::options("/echo")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "PATCH")
        .header("access-control-request-headers", "authorization,content-type,x-service-method,baggage,x-tenant");
    let reply = web.ask(preflight, Body::empty()).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (204, Some("*")));
    let allowed = |name: &str| reply.header(name).unwrap().to_lowercase();
    for header in ["authorization", "content-type", "x-service-method", "baggage", "x-tenant"] {
        assert!(allowed("access-control-allow-headers").contains(header), "{header}");
    }
    for verb in ["get", "post", "put", "patch", "delete"] {
        assert!(allowed("access-control-allow-methods").contains(verb), "{verb}");
    }
}

#[tokio::test]
async fn every_answer_has_cors_headers_even_an_error() {
    let web = Web::local(app()).await;
    for url in ["/echo", "/nowhere", "/meta/panic", "/livez"] {
        let reply = web.ask(Request::get(url).header("origin", "https://app.example"), Body::empty()).await;
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{url}");
        let exposed = reply.header("access-control-expose-headers").unwrap_or_default();
        assert!(exposed.contains("location") && exposed.contains("x-request-id"), "{exposed}");
    }
}

#[tokio::test]
async fn routes_of_the_application_have_the_same_cors_where_the_layer_is() {
    let mut config = testing::config();
    config.gateway.cors_origins = vec!["https://*.app.example".into()];
    config.gateway.cors_credentials = true;
    let node = testing::start(config, app()).await;
    let own = Router::new().route("/version", get(async || "1.2.3")).layer(cors(node.config()));
    let inside = own.clone().fallback_service(Gateway::new(&node));
    let around = Router::new()
        .route("/version", get(async || "1.2.3"))
        .fallback_service(Gateway::new(&node))
        .layer(cors(node.config()));
    for router in [inside, around] {
        let web = Web { router, nodes: vec![node.clone()] };
        for (url, verb, status) in [("/version", "GET", 200), ("/version", "OPTIONS", 204), ("/echo", "GET", 200)] {
            let ask = |origin: &'static str| {
                web.ask(Request::builder().method(verb).uri(url).header("origin", origin), Body::empty())
            };
            let reply = ask("https://a.app.example").await;
            assert_eq!(reply.status, status, "{verb} {url}");
            assert_eq!(reply.header("access-control-allow-origin"), Some("https://a.app.example"), "{verb} {url}");
            assert_eq!(reply.header("access-control-allow-credentials"), Some("true"), "{verb} {url}");
            let varies = reply.headers.get_all("vary").iter().filter(|vary| *vary == "origin").count();
            assert_eq!(varies, 1, "{verb} {url}");
            assert_eq!(ask("https://evil.example").await.header("access-control-allow-origin"), None, "{verb} {url}");
        }
    }
}

#[tokio::test]
async fn no_answer_is_to_be_taken_for_another_type() {
    let web = Web::local(app()).await;
    for url in ["/echo", "/nowhere", "/meta/panic", "/livez", "/metrics", "/socket.io/"] {
        assert_eq!(web.get(url).await.header("x-content-type-options"), Some("nosniff"), "{url}");
    }
}

#[tokio::test]
async fn a_request_id_is_kept_made_or_replaced_and_shown_to_services() {
    let web = Web::remote(app()).await;
    let with = |id: &'static [u8]| web.ask(Request::get("/echo").header("x-request-id", id), Body::empty());
    let kept = with(b"trace-1").await;
    assert_eq!(kept.header("x-request-id"), Some("trace-1"));
    assert_eq!(kept.json()["headers"]["x-request-id"], "trace-1");

    let made = web.get("/echo").await;
    let id = made.header("x-request-id").unwrap();
    assert!(!id.is_empty() && made.json()["headers"]["x-request-id"] == json!(id));
    assert_ne!(Some(id), web.get("/echo").await.header("x-request-id"));

    for odd in [&b"a b\" c"[..], b"\xff", &[b'x'; 500]] {
        let replaced = with(odd).await;
        assert_eq!(replaced.header("x-request-id").map(str::len), Some(id.len()));
    }
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_take_it() {
    let web = Web::remote(app()).await;
    let url = format!("/echo?a={}", "b".repeat(2000));
    let request = Request::get(&url).header("accept-encoding", "gzip").body(Body::empty()).unwrap();
    let reply = tower::ServiceExt::oneshot(web.router.clone(), request).await.unwrap();
    assert_eq!(reply.headers()["content-encoding"], "gzip");
    let bytes = axum::body::to_bytes(reply.into_body(), usize::MAX).await.unwrap();
    assert!(bytes.starts_with(&[0x1f, 0x8b]) && bytes.len() < 1500);
    assert_eq!(web.get(&url).await.header("content-encoding"), None);
}

#[cfg(feature = "cli")]
#[tokio::test]
async fn the_log_shows_the_path_and_no_secret() {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

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

    let web = Web::local(app()).await;
    let writer = Log::default();
    let written = Arc::clone(&writer.0);
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let request = Request::get("/echo/1?token=hush-query").header("authorization", "Bearer hush-header");
    web.ask(request.header("x-request-id", "trace-1"), Body::empty()).await;
    drop(guard);
    let log = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    for shown in ["method=GET", "path=\"/echo/1\"", "id=\"trace-1\"", "status=200", "latency="] {
        assert!(log.contains(shown), "{shown} is not in {log}");
    }
    assert!(!log.contains("hush"), "{log}");
}
