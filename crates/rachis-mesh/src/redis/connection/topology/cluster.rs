//! Cluster: the keys are spread over slots, and any server tells which server holds which slot.
//!
//! redis-rs's own cluster connection is not used: it repeats a command when a connection was lost, so a request could
//! be queued twice unnoticed.

use super::{
    first_answer::{First, first_answer},
    server::{EndpointTemplate, Shard},
};
use crate::redis::connection::{login::Logins, socket::Endpoint, timed_out, tls::Certificates};
use parking_lot::MutexGuard;
use rachis_config::host::Addresses;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{Mutex, watch};

const SLOTS: usize = 16_384;
/// The age up to which the map is not queried again, since several connections break together and each one asks.
const YOUNG: Duration = Duration::from_millis(20);

/// A cluster and what is known of it.
pub(crate) struct Cluster {
    seeds: Vec<EndpointTemplate>,
    /// The settings of all servers, without an address.
    like: EndpointTemplate,
    /// Maps announced addresses to reachable ones.
    addresses: Addresses,
    map: watch::Sender<Arc<Map>>,
    asking: Mutex<Asking>,
    /// When the map was last learned.
    learned: parking_lot::Mutex<Option<Instant>>,
    /// Bounds the query to one server.
    timeout: Duration,
}

/// The servers that are asked for the map, in their order.
#[derive(Default)]
struct Asking {
    /// Every server of the last answer, masters first, since replicas learn of a moved slot later. A server that was
    /// asked goes to the end of its kind, since one that was cut off from the others gives outdated answers.
    servers: VecDeque<Address>,
}

impl Asking {
    /// Updates the servers and keeps the order in which they are asked.
    fn learn(&mut self, servers: VecDeque<Address>, masters: &[Shard]) {
        self.servers.retain(|known| servers.contains(known));
        for server in servers {
            if !self.servers.contains(&server) {
                self.servers.push_front(server);
            }
        }
        self.servers.make_contiguous().sort_by_key(|server| !masters.contains(&Shard::at(&server.0, server.1)));
    }
}

type Address = (String, u16);

/// Which server holds which slot.
pub(crate) struct Map {
    masters: Vec<Shard>,
    /// The number of a master for each slot; beyond their count for an unassigned slot.
    owners: Vec<u16>,
}

const UNOWNED: u16 = u16::MAX;

impl Map {
    fn empty() -> Self {
        Map { masters: Vec::new(), owners: vec![UNOWNED; SLOTS] }
    }

    fn owner(&self, slot: u16) -> Option<&Shard> {
        self.masters.get(usize::from(*self.owners.get(usize::from(slot))?))
    }

    fn has(&self, shard: &Shard) -> bool {
        self.masters.contains(shard)
    }

    /// Reads the reply to CLUSTER SLOTS as `asked` gave it; also the addresses of all servers in it.
    fn read(reply: Value, asked: &str) -> RedisResult<(Self, VecDeque<Address>)> {
        let mut map = Map::empty();
        let mut servers = VecDeque::new();
        let Value::Array(ranges) = reply else { return Err(unreadable()) };
        for range in ranges {
            let Value::Array(parts) = range else { return Err(unreadable()) };
            let mut parts = parts.into_iter();
            let (Some(Value::Int(start)), Some(Value::Int(end))) = (parts.next(), parts.next()) else {
                return Err(unreadable());
            };
            let mut nodes = parts.filter_map(|node| address(node, asked));
            let Some(master) = nodes.next() else { return Err(unreadable()) };
            let number = map.number(&Shard::at(&master.0, master.1));
            let (Ok(start), Ok(end)) = (usize::try_from(start), usize::try_from(end)) else { return Err(unreadable()) };
            map.owners.get_mut(start..=end).ok_or_else(unreadable)?.fill(number);
            for address in std::iter::once(master).chain(nodes) {
                if !servers.contains(&address) {
                    servers.push_back(address);
                }
            }
        }
        Ok((map, servers))
    }

