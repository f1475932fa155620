//! Redis behind Sentinels and Redis Cluster: masters that go, and replicas that take over without the last writes.

use crate::{
    judge::{FAILOVER, Finding},
    mesh::Mesh,
    plan::Plan,
    redis::Servers,
    row::{Row, Setting, usual},
};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "sentinel-kill",
            fault: "Sentinel: SIGKILL of the master",
            repeats: (1, 5),
            rate: None,
            run: |setting| {
                Box::pin(failover(setting, Servers::Sentinel, async |mesh| {
                    let key = mesh.stream();
                    mesh.server.kill_master(&key);
                }))
            },
        },
        Row {
            name: "sentinel-failover",
            fault: "Sentinel: SENTINEL FAILOVER, as for maintenance",
            repeats: (1, 5),
            rate: None,
            run: |setting| Box::pin(failover(setting, Servers::Sentinel, async |mesh| mesh.server.switch_master())),
        },
        Row {
            name: "cluster-kill",
            fault: "Cluster: SIGKILL of the master of the requests",
            repeats: (1, 5),
            rate: None,
            run: |setting| {
                Box::pin(failover(setting, Servers::Cluster, async |mesh| {
                    let key = mesh.stream();
                    mesh.server.kill_master(&key);
                }))
            },
        },
        Row {
            name: "cluster-registry-kill",
            fault: "Cluster: SIGKILL of the master of the registry",
            repeats: (1, 5),
            rate: None,
            run: |setting| {
                Box::pin(failover(setting, Servers::Cluster, async |mesh| {
                    let key = mesh.registry();
                    mesh.server.kill_master(&key);
                }))
            },
        },
    ]
}

async fn failover(setting: Setting, servers: Servers, fault: impl AsyncFnMut(&mut Mesh)) -> Finding {
    usual(setting, Plan { servers, ..Plan::of(2) }, FAILOVER, fault).await
}
