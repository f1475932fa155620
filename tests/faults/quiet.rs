//! Apps that are hardly called: what busy ones notice by their next request, these would not for long.

use crate::{
    judge::{Finding, UNSAFE_IN_DOUBT},
    load::{Load, Trace},
    mesh::Mesh,
    plan::Plan,
    row::{Row, Setting},
};
use futures_util::future::join_all;
use std::time::Duration;

/// Calls a second.
const RATE: u64 = 1;
/// Meshes that are tried at a time. Each does nearly nothing.
const TOGETHER: u32 = 8;

pub(crate) fn rows() -> Vec<Row> {
    vec![Row {
        name: "quiet",
        fault: "1 call/s, default times: 1 of 2 replicas frozen or killed",
        repeats: (4, 32),
        rate: None,
        run: |setting| Box::pin(quiet(setting)),
    }]
}

/// Each fault has a mesh of its own.
async fn quiet(setting: Setting) -> Finding {
    let mut all = Finding::default();
    let numbers: Vec<u32> = (0..setting.repeats).collect();
    for together in numbers.chunks(usize::try_from(TOGETHER).unwrap_or(1)) {
        let setting = |number: u32| Setting { rate: RATE, seed: setting.seed + u64::from(number), ..setting.clone() };
        let found = join_all(together.iter().map(|number| one(setting(*number), *number))).await;
        found.into_iter().for_each(|finding| all.add(finding));
    }
    all
}

async fn one(setting: Setting, number: u32) -> Finding {
    let (freezes, rests) = (number.is_multiple_of(2), number % 4 < 2);
    let mut mesh = Mesh::start(&setting, Plan::of(2).default_times()).await;
    let place = usize::try_from(mesh.random.below(2)).unwrap_or(0);
    let mut trace = Trace::empty();
    called(&mut trace, mesh.quick_load(), Duration::from_secs(3)).await;
    let pid = mesh.replicas[place].worker.pid();
    if freezes {
        mesh.doom(pid);
        mesh.replicas[place].worker.signal("STOP").await;
    } else {
        mesh.kill_replica(place).await;
    }
    if rests {
        // Until it has long been noticed what befell the replica, and what it had was looked for.
        let rest = mesh.random.within(7000, 9000);
        tokio::time::sleep(Duration::from_millis(rest)).await;
    }
    called(&mut trace, mesh.quick_load(), Duration::from_secs(10)).await;
    if freezes {
        mesh.replicas[place].worker.signal("CONT").await;
    }
    mesh.is_whole().await;
    called(&mut trace, mesh.quick_load(), Duration::from_secs(3)).await;
    let mut finding = mesh.judge(trace, UNSAFE_IN_DOUBT).await;
    let what = format!("{} {}", if freezes { "frozen" } else { "killed" }, if rests { "at rest" } else { "at work" });
    finding.problems.iter_mut().for_each(|problem| *problem = format!("{what}: {problem}"));
    // Each mesh has made few calls: how often they used keys says little.
    finding.notes.clear();
    finding
}

/// Calls for a while, and waits for their ends.
async fn called(trace: &mut Trace, load: Load, time: Duration) {
    tokio::time::sleep(time).await;
    trace.append(load.end().await);
}
