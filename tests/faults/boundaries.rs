//! Connections that are cut between two commands.

use crate::{
    judge::{Finding, UNSAFE_MAY_WAIT},
    mesh::{Mesh, eventually},
    plan::Plan,
    proxy::{Boundary, End, Proxy},
    row::{Row, Setting, usual},
};

pub(crate) fn rows() -> Vec<Row> {
    vec![Row {
        name: "boundaries",
        fault: "one node's link cut before or after a command",
        repeats: (8, 128),
        rate: None,
        run: |setting| Box::pin(cut(setting)),
    }]
}

/// The node whose link is cut.
#[derive(Clone, Copy, PartialEq)]
enum Whose {
    Caller,
    Replica,
}
use Whose::{Caller, Replica};

/// What each sends all the time: requests, replies and what settles them, reads, and scripts: beats, and marks of calls with a key.
const COMMANDS: [(Whose, &str); 8] = [
    (Caller, "XADD"),
    (Caller, "XREAD"),
    (Caller, "EVALSHA"),
    (Replica, "XREADGROUP"),
    (Replica, "XADD"),
    (Replica, "XDEL"),
    (Replica, "XACK"),
    (Replica, "EVALSHA"),
];

/// Before and after each command in turn, closed and reset.
async fn cut(setting: Setting) -> Finding {
    let plan = Plan { cables: true, boundaries: true, ..Plan::of(2) };
    let mut round = usize::try_from(setting.seed % 32).unwrap_or(0);
    usual(setting, plan, UNSAFE_MAY_WAIT, async |mesh: &mut Mesh| {
        // Each command comes before its turn is over; what else there is changes once it is.
        let (whose, command) = COMMANDS[round % COMMANDS.len()];
        let turn = round / COMMANDS.len();
        round += 1;
        let boundary = Boundary {
            command,
            skip: mesh.random.below(20),
            after: turn.is_multiple_of(2),
            end: if (turn / 2).is_multiple_of(2) { End::Closed } else { End::Reset },
        };
        let place = usize::try_from(mesh.random.below(2)).unwrap_or(0);
        let link = match whose {
            Caller => mesh.cable.as_ref(),
            Replica => mesh.replicas[place].cable.as_ref(),
        };
        let link: &Proxy = link.expect("every node has a cable");
        link.cut_at(boundary);
        eventually(&format!("{command} comes"), async || link.was_cut()).await;
    })
    .await
}
