//! Redis away for a while: stopped, killed, frozen, paused.

use crate::{
    judge::{Finding, HONEST, Promise, TOLD_OR_UNSAFE, UNSAFE_MAY_WAIT},
    mesh::Mesh,
    plan::Plan,
    row::{Row, Setting, usual},
};
use std::time::Duration;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "redis-restart",
            fault: "Redis restarted at once, with its data",
            repeats: (2, 20),
            rate: None,
            run: |setting| Box::pin(outage(setting, Duration::ZERO, UNSAFE_MAY_WAIT)),
        },
        Row {
            name: "redis-crash",
            fault: "Redis killed and started again, with its data",
            repeats: (2, 20),
            rate: None,
            run: |setting| Box::pin(crash(setting)),
        },
        Row {
            name: "redis-emptied",
            fault: "Redis restarted at once, without its data",
            repeats: (2, 20),
            rate: None,
            run: |setting| Box::pin(emptied(setting)),
        },
        Row {
            name: "outage",
            fault: "Redis away, with its data: 5 s (short run: 3 s)",
            repeats: (1, 5),
            rate: None,
            run: |setting| {
                let away = Duration::from_secs(if setting.full { 5 } else { 3 });
                Box::pin(outage(setting, away, UNSAFE_MAY_WAIT))
            },
        },
        Row {
            name: "outage-long",
            fault: "Redis away longer than the deadline: 30 s (short run: 11 s)",
            repeats: (1, 2),
            // Calls wait in memory, at most `max_pending` of them.
            rate: Some(200),
            run: |setting| {
                let away = Duration::from_secs(if setting.full { 30 } else { 11 });
                Box::pin(outage(setting, away, HONEST))
            },
        },
        Row {
            name: "redis-frozen",
            fault: "SIGSTOP of Redis for 3 s, longer than the TTL",
            repeats: (1, 5),
            rate: None,
            run: |setting| Box::pin(frozen(setting)),
        },
        Row {
            name: "client-pause",
            fault: "CLIENT PAUSE for 3 s, longer than the TTL",
            repeats: (1, 5),
            rate: None,
            run: |setting| Box::pin(paused(setting)),
        },
    ]
}

async fn outage(setting: Setting, away: Duration, promise: Promise) -> Finding {
    usual(setting, Plan::of(2).durable().one_by_one(), promise, async |mesh| {
        mesh.server.stop();
        tokio::time::sleep(away).await;
        mesh.server.launch();
    })
    .await
}

async fn crash(setting: Setting) -> Finding {
    usual(setting, Plan::of(2).durable(), UNSAFE_MAY_WAIT, async |mesh| {
        mesh.server.kill().await;
        mesh.server.launch();
    })
    .await
}

async fn emptied(setting: Setting) -> Finding {
    usual(setting, Plan::of(2), TOLD_OR_UNSAFE, async |mesh: &mut Mesh| {
        mesh.server.stop();
        mesh.server.launch();
    })
    .await
}

async fn frozen(setting: Setting) -> Finding {
    usual(setting, Plan::of(2), UNSAFE_MAY_WAIT, async |mesh| {
        mesh.server.freeze();
        tokio::time::sleep(Duration::from_secs(3)).await;
        mesh.server.thaw();
    })
    .await
}

async fn paused(setting: Setting) -> Finding {
    usual(setting, Plan::of(2), UNSAFE_MAY_WAIT, async |mesh| {
        mesh.server.command(&["CLIENT", "PAUSE", "3000", "ALL"]).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
    })
    .await
}