    fn number(&mut self, master: &Shard) -> u16 {
        let known = self.masters.iter().position(|known| known == master);
        let number = known.unwrap_or_else(|| {
            self.masters.push(master.clone());
            self.masters.len() - 1
        });
        // There are no more masters than slots.
        u16::try_from(number).unwrap_or(UNOWNED)
    }
}

/// Reads `[host, port, …]`. A server that knows no name for itself is where it was asked.
fn address(node: Value, asked: &str) -> Option<Address> {
    let Value::Array(parts) = node else { return None };
    let mut parts = parts.into_iter();
    let host = match parts.next()? {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok()?,
        Value::SimpleString(text) => text,
        Value::Nil => String::new(),
        _ => return None,
    };
    let host = if host.is_empty() || host == "?" { asked.to_owned() } else { host };
    match parts.next()? {
        Value::Int(port) => Some((host, u16::try_from(port).ok()?)),
        _ => None,
    }
}

fn unreadable() -> RedisError {
    RedisError::from(std::io::Error::other("the answer to CLUSTER SLOTS can not be read"))
}

impl Cluster {
    pub(crate) fn new(
        seeds: &[String],
        logins: &Arc<Logins>,
        certificates: &Certificates,
        addresses: &Addresses,
        timeout: Duration,
    ) -> RedisResult<Self> {
        let first = seeds.first().cloned();
        let seeds = seeds
            .iter()
            .map(|url| EndpointTemplate::new(url, logins, certificates))
            .collect::<RedisResult<Vec<_>>>()?;
        let no_seed = || RedisError::from(std::io::Error::other("a cluster needs the address of one of its servers"));
        let like = EndpointTemplate::new(&first.ok_or_else(no_seed)?, logins, certificates)?;
        let map = watch::Sender::new(Arc::new(Map::empty()));
        Ok(Cluster {
            seeds,
            like,
            addresses: addresses.clone(),
            map,
            asking: Mutex::default(),
            learned: parking_lot::Mutex::default(),
            timeout,
        })
    }

    pub(super) fn auth(&self) -> Option<Cmd> {
        self.like.auth()
    }

    pub(super) fn all(&self) -> Vec<&EndpointTemplate> {
        self.seeds.iter().chain([&self.like]).collect()
    }

    /// Returns the server that holds `key`, as far as is known.
    pub(crate) fn shard(&self, key: impl AsRef<[u8]>) -> Option<Shard> {
        self.map.borrow().owner(slot(key)).cloned()
    }

    /// Returns `true` if the server holds slots, as far as is known.
    pub(crate) fn has(&self, shard: &Shard) -> bool {
        self.map.borrow().has(shard)
    }

    /// Returns the servers that hold slots, as far as is known.
    pub(super) fn masters(&self) -> Vec<Shard> {
        self.map.borrow().masters.clone()
    }

    /// Returns a receiver of changes of the map.
    pub(crate) fn moves(&self) -> watch::Receiver<Arc<Map>> {
        self.map.subscribe()
    }

    /// Queries the map, and returns the server that holds `key`.
    pub(crate) async fn locate(&self, key: &str) -> RedisResult<Shard> {
        self.refresh().await?;
        self.shard(key)
            .ok_or_else(|| RedisError::from(std::io::Error::other("no server of the cluster holds its slot")))
    }

    /// Returns the endpoint of this server, if it still holds slots.
    pub(crate) async fn reach(&self, shard: &Shard) -> RedisResult<Endpoint> {
        self.refresh().await?;
        match shard.address() {
            Some((host, port)) if self.has(shard) => Ok(self.there(host, port)),
            _ => Err(RedisError::from(std::io::Error::other(format!("{shard} no longer holds any slot")))),
        }
    }

    /// Returns the endpoint of the server that announces this address.
    fn there(&self, host: &str, port: u16) -> Endpoint {
        let (host, port) = self.addresses.reach(host, port);
        self.like.there(&host, port)
    }

