//! Bodies that never end or grow, and lengths that are lies.

use crate::{
    client::{ask, rest_of, write},
    server::{Server, TIMEOUT},
};
use futures_util::{StreamExt, stream};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const HEAD: &str = "POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n";
const CHUNKED: &str = "transfer-encoding: chunked\r\n\r\n";

/// Sends one byte after the other, until there is an answer.
async fn trickle(address: SocketAddr) -> (u16, String, String) {
    let mut stream = write(address, format!("{HEAD}{CHUNKED}").as_bytes()).await;
    let mut peeked = [0];
    while tokio::time::timeout(Duration::from_millis(100), stream.peek(&mut peeked)).await.is_err() {
        let _ = stream.write_all(b"1\r\n \r\n").await;
    }
    rest_of(&mut stream).await.error()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_trickles_without_end_is_given_up_in_time() {
    let mut server = Server::start();
    server.is_well().await;
    let late = (408, "Timeout".to_owned(), "The body did not arrive within 2s".to_owned());
    let round = async || {
        let started = Instant::now();
        let answers = stream::iter(0..50).map(|_| trickle(server.address)).buffer_unordered(50);
        answers.for_each(async |answer| assert_eq!(answer, late)).await;
        assert!(started.elapsed() >= TIMEOUT && started.elapsed() < TIMEOUT + Duration::from_secs(3));
    };
    server.levels_off("50 bodies that trickle", 4, 5000, round).await;
    server.closes_all().await;
    server.is_well().await;
}

/// Sends chunk after chunk, until nobody takes them or there are 64 MiB of them.
async fn pour(address: SocketAddr) {
    let mut stream = write(address, format!("{HEAD}{CHUNKED}").as_bytes()).await;
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let (mut answers, mut questions) = stream.split();
    let writing = async {
        for _ in 0..1024 {
            if questions.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    let mut answer = vec![0; 1024];
    let reading = async { answers.read(&mut answer).await };
    let (read, ()) = tokio::join!(reading, writing);
    answer.truncate(read.unwrap());
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("The body is larger than "), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_pours_without_end_is_too_large() {
    let mut server = Server::start();
    server.is_well().await;
    server.levels_off("bodies that pour", 6, 5000, async || pour(server.address).await).await;
    server.closes_all().await;
    server.is_well().await;
}

/// 30 MB of zeros by brotli, with its largest window.
const BOMB: [u8; 27] = [
    0xcf, 0xff, 0xff, 0x7f, 0xf8, 0x27, 0x00, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x3f, 0xff, 0x86, 0x93, 0xf1, 0x4f,
    0x00, 0xc4, 0x61, 0x01, 0x80, 0xce, 0x6e, 0x32,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_small_only_while_compressed_is_too_large() {
    let mut server = Server::start();
    server.is_well().await;
    let explode = async || {
        let headers = "content-type: application/json\r\ncontent-encoding: br\r\n";
        let answers =
            stream::iter(0..50).map(|_| ask(server.address, "POST /echo", headers, &BOMB)).buffer_unordered(50);
        answers
            .for_each(async |answer| {
                let (code, name, _) = answer.error();
                assert_eq!((code, name.as_str()), (413, "PayloadTooLarge"));
            })
            .await;
    };
    server.levels_off("50 bodies of 27 bytes that are 30 MB", 6, 40_000, explode).await;
    server.closes_all().await;
    server.is_well().await;
}

/// More is announced than comes, less, or both at once.
async fn lie(address: SocketAddr) {
    let send = async |framing: &str, body: &str| write(address, format!("{HEAD}{framing}\r\n{body}").as_bytes()).await;
    let mut huge = send("content-length: 99999999999\r\n", "").await;
    // Else the server would wait a while for what is announced, so that the client sees the answer.
    huge.shutdown().await.unwrap();
    let huge = rest_of(&mut huge).await.error();
    assert_eq!((huge.0, huge.1.as_str()), (413, "PayloadTooLarge"));
    for lie in
        ["content-length: -1", "content-length: x", "content-length: 1\r\ncontent-length: 2", "transfer-encoding: x"]
    {
        assert_eq!(rest_of(&mut send(&format!("{lie}\r\n"), "{}").await).await.status, 400, "{lie}");
    }
    let short = rest_of(&mut send("content-length: 2\r\n", "{}GET /echo HTTP/1.1\r\n\r\n").await).await;
    assert_eq!((short.status, short.json()["data"].to_string().as_str()), (201, "{}"));
    let broken = rest_of(&mut send("transfer-encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n").await).await;
    let (status, name, message) = broken.error();
    assert_eq!((status, name.as_str()), (400, "BadRequest"));
    assert!(message.contains("in chunks that say their size"), "{message}");
    // Half of what was announced, then the end.
    let mut half = send("content-length: 4\r\n", "{}").await;
    half.shutdown().await.unwrap();
    let half = rest_of(&mut half).await;
    assert!([0, 400].contains(&half.status), "{half:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lengths_that_are_lies_are_told_so() {
    let mut server = Server::start();
    server.is_well().await;
    server.levels_off("lengths that are lies", 20, 5000, async || lie(server.address).await).await;
    server.closes_all().await;
    server.is_well().await;
}
