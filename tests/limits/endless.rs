//! What clients begin and never end.

use crate::{
    client::{self, Socket, ask, get},
    server::Server,
};
use futures_util::future::join_all;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const COUNT: usize = 40;
const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
/// Longer than any body or message may take.
const LONGEST: Duration = Duration::from_secs(45);

/// Opens a session that polls; its address.
async fn session(address: SocketAddr) -> String {
    let open = String::from_utf8(get(address, POLLING).await.body).unwrap();
    let (_, rest) = open.split_once("\"sid\":\"").unwrap_or_else(|| panic!("{open}"));
    format!("{POLLING}&sid={}", rest.split_once('"').unwrap().0)
}

/// One with a socket, so that nothing else ends it.
async fn joined(address: SocketAddr) -> String {
    let url = session(address).await;
    assert_eq!(ask(address, &format!("POST {url}"), "", b"40").await.status, 200);
    url
}

/// Announces more than it sends.
async fn post_without_end(address: SocketAddr, url: &str, length: &str, sent: usize) -> TcpStream {
    let head = format!("POST {url} HTTP/1.1\r\nhost: x\r\n{length}\r\n\r\n");
    let mut stream = client::write(address, head.as_bytes()).await;
    let _ = stream.write_all(&vec![b'6'; sent]).await;
    stream
}

/// Waits until the server has closed everything, and says how long that took.
async fn until_closed(server: &Server) -> Duration {
    let started = Instant::now();
    while server.connections() > 0 {
        assert!(started.elapsed() < LONGEST, "{} connections are held", server.connections());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_without_an_end_are_held_for_half_a_minute_and_one_for_each_session() {
    let mut server = Server::start();
    server.is_well().await;
    let address = server.address;
    let before = server.memory();
    let shared = joined(address).await;
    let mut held = Vec::new();
    for number in 0..COUNT {
        // Of all those on one session, one was held, and the second ended it.
        held.push(post_without_end(address, &shared, "content-length: 990000", 900_000).await);
        let own = joined(address).await;
        let length = if number % 2 == 0 { "content-length: 990000" } else { "transfer-encoding: chunked" };
        held.push(post_without_end(address, &own, length, if number % 2 == 0 { 900_000 } else { 0 }).await);
        // Of an unknown session nothing is read.
        let unknown = post_without_end(address, &format!("{POLLING}&sid=unknown"), "content-length: 990000", 0).await;
        held.push(unknown);
    }
    let most = server.memory();
    let answers = join_all(held.iter_mut().map(status)).await;
    let took = until_closed(&server).await;
    let counted = |status| answers.iter().filter(|answer| answer.as_str() == status).count();
    assert_eq!((counted("408"), counted("400")), (COUNT, 2 * COUNT), "{answers:?}");
    println!(
        "figure: {COUNT} bodies without an end on sessions of their own, {COUNT} on one, {COUNT} on none: {before} KiB \
         before, {most} while they are held, {} after, {took:.1?} until the last is closed",
        server.memory()
    );
    // Those that are held have sent 900 KB each, half of them.
    assert!(most < before + 60_000, "{before} {most}");
    server.is_well().await;
}

/// The status of what came back, however late.
async fn status(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(LONGEST, stream.read_to_end(&mut bytes));
    let _ = read.await.expect("it is held");
    String::from_utf8_lossy(&bytes).chars().skip(9).take(3).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_without_an_end_are_held_for_half_a_minute() {
    let mut server = Server::start();
    server.is_well().await;
    let address = server.address;
    let before = server.memory();
    let mut sockets = Vec::new();
    for number in 0..COUNT {
        let mut socket = Socket::connect(address).await;
        if number % 2 == 0 {
            // A part of a message, and never the rest.
            socket.frame(0x01, &vec![b'4'; 900_000]).await;
        } else {
            // Half a frame.
            socket.raw(b"\x81\xfe\x10\x00\0\0\0\x00412[").await;
        }
        sockets.push(socket);
    }
    let most = server.memory();
    let took = until_closed(&server).await;
    println!(
        "figure: {COUNT} messages without an end: {before} KiB before, {most} while they are held, {} after, {took:.1?} \
         until the last is closed",
        server.memory()
    );
    assert!(most < before + 60_000, "{before} {most}");
    drop(sockets);
    server.is_well().await;
}
