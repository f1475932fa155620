//! The scripts, on a real server, do what the model does.

use super::{model::Model, *};
use proptest::{prelude::*, test_runner::TestRunner};
use rachis_testing::ThrowawayRedis;

const TTL: Duration = Duration::from_secs(3600);
const PATHS: [&str; 3] = ["a", "b/c", "d"];

#[derive(Clone, Debug)]
enum Step {
    /// Which node, which paths with which descriptor (0: not offered), which linger.
    Register(usize, [u8; 3], usize),
    State(usize, bool),
    Withdraw(usize),
    /// Nothing is heard of it any more.
    Die(usize),
    /// Whose beat, and whether it sweeps.
    Beat(usize, bool),
    LingerEnds(usize),
    /// All of it is kept in one value, as it is now.
    Digest,
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0..4usize;
    prop_oneof![
        6 => (node(), [0..3u8, 0..3u8, 0..3u8], 0..4usize).prop_map(|(node, paths, linger)| Step::Register(node, paths, linger)),
        2 => (node(), any::<bool>()).prop_map(|(node, up)| Step::State(node, up)),
        3 => node().prop_map(Step::Withdraw),
        3 => node().prop_map(Step::Die),
        4 => (node(), any::<bool>()).prop_map(|(node, sweep)| Step::Beat(node, sweep)),
        1 => (0..2usize).prop_map(Step::LingerEnds),
        2 => Just(Step::Digest),
        1 => Just(Step::Flush),
    ]
}

fn lingers() -> [Linger; 4] {
    // Days, so that none ends by itself, and so long that it tells one from the other.
    [
        Linger::For(Duration::ZERO),
        Linger::For(Duration::from_millis(1_000_000_000)),
        Linger::For(Duration::from_millis(2_000_000_000)),
        Linger::Forever,
    ]
}

fn id(node: usize) -> String {
    format!("node-{node}")
}

fn app(number: usize) -> String {
    format!("default/{}", number % 2)
}

/// Both registries side by side. A step of the model is a second; in Redis, whatever it took.
struct Pair {
    connection: redis::aio::MultiplexedConnection,
    keys: Keys,
    model: Model,
    /// From when to when each step took in Redis.
    took: Vec<(u64, u64)>,
    /// How often the digest, with what came since, was held against the hashes.
    digests: usize,
}

impl Pair {
    fn registry(&self, node: usize, linger: Linger) -> Registry {
        Registry::new(self.keys.clone(), &id(node), &app(node), TTL, linger)
    }

    async fn now(&mut self) -> u64 {
        self.registry(0, Linger::Forever).now(&mut self.connection).await.unwrap()
    }

    async fn step(&mut self, step: &Step) {
        self.model.now += 1000;
        let start = self.now().await;
        self.both(step).await;
        let mut end = self.now().await;
        self.took.push((start, end));
        // The next step begins in another millisecond.
        while self.took.last().is_some_and(|(_, last)| end <= *last) {
            tokio::time::sleep(Duration::from_micros(300)).await;
            end = self.now().await;
        }
    }

    async fn both(&mut self, step: &Step) {
        let on = &mut self.connection.clone();
        let ttl = TTL.as_millis() as u64;
        match step {
            Step::Register(node, versions, linger) => {
                let linger = lingers()[*linger];
                let offered = PATHS.iter().zip(versions).filter(|(_, version)| **version > 0);
                let services = offered.map(|(path, version)| ((*path).to_owned(), vec![*version])).collect();
                let what = Announced { head: b"head".to_vec(), state: "up".into(), services, schemas: String::new() };
                self.registry(*node, linger).register(on, &what).await.unwrap();
                self.model.register(&id(*node), &app(*node), &what, linger, ttl);
            }
            Step::State(node, up) => {
                let state = if *up { "up" } else { "draining" };
                let known = self.registry(*node, Linger::Forever).set_state(on, state).await.unwrap();
                assert_eq!(known.is_some(), self.model.set_state(&id(*node), state));
            }
            Step::Withdraw(node) => {
                let known = self.registry(*node, Linger::Forever).withdraw(on).await.unwrap();
                assert_eq!(known.is_some(), self.model.withdraw(&id(*node)));
            }
            Step::Die(node) => {
                let mut zadd = redis::cmd("ZADD");
                zadd.arg(self.keys.nodes()).arg("XX").arg(1).arg(id(*node)).query_async::<()>(on).await.unwrap();
                self.model.expiry.entry(id(*node)).and_modify(|until| *until = 1);
            }
            Step::Beat(node, sweep) => {
                let sent = self.now().await;
                let beat = self.registry(*node, Linger::Forever).beat(on, *sweep, sent).await.unwrap();
                assert_eq!(beat.known, self.model.beat(&id(*node), *sweep, ttl));
            }
            Step::LingerEnds(number) => {
                for path in self.model.lingering_paths(&app(*number)) {
                    let mut hset = redis::cmd("HSET");
                    hset.arg(self.keys.app(&app(*number))).arg(format!("e:{path}")).arg(1);
                    hset.query_async::<()>(on).await.unwrap();
                }
                self.model.end_lingering(&app(*number), 1);
                // What ends otherwise than it was told to is written down nowhere else.
                redis::cmd("DEL").arg(self.keys.digest()).query_async::<()>(on).await.unwrap();
            }
            Step::Digest => {
                let registry = self.registry(0, Linger::Forever);
                let snapshot = registry.snapshot(on).await.unwrap();
                registry.keep(on, &snapshot).await.unwrap();
            }
            Step::Flush => {
                redis::cmd("FLUSHALL").query_async::<()>(on).await.unwrap();
                self.model.flush();
            }
        }
    }

