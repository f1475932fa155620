//! What a schedule consists of. All of it follows from the seed, before anything runs.

use crate::{
    call::{Kind, Safety},
    hub::Boundary,
    link::{Cut, Weather},
    random::Random,
    rights::Right,
};
use std::{fmt, time::Duration};

/// The commands at which connections are cut.
const COMMANDS: [&str; 8] = ["XADD", "XREADGROUP", "XACK", "XDEL", "XREAD ", "EVALSHA", "SET", "PEXPIRE"];

pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// The rights that no node has.
    pub(crate) without: Vec<&'static str>,
    pub(crate) times: Times,
    pub(crate) weather: Weather,
    pub(crate) replicas: usize,
    pub(crate) callers: usize,
    pub(crate) calls: Vec<Order>,
    pub(crate) bursts: Vec<Burst>,
    pub(crate) faults: Vec<Fault>,
    /// When nothing is broken any more, at the latest.
    pub(crate) length: Duration,
}

/// How long things take by configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) beat: Duration,
    pub(crate) ttl: Duration,
    pub(crate) block: Duration,
    pub(crate) timeout: Duration,
}

/// A call to come.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) tag: u64,
    pub(crate) at: Duration,
    pub(crate) caller: usize,
    pub(crate) kind: Kind,
    pub(crate) work: Duration,
    pub(crate) timeout: Duration,
}

impl Order {
    /// Half of the calls with a key are made once more.
    pub(crate) fn is_repeated(&self) -> bool {
        self.kind.safety == Safety::Keyed && !self.tag.is_multiple_of(2)
    }
}

/// Events to come, all at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    pub(crate) at: Duration,
    pub(crate) replica: usize,
    pub(crate) count: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) at: Duration,
    /// How long it lasts.
    pub(crate) lasts: Duration,
    pub(crate) what: What,
}

/// What is broken. Nodes are numbered by their places, replicas first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// A replica is killed, and another takes its place when the time is over.
    Crash {
        place: usize,
    },
    /// The same with its machine: nobody is told.
    Vanish {
        place: usize,
    },
    /// A replica is asked to leave, and another takes its place.
    Leave {
        place: usize,
    },
    /// The node's process stands still.
    Freeze {
        place: usize,
    },
    /// The node may not do something.
    Deny {
        place: usize,
        right: Right,
    },
    /// Nothing passes between the node and Redis.
    Silence {
        place: usize,
    },
    /// The node's connections are cut.
    Cut {
        place: usize,
        how: Cut,
    },
    /// The same, and it can not connect.
    Refuse {
        place: usize,
        how: Cut,
    },
    /// A connection of the node is cut at a command.
    Boundary {
        place: usize,
        command: &'static str,
        skip: u64,
        after: bool,
        how: Cut,
    },
    /// Redis forgets all scripts, as many times.
    ForgetScripts {
        times: u32,
    },
    /// Redis ends and starts anew.
    Restart {
        with_data: bool,
    },
    Flush,
    ReadOnly,
    NoReplicas,
    OutOfMemory,
    Loading,
    /// Redis stands still.
    Pause,
    /// A replica takes over that lacks what was written in the last `lag`.
    Failover {
        lag: Duration,
    },
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Plan {
        let mut random = Random::new(seed);
        let random = &mut random;
        // Apps at rest behave differently from busy ones.
        let is_quiet = random.below(5) == 0;
        let times = if is_quiet || random.below(4) == 0 { DEFAULT } else { FAST };
        let (replicas, callers) = (random.within(2, 4) as usize, random.within(1, 3) as usize);
        let length = times.ttl * 4;
        let weather = Weather::any(random);
        let moments = if is_quiet { quiet(random, length) } else { busy(random, length) };
        let (calls, bursts) = (calls(random, times, callers, moments), bursts(random, replicas, length));
        let count = random.within(1, 5);
        let mut faults: Vec<Fault> = (0..count).map(|_| fault(random, times, replicas, callers, length)).collect();
        faults.sort_by_key(|fault| fault.at);
        let without = Right::narrow(random);
        Plan { seed, without, times, weather, replicas, callers, calls, bursts, faults, length }
    }

    /// How long the node in this place stands still, in all.
    pub(crate) fn stands_still(&self, place: usize) -> Duration {
        let stands = |fault: &&Fault| fault.what == What::Freeze { place };
        self.faults.iter().filter(stands).map(|fault| fault.lasts).sum()
    }
}

const FAST: Times = Times {
    beat: Duration::from_millis(200),
    ttl: Duration::from_millis(1500),
    block: Duration::from_secs(1),
    timeout: Duration::from_secs(8),
};
/// As by default.
const DEFAULT: Times = Times {
    beat: Duration::from_secs(2),
    ttl: Duration::from_secs(6),
    block: Duration::from_secs(10),
    timeout: Duration::from_secs(20),
};

fn any_time(random: &mut Random, until: Duration) -> Duration {
    Duration::from_millis(random.below(u64::try_from(until.as_millis()).unwrap_or(u64::MAX)))
}

