//! HTTP: gateways that go while others stay, and replicas that die behind one.

use crate::{
    call::{ALL, Entrance, Way},
    judge::{ALL_ANSWERED, Finding, Promise, UNSAFE_IN_DOUBT},
    mesh::{Mesh, eventually},
    plan::Plan,
    row::{Row, Setting},
};
use std::time::Duration;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "gateway-kill",
            fault: "HTTP: SIGKILL of one of 2 gateways, started again",
            repeats: (2, 20),
            rate: Some(200),
            run: |setting| {
                Box::pin(broken(setting, async |mesh, url| {
                    mesh.doom(mesh.gateways[0].pid());
                    mesh.gateways[0].kill().await;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    mesh.replace_gateway(0, url).await;
                }))
            },
        },
        Row {
            name: "gateway-freeze",
            fault: "HTTP: SIGSTOP of one of 2 gateways beyond its TTL",
            repeats: (1, 5),
            rate: Some(200),
            run: |setting| {
                Box::pin(broken(setting, async |mesh, _| {
                    mesh.doom(mesh.gateways[0].pid());
                    mesh.gateways[0].signal("STOP").await;
                    tokio::time::sleep(mesh.plan.ttl + Duration::from_secs(1)).await;
                    mesh.gateways[0].signal("CONT").await;
                }))
            },
        },
        Row {
            name: "gateway-restart",
            fault: "HTTP: SIGTERM of one of 2 gateways, started again",
            repeats: (2, 20),
            rate: Some(200),
            run: |setting| {
                Box::pin(broken(setting, async |mesh, url| {
                    mesh.doom(mesh.gateways[0].pid());
                    let status = mesh.gateways[0].leave().await;
                    assert!(status.success(), "a gateway that was asked to leave ended with {status}");
                    mesh.replace_gateway(0, url).await;
                }))
            },
        },
        Row {
            name: "http-kill",
            fault: "HTTP: SIGKILL of one of 2 replicas behind a gateway",
            repeats: (2, 20),
            rate: Some(200),
            run: |setting| Box::pin(replicas_die(setting)),
        },
    ]
}

/// Starts a gateway, and returns the way through it and its URL.
pub(crate) async fn way(mesh: &mut Mesh, broken: bool) -> (Way, String) {
    let url = mesh.gateway().await;
    let client = reqwest::Client::builder().no_proxy().retry(reqwest::retry::never()).build().expect("a client");
    eventually("the gateway knows the services", async || {
        let asked = client.get(format!("{url}/distribution/healthcheck")).send().await;
        asked.is_ok_and(|response| response.status().is_success())
    })
    .await;
    (Way { entrance: Entrance::Http { client, url: url.clone() }, broken }, url)
}

/// Breaks one gateway again and again; the calls through the other do not notice.
async fn broken(setting: Setting, mut fault: impl AsyncFnMut(&mut Mesh, &str)) -> Finding {
    let mut mesh = Mesh::start(&setting, Plan::of(2)).await;
    let (broken, url) = way(&mut mesh, true).await;
    let (whole, _) = way(&mut mesh, false).await;
    run(mesh, vec![broken, whole], ALL_ANSWERED, async |mesh| fault(mesh, &url).await).await
}

async fn replicas_die(setting: Setting) -> Finding {
    let mut mesh = Mesh::start(&setting, Plan::of(2).one_by_one()).await;
    let (way, _) = way(&mut mesh, false).await;
    run(mesh, vec![way], UNSAFE_IN_DOUBT, async |mesh| {
        let place = usize::try_from(mesh.random.below(2)).unwrap_or(0);
        mesh.kill_replica(place).await;
        mesh.is_ready(place).await;
    })
    .await
}

async fn run(mut mesh: Mesh, ways: Vec<Way>, promise: Promise, mut fault: impl AsyncFnMut(&mut Mesh)) -> Finding {
    let load = mesh.load_of(ALL, ways);
    mesh.recovers(&load).await;
    for _ in 0..mesh.setting.repeats {
        fault(&mut mesh).await;
        mesh.recovers(&load).await;
    }
    mesh.finish(load, promise).await
}