    /// Queries the map, from the servers in turn until one answers. Concurrent callers share one query.
    pub(crate) async fn refresh(&self) -> RedisResult<()> {
        let wanted = Instant::now();
        let mut asking = self.asking.lock().await;
        if self.learned().is_some_and(|learned| learned + YOUNG > wanted) {
            return Ok(());
        }
        let known = asking.servers.iter().map(|(host, port)| self.there(host, *port));
        let servers: Vec<Endpoint> = known.chain(self.seeds.iter().map(EndpointTemplate::here)).collect();
        let questions = servers.iter().map(async |server| {
            let now = Instant::now();
            let answer = tokio::time::timeout(self.timeout, self.ask(server)).await;
            answer.unwrap_or_else(|_| Err(timed_out("asking for the slots"))).map(|answer| (answer, now))
        });
        let first = first_answer(questions).await;
        let asked = first.as_ref().map_or(servers.len(), |first| first.asked).min(asking.servers.len());
        // The sorting that follows an answer is stable, so each goes to the end of its kind.
        asking.servers.rotate_left(asked);
        let First { answer: ((map, servers), now), .. } =
            first.map_err(|trouble| trouble.unwrap_or_else(|| timed_out("asking for the slots")))?;
        *self.learned() = Some(now);
        asking.learn(servers, &map.masters);
        self.publish(map);
        Ok(())
    }

    /// Updates the map from a MOVED error, which tells of a moved slot first. Returns `false` for any other error.
    pub(crate) fn learn_from(&self, error: &RedisError) -> bool {
        let Some((slot, to)) = moved(error) else { return false };
        let known = self.map.borrow().clone();
        if known.owner(slot) != Some(&to) {
            let mut map = Map { masters: known.masters.clone(), owners: known.owners.clone() };
            let number = map.number(&to);
            if let Some(owner) = map.owners.get_mut(usize::from(slot)) {
                *owner = number;
            }
            self.publish(map);
        }
        *self.learned() = Some(Instant::now());
        true
    }

    fn learned(&self) -> MutexGuard<'_, Option<Instant>> {
        self.learned.lock()
    }

    fn publish(&self, map: Map) {
        self.map.send_if_modified(|known| {
            let differs = known.masters != map.masters || known.owners != map.owners;
            if differs {
                tracing::debug!(masters = ?map.masters, "the slots of the cluster");
                *known = Arc::new(map);
            }
            differs
        });
    }

    async fn ask(&self, server: &Endpoint) -> RedisResult<(Map, VecDeque<Address>)> {
        let mut connection = server.ask_within(self.timeout).await?;
        let reply: Value = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await?;
        let (map, servers) = Map::read(reply, server.host())?;
        if servers.is_empty() {
            let kind = ErrorKind::Server(ServerErrorKind::ClusterDown);
            return Err(RedisError::from((kind, "no server of the cluster holds any slot")));
        }
        Ok((map, servers))
    }

    /// Returns the address in messages.
    pub(crate) fn address(&self) -> String {
        let seeds = self.seeds.iter().map(EndpointTemplate::address);
        format!("the cluster of {}", seeds.collect::<Vec<_>>().join(","))
    }
}

/// Returns slot and server of a MOVED error.
pub(super) fn moved(error: &RedisError) -> Option<(u16, Shard)> {
    let (to, slot) = error.redirect_node().filter(|_| error.kind() == ErrorKind::Server(ServerErrorKind::Moved))?;
    let (host, port) = to.rsplit_once(':')?;
    // Without a host it is that of the server that was asked, which is not known here.
    (!host.is_empty() && host != "?").then_some((slot, Shard::at(host, port.parse().ok()?)))
}

