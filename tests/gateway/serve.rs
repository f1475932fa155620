//! A real listener: keeps its word on stopping.

use crate::{Web, services::app};
use rachis::{
    App, Id, Method, Params, Result, Service,
    gateway::{Gateway, serve},
};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
    task::JoinHandle,
};

/// Longer than any test runs.
const LONG: Duration = Duration::from_secs(60);

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<std::io::Result<()>>,
    _web: Web,
}

impl Server {
    async fn start(app: App, grace: Duration) -> Server {
        let web = Web::local(app).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { stopped.await.unwrap_or_default() };
        let service = Gateway::new(&web.nodes[0]);
        let ended = tokio::spawn(serve(listener, service).with_graceful_shutdown(shutdown).grace(grace).into_future());
        Server { address, stop, ended, _web: web }
    }

    /// Writes `request` and leaves the connection open.
    async fn write(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }
}

/// What comes until the other side closes, however it closes.
async fn rest_of(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Answers when told to, and says when it was asked.
#[derive(Clone, Default)]
struct Gate {
    asked: Arc<Notify>,
    open: Arc<Notify>,
}

impl Service for Gate {
    const METHODS: &[Method] = &[Method::Get, Method::Create];

    async fn get(&self, id: Id, _: Params) -> Result<Value> {
        self.asked.notify_one();
        self.open.notified().await;
        Ok(json!({ "id": id }))
    }

    async fn create(&self, data: Value, _: Params) -> Result<Value> {
        Ok(data)
    }
}

#[tokio::test]
async fn http_clients_get_their_answers_over_one_connection() {
    let server = Server::start(app(), LONG).await;
    let client = reqwest::Client::new();
    let url = |path: &str| format!("http://{}{path}", server.address);
    let created = client.post(url("/echo/")).json(&json!({"a": 1})).send().await.unwrap();
    assert_eq!(created.status(), 201);
    assert_eq!(created.json::<Value>().await.unwrap()["data"], json!({"a": 1}));
    let head = client.head(url("/echo/1")).send().await.unwrap();
    assert!(head.headers().contains_key("content-length"));
    let empty = client.get(url("/meta/null")).send().await.unwrap();
    assert_eq!((empty.status().as_u16(), empty.text().await.unwrap().as_str()), (204, ""));
    let id = client.get(url("/echo/a%2Fb")).send().await.unwrap().json::<Value>().await.unwrap();
    assert_eq!(id["id"], "a/b");
}

#[tokio::test]
async fn a_gateway_without_a_router_opens_sockets_too() {
    let server = Server::start(app(), LONG).await;
    for path in ["/socket.io", "/socket.io/"] {
        let url = format!("http://{}{path}?EIO=4&transport=polling", server.address);
        let opened = reqwest::get(&url).await.unwrap();
        assert!(opened.headers().contains_key("x-request-id"), "{opened:?}");
        assert!(opened.text().await.unwrap().starts_with("0{\"sid\":"));
    }
    let near = reqwest::get(format!("http://{}/socket.iox", server.address)).await.unwrap();
    assert_eq!(near.json::<Value>().await.unwrap()["message"], "Page not found");
}

#[tokio::test]
async fn who_writes_all_of_a_refused_body_still_gets_the_answer() {
    let server = Server::start(app(), LONG).await;
    let body = vec![b' '; 16 << 20];
    for (path, status) in [("/echo", 413), ("/nowhere", 404), ("/readonly", 405)] {
        let mut client = server.write(&format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n")).await;
        let framing = format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        client.write_all(framing.as_bytes()).await.unwrap();
        client.write_all(&body).await.unwrap();
        let answer = rest_of(client).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.ends_with('}'), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_request_in_flight_ends_before_the_server_does() {
    let gate = Gate::default();
    let server = Server::start(App::new().register("gate", gate.clone()), LONG).await;
    let client = server.write("GET /gate/1 HTTP/1.1\r\nhost: x\r\n\r\n").await;
    gate.asked.notified().await;
    server.stop.send(()).unwrap();
    // The listener is gone as soon as the server has noticed.
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    gate.open.notify_one();
    let answer = rest_of(client).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("{\"id\":\"1\"}"), "{answer}");
    server.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_connection_does_not_keep_the_server() {
    let server = Server::start(app(), LONG).await;
    let mut client = server.write("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut seen = Vec::new();
    while !seen.ends_with(b"{\"status\":\"alive\"}") {
        client.read_buf(&mut seen).await.unwrap();
    }
    server.stop.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_outlasts_the_grace_is_closed() {
    let gate = Gate::default();
    let grace = Duration::from_millis(50);
    let server = Server::start(App::new().register("gate", gate.clone()), grace).await;
    let hanging = server.write("GET /gate/1 HTTP/1.1\r\nhost: x\r\n\r\n").await;
    gate.asked.notified().await;
    let half_a_head = server.write("GET /gate/2 HTTP/1.1\r\nhost:").await;
    let head = "POST /gate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{\"a\"";
    let half_a_body = server.write(head).await;
    // An answer proves that the connections before it were accepted.
    let url = format!("http://{}/livez", server.address);
    assert_eq!(reqwest::get(url).await.unwrap().status(), 200);

    let stopped = Instant::now();
    server.stop.send(()).unwrap();
    tokio::time::timeout(LONG, server.ended).await.expect("the server hangs").unwrap().unwrap();
    assert!(stopped.elapsed() >= grace);
    for client in [hanging, half_a_head, half_a_body] {
        assert_eq!(rest_of(client).await, "");
    }
}
