//! Redis takes writes again: whichever part of a node finds out first ends the pauses of all others.

use crate::{
    named,
    scripted::{Act, Scripted, is_about, is_script_on},
    services::Echo,
    start,
};
use rachis::{App, Config, Node};
use rachis_testing as testing;
use rachis_testing::ThrowawayRedis;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

const READONLY: &str = "READONLY You can't write against a read only replica.";
/// Pauses double up to a second for events, and to between one second and two for a reader; the longest of both are at least
/// this long.
const PAUSE: Duration = Duration::from_secs(1);
/// After so many refusals each pauses for as long as it ever does.
const UNTIL_LONGEST: usize = 9;
/// A machine may stand still for a second once, but not each time.
const ROUNDS: usize = 3;

type Matches = fn(&[Vec<u8>]) -> bool;

/// What has been seen of the part that pauses.
#[derive(Default)]
struct Seen {
    refused: usize,
    last: Option<Instant>,
    has_told: bool,
    paused: Option<Duration>,
}

/// Refuses what `paused` does until its pauses are the longest, and then one thing that `tells` does, which finds out that
/// nothing more is refused. Returns how long the pause was then.
async fn pause_of(way: &Scripted, paused: Matches, tells: Matches, provoke: impl Fn()) -> Duration {
    let seen = Arc::<Mutex<Seen>>::default();
    let noted = seen.clone();
    way.decide(move |command| {
        let mut seen = noted.lock().unwrap();
        if paused(command) {
            if seen.refused < UNTIL_LONGEST {
                seen.refused += 1;
                seen.last = Some(Instant::now());
                return Act::Refuse(READONLY);
            }
            let since = seen.last.unwrap();
            seen.paused.get_or_insert_with(|| since.elapsed());
        } else if seen.refused == UNTIL_LONGEST && !seen.has_told && tells(command) {
            seen.has_told = true;
            return Act::Refuse(READONLY);
        }
        Act::Pass
    });
    testing::eventually("its pauses are the longest", async || seen.lock().unwrap().refused == UNTIL_LONGEST).await;
    provoke();
    testing::eventually("it tries again", async || seen.lock().unwrap().paused.is_some()).await;
    let seen = seen.lock().unwrap();
    assert!(seen.has_told, "it tried again before anything else could have found out");
    seen.paused.unwrap()
}

/// A node whose way to Redis is decided about command by command, and one that calls it.
struct Pair {
    _redis: ThrowawayRedis,
    way: Scripted,
    there: Node,
    here: Node,
}

impl Pair {
    async fn start() -> Pair {
        let redis = ThrowawayRedis::start().unwrap();
        // Pauses of connections are bounded by the TTL as well.
        let config = Config {
            heartbeat_interval: Duration::from_millis(100),
            ttl: Some(Duration::from_secs(60)),
            timeout: Duration::from_secs(60),
            ..testing::config_for(&redis.url())
        };
        let way = Scripted::before(&redis).await;
        let mut far = named(&config, "worker");
        far.redis.url = way.url().as_str().into();
        let there = testing::start(far, App::new().register("jobs", Echo)).await;
        let here = start(&config, "caller", App::new()).await;
        crate::knows(&here, "jobs").await;
        Pair { _redis: redis, way, there, here }
    }
}

fn is_beat(command: &[Vec<u8>]) -> bool {
    command[0] == b"EVALSHA" && is_about(command, ":{mesh}:node:")
}

fn is_event(command: &[Vec<u8>]) -> bool {
    is_script_on(command, "jobs}:log")
}

fn is_reply(command: &[Vec<u8>]) -> bool {
    command[0] == b"XADD" && is_about(command, ":inbox")
}

fn is_read_of_requests(command: &[Vec<u8>]) -> bool {
    command[0] == b"XREADGROUP"
}

/// Does a pause end before its time in one of some rounds? One that nothing ends never does.
async fn ends(mut round: impl AsyncFnMut() -> Duration) -> bool {
    for _ in 0..ROUNDS {
        if round().await < PAUSE {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn events_do_not_wait_for_their_pause_when_a_heartbeat_comes_through_again() {
    let pair = Pair::start().await;
    let jobs = pair.there.service("jobs");
    let round = async || {
        jobs.emit("shouted", "x").unwrap();
        pause_of(&pair.way, is_event, is_beat, || ()).await
    };
    assert!(ends(round).await, "events were published when their pause was over");
}

#[tokio::test]
async fn events_do_not_wait_for_their_pause_when_a_reply_is_taken_again() {
    let pair = Pair::start().await;
    let jobs = pair.there.service("jobs");
    let round = async || {
        jobs.emit("shouted", "x").unwrap();
        let call = || drop(tokio::spawn(pair.here.service("jobs").get("1").answer()));
        pause_of(&pair.way, is_event, is_reply, call).await
    };
    assert!(ends(round).await, "events were published when their pause was over");
}

#[tokio::test]
async fn requests_are_read_without_a_pause_when_a_heartbeat_comes_through_again() {
    let pair = Pair::start().await;
    let round = async || pause_of(&pair.way, is_read_of_requests, is_beat, || ()).await;
    assert!(ends(round).await, "requests were read when the pause of the reader was over");
}
