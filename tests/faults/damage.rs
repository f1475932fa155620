//! A Redis that answers, but has lost something or refuses.

use crate::{
    judge::{Finding, TOLD, TOLD_AND_FORGOTTEN, UNSAFE_MAY_WAIT},
    mesh::Mesh,
    plan::Plan,
    row::{Row, Setting, usual},
};
use std::time::Duration;

/// How long Redis refuses; shorter than any deadline.
const REFUSES: Duration = Duration::from_secs(3);

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "client-kill",
            fault: "CLIENT KILL of every connection",
            repeats: (5, 50),
            rate: None,
            run: |setting| {
                Box::pin(usual(setting, Plan::of(2), UNSAFE_MAY_WAIT, async |mesh| {
                    mesh.server.drop_connections().await
                }))
            },
        },
        Row {
            name: "flushall",
            fault: "FLUSHALL",
            repeats: (3, 20),
            rate: None,
            run: |setting| {
                Box::pin(usual(setting, Plan::of(2), TOLD_AND_FORGOTTEN, async |mesh| run(mesh, &["FLUSHALL"]).await))
            },
        },
        Row {
            name: "xgroup-destroy",
            fault: "XGROUP DESTROY of the group of the requests",
            repeats: (3, 20),
            rate: None,
            run: |setting| {
                Box::pin(broken(setting, Plan::of(2), async |mesh| {
                    let stream = mesh.stream();
                    run(mesh, &["XGROUP", "DESTROY", &stream, "replicas"]).await;
                }))
            },
        },
        Row {
            name: "del-stream",
            fault: "DEL of the stream of the requests",
            repeats: (3, 20),
            rate: None,
            run: |setting| {
                Box::pin(broken(setting, Plan::of(2), async |mesh| {
                    let stream = mesh.stream();
                    run(mesh, &["DEL", &stream]).await;
                }))
            },
        },
        Row {
            name: "readonly",
            fault: "READONLY for 3 s, as after a failover",
            repeats: (1, 10),
            rate: None,
            run: |setting| Box::pin(readonly(setting)),
        },
        Row {
            name: "oom",
            fault: "out of memory for 3 s (maxmemory, noeviction)",
            repeats: (1, 10),
            rate: None,
            run: |setting| Box::pin(full(setting)),
        },
        Row {
            name: "password",
            fault: "another password for 3 s, connections closed",
            repeats: (1, 10),
            rate: None,
            run: |setting| Box::pin(password(setting)),
        },
    ]
}

async fn run(mesh: &mut Mesh, words: &[&str]) {
    mesh.server.command(words).await;
}

/// Something is lost: what it concerns is told to the callers, or made again.
async fn broken(setting: Setting, plan: Plan, fault: impl AsyncFnMut(&mut Mesh)) -> Finding {
    usual(setting, plan, TOLD, fault).await
}

async fn readonly(setting: Setting) -> Finding {
    broken(setting, Plan::of(2), async |mesh| {
        // Nobody listens there, so it keeps its data and waits.
        run(mesh, &["REPLICAOF", "127.0.0.1", "1"]).await;
        tokio::time::sleep(REFUSES).await;
        run(mesh, &["REPLICAOF", "NO", "ONE"]).await;
    })
    .await
}

async fn full(setting: Setting) -> Finding {
    broken(setting, Plan::of(2), async |mesh| {
        run(mesh, &["CONFIG", "SET", "maxmemory", "1"]).await;
        tokio::time::sleep(REFUSES).await;
        run(mesh, &["CONFIG", "SET", "maxmemory", "0"]).await;
    })
    .await
}

async fn password(setting: Setting) -> Finding {
    let plan = Plan { password: Some("the-right-one"), ..Plan::of(2) };
    usual(setting, plan, UNSAFE_MAY_WAIT, async |mesh| {
        mesh.server.set_password("another-one").await;
        tokio::time::sleep(REFUSES).await;
        mesh.server.set_password("the-right-one").await;
    })
    .await
}
