//! No client takes more than its share, and none leaves anything behind.

use crate::{
    Server,
    client::{Client, End},
    everyone,
    polling::Poller,
    services::{Gate, app, todos},
};
use http::StatusCode;
use rachis::{
    App,
    config::ByteSize,
    gateway::{Channels, Gateway},
};
use rachis_testing as testing;
use rachis_testing::eventually;
use serde_json::json;
use std::time::Duration;
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

async fn with_seats(seats: usize) -> Server {
    let mut config = testing::config();
    config.gateway.max_sockets = seats;
    let node = testing::start(config, app()).await;
    let channels = everyone();
    Server::serve(&node, crate::routed(Gateway::with_channels(&node, channels.clone())), channels).await
}

async fn handshake(server: &Server) -> StatusCode {
    let url = format!("http://{}/socket.io/?EIO=4&transport=polling", server.address);
    reqwest::get(url).await.unwrap().status()
}

#[tokio::test]
async fn a_seat_is_free_again_when_its_socket_is_gone() {
    let server = with_seats(2).await;
    let one = server.connect().await;
    let _two = Client::open(server.address, &[]).await;
    assert_eq!(handshake(&server).await, 503);
    drop(one);
    eventually("a seat is free", async || handshake(&server).await == 200).await;
}

#[tokio::test]
async fn how_many_seats_there_are_can_change_while_sockets_are_open() {
    let mut config = testing::config();
    config.gateway.max_sockets = 1;
    let node = testing::start(config.clone(), app()).await;
    let channels = everyone();
    let server = Server::serve(&node, crate::routed(Gateway::with_channels(&node, channels.clone())), channels).await;
    let _one = server.connect().await;
    assert_eq!(handshake(&server).await, 503);
    config.gateway.max_sockets = 2;
    assert_eq!(node.reload(config.clone()).unwrap().taken, ["gateway.max_sockets"]);
    let _two = server.connect().await;
    assert_eq!(handshake(&server).await, 503);
    config.gateway.max_sockets = 1;
    node.reload(config).unwrap();
    assert_eq!(server.channels.connections().len(), 2, "whoever sits stays");
    assert_eq!(handshake(&server).await, 503);
}

#[tokio::test]
async fn sockets_that_come_and_go_leave_nothing_behind() {
    let server = with_seats(20).await;
    for _ in 0..25 {
        let mut clients = Vec::new();
        for _ in 0..10 {
            clients.push(server.connect().await);
        }
        assert_eq!(server.channels.channel("everyone").len(), 10);
        drop(clients);
        eventually("all are gone", async || server.channels.connections().is_empty()).await;
        assert!(server.channels.names().is_empty());
    }
    assert_eq!(handshake(&server).await, 200);
}

#[tokio::test]
async fn headers_that_are_too_many_are_refused() {
    let server = with_seats(2).await;
    let url = format!("http://{}/socket.io/?EIO=4&transport=polling", server.address);
    let answer = reqwest::Client::new().get(url).header("x-large", "x".repeat(17_000)).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert!(answer.text().await.unwrap().contains("Too many headers"));
}

#[tokio::test]
async fn older_protocols_are_refused() {
    let server = with_seats(2).await;
    let answer = reqwest::get(format!("http://{}/socket.io/?EIO=3&transport=polling", server.address)).await.unwrap();
    assert_eq!(answer.status(), 400);
    assert!(answer.text().await.unwrap().contains("Unsupported protocol version"));
}

