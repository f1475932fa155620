//! Events that are sent while Redis is away: what a node and a Socket.IO client hear of them.

use crate::{
    judge::Finding,
    mesh::Mesh,
    plan::Plan,
    proxy::Cable,
    row::{Row, Setting},
    service::{Tick, Version},
    socket::Client,
};
use rachis::{Handle, RESYNC};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver},
    time::timeout,
};

/// Events a second, of one replica and of each of several.
const RATE: u64 = 1000;
const RATE_OF_SEVERAL: u64 = 300;
/// How long after the last thing heard there is nothing more to come.
const SILENT: Duration = Duration::from_secs(8);
/// Room for all events of an outage of some seconds: in the log, and for a listener that reads them at once.
const ROOM: &str = "event_log = 50000";

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "events-client-kill",
            fault: "1,000 events/s: CLIENT KILL of every connection",
            repeats: (3, 20),
            rate: None,
            run: |setting| {
                Box::pin(hear(setting, plan(ROOM), EVERY_ONE, async |mesh| {
                    mesh.server.drop_connections().await;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }))
            },
        },
        Row {
            name: "events-outage",
            fault: "1,000 events/s: Redis away for 5 s, with its data",
            repeats: (1, 5),
            rate: None,
            run: |setting| {
                Box::pin(hear(setting, plan(ROOM), EVERY_ONE, async |mesh| {
                    mesh.server.stop();
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    mesh.server.launch();
                    tokio::time::sleep(Duration::from_secs(3)).await;
                }))
            },
        },
        Row {
            name: "events-frozen",
            fault: "1,000 events/s: SIGSTOP of Redis for 5 s",
            repeats: (1, 5),
            rate: None,
            run: |setting| {
                Box::pin(hear(setting, plan(ROOM), EVERY_ONE, async |mesh| {
                    mesh.server.freeze();
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    mesh.server.thaw();
                    tokio::time::sleep(Duration::from_secs(3)).await;
                }))
            },
        },
        Row {
            name: "events-publishers",
            fault: "3 replicas, 300 events/s each: Redis loses its scripts 40 times, and is restarted with its data",
            repeats: (1, 10),
            rate: None,
            run: |setting| {
                Box::pin(hear(
                    setting,
                    Plan { replicas: vec![Version::New; 3], ..plan(ROOM) },
                    EVERY_ONE,
                    async |mesh| {
                        for _ in 0..40 {
                            mesh.server.command(&["SCRIPT", "FLUSH"]).await;
                            tokio::time::sleep(Duration::from_millis(25)).await;
                        }
                        mesh.server.stop();
                        // Each has a backlog when it is back.
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        mesh.server.launch();
                        tokio::time::sleep(Duration::from_secs(3)).await;
                    },
                ))
            },
        },
        Row {
            name: "events-resync",
            fault: "1,000 events/s: listeners cut off for longer than the log",
            repeats: (1, 5),
            rate: None,
            run: |setting| {
                Box::pin(hear(setting, plan("event_log = 100"), ONE_RESYNC, async |mesh| {
                    // They are cut off for longer than their TTL.
                    mesh.doom(std::process::id());
                    mesh.doom(mesh.gateways[0].pid());
                    let listeners = || mesh.cable.iter().chain(&mesh.gateway_cables);
                    listeners().for_each(|cable| cable.set(Cable::Cut));
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    listeners().for_each(|cable| cable.set(Cable::Whole));
                    tokio::time::sleep(Duration::from_secs(4)).await;
                }))
            },
        },
    ]
}

/// How many notices of missed events a listener gets for each fault.
type Resyncs = usize;
const EVERY_ONE: Resyncs = 0;
const ONE_RESYNC: Resyncs = 1;

/// How many events each publisher has sent, by the number of its round.
type Sent = BTreeMap<u64, u64>;

fn plan(limits: &'static str) -> Plan {
    Plan { limits, cables: true, ..Plan::of(1).durable() }
}

/// What a listener heard, and when.
enum Heard {
    Tick(Tick, Instant),
    Resync,
}

/// Sends events while `fault` happens, and compares what is heard with what was sent.
async fn hear(setting: Setting, plan: Plan, resyncs: Resyncs, mut fault: impl AsyncFnMut(&mut Mesh)) -> Finding {
    let mut mesh = Mesh::start(&setting, plan).await;
    let mut by_node = on_node(&mesh).await;
    let url = mesh.gateway().await;
    let mut by_socket = on_socket(&url).await;
    // Both hear the events from here on.
    for listener in [&mut by_node, &mut by_socket] {
        warm_up(&mesh, listener).await;
    }
    let (started, sender) = (Instant::now(), mesh.caller.service("ticker"));
    let publishers = mesh.replicas.len() as u64;
    let rate = if publishers == 1 { RATE } else { RATE_OF_SEVERAL };
    for round in 1..=publishers {
        start_one(&sender, round, rate).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..setting.repeats {
        fault(&mut mesh).await;
        mesh.faults += 1;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut sent = Sent::new();
    while (sent.len() as u64) < publishers {
        // One of those that have stopped already refuses it.
        if let Ok(stopped) = sender.custom("stop", json!({})).await {
            let number = |name: &str| stopped[name].as_u64().expect("a number");
            sent.insert(number("round"), number("events"));
        }
    }
    let mut finding = Finding::default();
    for (who, listener) in [("the node", &mut by_node), ("the Socket.IO client", &mut by_socket)] {
        let heard = collect(listener, &sent).await;
        compare(&mut finding, who, &heard, &sent, resyncs * setting.repeats as usize, started);
    }
    mesh.close(&mut finding).await;
    finding
}

/// Lets one more replica send events.
async fn start_one(sender: &Handle, round: u64, rate: u64) {
    for _ in 0..1000 {
        match sender.custom("start", json!({ "round": round, "rate": rate })).await {
            Ok(_) => return,
            Err(error) => assert_eq!(error.code(), 409, "{error}"),
        }
    }
    panic!("no other replica is called");
}

async fn on_node(mesh: &Mesh) -> UnboundedReceiver<Heard> {
    let (hears, heard) = mpsc::unbounded_channel();
    let mut events = mesh.caller.service("ticker").on("tick").await.expect("the events can be heard");
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            let _ = hears.send(read(&event.name, &event.data));
        }
    });
    heard
}