/// Returns the slot of a key: that of the part in its first pair of braces, unless that is empty.
fn slot(key: impl AsRef<[u8]>) -> u16 {
    let key = key.as_ref();
    let find = |bracket: u8, text: &[u8]| text.iter().position(|byte| *byte == bracket);
    let rest = find(b'{', key).and_then(|open| key.get(open + 1..));
    let tag = rest.and_then(|rest| rest.get(..find(b'}', rest)?));
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    hashed.iter().fold(0u16, |crc, byte| (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)]) % SLOTS as u16
}

/// CRC-16 as Redis Cluster hashes keys (XMODEM: polynomial 0x1021, from 0).
static TABLE: [u16; 256] = {
    let mut table = [0u16; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn servers_that_have_gone_silent_hold_up_nobody() {
        let config = tempfile::tempdir().unwrap();
        let nodes = config.path().join("nodes.conf");
        let redis = crate::testing::ThrowawayRedis::start_with(&[
            "--cluster-enabled",
            "yes",
            "--cluster-config-file",
            nodes.to_str().unwrap(),
        ])
        .unwrap();
        let mut on = redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
        let slots: Vec<usize> = (0..SLOTS).collect();
        redis::cmd("CLUSTER").arg("ADDSLOTS").arg(&slots).exec_async(&mut on).await.unwrap();
        // They take connections and say nothing.
        let silent: Vec<_> = (0..8).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let silent_urls = silent.iter().map(|silent| format!("redis://{}", silent.local_addr().unwrap()));
        let seeds: Vec<String> = silent_urls.chain([redis.url()]).collect();
        let logins = Arc::new(Logins::new(crate::redis::connection::login::Login::default()));
        let certificates = Certificates::default();
        let addresses = Addresses::default();
        let cluster = Cluster::new(&seeds, &logins, &certificates, &addresses, Duration::from_secs(1)).unwrap();
        let begun = Instant::now();
        cluster.refresh().await.unwrap();
        assert!(cluster.shard("key").is_some());
        // As long as a node may be silent before others take it for dead.
        assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot("123456789"), 0x31C3);
        assert_eq!(slot("foo"), 12182);
        assert_eq!(slot("rachis:{mesh}:nodes"), slot("mesh"));
        assert_eq!(slot("rachis:{app:default/todos}:calls"), slot("app:default/todos"));
        assert_eq!(slot("a{b}c{d}"), slot("b"));
        assert_ne!(slot("a{}b{c}"), slot("c"));
    }

    fn node(host: Value, port: i64) -> Value {
        Value::Array(vec![host, Value::Int(port), Value::BulkString(b"id".to_vec()), Value::Array(vec![])])
    }

    #[test]
    fn the_map_says_who_holds_what_and_who_else_may_be_asked() {
        let host = |name: &str| Value::BulkString(name.into());
        let reply = Value::Array(vec![
            Value::Array(vec![Value::Int(0), Value::Int(99), node(host("a"), 1), node(host("c"), 3)]),
            Value::Array(vec![Value::Int(100), Value::Int(16382), node(Value::Nil, 2)]),
        ]);
        let (map, servers) = Map::read(reply, "asked").unwrap();
        let owner = |slot| map.owner(slot).map(ToString::to_string).unwrap_or_default();
        assert_eq!((owner(0), owner(99), owner(100)), ("a:1".into(), "a:1".into(), "asked:2".into()));
        assert_eq!(owner(16383), "");
        let expected = [("a".to_owned(), 1), ("c".to_owned(), 3), ("asked".to_owned(), 2)];
        assert_eq!(servers, expected);
    }

    #[test]
    fn a_strange_answer_is_an_error() {
        let range = |start, end| Value::Array(vec![Value::Int(start), Value::Int(end), node(Value::Nil, 2)]);
        for reply in [
            Value::Nil,
            Value::Array(vec![Value::Nil]),
            Value::Array(vec![range(5, 16384)]),
            Value::Array(vec![range(-1, 3)]),
            Value::Array(vec![range(9, 3)]),
        ] {
            assert!(Map::read(reply, "asked").is_err());
        }
    }
}