#[tokio::test]
async fn other_namespaces_are_refused() {
    let server = with_seats(2).await;
    let mut client = Client::open(server.address, &[]).await;
    client.write("40/admin,").await;
    assert_eq!(client.packet().await, r#"44/admin,{"message":"Invalid namespace"}"#);
}

#[tokio::test]
async fn calls_that_find_no_room_wait_their_turn() {
    let server =
        Server::local(App::new().register("gate", Gate::default()).register("todos", todos()), everyone()).await;
    let mut client = server.connect().await;
    let mut other = server.connect().await;
    for number in 0..300 {
        client.ask(json!(["get", "gate", number])).await;
    }
    for _ in 0..300 {
        // Others are not held up.
        other.call(json!(["create", "gate", {}])).await.unwrap();
    }
    for id in 1..=300 {
        assert_eq!(client.answer(id).await, Ok(json!("passed")));
    }
}

#[tokio::test]
async fn five_thousand_calls_at_once_are_all_answered() {
    let server = Server::remote(app(), Channels::new()).await;
    let mut client = server.connect().await;
    for number in 0..5000 {
        client.ask(json!(["create", "todos", { "number": number }])).await;
    }
    for id in 1..=5000 {
        assert_eq!(client.answer(id).await.unwrap()["number"], id - 1);
    }
}

#[tokio::test]
async fn calls_and_answers_larger_than_their_bounds_take_turns() {
    let mut config = testing::config();
    (config.gateway.socket_inbox, config.gateway.socket_outbox) = (ByteSize(20_000), ByteSize(20_000));
    config.gateway.socket_calls = 3;
    let node = testing::start(config, app()).await;
    let server = Server::of(&node, Channels::new()).await;
    let mut client = server.connect().await;
    let text = "x".repeat(50_000);
    for number in 0..100 {
        client.ask(json!(["create", "todos", { "number": number, "text": text }])).await;
    }
    for id in 1..=100 {
        assert_eq!(client.answer(id).await.unwrap()["text"], text);
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_closed_and_harms_no_other() {
    let mut config = testing::config();
    config.gateway.socket_patience = Duration::from_millis(500);
    config.gateway.socket_outbox = ByteSize(1_000_000);
    let node = testing::start(config, app()).await;
    let channels = everyone();
    let server = Server::serve(&node, crate::routed(Gateway::with_channels(&node, channels.clone())), channels).await;
    node.service("todos").create(json!({ "id": 1, "text": "x".repeat(1_000_000) })).await.unwrap();
    let mut deaf = server.connect().await;
    let mut other = server.connect().await;
    // It asks for far more than the system keeps for it on the way, and reads none of it.
    for _ in 0..30 {
        deaf.ask(json!(["get", "todos", 1])).await;
    }
    eventually("it is gone", async || server.channels.connections().len() == 1).await;
    assert!(other.call(json!(["find", "todos", { "$limit": 0 }])).await.is_ok());
}

#[tokio::test]
async fn the_call_of_a_message_that_is_too_large_is_refused_and_its_socket_goes_on() {
    let server = with_seats(2).await;
    let mut client = server.connect().await;
    let place = json!({ "_placeholder": true, "num": 0 });
    for length in [1_000_001, 1_200_000, 5_000_000] {
        let refused = client.call(json!(["create", "todos", { "text": "x".repeat(length) }])).await.unwrap_err();
        assert_eq!((&refused["code"], &refused["name"]), (&json!(413), &json!("PayloadTooLarge")));
        let id = client.ask_with_bytes(json!(["create", "todos", { "bytes": place }]), &[&vec![0; length]]).await;
        assert_eq!(client.answer(id).await.unwrap_err()["code"], 413);
    }
    // No part of it alone is too large.
    let parts = [&[0; 600_000][..], &[0; 600_000], &[0]];
    let id = client.ask_with_bytes(json!(["create", "todos", { "bytes": place }]), &parts).await;
    assert_eq!(client.answer(id).await.unwrap_err()["code"], 413);
    assert_eq!(client.call(json!(["find", "todos"])).await, Ok(json!([])));
}

#[tokio::test]
async fn a_message_that_is_too_large_and_wants_no_answer_closes_its_socket() {
    let server = with_seats(2).await;
    let mut client = server.connect().await;
    client.write(format!("42[\"create\",\"todos\",{{\"a\":\"{}\"}}]", "x".repeat(1_000_001))).await;
    assert_eq!(client.end().await, End::Closed);
}

#[tokio::test]
async fn how_large_a_message_may_be_is_a_setting_that_new_sockets_are_told() {
    let mut config = testing::config();
    config.gateway.max_message = ByteSize(2000);
    let node = testing::start(config.clone(), app()).await;
    let server = Server::of(&node, Channels::new()).await;
    let told = async || {
        let answer = Poller::open(server.address).await.handshake;
        answer["maxPayload"].as_u64().unwrap()
    };
    assert_eq!(told().await, 2000);
    config.gateway.max_message = ByteSize(3000);
    assert_eq!(node.reload(config).unwrap().taken, ["gateway.max_message"]);
    assert_eq!(told().await, 3000);
}

#[tokio::test]
async fn a_client_that_reads_too_slowly_misses_events_and_is_told_so() {
    let mut config = testing::config();
    config.gateway.socket_outbox = ByteSize(1_000_000);
    let node = testing::start(config, app()).await;
    let channels = everyone();
    let server = Server::serve(&node, crate::routed(Gateway::with_channels(&node, channels.clone())), channels).await;
    let todos = server.nodes[0].service("todos");
    let mut slow = server.connect().await;
    let mut quick = server.connect().await;
    while timeout(Duration::from_millis(100), quick.event()).await.is_err() {
        todos.create(json!({ "text": "Is the gateway listening?" })).await.unwrap();
    }
    let large = "x".repeat(100_000);
    let mut heard = 0;
    // What the system buffers on the way is not known, so this goes on until surely far more was sent.
    for number in 1000..1600 {
        todos.create(json!({ "id": number, "text": large })).await.unwrap();
        while heard < number {
            heard = quick.event().await.1["id"].as_i64().unwrap();
        }
    }
    let mut last = -1;
    loop {
        let (name, data) = slow.event().await;
        if name == "todos resync" {
            break;
        }
        let id = data["id"].as_i64().unwrap();
        assert!(id > last, "in order, each once");
        last = id;
    }
    assert!((1000..1500).contains(&last), "{last}");
    todos.create(json!({ "id": 5000 })).await.unwrap();
    assert_eq!(slow.event().await, ("todos created".to_owned(), json!({ "id": 5000 })));
}

#[tokio::test]
async fn what_is_no_message_at_all_is_answered_or_closes_the_socket() {
    let server = with_seats(20).await;
    for packet in
        ["4", "49", "42", "42[", "42[]", "42{}", "42[1]", "421[1,2]", "459999999-[\"a\"]", "43[]", "431[]", "x"]
    {
        let mut client = server.connect().await;
        client.write(packet).await;
        client.try_write("429[\"find\",\"nothing\"]").await;
        // Either way something comes, and the server goes on.
        let _ = client.answer_or_end(9).await;
    }
    assert!(server.connect().await.call(json!(["find", "todos"])).await.is_ok());
}

#[tokio::test]
async fn a_connection_that_never_says_anything_is_no_socket() {
    let server = with_seats(1).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let _socket = server.connect().await;
    assert!(timeout(Duration::from_millis(50), stream.read_u8()).await.is_err());
}
