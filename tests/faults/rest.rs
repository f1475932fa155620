//! A mesh that rests, and whose connections somebody cuts meanwhile.

use crate::{
    judge::{ALL_ANSWERED, Finding},
    load::Trace,
    mesh::{Mesh, eventually},
    plan::Plan,
    proxy::End,
    row::{Row, Setting},
};
use redis::FromRedisValue;
use std::time::{Duration, Instant};

/// How long a mesh rests, of whose connections nothing is known for certain then.
const REST: Duration = Duration::from_millis(1500);
/// How long calls are made after a rest.
const WORK: Duration = Duration::from_millis(700);

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "idle-closed",
            fault: "idle connections closed, reset, forgotten in turn",
            repeats: (3, 60),
            rate: Some(200),
            run: |setting| Box::pin(cut_at_rest(setting, &[End::Closed, End::Reset, End::Forgotten])),
        },
        Row {
            name: "idle-silent",
            fault: "idle connections gone silent, new ones whole",
            repeats: (1, 20),
            rate: Some(200),
            run: |setting| Box::pin(cut_at_rest(setting, &[End::Silent])),
        },
        Row {
            name: "idle-timeout",
            fault: "idle connections cut by Redis itself (timeout 1)",
            repeats: (1, 20),
            rate: Some(200),
            run: |setting| Box::pin(timed_out(setting)),
        },
    ]
}

/// With the times of the default configuration, so that heartbeats find nothing out before calls do, and without the
/// rights to find out later what arrived.
fn resting() -> Plan {
    Plan { sees: false, ..Plan::of(2).default_times() }
}

async fn cut_at_rest(setting: Setting, ends: &[End]) -> Finding {
    let plan = Plan { cables: true, ..resting() };
    in_turn(setting, plan, async |mesh: &mut Mesh, round| {
        tokio::time::sleep(REST).await;
        let cables = mesh.cable.iter().chain(mesh.replicas.iter().flat_map(|one| &one.cable));
        cables.for_each(|cable| cable.end(ends[round % ends.len()]));
    })
    .await
}

async fn timed_out(setting: Setting) -> Finding {
    let plan = Plan { redis: &["--timeout", "1"], ..resting() };
    in_turn(setting, plan, async |mesh: &mut Mesh, _| {
        let rest = Instant::now();
        eventually("what rested was cut", async || {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let list = String::from_redis_value(mesh.server.command(&["CLIENT", "LIST"]).await).expect("a list");
            rest.elapsed() > REST && !list.contains(":writes ") && !list.contains(":commands ")
        })
        .await;
    })
    .await
}

/// Calls of every kind, a rest in which `cut` is done, and calls again.
async fn in_turn(setting: Setting, plan: Plan, mut cut: impl AsyncFnMut(&mut Mesh, usize)) -> Finding {
    let mut mesh = Mesh::start(&setting, plan).await;
    let mut all = Trace::empty();
    for round in 0..=usize::try_from(setting.repeats).unwrap_or(0) {
        if round > 0 {
            cut(&mut mesh, round - 1).await;
            mesh.faults += 1;
        }
        let load = mesh.quick_load();
        tokio::time::sleep(WORK).await;
        all.append(load.end().await);
    }
    mesh.judge(all, ALL_ANSWERED).await
}
