//! Sentinels and clusters of one's own, on free ports of the loopback interface; they end with the test. `tests/faults`
//! uses them, too.

use rachis_testing::ThrowawayRedis;
use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Ends the process as soon as the test is gone, however it went.
const KEEPER: &str = r#""$@" >/dev/null 2>&1 & echo $!; read -r _; kill $! 2>/dev/null; wait"#;

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Ends a server as a crash would.
pub(crate) fn crash(redis: &ThrowawayRedis) {
    assert!(Command::new("kill").args(["-9", &redis.pid().to_string()]).status().unwrap().success());
}

/// Asks a server something, as words; `None` when it does not answer.
pub(crate) fn ask<T: redis::FromRedisValue>(port: u16, words: &[&str]) -> Option<T> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    let mut connection = client.get_connection_with_timeout(Duration::from_secs(1)).ok()?;
    connection.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(*word);
    }
    command.query(&mut connection).ok()
}

/// A master and a replica that follows it.
pub(crate) fn pair() -> (ThrowawayRedis, ThrowawayRedis) {
    let at_once = ["--repl-diskless-sync-delay", "0"];
    let master = ThrowawayRedis::start_with(&at_once).unwrap();
    let of = master.port().to_string();
    let replica = ThrowawayRedis::start_with(&["--replicaof", "127.0.0.1", &of, at_once[0], at_once[1]]).unwrap();
    wait_until("the replica follows", || follows(&replica));
    (master, replica)
}

fn replication(redis: &ThrowawayRedis) -> String {
    ask(redis.port(), &["INFO", "replication"]).unwrap_or_default()
}

/// Is it a replica that is in touch with its master?
pub(crate) fn follows(redis: &ThrowawayRedis) -> bool {
    replication(redis).contains("link_status:up")
}

/// Does it take itself for a master?
pub(crate) fn is_master(redis: &ThrowawayRedis) -> bool {
    replication(redis).contains("role:master")
}

/// Waits until `condition` holds, on a thread that has nothing else to do.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "still waiting until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that ends with the test.
struct Kept(Child);

impl Kept {
    fn start(command: &[&str]) -> Kept {
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).args(command).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = keeper.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Kept(keeper)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// A master, a replica, and three sentinels that take a master for dead after half a second.
pub(crate) struct Watched {
    /// The first begins as master.
    pub(crate) servers: [ThrowawayRedis; 2],
    sentinels: Vec<u16>,
    _processes: Vec<Kept>,
    _folder: tempfile::TempDir,
}

/// What sentinels ask their clients for.
pub(crate) const SENTINEL_PASSWORD: &str = "watchman";

impl Watched {
    pub(crate) fn start() -> Watched {
        let (master, replica) = pair();
        let of = master.port().to_string();
        let folder = tempfile::tempdir().unwrap();
        let sentinels: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let processes = sentinels.iter().map(|port| {
            let file = folder.path().join(format!("{port}.conf"));
            let text = format!(
                "port {port}\nbind 127.0.0.1\ndir {}\nrequirepass {SENTINEL_PASSWORD}\n\
                 sentinel sentinel-pass {SENTINEL_PASSWORD}\n\
                 sentinel monitor mymaster 127.0.0.1 {of} 2\nsentinel down-after-milliseconds mymaster 500\n\
                 sentinel failover-timeout mymaster 3000\n",
                folder.path().display()
            );
            std::fs::write(&file, text).unwrap();
            Kept::start(&["redis-sentinel", file.to_str().unwrap()])
        });
        let processes = processes.collect();
        Watched { servers: [master, replica], sentinels, _processes: processes, _folder: folder }
    }

    /// Waits until a failover would succeed.
    pub(crate) fn ready(self) -> Self {
        self.settles();
        self
    }

    /// Waits until every sentinel knows the others, and a replica that it could make master.
    pub(crate) fn settles(&self) {
        type Known = Vec<HashMap<String, String>>;
        wait_until("the sentinels know each other and the replica", || {
            self.sentinels.iter().all(|port| {
                let known =
                    |what: &str| -> Known { ask_sentinel(*port, &["SENTINEL", what, "mymaster"]).unwrap_or_default() };
                let replicas = known("REPLICAS");
                let good = |replica: &HashMap<String, String>| {
                    replica["flags"] == "slave" && replica["master-link-status"] == "ok"
                };
                known("SENTINELS").len() == 2 && replicas.len() == 1 && replicas.iter().all(good)
            })
        });
    }

    /// `redis+sentinel://…/mymaster`; the first of the sentinels is none.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<String> = self.sentinels.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://127.0.0.1:1,{}/mymaster", hosts.join(","))
    }

    /// Makes the replica master and the master its replica, in good order.
    pub(crate) fn switch(&self) {
        let port = self.sentinels[0];
        let old = usize::from(!is_master(&self.servers[0]));
        wait_until("a sentinel starts the failover", || {
            ask_sentinel::<String>(port, &["SENTINEL", "FAILOVER", "mymaster"]).is_some()
        });
        wait_until("the old master is a replica", || replication(&self.servers[old]).contains("role:slave"));
    }
}

fn ask_sentinel<T: redis::FromRedisValue>(port: u16, words: &[&str]) -> Option<T> {
    let client = redis::Client::open(format!("redis://:{SENTINEL_PASSWORD}@127.0.0.1:{port}")).unwrap();
    let mut connection = client.get_connection_with_timeout(Duration::from_secs(1)).ok()?;
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(*word);
    }
    command.query(&mut connection).ok()
}
