//! What a socket says of itself is not believed.

use crate::{Server, client::Client, services::app};
use rachis::{App, Config, Id, Method, Params, Result, Service, gateway::Channels};
use rachis_testing as testing;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio_tungstenite::{
    client_async,
    tungstenite::{Error, client::IntoClientRequest},
};

#[tokio::test]
async fn nothing_in_handshake_query_or_data_makes_a_socket_anybody_else() {
    let server = Server::remote(app(), Channels::new()).await;
    let headers = [("provider", ""), ("user", "{\"id\":1}"), ("authenticated", "true"), ("authentication", "{}")];
    let mut client = Client::connect_with(server.address, &headers).await.unwrap();
    let claims = json!({
        "fromRemote": false, "provider": null, "user": { "id": 1 }, "authenticated": true, "route": { "orgId": 9 },
        "authentication": { "strategy": "jwt", "accessToken": "x" }, "connection": { "user": { "id": 1 } },
    });
    for call in [
        json!(["find", "orgs/7/echo", claims]),
        json!(["get", "orgs/7/echo", 1, claims]),
        json!(["create", "orgs/7/echo", claims, claims]),
        json!(["update", "orgs/7/echo", 1, claims, claims]),
        json!(["patch", "orgs/7/echo", null, claims, claims]),
        json!(["remove", "orgs/7/echo", null, claims]),
        json!(["inspect", "orgs/7/echo", claims, claims]),
    ] {
        let seen = client.call(call.clone()).await.unwrap();
        assert_eq!((&seen["provider"], &seen["route"]), (&json!("socketio"), &json!({ "orgId": "7" })), "{call}");
        assert_eq!((&seen["user"], &seen["authentication"]), (&Value::Null, &Value::Null), "{call}");
        assert_eq!(seen["authenticated"], false, "{call}");
        assert_eq!(seen["query"], claims, "{call}");
    }
}

#[tokio::test]
async fn what_comes_with_the_connect_packet_means_nothing() {
    let server = Server::remote(app(), Channels::new()).await;
    let mut client = Client::open(server.address, &[]).await;
    let payload = json!({ "user": { "id": 1 }, "authentication": { "strategy": "jwt" }, "provider": null });
    client.write(format!("40{payload}")).await;
    assert!(client.packet().await.starts_with("40"));
    let seen = client.call(json!(["get", "echo", 1])).await.unwrap();
    assert_eq!(
        (&seen["provider"], &seen["user"], &seen["authentication"]),
        (&json!("socketio"), &Value::Null, &Value::Null)
    );
}

/// The status of a handshake by this transport.
async fn handshake(address: SocketAddr, path: &str, transport: &str, origin: Option<&str>) -> u16 {
    let url = format!("{address}{path}?EIO=4&transport={transport}");
    if transport == "polling" {
        let request = reqwest::Client::new().get(format!("http://{url}"));
        let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
        return request.send().await.unwrap().status().as_u16();
    }
    let mut request = format!("ws://{url}").into_client_request().unwrap();
    if let Some(origin) = origin {
        request.headers_mut().insert("origin", origin.parse().unwrap());
    }
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    match client_async(request, stream).await {
        Ok((_, response)) => response.status().as_u16(),
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn only_pages_of_the_own_and_of_listed_origins_open_sockets() {
    for (origins, evil, friend) in [(&[][..], 403, 403), (&["https://*.friend.example"], 403, 200), (&["*"], 200, 200)]
    {
        let mut config = testing::config();
        config.gateway.cors_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        let server = Server::of(&testing::start(config, app()).await, Channels::new()).await;
        let own = format!("http://{}", server.address);
        for transport in ["websocket", "polling"] {
            let opened = if transport == "websocket" { 101 } else { 200 };
            for (origin, status) in [
                (None, 200),
                (Some(own.as_str()), 200),
                (Some("https://evil.example"), evil),
                (Some("null"), evil),
                (Some("https://a.friend.example"), friend),
            ] {
                let expected = if status == 200 { opened } else { status };
                let seen = handshake(server.address, "/socket.io/", transport, origin).await;
                assert_eq!(seen, expected, "{transport} {origin:?} {origins:?}");
            }
        }
    }
}

#[tokio::test]
async fn sockets_are_where_the_configuration_says() {
    let mut config = testing::config();
    config.gateway.prefix = "/api".into();
    config.gateway.socket_path = "/api/live/".into();
    let server = Server::of(&testing::start(config, app()).await, Channels::new()).await;
    for (path, status) in [("/api/live/", 101), ("/api/live", 101), ("/socket.io/", 404), ("/live/", 404)] {
        assert_eq!(handshake(server.address, path, "websocket", None).await, status, "{path}");
    }
}

/// Says from where it is called.
struct Where;

impl Service for Where {
    const METHODS: &[Method] = &[Method::Get];

    async fn get(&self, _: Id, params: Params) -> Result<Value> {
        Ok(json!({ "ip": params.ip() }))
    }
}

#[tokio::test]
async fn services_of_other_nodes_know_the_address_of_a_client_and_believe_only_trusted_proxies() {
    let config = testing::config();
    let _services =
        testing::start(Config { app: "services".into(), ..config.clone() }, App::new().register("where", Where)).await;
    for (trusted, expected) in [(&[][..], "127.0.0.1"), (&["127.0.0.0/8"], "192.0.2.7")] {
        let mut config = Config { app: format!("web-{}", trusted.len()), ..config.clone() };
        config.gateway.trusted_proxies = trusted.iter().map(|proxy| (*proxy).to_owned()).collect();
        let node = testing::start(config, App::new()).await;
        node.wait_for("where").await.unwrap();
        let opened = std::sync::Arc::new(std::sync::Mutex::new(None));
        let seen = opened.clone();
        let channels = Channels::new().on_connection(move |connection, _| *seen.lock().unwrap() = connection.ip());
        let server = Server::of(&node, channels).await;
        let forwarded = [("x-forwarded-for", "6.6.6.6, 192.0.2.7:4711")];

        let request = reqwest::Client::new().get(format!("http://{}/where/1", server.address));
        let answer = request.header(forwarded[0].0, forwarded[0].1).send().await.unwrap();
        assert_eq!(answer.json::<Value>().await.unwrap()["ip"], expected, "{trusted:?}");

        let mut client = Client::connect_with(server.address, &forwarded).await.unwrap();
        assert_eq!(client.call(json!(["get", "where", 1])).await.unwrap()["ip"], expected, "{trusted:?}");
        assert_eq!(opened.lock().unwrap().unwrap().to_string(), expected, "{trusted:?}");
    }
}
