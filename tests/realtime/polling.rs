//! Clients that poll.

use crate::{
    Server, everyone,
    services::{Gate, app},
};
use rachis::{App, config::ByteSize, gateway::Channels};
use rachis_testing as testing;
use reqwest::{StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A client that polls, by hand.
pub(crate) struct Poller {
    client: reqwest::Client,
    url: String,
    pub(crate) handshake: Value,
}

impl Poller {
    pub(crate) async fn open(address: SocketAddr) -> Poller {
        Poller::open_with(address, &[]).await
    }

    pub(crate) async fn open_with(address: SocketAddr, headers: &[(&'static str, &str)]) -> Poller {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let client = reqwest::Client::builder().default_headers(headers.collect::<HeaderMap>()).build().unwrap();
        let url = format!("http://{address}/socket.io/?EIO=4&transport=polling");
        let open = client.get(&url).send().await.unwrap().text().await.unwrap();
        let handshake: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
        let url = format!("{url}&sid={}", handshake["sid"].as_str().unwrap());
        Poller { client, url, handshake }
    }

    /// One with an open socket.
    async fn connect(address: SocketAddr) -> Poller {
        let mut poller = Poller::open(address).await;
        poller.post("40").await;
        assert!(poller.poll().await[0].starts_with("40{"));
        poller
    }

    pub(crate) async fn post(&mut self, packets: impl Into<String>) {
        assert_eq!(self.try_post(packets).await, StatusCode::OK);
    }

    async fn try_post(&self, packets: impl Into<String>) -> StatusCode {
        self.client.post(&self.url).body(packets.into()).send().await.unwrap().status()
    }

    async fn try_poll(&self) -> (StatusCode, String) {
        let answer = self.client.get(&self.url).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    /// Sends packets while it waits for some, as clients do.
    pub(crate) async fn poll_and_post(&self, packets: &str) -> String {
        let (polled, posted) = tokio::join!(self.try_poll(), self.try_post(packets));
        assert_eq!((polled.0, posted), (StatusCode::OK, StatusCode::OK));
        polled.1
    }

    /// The next packets but for pings, which are answered.
    pub(crate) async fn poll(&mut self) -> Vec<String> {
        loop {
            let (status, packets) = self.try_poll().await;
            assert_eq!(status, StatusCode::OK, "{packets}");
            let mut packets: Vec<_> = packets.split('\u{1e}').map(str::to_owned).collect();
            if packets.iter().any(|packet| packet == "2") {
                self.post("3").await;
                packets.retain(|packet| packet != "2");
            }
            if !packets.is_empty() {
                return packets;
            }
        }
    }
}

#[tokio::test]
async fn what_one_operation_fires_reaches_a_client_that_polls() {
    let server = Server::local(app(), everyone()).await;
    let mut poller = Poller::connect(server.address).await;
    let mut listening = server.connect().await;
    let todos = server.nodes[0].service("todos");
    while tokio::time::timeout(Duration::from_millis(100), listening.event()).await.is_err() {
        todos.create(json!({ "size": 0 })).await.unwrap();
    }
    for _ in 0..3 {
        let records: Vec<_> = (0..1000).map(|number| json!({ "number": number })).collect();
        todos.create(json!(records)).await.unwrap();
        let mut heard = Vec::new();
        while heard.len() < 1000 {
            for packet in poller.poll().await {
                let event: Value = serde_json::from_str(packet.strip_prefix("42").unwrap()).unwrap();
                heard.extend(event[1]["number"].as_u64());
            }
        }
        assert!((0..1000).eq(heard), "each once, in order");
    }
}

#[tokio::test]
async fn five_thousand_calls_of_a_client_that_polls_are_all_answered() {
    let server = Server::remote(app(), Channels::new()).await;
    let mut poller = Poller::connect(server.address).await;
    let call = |id: usize| format!("42{id}[\"create\",\"todos\",{{\"number\":{id}}}]");
    // Each request brings many, as clients send what came together while the one before was under way.
    for first in (0..5000).step_by(1000) {
        let packets: Vec<_> = (first..first + 1000).map(call).collect();
        poller.post(packets.join("\u{1e}")).await;
    }
    let mut answered = BTreeSet::new();
    while answered.len() < 5000 {
        for packet in poller.poll().await {
            let (id, answer) = packet.strip_prefix("43").unwrap().split_once('[').unwrap();
            assert!(answer.starts_with("null,"), "{packet}");
            answered.insert(id.parse::<usize>().unwrap());
        }
    }
}

#[tokio::test]
async fn a_request_waits_until_the_calls_of_the_one_before_have_begun() {
    let mut config = testing::config();
    config.gateway.socket_calls = 2;
    let node = testing::start(config, App::new().register("gate", Gate::default())).await;
    let server = Server::of(&node, Channels::new()).await;
    let mut poller = Poller::connect(server.address).await;
    let calls: Vec<_> = (0..3).map(|id| format!("42{id}[\"get\",\"gate\",{id}]")).collect();
    poller.post(calls.join("\u{1e}")).await;
    let waiting = tokio::spawn({
        let poster = Poller { client: poller.client.clone(), url: poller.url.clone(), handshake: Value::Null };
        async move { poster.try_post("429[\"get\",\"gate\",9]").await }
    });
    assert!(tokio::time::timeout(Duration::from_millis(200), poller.try_poll()).await.is_err());
    drop(waiting);
}

#[tokio::test]
async fn a_second_request_of_a_kind_ends_the_session() {
    let server = Server::local(app(), everyone()).await;
    let poller = Poller::connect(server.address).await;
    let (one, two) = tokio::join!(poller.try_poll(), poller.try_poll());
    let closed = (StatusCode::OK, "1".to_owned());
    let refused = (StatusCode::BAD_REQUEST, String::new());
    assert!([(&one, &two), (&two, &one)].contains(&(&closed, &refused)), "{one:?} {two:?}");
    let (status, unknown) = poller.try_poll().await;
    assert_eq!((status, unknown.as_str()), (StatusCode::BAD_REQUEST, r#"{"code":1,"message":"Session ID unknown"}"#));

    let poller = Poller::connect(server.address).await;
    let path = poller.url.split_once("/socket.io").unwrap().1;
    let head = format!("POST /socket.io{path} HTTP/1.1\r\nhost: x\r\ncontent-length: 990000\r\n\r\n");
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(head.as_bytes()).await.unwrap();
    first.write_all(&[b'4'; 100_000]).await.unwrap();
    testing::eventually("the first is under way", async || poller.try_post("3").await == StatusCode::BAD_REQUEST).await;
    let mut answer = String::new();
    first.read_to_string(&mut answer).await.unwrap_or_default();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(server.channels.connections().is_empty());
}

#[tokio::test]
async fn a_payload_that_is_too_large_is_refused_and_ends_the_session() {
    let mut config = testing::config();
    config.gateway.max_message = ByteSize(1000);
    let node = testing::start(config, app()).await;
    let server = Server::of(&node, Channels::new()).await;
    let poller = Poller::connect(server.address).await;
    let call = |length: usize| format!("42[\"create\",\"todos\",{{\"a\":\"{}\"}}]", "x".repeat(length));
    let fits = call(1000 - call(0).len());
    assert_eq!(poller.try_post(fits.clone()).await, StatusCode::OK);
    assert_eq!(poller.try_post(fits + " ").await, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(poller.try_poll().await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_client_that_breaks_its_request_off_is_gone() {
    let server = Server::local(app(), everyone()).await;
    let poller = Poller::connect(server.address).await;
    assert!(tokio::time::timeout(Duration::from_millis(100), poller.try_poll()).await.is_err());
    testing::eventually("it is gone", async || server.channels.connections().is_empty()).await;
}

#[tokio::test]
async fn bytes_travel_as_text_both_ways() {
    let server = Server::local(app(), everyone()).await;
    let mut poller = Poller::connect(server.address).await;
    let place = json!({ "_placeholder": true, "num": 0 });
    let call = json!(["create", "echo", { "bytes": place }]);
    poller.post(format!("451-1{call}\u{1e}bAf8=")).await;
    let answer = poller.poll().await;
    assert!(answer[0].starts_with("461-1[null,"), "{answer:?}");
    assert_eq!(answer[1], "bAf8=");
}

#[tokio::test]
async fn twenty_thousand_events_of_one_operation_reach_every_client_that_reads_and_no_other_misses_any() {
    const RECORDS: u64 = 20_000;
    for server in [Server::remote(app(), everyone()).await, Server::local(app(), everyone()).await] {
        let mut poller = Poller::connect(server.address).await;
        let mut listening = server.connect().await;
        // It takes nothing: what is more than its outbox, it misses.
        let _deaf = server.connect().await;
        let todos = server.nodes[0].service("todos");
        while tokio::time::timeout(Duration::from_millis(100), listening.event()).await.is_err() {
            todos.create(json!({ "size": 0 })).await.unwrap();
        }
        let records: Vec<_> = (0..RECORDS).map(|number| json!({ "number": number })).collect();
        let creating = async {
            todos.create(json!(records)).timeout(Duration::from_secs(60)).await.unwrap();
        };
        let by_websocket = async {
            let mut heard = Vec::new();
            while heard.len() < records.len() {
                let (name, data) = listening.event().await;
                assert_eq!(name, "todos created");
                heard.extend(data["number"].as_u64());
            }
            heard
        };
        let by_polling = async {
            let mut heard = Vec::new();
            while heard.len() < records.len() {
                for packet in poller.poll().await {
                    let event: Value = serde_json::from_str(packet.strip_prefix("42").unwrap()).unwrap();
                    assert_eq!(event[0], "todos created");
                    heard.extend(event[1]["number"].as_u64());
                }
            }
            heard
        };
        let ((), by_websocket, by_polling) = tokio::join!(creating, by_websocket, by_polling);
        assert!((0..RECORDS).eq(by_websocket) && (0..RECORDS).eq(by_polling), "each once, in order");
    }
}
