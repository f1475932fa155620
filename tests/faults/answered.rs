//! Events of calls whose replica is killed: what was answered was published before.

use crate::{
    call::{Entrance, Kind, Mix, Outcome, Safety, Way},
    judge::{Finding, UNSAFE_IN_DOUBT},
    mesh::Mesh,
    plan::Plan,
    row::{Row, Setting},
};
use rachis::RESYNC;
use std::{collections::HashSet, time::Duration};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver},
    time::timeout,
};

/// How long after the last event there is nothing more to come.
const SILENT: Duration = Duration::from_secs(3);
/// Room for the events that come at once.
const LIMITS: &str = "max_deliveries = 10\nevent_log = 50000";

/// Calls that fire an event each.
const LOUD: Mix = &[
    (kind("create", Safety::Unsafe), 60),
    (kind("patch", Safety::Unsafe), 15),
    (kind("update", Safety::Idempotent), 10),
    (kind("create", Safety::Keyed), 15),
];

const fn kind(method: &'static str, safety: Safety) -> Kind {
    Kind { path: "jobs", method, safety }
}

pub(crate) fn rows() -> Vec<Row> {
    vec![Row {
        name: "events-kill",
        fault: "SIGKILL of one of 3 replicas: events of answered calls",
        repeats: (5, 100),
        rate: Some(600),
        run: |setting| Box::pin(kill(setting)),
    }]
}

/// What a listener heard: of which call, from which process; `None` is a notice of missed events.
type Heard = Option<(u64, u64)>;

async fn kill(setting: Setting) -> Finding {
    let plan = Plan { limits: LIMITS, ..Plan::of(3) };
    let mut mesh = Mesh::start(&setting, plan).await;
    let heard = listen(&mesh).await;
    let load = mesh.load_of(LOUD, vec![Way { entrance: Entrance::Node(mesh.caller.clone()), broken: false }]);
    mesh.recovers(&load).await;
    for _ in 0..setting.repeats {
        let pause = mesh.random.within(100, 500);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let place = usize::try_from(mesh.random.below(3)).unwrap_or(0);
        mesh.kill_replica(place).await;
        mesh.is_ready(place).await;
    }
    mesh.recovers(&load).await;
    let trace = load.end().await;
    let answered = trace.records.iter().filter_map(|record| match record.ended.outcome {
        Outcome::Answered { tag: Some(tag), pid: Some(pid) } => Some((tag, pid)),
        _ => None,
    });
    let answered: HashSet<(u64, u64)> = answered.collect();
    let (heard, notices) = collect(heard).await;
    let mut finding = mesh.judge(trace, UNSAFE_IN_DOUBT).await;
    let missing: Vec<_> = answered.difference(&heard).collect();
    finding.notes.push(format!(
        "{} of {} answered calls were heard of, and {} more",
        answered.len() - missing.len(),
        answered.len(),
        heard.difference(&answered).count()
    ));
    finding.lost += missing.len();
    if let Some(example) = missing.first() {
        let text = format!("{} answered calls without their event, e.g. (call, process) {example:?}", missing.len());
        finding.problems.push(text);
    }
    if notices > 0 {
        finding.problems.push(format!("{notices} notices of missed events"));
    }
    finding
}

async fn listen(mesh: &Mesh) -> UnboundedReceiver<Heard> {
    let (hears, heard) = mpsc::unbounded_channel();
    let mut events = mesh.caller.service("jobs").on("*").await.expect("the events can be heard");
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            let about = || Some((event.data["tag"].as_u64()?, event.data["pid"].as_u64()?));
            let _ = hears.send(if event.name == RESYNC { None } else { about() });
        }
    });
    heard
}

async fn collect(mut listener: UnboundedReceiver<Heard>) -> (HashSet<(u64, u64)>, usize) {
    let (mut heard, mut notices) = (HashSet::new(), 0);
    while let Ok(Some(next)) = timeout(SILENT, listener.recv()).await {
        match next {
            Some(event) => drop(heard.insert(event)),
            None => notices += 1,
        }
    }
    (heard, notices)
}
