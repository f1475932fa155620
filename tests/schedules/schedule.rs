//! A schedule from its beginning to its end, and what was found.

use crate::{
    call::{Kind, Outcome, Record, ask},
    hub::Hub,
    judge,
    link::Link,
    listener::{Listener, Promise},
    mesh::{Member, Mesh},
    plan::{Fault, Order, Plan, What},
    resp,
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

/// How long a call may take when nothing is broken, beyond its work.
const PROMPT: Duration = Duration::from_secs(5);
/// How long after its deadline a caller may be told: the half second in which it asks Redis whether its call was started, and
/// some more.
const MARGIN: Duration = Duration::from_secs(3);
/// How long a node may take to leave.
const LEAVING: Duration = Duration::from_secs(20);

type Records = Arc<Mutex<Vec<Record>>>;

/// Runs a schedule, and returns what was promised and not kept.
pub(crate) async fn run(plan: Plan, hub: Arc<Hub>) -> Vec<String> {
    let plan = Arc::new(plan);
    let mesh = Mesh::start(hub.clone(), plan.times, plan.replicas, plan.callers).await;
    let mut listeners = Vec::new();
    for place in plan.replicas..plan.replicas + plan.callers {
        let Some(member) = mesh.at(place) else { continue };
        let (node, trace) = (member.node.clone(), hub.trace.clone());
        let started = member.spawn(async move { Listener::start(place, &node, trace).await });
        listeners.push(started.await.expect("it does not panic"));
    }
    // From here on times are those of the plan.
    let begin = hub.clock.elapsed();
    mesh.journal.begin();
    hub.trace.note("the schedule begins");
    let records = Records::default();
    let mut calls = JoinSet::new();
    for order in plan.calls.clone() {
        let (mesh, records, place) = (mesh.clone(), records.clone(), plan.replicas + order.caller);
        let patience = order.timeout + MARGIN + plan.stands_still(place);
        calls.spawn(async move {
            sleep(order.at).await;
            let Some(member) = mesh.at(place) else { return };
            call(&mesh, &member, order, patience, &records, begin).await;
        });
    }
    let mut others = JoinSet::new();
    for burst in plan.bursts.clone() {
        let mesh = mesh.clone();
        others.spawn(async move {
            sleep(burst.at).await;
            if let Some(member) = mesh.at(burst.replica) {
                mesh.hub.trace.note(format_args!("node {} sends {} events", member.number, burst.count));
                // One that dies before it could sends none.
                drop(member.emit(burst.count));
            }
        });
    }
    for fault in plan.faults.clone() {
        others.spawn(befall(mesh.clone(), fault));
    }
    sleep(plan.length).await;
    others.join_all().await;
    hub.drop_boundaries();
    hub.trace.note("nothing is broken any more");
    sleep(plan.grace()).await;
    calls.join_all().await;

    let mut problems = probe(&plan, &mesh, begin).await;
    problems.extend(settled(&mesh));
    let losses = plan.faults.iter().any(Fault::loses);
    // What a failover loses, nobody can tell.
    let is_rolled_back = plan.faults.iter().any(|fault| matches!(fault.what, What::Failover { .. }));
    // An event that was refused for good is told of once others are not.
    let refuses = plan.faults.iter().any(|fault| matches!(fault.what, What::Deny { .. }));
    let promise = Promise { resyncs: losses || refuses, losses: is_rolled_back };
    listeners.iter().for_each(|listener| problems.extend(listener.judge(&mesh, promise)));
    let records = records.lock().unwrap_or_else(PoisonError::into_inner).clone();
    problems.extend(judge::judge(&plan, &mesh, &records));
    problems.extend(end(&mesh).await);
    problems
}

async fn call(mesh: &Mesh, member: &Member, order: Order, patience: Duration, records: &Records, begin: Duration) {
    let (hub, journal) = (mesh.hub.clone(), mesh.journal.clone());
    let (records, caller) = (records.clone(), member.clone());
    let calls = member.spawn(async move {
        let mut repeats = None;
        loop {
            let began = hub.clock.elapsed() - begin;
            hub.trace.note(format_args!("node {} calls {} ({})", caller.number, order.kind.method, order.tag));
            let (outcome, timed_out, error) = ask(&caller.node, &order, patience).await;
            hub.trace.note(format_args!("node {} is told of call {}: {outcome:?} {error}", caller.number, order.tag));
            let (ended, begun_by_then) = (hub.clock.elapsed() - begin, journal.runs().len());
            let (first, last) = (outcome.clone(), repeats.is_some());
            let record =
                Record { order: order.clone(), repeats, began, ended, begun_by_then, outcome, timed_out, error };
            records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
            if last || !order.is_repeated() {
                return;
            }
            repeats = Some(first);
        }
    });
    calls.await.expect("a call does not panic");
}

/// Breaks something, and mends it when its time is over.
async fn befall(mesh: Arc<Mesh>, fault: Fault) {
    sleep(fault.at).await;
    let hub = mesh.hub.clone();
    hub.trace.note(format_args!("fault: {:?} for {:?}", fault.what, fault.lasts));
    let lasts = sleep(fault.lasts);
    let number = |place: &usize| mesh.at(*place).map(|member| member.number);
    match &fault.what {
        What::Crash { place } | What::Vanish { place } => {
            let Some(member) = mesh.take(*place) else { return };
            mesh.kill(&member, matches!(fault.what, What::Vanish { .. }));
            lasts.await;
            mesh.fill(*place, true).await;
        }
        What::Leave { place } => {
            let Some(member) = mesh.take(*place) else { return };
            let left = timeout(LEAVING * 2, leave(&member)).await;
            hub.trace.note(format_args!("node {} has left: {left:?}", member.number));
            lasts.await;
            mesh.fill(*place, true).await;
        }
        What::Freeze { place } => {
            let Some(member) = mesh.at(*place) else { return };
            mesh.stop(&member, true);
            lasts.await;
            mesh.stop(&member, false);
        }
        What::Deny { place, right } => {
            let Some(number) = number(place) else { return };
            hub.allow(number, *right, false);
            lasts.await;
            hub.allow(number, *right, true);
        }
        What::Silence { place } => {
            let Some(number) = number(place) else { return };
            hub.set_link(number, Link::Silent);
            lasts.await;
            heal(&mesh, number);
        }
        What::Cut { place, how } => {
            if let Some(number) = number(place) {
                hub.cut(number, *how);
            }
        }
        What::Refuse { place, how } => {
            let Some(number) = number(place) else { return };
            hub.set_link(number, Link::Refused);
            hub.cut(number, *how);
            lasts.await;
            heal(&mesh, number);
        }
        What::Boundary { place, .. } => {
            if let Some(boundary) = number(place).and_then(|number| fault.what.boundary(number)) {
                hub.add_boundary(boundary);
            }
        }
        What::ForgetScripts { times } => {
            for _ in 0..*times {
                hub.run(&["SCRIPT", "FLUSH"]);
                sleep(fault.lasts / *times).await;
            }
        }
        What::Flush => drop(hub.run(&["FLUSHALL"])),
        What::Restart { with_data } => {
            away(&hub, lasts, || {
                if !with_data {
                    hub.run(&["FLUSHALL"]);
                }
            })
            .await;
        }
        What::Failover { lag } => {
            hub.remember();
            sleep(*lag).await;
            away(&hub, lasts, || hub.roll_back()).await;
        }
        What::ReadOnly => {
            hub.run(&["REPLICAOF", "127.0.0.1", "1"]);
            lasts.await;
            hub.run(&["REPLICAOF", "NO", "ONE"]);
        }
        What::NoReplicas => {
            hub.run(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
            lasts.await;
            hub.run(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
        }
        What::OutOfMemory => {
            hub.run(&["CONFIG", "SET", "maxmemory", "1"]);
            lasts.await;
            hub.run(&["CONFIG", "SET", "maxmemory", "0"]);
        }
        What::Loading => {
            hub.load(true);
            lasts.await;
            hub.load(false);
        }
        What::Pause => {
            hub.pause(true);
            lasts.await;
            hub.pause(false);
        }
    }
    hub.trace.note(format_args!("mended: {:?}", fault.what));
}

async fn leave(member: &Member) -> rachis::Result<()> {
    let node = member.node.clone();
    member.spawn(async move { node.shutdown().await }).await.expect("leaving does not panic")
}

/// Another Redis takes the place of the one that was.
async fn away(hub: &Hub, lasts: impl Future<Output = ()>, change: impl FnOnce()) {
    hub.refuse(true);
    hub.reborn();
    change();
    lasts.await;
    hub.refuse(false);
}

fn heal(mesh: &Mesh, number: usize) {
    // Dead is dead.
    if mesh.hub.link(number) != Link::Gone {
        mesh.hub.set_link(number, Link::Whole);
    }
}

/// When nothing is broken, every call is answered at once, and every event is heard.
async fn probe(plan: &Plan, mesh: &Arc<Mesh>, begin: Duration) -> Vec<String> {
    let (records, mut calls) = (Records::default(), JoinSet::new());
    let mut tag = 1_000_000;
    for member in mesh.living() {
        if member.is_replica() {
            member.emit(1).await.expect("it lives");
            continue;
        }
        for kind in Kind::each().into_iter().chain(Kind::each()) {
            tag += 1;
            let (mesh, records, member) = (mesh.clone(), records.clone(), member.clone());
            let (at, work) = (Duration::ZERO, Duration::from_millis(5));
            let order = Order { tag, at, caller: 0, kind, work, timeout: plan.times.timeout };
            let patience = order.timeout + MARGIN;
            calls.spawn(async move { call(&mesh, &member, order, patience, &records, begin).await });
        }
    }
    calls.join_all().await;
    // Events have no other end.
    sleep(PROMPT).await;
    let records = records.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let is_good =
        |record: &&Record| matches!(record.outcome, Outcome::Answered { .. }) && record.ended - record.began < PROMPT;
    let bad = records.iter().filter(|record| !is_good(record));
    let shown = |record: &Record| format!("not answered at once, though nothing is broken: {record:?}");
    let mut problems: Vec<String> = bad.map(shown).collect();
    problems.extend(judge::judge(plan, mesh, &records));
    problems
}

/// Everybody believes in those who live, and nothing is left to do.
fn settled(mesh: &Mesh) -> Vec<String> {
    let living = mesh.living();
    let ids: BTreeSet<String> = living.iter().map(|member| member.node.id().to_owned()).collect();
    let mut problems = Vec::new();
    for member in &living {
        let believed: BTreeSet<String> = member.node.nodes().iter().map(|node| node.id.clone()).collect();
        if believed != ids {
            problems.push(format!("node {} believes in {believed:?}, and there are {ids:?}", member.number));
        }
    }
    let listed: BTreeSet<String> = texts(mesh, &["ZRANGE", "s:{mesh}:nodes", "0", "-1"]).into_iter().collect();
    if listed != ids {
        problems.push(format!("listed are {listed:?}, and there are {ids:?}"));
    }
    let mut expect = |what: &str, words: &[&str], wanted: &str| {
        let found = String::from_utf8_lossy(&mesh.hub.run(words)).trim().replace("\r\n", " ");
        if !found.starts_with(wanted) {
            problems.push(format!("{what}: {found}"));
        }
    };
    expect("requests are left in the queue", &["XLEN", "s:{app:default/jobs}:calls"], ":0");
    expect("requests are left pending", &["XPENDING", "s:{app:default/jobs}:calls", "replicas"], "*4 :0");
    expect("there are dead letters", &["XLEN", "s:{app:default/jobs}:dead"], ":0");
    problems
}

/// Who leaves is gone.
async fn end(mesh: &Arc<Mesh>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut leaving = JoinSet::new();
    for member in mesh.living() {
        leaving.spawn(async move { (member.number, timeout(LEAVING, leave(&member)).await) });
    }
    for (number, left) in leaving.join_all().await {
        if !matches!(left, Ok(Ok(()))) {
            problems.push(format!("node {number} could not leave: {left:?}"));
        }
    }
    let listed = texts(mesh, &["ZRANGE", "s:{mesh}:nodes", "0", "-1"]);
    if !listed.is_empty() {
        problems.push(format!("all have left, and listed are {listed:?}"));
    }
    problems
}

fn texts(mesh: &Mesh, words: &[&str]) -> Vec<String> {
    let texts = resp::texts(&mesh.hub.run(words));
    texts.into_iter().map(|text| String::from_utf8_lossy(&text).into_owned()).collect()
}