    /// A time of Redis as the model has it.
    fn time(&self, real: u64) -> u64 {
        let step = self.took.iter().position(|(start, end)| (*start..=*end).contains(&real));
        step.map_or(real, |step| (step as u64 + 1) * 1000)
    }

    fn until(&self, real: u64) -> u64 {
        let linger = [1_000_000_000, 2_000_000_000]
            .into_iter()
            .find(|linger| real.checked_sub(*linger).is_some_and(|start| self.time(start) != start));
        linger.map_or(real, |linger| self.time(real - linger) + linger)
    }

    fn timed(&self, service: &ServiceRecord) -> ServiceRecord {
        ServiceRecord { since: self.time(service.since), ..service.clone() }
    }

    fn node(&self, node: &NodeRecord) -> NodeRecord {
        NodeRecord { services: node.services.iter().map(|service| self.timed(service)).collect(), ..node.clone() }
    }

    fn lingering(&self, path: &LingeringRecord) -> LingeringRecord {
        let until = path.until.map(|until| self.until(until));
        LingeringRecord { service: self.timed(&path.service), until, ..path.clone() }
    }

    fn change(&self, change: &RegistryChange) -> RegistryChange {
        let items = change.items.iter().map(|item| match item {
            NodeChange::Up(node) => NodeChange::Up(self.node(node)),
            NodeChange::Down(id, left) => {
                NodeChange::Down(id.clone(), left.iter().map(|path| self.lingering(path)).collect())
            }
        });
        let prev = if change.prev == 0 { 0 } else { self.time(change.prev) };
        RegistryChange { prev, epoch: self.time(change.epoch), items: items.collect() }
    }

    async fn compare(&mut self) {
        let registry = self.registry(0, Linger::Forever);
        let on = &mut self.connection.clone();
        let snapshot = sorted(registry.snapshot(on).await.unwrap());
        if let Some((digest, _)) = registry.by_digest(on).await.unwrap() {
            let digest = sorted(digest);
            assert_eq!((digest.epoch, digest.nodes), (snapshot.epoch, snapshot.nodes.clone()));
            assert_eq!((digest.lingering, digest.silent), (snapshot.lingering.clone(), snapshot.silent.clone()));
            self.digests += 1;
        }
        let nodes: Vec<_> = snapshot.nodes.iter().map(|node| self.node(node)).collect();
        let lingering: Vec<_> = snapshot.lingering.iter().map(|path| self.lingering(path)).collect();
        let changes = registry.changes_since(on, 0).await.unwrap().unwrap();
        let changes: Vec<_> = changes.iter().map(|change| self.change(change)).collect();
        let epoch = if snapshot.epoch == 0 { 0 } else { self.time(snapshot.epoch) };
        assert_eq!((nodes, lingering), (self.model.nodes(), self.model.lingering()));
        assert_eq!((epoch, changes), (self.model.epoch(), self.model.changes_since(0).unwrap()));
    }
}

fn sorted(mut snapshot: Snapshot) -> Snapshot {
    snapshot.nodes.sort_by(|a, b| a.id.cmp(&b.id));
    snapshot.lingering.sort_by(|a, b| (&a.app, &a.service.path).cmp(&(&b.app, &b.service.path)));
    snapshot
}

#[test]
fn the_scripts_keep_the_registry_as_the_model_does() {
    let redis = ThrowawayRedis::start().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() });
    let steps = proptest::collection::vec(step(), 1..30);
    let digests = std::cell::Cell::new(0);
    let outcome = runner.run(&steps, |steps| {
        runtime.block_on(async {
            let client = redis::Client::open(redis.url()).unwrap();
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await.unwrap();
            let (keys, model) = (Keys::new("test"), Model::new(0, 1000));
            let mut pair = Pair { connection, keys, model, took: Vec::new(), digests: 0 };
            for step in &steps {
                pair.step(step).await;
                pair.compare().await;
            }
            digests.set(digests.get() + pair.digests);
        });
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(digests.get() > 50, "only {} digests were looked at", digests.get());
}
