//! Requests that flood with headers, send them slowly, or are no HTTP at all.

use crate::{
    client::{self, ask, rest_of},
    server::{Server, affordable},
};
use std::net::SocketAddr;

async fn floods(address: SocketAddr) {
    let many = |count: usize| (0..count).map(|n| format!("x-{n}: v\r\n")).collect::<String>();
    // With the three that every request of this test has, and the id that the server adds, all 100 are there.
    assert_eq!(ask(address, "GET /echo", &many(96), b"").await.status, 200);
    for headers in [many(98), many(10_000), format!("x: {}\r\n", "v".repeat(1 << 20))] {
        assert_eq!(ask(address, "GET /echo", &headers, b"").await.status, 431);
    }
    let message = "Too many headers: a request may have 100 of them with 16384 bytes together";
    for headers in [many(97), format!("x: {}\r\n", "v".repeat(17_000))] {
        let refused = ask(address, "GET /echo", &headers, b"").await.error();
        assert_eq!(refused, (400, "BadRequest".to_owned(), message.to_owned()));
    }
}

async fn nonsense(address: SocketAddr) {
    for bytes in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET /echo HTTP/9.9\r\n\r\n",
        b"GET /ec ho HTTP/1.1\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nno colon\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nx: \0\r\n\r\n",
    ] {
        let answer = rest_of(&mut client::write(address, bytes).await).await;
        assert_eq!(answer.status, 400, "{:?}", String::from_utf8_lossy(bytes));
    }
    // Who speaks HTTP/2 could not read an answer; the connection is closed.
    let http2 = rest_of(&mut client::write(address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await).await;
    assert_eq!(http2.status, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_headers_are_refused_and_cost_nothing() {
    let mut server = Server::start();
    server.is_well().await;
    server.levels_off("floods of headers", 20, 5000, async || floods(server.address).await).await;
    server.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_http_is_refused_and_costs_nothing() {
    let mut server = Server::start();
    server.is_well().await;
    server.levels_off("what is no HTTP", 50, 5000, async || nonsense(server.address).await).await;
    server.is_well().await;
}

/// That they end is a test of the server's own, where time can be skipped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_never_end_keep_nobody_out() {
    let mut server = Server::start();
    server.is_well().await;
    let before = server.memory();
    let count = affordable(1000);
    let mut slow = Vec::new();
    for _ in 0..count {
        slow.push(client::write(server.address, b"GET /echo HTTP/1.1\r\nhost: x\r\nx-slow: ").await);
    }
    server.is_well().await;
    let open = server.memory();
    drop(slow);
    server.closes_all().await;
    let each = open.saturating_sub(before) as f64 / count as f64;
    println!("figure: {count} heads that never end: {each:.1} KiB each; {before} KiB before, {open} with them");
    assert!(each < 50.0, "{each} KiB");
    server.is_well().await;
}
