//! What a socket costs that does nothing.

use crate::{
    client::Socket,
    server::{Server, affordable},
};
use futures_util::{StreamExt, stream};
use std::time::Instant;

const SOCKETS: usize = 2000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_sockets_cost_little_and_leave_nothing_open() {
    let mut server = Server::start();
    server.is_well().await;
    let files = server.files();
    let before = server.memory();
    let count = affordable(SOCKETS);
    let started = Instant::now();
    let opening = stream::iter(0..count).map(|_| Socket::connect(server.address)).buffer_unordered(32);
    let mut sockets: Vec<Socket> = opening.collect().await;
    let open = server.memory();
    let took = started.elapsed();
    assert_eq!(server.connections(), count);
    assert!(sockets[count / 2].is_well().await);
    let each = open.saturating_sub(before) as f64 / count as f64;
    drop(sockets);
    server.closes_all().await;
    let after = server.memory();
    println!(
        "figure: {count} idle sockets, opened in {took:.1?}: {each:.1} KiB each; {before} KiB before, {open} with them, \
         {after} after; {files} files before, {} after",
        server.files()
    );
    assert!(each < 100.0, "{each} KiB");
    // The node itself may have opened another connection to Redis meanwhile.
    assert!(server.files() <= files + 4);
    server.is_well().await;
}
