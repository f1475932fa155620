//! A cluster of six servers: three that share the keys, and a replica of each.

use crate::servers::{ask, free_port, is_master, wait_until};
use rachis_testing::ThrowawayRedis;

/// The servers, the first three of which begin as masters, the others as their replicas.
pub(crate) struct Cluster {
    pub(crate) servers: Vec<ThrowawayRedis>,
}

const RANGES: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];

impl Cluster {
    /// Starts it; a master counts as dead after a second of silence.
    pub(crate) fn start() -> Cluster {
        let start = || {
            let bus = free_port().to_string();
            let own = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", &bus];
            let pace = ["--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0"];
            let rules = ["--cluster-allow-replica-migration", "no", "--cluster-replica-validity-factor", "0"];
            let server = ThrowawayRedis::start_with(&[&own[..], &pace[..], &rules[..]].concat()).unwrap();
            // It listens to us before it finds out that somebody else has taken the port of its bus.
            ask::<String>(server.port(), &["CLUSTER", "MYID"]).map(|_| (server, bus))
        };
        let started = |_| (0..5).find_map(|_| start()).expect("a server of a cluster does not start");
        let (servers, buses): (Vec<_>, Vec<_>) = (0..6).map(started).unzip();
        let cluster = Cluster { servers };
        let ids: Vec<String> = (0..6).map(|n| cluster.ask(n, &["CLUSTER", "MYID"])).collect();
        for (n, (from, to)) in RANGES.into_iter().enumerate() {
            cluster.ask::<String>(n, &["CLUSTER", "ADDSLOTSRANGE", from, to]);
        }
        for n in 0..6 {
            cluster.ask::<String>(n, &["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]);
        }
        for (server, bus) in cluster.servers.iter().zip(&buses).skip(1) {
            let port = server.port().to_string();
            cluster.ask::<String>(0, &["CLUSTER", "MEET", "127.0.0.1", &port, bus]);
        }
        cluster.all("all know all", |n| {
            let nodes: String = cluster.ask(n, &["CLUSTER", "NODES"]);
            nodes.lines().count() == 6 && !nodes.contains("handshake")
        });
        for n in 3..6 {
            cluster.ask::<String>(n, &["CLUSTER", "REPLICATE", &ids[n - 3]]);
        }
        cluster.all("every master has its replica, and all agree", |n| {
            let info: String = cluster.ask(n, &["CLUSTER", "INFO"]);
            let slots: Vec<Vec<redis::Value>> = cluster.ask(n, &["CLUSTER", "SLOTS"]);
            let follows: String = cluster.ask(n, &["INFO", "replication"]);
            info.contains("cluster_state:ok")
                && slots.len() == 3
                && slots.iter().all(|range| range.len() == 4)
                && (n < 3 || follows.contains("link_status:up"))
        });
        cluster
    }

    fn all(&self, what: &str, condition: impl Fn(usize) -> bool) {
        wait_until(what, || (0..6).all(&condition));
    }

    pub(crate) fn ask<T: redis::FromRedisValue>(&self, server: usize, words: &[&str]) -> T {
        ask(self.servers[server].port(), words).unwrap_or_else(|| panic!("{server} refuses {words:?}"))
    }

    pub(crate) fn slot(&self, key: &str) -> usize {
        let slot = self.servers.iter().find_map(|server| ask(server.port(), &["CLUSTER", "KEYSLOT", key]));
        slot.expect("one of the servers answers")
    }

    /// Which of the first masters holds `key`, or held it before its replica, three places on, took over.
    pub(crate) fn owner(&self, key: &str) -> usize {
        let slot = self.slot(key);
        RANGES.iter().position(|(_, to)| slot <= to.parse().unwrap()).unwrap()
    }

    /// Two of the servers.
    pub(crate) fn url(&self) -> String {
        format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", self.servers[4].port(), self.servers[0].port())
    }

    pub(crate) fn waits_for_master(&self, server: usize) {
        wait_until("the replica is master", || is_master(&self.servers[server]));
    }

    /// Nodes in this index that have beaten within the last half a second; a beat is good for one and a half.
    pub(crate) fn beating(&self, server: usize, nodes: &str) -> usize {
        let (seconds, micros): (u64, u64) = self.ask(server, &["TIME"]);
        let from = seconds * 1000 + micros / 1000 + 1000;
        self.ask(server, &["ZCOUNT", nodes, &from.to_string(), "+inf"])
    }

    /// Moves the slot of `key` to another master, as `redis-cli --cluster reshard` does.
    pub(crate) fn migrate(&self, key: &str, to: usize) {
        let slot = self.slot(key).to_string();
        let from = self.owner(key);
        let id = |n: usize| self.ask::<String>(n, &["CLUSTER", "MYID"]);
        let port = self.servers[to].port().to_string();
        self.ask::<String>(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(from)]);
        self.ask::<String>(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(to)]);
        loop {
            let keys: Vec<String> = self.ask(from, &["CLUSTER", "GETKEYSINSLOT", &slot, "10"]);
            if keys.is_empty() {
                break;
            }
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            words.extend(keys.iter().map(String::as_str));
            self.ask::<String>(from, &words);
        }
        for n in [to, from].into_iter().chain((0..3).filter(|n| *n != to && *n != from)) {
            self.ask::<String>(n, &["CLUSTER", "SETSLOT", &slot, "NODE", &id(to)]);
        }
    }
}