async fn on_socket(url: &str) -> UnboundedReceiver<Heard> {
    let address = url.trim_start_matches("http://").parse().expect("an address");
    let mut client = Client::connect(address).await;
    let (hears, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some((name, data)) = client.event().await {
            let name = name.strip_prefix("ticker ").unwrap_or_else(|| panic!("an event of nobody: {name}"));
            let _ = hears.send(read(name, &data));
        }
    });
    heard
}

fn read(name: &str, data: &Value) -> Heard {
    match name {
        RESYNC => Heard::Resync,
        _ => Heard::Tick(serde_json::from_value(data.clone()).expect("a tick"), Instant::now()),
    }
}

/// Sends single events until the listener hears one.
async fn warm_up(mesh: &Mesh, listener: &mut UnboundedReceiver<Heard>) {
    for _ in 0..100 {
        mesh.caller.service("ticker").custom("tick", json!({})).await.expect("the ticker ticks");
        if timeout(Duration::from_millis(200), listener.recv()).await.is_ok() {
            return;
        }
    }
    panic!("a listener hears nothing");
}

/// Everything up to the last event that each has sent, or until nothing comes any more.
async fn collect(listener: &mut UnboundedReceiver<Heard>, sent: &Sent) -> Vec<Heard> {
    let mut heard = Vec::new();
    let mut going = sent.clone();
    while !going.is_empty() {
        let Ok(Some(next)) = timeout(SILENT, listener.recv()).await else { break };
        if let Heard::Tick(tick, _) = &next {
            if tick.round == 0 {
                continue;
            }
            if going.get(&tick.round) == Some(&(tick.number + 1)) {
                going.remove(&tick.round);
            }
        }
        heard.push(next);
    }
    // What comes twice may come now.
    while let Ok(Some(next)) = timeout(Duration::from_millis(300), listener.recv()).await {
        heard.push(next);
    }
    heard
}

/// Every number of each publisher once and in order; after a notice of missed events, from some later number on.
fn compare(finding: &mut Finding, who: &str, heard: &[Heard], sent: &Sent, resyncs: usize, started: Instant) {
    // The next number of each, and whether it may be a later one.
    let mut expected: BTreeMap<u64, (u64, bool)> = sent.keys().map(|round| (*round, (0, false))).collect();
    let (mut told, mut skipped) = (0, 0);
    let (mut got, mut twice, mut lost, mut before) = (0usize, 0, 0, started);
    for one in heard {
        let Heard::Tick(tick, at) = one else {
            told += 1;
            expected.values_mut().for_each(|(_, may_skip)| *may_skip = true);
            continue;
        };
        got += 1;
        let (next, may_skip) = expected.get_mut(&tick.round).expect("a publisher that was started");
        match tick.number.checked_sub(*next) {
            None => twice += 1,
            Some(gap) => {
                *(if *may_skip { &mut skipped } else { &mut lost }) += gap;
                (*next, *may_skip) = (tick.number + 1, false);
            }
        }
        finding.silence = finding.silence.max(at.duration_since(before));
        before = *at;
        finding.slowest = finding.slowest.max(Duration::from_millis(tick.heard_at.saturating_sub(tick.sent_at)));
    }
    lost += sent.iter().map(|(round, sent)| sent.saturating_sub(expected[round].0)).sum::<u64>();
    let sent: u64 = sent.values().sum();
    finding.made += usize::try_from(sent).unwrap_or(0);
    finding.answered += got;
    finding.twice += twice;
    finding.lost += usize::try_from(lost).unwrap_or(0);
    finding.unknown += usize::try_from(skipped).unwrap_or(0);
    finding
        .notes
        .push(format!("{who} heard {got} of {sent} events and {told} notices of missed ones ({skipped} missed)"));
    let mut expect = |what: &str, seen: u64, wanted: u64| {
        if seen != wanted {
            finding.problems.push(format!("{who}: {seen} {what} instead of {wanted}"));
        }
    };
    expect("events lost without a word", lost, 0);
    expect("events heard twice or too late", twice as u64, 0);
    expect("notices of missed events", told, resyncs as u64);
}
