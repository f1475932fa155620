//! Nodes that may do less than they would: for good, what they can do without, or for a while, what they can not.

use crate::{
    judge::{Finding, HONEST, UNSAFE_MAY_WAIT},
    mesh::Mesh,
    plan::Plan,
    row::{Row, Setting, usual},
};
use std::time::Duration;

/// What may be left out for good, at a price that `docs/security.md` names.
const OPTIONAL: &[&str] = &["zcard", "client|id", "client|kill", "client|unblock", "client|setname", "info"];
/// What nodes need.
const NEEDED: [&str; 16] = [
    "xadd",
    "xdel",
    "xack",
    "xread",
    "xreadgroup",
    "xpending",
    "xclaim",
    "xrange",
    "eval",
    "evalsha",
    "publish",
    "subscribe",
    "hgetall",
    "hset",
    "set",
    "zadd",
];
/// How long one of these is missing; a node that can not say that it lives counts as dead before.
const MISSING: Duration = Duration::from_secs(2);

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "rights-narrow",
            fault: "ACL without what can be left out: SIGKILL, CLIENT KILL",
            repeats: (2, 20),
            rate: None,
            run: |setting| Box::pin(narrow(setting)),
        },
        Row {
            name: "rights-missing",
            fault: "ACL of one node without a command it needs, for 2 s",
            repeats: (4, 48),
            rate: None,
            run: |setting| Box::pin(missing(setting)),
        },
    ]
}

async fn narrow(setting: Setting) -> Finding {
    let plan = Plan { users: Some(OPTIONAL), ..Plan::of(3) };
    usual(setting, plan, UNSAFE_MAY_WAIT, async |mesh| {
        let place = usize::try_from(mesh.random.below(3)).unwrap_or(0);
        mesh.kill_replica(place).await;
        mesh.is_ready(place).await;
        mesh.server.drop_connections().await;
    })
    .await
}

async fn missing(setting: Setting) -> Finding {
    let plan = Plan { users: Some(&[]), ..Plan::of(2) };
    let mut round = usize::try_from(setting.seed % 48).unwrap_or(0);
    usual(setting, plan, HONEST, async |mesh: &mut Mesh| {
        let right = NEEDED[round % NEEDED.len()];
        // One of the replicas, or the caller: each right is taken from one after the other.
        let (user, pid) = match mesh.replicas.get(round / NEEDED.len() % 3) {
            Some(member) => (member.user.clone(), member.worker.pid()),
            None => (mesh.user.clone(), std::process::id()),
        };
        round += 1;
        let user = user.expect("every node has a user");
        mesh.doom(pid);
        mesh.server.command(&["ACL", "SETUSER", &user, &format!("-{right}")]).await;
        tokio::time::sleep(MISSING).await;
        mesh.server.command(&["ACL", "SETUSER", &user, &format!("+{right}")]).await;
    })
    .await
}
