//! Clients that come and drop.

use crate::{
    client::{self, Socket, get},
    server::Server,
};
use futures_util::{StreamExt, stream};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

const ROUNDS: usize = 10;
const SOCKETS: usize = 1000;
/// How many are open at once.
const WIDTH: usize = 64;
/// Half a handshake.
const HALF: &[u8] = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\nupgra";
/// Longer than a socket may take to join a namespace.
const JOINING: Duration = Duration::from_secs(11);
const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

/// Comes and drops, each in its way.
async fn come_and_drop(address: SocketAddr, number: usize) {
    match number % 20 {
        0..10 => drop(Socket::connect(address).await),
        10..14 => drop(Socket::open(address).await),
        14..16 => drop(client::write(address, HALF).await),
        16..18 => {
            let mut socket = Socket::open(address).await;
            // The server may meet a broken connection at each step.
            socket.write("40").await;
        }
        18 => drop(tokio::net::TcpStream::connect(address).await.unwrap()),
        _ => assert_eq!(get(address, POLLING).await.status, 200),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sockets_that_connect_and_drop_leave_nothing() {
    let mut server = Server::start();
    server.is_well().await;
    let files = server.files();
    let before = server.memory();
    let started = Instant::now();
    let mut memory = Vec::new();
    for round in 0..ROUNDS {
        if round == ROUNDS / 2 {
            // Sockets that have joined no namespace are kept until they should have.
            tokio::time::sleep(JOINING).await;
        }
        let coming =
            stream::iter(0..SOCKETS).for_each_concurrent(WIDTH, |number| come_and_drop(server.address, number));
        coming.await;
        server.closes_all().await;
        memory.push(server.memory());
    }
    println!(
        "figure: {} sockets that connect and drop, in {:.1?}: {before} KiB before, {memory:?} after each round of \
         {SOCKETS}; {files} files before, {} after",
        ROUNDS * SOCKETS,
        started.elapsed(),
        server.files()
    );
    // The node itself may have opened another connection to Redis meanwhile.
    assert!(server.files() <= files + 4);
    // What comes in the second half finds the memory of the first, so this is far below what 5000 sockets take.
    let grown = memory[ROUNDS - 1].saturating_sub(memory[ROUNDS / 2 - 1]);
    assert!(grown < 6000, "{grown} KiB");
    server.is_well().await;
}

#[tokio::test]
async fn polling_clients_that_never_come_back_take_seats_only_for_a_while() {
    const SEATS: usize = 100;
    let mut server = Server::with_seats(SEATS);
    for _ in 0..SEATS {
        assert_eq!(get(server.address, POLLING).await.status, 200);
    }
    let full = server.memory();
    for _ in 0..1000 {
        let refused = get(server.address, POLLING).await.error();
        let message = "Too many sockets are open: try again later".to_owned();
        assert_eq!(refused, (503, "Unavailable".to_owned(), message));
    }
    let refused = server.memory();
    let started = Instant::now();
    while get(server.address, POLLING).await.status != 200 {
        assert!(started.elapsed() < 2 * JOINING, "the seats are never free again");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!(
        "figure: {SEATS} polling handshakes that nobody follows up: {full} KiB, after 1000 refused ones {refused}; seats are \
         free again {:.1?} later, with {} KiB",
        started.elapsed(),
        server.memory()
    );
    assert!(refused < full + 10_000);
    server.is_well().await;
}

#[tokio::test]
async fn sockets_that_go_before_they_join_a_namespace_give_their_seats_back_at_once() {
    const SEATS: usize = 50;
    let mut server = Server::with_seats(SEATS);
    let mut sockets = Vec::new();
    for _ in 0..SEATS {
        sockets.push(Socket::open(server.address).await);
    }
    assert_eq!(get(server.address, POLLING).await.status, 503);
    let started = Instant::now();
    drop(sockets);
    while get(server.address, POLLING).await.status != 200 {
        assert!(started.elapsed() < JOINING / 2, "the seats are free again only when nobody can join any more");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.is_well().await;
}
