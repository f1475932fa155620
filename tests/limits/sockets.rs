//! Sockets that send garbage, bombs or too much.

use crate::{client::Socket, server::Server};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::SocketAddr};

/// Whatever comes of a packet, the socket goes on or is closed, and nobody else notices.
async fn survives(address: SocketAddr, send: impl AsyncFnOnce(&mut Socket)) -> bool {
    let mut socket = Socket::connect(address).await;
    send(&mut socket).await;
    socket.is_well().await
}

async fn garbage(address: SocketAddr) {
    for packet in
        ["", "x", "9", "4", "4x", "49", "43", "43[]", "431[]", "0", "6", "42", "42[", "42{", "421", "42[1", "\u{0}"]
    {
        survives(address, async |socket| socket.write(packet).await).await;
    }
    for frame in [&b"\0"[..], b"bytes that nobody asked for", &[0xff; 1000]] {
        survives(address, async |socket| socket.write_binary(frame).await).await;
    }
    // Not UTF-8, a reserved kind of frame, an unmasked one, and a length of which nothing comes.
    for bytes in [
        &b"\x81\x82\0\0\0\0\xff\xfe"[..],
        b"\x83\x80\0\0\0\0",
        b"\x81\x02ab",
        b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",
    ] {
        assert!(!survives(address, async |socket| socket.raw(bytes).await).await, "{bytes:?}");
    }
}

async fn bad_calls(address: SocketAddr) {
    let mut socket = Socket::connect(address).await;
    let deep =
        |open: &str, close: &str| format!("421[\"create\",\"echo\",{}1{}]", open.repeat(10_000), close.repeat(10_000));
    for (packet, code) in [
        ("421[\"find\"]".to_owned(), 404),
        ("421[\"find\",{}]".to_owned(), 404),
        ("421[\"find\",\"nothing\"]".to_owned(), 404),
        ("421[\"drop\",\"echo\"]".to_owned(), 405),
        ("421[\"__proto__\",\"echo\"]".to_owned(), 405),
        ("421[\"find\",\"__proto__\"]".to_owned(), 404),
        ("421[\"find\",\"constructor\"]".to_owned(), 404),
        ("421[\"get\",\"echo\",{}]".to_owned(), 400),
        ("421[\"find\",\"echo\",\"query\"]".to_owned(), 400),
        ("421[\"find\",\"echo\",{},1,2,3]".to_owned(), 400),
        (deep("[", "]"), 400),
        (deep("{\"a\":", "}"), 400),
    ] {
        socket.write(&packet).await;
        let answer = socket.answer("431").await.unwrap_or_else(|| panic!("{packet:.60} closed the socket"));
        assert_eq!(answer[0]["code"], code, "{packet:.60}: {answer}");
    }
    let id = "x".repeat(900_000);
    assert_eq!(socket.call(&json!(["get", "echo", id])).await.unwrap(), json!([null, { "id": id }]));
    let proto = json!({ "__proto__": { "admin": true }, "constructor": 1 });
    let echoed = json!([null, { "data": proto, "query": proto }]);
    assert_eq!(socket.call(&json!(["create", "echo", proto, proto])).await.unwrap(), echoed);
    assert!(socket.is_well().await);
}

async fn bombs(address: SocketAddr) {
    // More than fits.
    let large = format!("42[\"find\",\"{}\"]", "x".repeat(1_000_001));
    assert!(!survives(address, async |socket| socket.write(&large).await).await);
    // More attachments than one may announce, and than ever come.
    survives(address, async |socket| socket.write("459999999999999999999-1[\"a\"]").await).await;
    survives(address, async |socket| socket.write("451001-1[\"a\"]").await).await;
    // Many attachments that never are complete.
    survives(address, async |socket| {
        socket.write("451000-1[\"create\",\"echo\",{}]").await;
        for _ in 0..100 {
            socket.write_binary(&[0; 100_000]).await;
        }
    })
    .await;
    // One attachment in ten thousand places.
    let place = json!({ "_placeholder": true, "num": 0 });
    let bomb = format!("451-1{}", json!(["create", "echo", vec![place; 10_000]]));
    let mut socket = Socket::connect(address).await;
    socket.write(&bomb).await;
    socket.write_binary(&[7; 100_000]).await;
    let answer = socket.answer("431").await.unwrap();
    let error = (&answer[0]["code"], &answer[0]["message"]);
    assert_eq!(error, (&json!(400), &json!("The message names an attachment that is missing")));
    assert!(socket.is_well().await);
}

async fn namespaces(address: SocketAddr) {
    let mut socket = Socket::open(address).await;
    for number in 0..200 {
        socket.write(&format!("40/namespace-{number},")).await;
        let refused = socket.answer(&format!("44/namespace-{number},")).await.unwrap();
        assert_eq!(refused, json!({ "message": "Invalid namespace" }));
    }
    socket.write("40").await;
    assert!(socket.answer("40").await.is_some());
    assert!(socket.is_well().await);
}

/// Answers of a socket that asks a thousand times without waiting, by their code; 0 is good, and so are all.
async fn rush(address: SocketAddr) -> BTreeMap<u64, usize> {
    const CALLS: usize = 1000;
    let mut socket = Socket::connect(address).await;
    for id in 0..CALLS {
        socket.write(&format!("42{id}[\"get\",\"echo\",{id}]")).await;
    }
    let mut codes = BTreeMap::new();
    for _ in 0..CALLS {
        let answer = socket.read().await.unwrap();
        let (_, answer) = answer.split_once('[').unwrap();
        let answer: Value = serde_json::from_str(&format!("[{answer}")).unwrap();
        *codes.entry(answer[0]["code"].as_u64().unwrap_or(0)).or_default() += 1;
    }
    assert_eq!(codes, BTreeMap::from([(0, CALLS)]));
    assert!(socket.is_well().await);
    codes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_harms_nobody_and_costs_nothing() {
    let mut server = Server::start();
    server.is_well().await;
    server.levels_off("garbage over sockets", 10, 5000, async || garbage(server.address).await).await;
    server.closes_all().await;
    server.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_calls_have_their_errors_and_cost_nothing() {
    let mut server = Server::start();
    server.is_well().await;
    server.levels_off("bad calls over a socket", 20, 8000, async || bad_calls(server.address).await).await;
    server.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_harm_nobody_and_cost_nothing() {
    let mut server = Server::start();
    server.is_well().await;
    server.levels_off("bombs over sockets", 20, 8000, async || bombs(server.address).await).await;
    server.closes_all().await;
    server.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_namespaces_are_refused_and_cost_nothing() {
    let mut server = Server::start();
    server.is_well().await;
    server.levels_off("200 unknown namespaces", 10, 5000, async || namespaces(server.address).await).await;
    server.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_rapid_calls_each_have_an_answer() {
    let mut server = Server::start();
    server.is_well().await;
    let round = async || println!("figure: 1000 rapid calls of one socket, by code: {:?}", rush(server.address).await);
    server.levels_off("1000 rapid calls", 6, 8000, round).await;
    server.is_well().await;
}
