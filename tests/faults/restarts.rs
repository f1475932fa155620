//! Replicas that leave in good order while others come.

use crate::{
    call::{ALL, Entrance, Mix, VERSIONS, Way},
    judge::{ALL_ANSWERED, Finding, UNSAFE_IN_DOUBT},
    mesh::Mesh,
    plan::Plan,
    row::{Row, Setting},
    service::Version,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "rolling-restart",
            fault: "SIGTERM of 2 replicas in turn, each replaced",
            repeats: (2, 20),
            rate: None,
            run: |setting| Box::pin(roll(setting, vec![Version::New; 2], ALL, |_| Version::New)),
        },
        Row {
            name: "rolling-deploy",
            fault: "the same with two versions: one lacks a path and methods",
            repeats: (2, 20),
            rate: None,
            // The third replica is always a new one, so that there is always one that has everything.
            run: |setting| {
                Box::pin(roll(setting, vec![Version::Old, Version::Old, Version::New], VERSIONS, |round| {
                    if round / 2 % 2 == 0 { Version::New } else { Version::Old }
                }))
            },
        },
        Row {
            name: "deploy-kill",
            fault: "SIGKILL of one of 2 new replicas beside an old one",
            repeats: (3, 20),
            rate: None,
            run: |setting| Box::pin(kill(setting)),
        },
    ]
}

async fn roll(setting: Setting, replicas: Vec<Version>, mix: Mix, next: fn(u32) -> Version) -> Finding {
    let mut mesh = Mesh::start(&setting, Plan { replicas, ..Plan::of(0) }).await;
    let way = Way { entrance: Entrance::Node(mesh.caller.clone()), broken: false };
    let load = mesh.load_of(mix, vec![way]);
    mesh.recovers(&load).await;
    for round in 0..setting.repeats {
        let place = usize::try_from(round % 2).unwrap_or(0);
        mesh.restart_replica(place, next(round)).await;
        mesh.recovers(&load).await;
    }
    mesh.finish(load, ALL_ANSWERED).await
}

/// What the old one hands on dies with a new one now and then, and is no more lost than anything else.
async fn kill(setting: Setting) -> Finding {
    let replicas = vec![Version::Old, Version::New, Version::New];
    let mut mesh = Mesh::start(&setting, Plan { replicas, ..Plan::of(0) }).await;
    let way = Way { entrance: Entrance::Node(mesh.caller.clone()), broken: false };
    let load = mesh.load_of(VERSIONS, vec![way]);
    mesh.recovers(&load).await;
    for _ in 0..setting.repeats {
        let place = 1 + usize::try_from(mesh.random.below(2)).unwrap_or(0);
        mesh.kill_replica(place).await;
        mesh.is_ready(place).await;
        mesh.recovers(&load).await;
    }
    mesh.finish(load, UNSAFE_IN_DOUBT).await
}
