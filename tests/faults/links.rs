//! The way to Redis: slow, cut, silent, or open in one direction only.

use crate::{
    judge::{ALL_ANSWERED, Finding, UNSAFE_MAY_WAIT},
    mesh::Mesh,
    plan::Plan,
    proxy::Cable,
    row::{Row, Setting, usual},
};
use std::time::Duration;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "slow-link",
            fault: "every link 50 ms longer each way, for 5 s",
            repeats: (1, 5),
            rate: None,
            run: |setting| Box::pin(slow(setting)),
        },
        Row {
            name: "cut-link",
            fault: "one replica's link reset for 1 s",
            repeats: (2, 20),
            rate: None,
            run: |setting| Box::pin(replica_cut_off(setting, Cable::Cut, Duration::from_secs(1))),
        },
        Row {
            name: "partition",
            fault: "one replica's link silent, longer than the TTL",
            repeats: (1, 10),
            rate: None,
            run: |setting| Box::pin(replica_cut_off(setting, Cable::Silent, Duration::from_secs(4))),
        },
        Row {
            name: "deaf-replica",
            fault: "one replica reads nothing, longer than the TTL",
            repeats: (1, 10),
            rate: None,
            run: |setting| Box::pin(replica_cut_off(setting, Cable::Deaf, Duration::from_secs(4))),
        },
        Row {
            name: "caller-cut-off",
            fault: "the caller's link reset, silent, deaf, 3 s each",
            repeats: (1, 5),
            rate: None,
            run: |setting| Box::pin(caller_cut_off(setting)),
        },
    ]
}

fn wired() -> Plan {
    Plan { cables: true, ..Plan::of(2) }
}

async fn slow(setting: Setting) -> Finding {
    usual(setting, wired(), ALL_ANSWERED, async |mesh: &mut Mesh| {
        let set = |cable| {
            mesh.cable.iter().chain(mesh.replicas.iter().flat_map(|one| &one.cable)).for_each(|one| one.set(cable))
        };
        set(Cable::Slow(Duration::from_millis(50)));
        tokio::time::sleep(Duration::from_secs(5)).await;
        set(Cable::Whole);
    })
    .await
}

async fn replica_cut_off(setting: Setting, cable: Cable, away: Duration) -> Finding {
    usual(setting, wired(), UNSAFE_MAY_WAIT, async |mesh| {
        let place = usize::try_from(mesh.random.below(2)).unwrap_or(0);
        if away > mesh.plan.ttl {
            mesh.doom(mesh.replicas[place].worker.pid());
        }
        let link = mesh.replicas[place].cable.as_ref().expect("every node has a cable");
        link.set(cable);
        tokio::time::sleep(away).await;
        link.set(Cable::Whole);
    })
    .await
}

async fn caller_cut_off(setting: Setting) -> Finding {
    usual(setting, wired(), UNSAFE_MAY_WAIT, async |mesh| {
        // It may count as dead: three seconds are longer than its TTL.
        mesh.doom(std::process::id());
        for cable in [Cable::Cut, Cable::Silent, Cable::Deaf] {
            let link = mesh.cable.as_ref().expect("every node has a cable");
            link.set(cable);
            tokio::time::sleep(Duration::from_secs(3)).await;
            link.set(Cable::Whole);
            // Calls are answered again before the next.
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    })
    .await
}