/// When calls are made where there are many, or few at any time.
fn busy(random: &mut Random, length: Duration) -> Vec<Duration> {
    let (count, comes_together) = ([12, 60, 150][random.below(3) as usize], random.below(3) == 0);
    let mut moments: Vec<Duration> = (0..count).map(|_| any_time(random, length)).collect();
    if comes_together {
        moments.iter_mut().for_each(|at| *at = Duration::from_millis(at.as_millis() as u64 / 500 * 500));
    }
    moments.sort();
    moments
}

/// The same where there is one about each second, and now and then none for longer than a death takes to be noticed.
fn quiet(random: &mut Random, length: Duration) -> Vec<Duration> {
    let (mut moments, mut at) = (Vec::new(), Duration::ZERO);
    loop {
        let pause = if random.below(4) == 0 { random.within(7000, 9000) } else { random.within(800, 1200) };
        at += Duration::from_millis(pause);
        if at >= length {
            return moments;
        }
        moments.push(at);
    }
}

fn calls(random: &mut Random, times: Times, callers: usize, moments: Vec<Duration>) -> Vec<Order> {
    // Some have callers who give up early.
    let is_hasty = random.below(3) == 0;
    let order = |(at, tag)| {
        let kind = Kind::any(random);
        let work = match random.below(100) {
            0..60 => random.below(20),
            60..96 => random.within(20, 400),
            _ => u64::try_from(times.ttl.as_millis()).unwrap_or(0) * 3 / 2,
        };
        let timeout = match is_hasty && random.below(2) == 0 {
            true => Duration::from_millis(work + random.within(1, 60)),
            false => times.timeout,
        };
        let (work, caller) = (Duration::from_millis(work), random.below(callers as u64) as usize);
        Order { tag, at, caller, kind, work, timeout }
    };
    moments.into_iter().zip(1..).map(order).collect()
}

fn bursts(random: &mut Random, replicas: usize, length: Duration) -> Vec<Burst> {
    let count = [0, 6, 40][random.below(3) as usize];
    let mut bursts: Vec<Burst> = (0..count)
        .map(|_| Burst {
            at: any_time(random, length),
            replica: random.below(replicas as u64) as usize,
            count: [1, 3, 10][random.below(3) as usize],
        })
        .collect();
    bursts.sort_by_key(|burst| burst.at);
    bursts
}

fn fault(random: &mut Random, times: Times, replicas: usize, callers: usize, length: Duration) -> Fault {
    let replica = |random: &mut Random| random.below(replicas as u64) as usize;
    let node = |random: &mut Random| random.below((replicas + callers) as u64) as usize;
    let what = match random.below(24) {
        0 | 1 => What::Crash { place: replica(random) },
        2 | 3 => What::Vanish { place: replica(random) },
        4 => What::Leave { place: replica(random) },
        5 | 6 => What::Silence { place: node(random) },
        7 => What::Cut { place: node(random), how: Cut::any(random) },
        8 => What::Refuse { place: node(random), how: Cut::any(random) },
        9..12 => What::Boundary {
            place: node(random),
            command: COMMANDS[random.below(COMMANDS.len() as u64) as usize],
            skip: random.below(6),
            after: random.below(2) == 0,
            how: Cut::any(random),
        },
        12 => What::ForgetScripts { times: [1, 3, 20][random.below(3) as usize] },
        13 => What::Restart { with_data: random.below(2) == 0 },
        14 => What::Flush,
        15 => What::ReadOnly,
        16 => match random.below(2) {
            0 => What::NoReplicas,
            _ => What::OutOfMemory,
        },
        17 => What::Loading,
        18 => What::Pause,
        19..21 => What::Freeze { place: node(random) },
        21..23 => What::Deny { place: node(random), right: Right::any(random) },
        _ => What::Failover { lag: any_time(random, Duration::from_millis(300)) },
    };
    let lasts = match random.below(3) {
        0 => any_time(random, Duration::from_millis(200)),
        1 => any_time(random, times.ttl),
        _ => times.ttl + any_time(random, times.ttl),
    };
    Fault { at: any_time(random, length * 3 / 4), lasts, what }
}

impl Fault {
    /// When it is over.
    pub(crate) fn end(&self) -> Duration {
        self.at + self.lasts
    }

    /// May Redis lose by it what it had?
    pub(crate) fn loses(&self) -> bool {
        matches!(self.what, What::Restart { with_data: false } | What::Flush | What::Failover { .. })
    }
}

impl What {
    pub(crate) fn boundary(&self, node: usize) -> Option<Boundary> {
        let What::Boundary { command, skip, after, how, .. } = *self else { return None };
        Some(Boundary { node, command, skip, after, how })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { times, replicas, callers, weather, .. } = self;
        writeln!(f, "{replicas} replicas, {callers} callers, TTL {:?}, {weather:?}", times.ttl)?;
        if !self.without.is_empty() {
            writeln!(f, "nodes may not {}", self.without.join(", "))?;
        }
        let keyed = self.calls.iter().filter(|order| order.kind.safety == Safety::Keyed).count();
        let events: u64 = self.bursts.iter().map(|burst| burst.count).sum();
        writeln!(f, "{} calls, {keyed} of them with a key; {events} events", self.calls.len())?;
        for (number, fault) in self.faults.iter().enumerate() {
            writeln!(f, "fault {number} at {:?} for {:?}: {:?}", fault.at, fault.lasts, fault.what)?;
        }
        Ok(())
    }
}
