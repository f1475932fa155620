//! Replicas that are killed, or stand still until they count as dead.

use crate::{
    judge::{Finding, UNSAFE_IN_DOUBT},
    mesh::Mesh,
    plan::Plan,
    row::{Row, Setting, usual},
};
use std::time::Duration;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "kill",
            fault: "SIGKILL of one of 3 replicas, at random",
            repeats: (5, 100),
            rate: Some(1000),
            run: |setting| Box::pin(kill(setting, Plan::of(3))),
        },
        Row {
            name: "kill-default-times",
            fault: "SIGKILL of one of 3 replicas, heartbeat 2 s, TTL 6 s",
            repeats: (0, 10),
            rate: None,
            run: |setting| Box::pin(kill(setting, Plan::of(3).default_times())),
        },
        Row {
            name: "freeze",
            fault: "SIGSTOP of one of 2 replicas beyond its TTL, SIGCONT",
            repeats: (1, 10),
            rate: None,
            run: |setting| Box::pin(freeze(setting)),
        },
    ]
}

/// Replicas die at random moments, also while the mesh still deals with the death before.
pub(crate) async fn kill(setting: Setting, plan: Plan) -> Finding {
    let mut mesh = Mesh::start(&setting, plan).await;
    let load = mesh.load();
    mesh.recovers(&load).await;
    let (shortest, longest) = match mesh.plan.ttl.as_secs() {
        0..5 => (400, 1600),
        _ => (3000, 8000),
    };
    for _ in 0..setting.repeats {
        let pause = mesh.random.within(shortest, longest);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let place = usize::try_from(mesh.random.below(3)).unwrap_or(0);
        mesh.kill_replica(place).await;
        // With no more than one of three away at a time, there is always somebody to take over.
        mesh.is_ready(place).await;
    }
    mesh.recovers(&load).await;
    mesh.finish(load, UNSAFE_IN_DOUBT).await
}

async fn freeze(setting: Setting) -> Finding {
    usual(setting, Plan::of(2), UNSAFE_IN_DOUBT, async |mesh| {
        let place = usize::try_from(mesh.random.below(2)).unwrap_or(0);
        let pid = mesh.replicas[place].worker.pid();
        mesh.doom(pid);
        mesh.replicas[place].worker.signal("STOP").await;
        tokio::time::sleep(mesh.plan.ttl + Duration::from_secs(1)).await;
        mesh.replicas[place].worker.signal("CONT").await;
    })
    .await
}
