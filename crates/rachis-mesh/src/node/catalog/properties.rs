//! Whatever happens in the mesh, and whatever a node hears of it: in the end it believes what the registry says.

use super::*;
use crate::redis::registry::{self, Announced, Linger, LingeringRecord, NodeRecord, ServiceRecord, model::Model};
use proptest::prelude::*;
use rachis_core::Descriptor;
use std::{collections::VecDeque, time::Duration};

/// What time is counted in here. Redis can not lose its data and have them again within the same millisecond, so a clock
/// that was set back never shows a time that it has shown: each time has a remainder of its own.
const UNIT: u64 = 10_000_000;
const REMAINDER: u64 = 10_000;
const TTL: u64 = 60 * UNIT;
const GRACE: u64 = 120 * UNIT;
/// Longer than the grace and every linger that ends, in units.
const LONG: u64 = 1000;
const PATHS: [&str; 3] = ["a", "b/c", "d"];
const LINGERS: [Option<u64>; 4] = [Some(0), Some(30 * UNIT), Some(500 * UNIT), None];
const NODES: usize = 5;

#[derive(Clone, Debug)]
enum Step {
    /// Which node, which version of each path (0: not offered), which linger.
    Register(usize, [u8; 3], usize),
    Drain(usize),
    Withdraw(usize),
    /// It beats no more.
    Die(usize),
    /// All that live beat, and those that may judge sweep.
    Beats(bool),
    /// Redis loses everything.
    Flush,
    /// The clock goes on, or is set back, by so many units.
    Forward(u64),
    Back(u64),
    /// The next message comes.
    Hear,
    /// It is lost.
    Lose,
    /// It comes again later.
    Repeat,
    /// The one behind it comes first.
    Swap,
    /// From here on changes are held back.
    Hold,
    /// Those that were are told, one behind the other.
    Tell,
    /// The node's own beat: compares the version with the one it holds.
    Compare,
    Tick,
    /// The whole registry is read, while these things happen.
    Read(Vec<Step>, Vec<Step>),
}

/// What happens in the mesh, with how often: the last number is for what needs a grace to be overcome.
fn happens(unkind: u32) -> BoxedStrategy<Step> {
    let node = || 0..NODES;
    let kind = prop_oneof![
        6 => (node(), [0..3u8, 0..3u8, 0..3u8], 0..LINGERS.len()).prop_map(|(node, paths, linger)| Step::Register(node, paths, linger)),
        2 => node().prop_map(Step::Drain),
        3 => node().prop_map(Step::Withdraw),
        2 => node().prop_map(Step::Die),
        4 => any::<bool>().prop_map(Step::Beats),
        4 => (1..60u64).prop_map(Step::Forward),
    ];
    match unkind {
        0 => kind.boxed(),
        weight => prop_oneof![
            20 => kind,
            weight => Just(Step::Flush),
            weight => (1..LONG).prop_map(Step::Back),
        ]
        .boxed(),
    }
}

fn steps(unkind: u32) -> impl Strategy<Value = Vec<Step>> {
    let some = || proptest::collection::vec(happens(unkind), 0..3);
    let read = (some(), some()).prop_map(|(first, second)| Step::Read(first, second));
    let step = prop_oneof![
        12 => happens(unkind),
        6 => Just(Step::Hear),
        2 => Just(Step::Lose),
        2 => Just(Step::Repeat),
        2 => Just(Step::Swap),
        1 => Just(Step::Hold),
        2 => Just(Step::Tell),
        2 => Just(Step::Compare),
        2 => Just(Step::Tick),
        unkind => read,
    ];
    proptest::collection::vec(step, 0..60)
}

/// A process, as it would announce itself.
struct Process {
    id: String,
    app: String,
    alive: bool,
    linger: Option<u64>,
    services: Vec<(String, Vec<u8>)>,
}

impl Process {
    fn register(&self, registry: &mut Model) {
        let head = self.linger.map_or_else(|| "inf".to_owned(), |linger| linger.to_string()).into_bytes();
        let what = Announced { head, state: "up".into(), services: self.services.clone(), schemas: String::new() };
        let linger = self.linger.map_or(Linger::Forever, |linger| Linger::For(Duration::from_millis(linger)));
        registry.register(&self.id, &self.app, &what, linger, TTL);
    }
}

/// The registry, the processes, and one node that listens.
struct World {
    registry: Model,
    processes: Vec<Process>,
    channel: VecDeque<Vec<registry::RegistryChange>>,
    held: Vec<registry::RegistryChange>,
    holds: bool,
    said: u64,
    catalog: Catalog,
}

impl World {
    fn new(kept: usize) -> Self {
        let process = |number: usize| Process {
            id: format!("node-{number}"),
            app: format!("default/{}", number % 2),
            alive: false,
            linger: None,
            services: Vec::new(),
        };
        World {
            registry: Model::new(1_000_000 * UNIT, kept),
            processes: (0..NODES).map(process).collect(),
            channel: VecDeque::new(),
            held: Vec::new(),
            holds: false,
            said: 0,
            catalog: Catalog::new("node-0", GRACE),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Hear => {
                let bundle = self.channel.pop_front().unwrap_or_default();
                self.take_in(bundle);
            }
            Step::Lose => drop(self.channel.pop_front()),
            Step::Repeat => {
                let again = self.channel.front().cloned();
                self.channel.extend(again);
            }
            Step::Swap if self.channel.len() > 1 => self.channel.swap(0, 1),
            Step::Swap => {}
            Step::Hold => self.holds = true,
            Step::Tell => self.tell(),
            Step::Compare => self.compare(),
            Step::Tick => drop(self.catalog.tick(self.registry.now)),
            Step::Read(first, second) => self.read(first, second),
            step => self.happen(step),
        }
    }

    /// A step of the mesh, of which the channel may then tell.
    fn happen(&mut self, step: &Step) {
        let registry = &mut self.registry;
        match step {
            Step::Register(node, versions, linger) => {
                let process = &mut self.processes[*node];
                let offered = PATHS.iter().zip(versions).filter(|(_, version)| **version > 0);
                process.services = offered.map(|(path, version)| ((*path).to_owned(), vec![*version])).collect();
                process.linger = LINGERS[*linger];
                process.alive = true;
                process.register(registry);
            }
            Step::Drain(node) => drop(registry.set_state(&self.processes[*node].id, "draining")),
            Step::Withdraw(node) => {
                self.processes[*node].alive = false;
                registry.withdraw(&self.processes[*node].id);
            }
            Step::Die(node) => self.processes[*node].alive = false,
            Step::Beats(sweep) => {
                for process in self.processes.iter().filter(|process| process.alive) {
                    if !registry.beat(&process.id, *sweep, TTL) {
                        process.register(registry);
                    }
                    self.said = say(registry, &mut self.held, self.said);
                }
            }
            Step::Flush => {
                registry.flush();
                registry.now += REMAINDER;
            }
            Step::Forward(units) => registry.now += units * UNIT,
            Step::Back(units) => registry.now = registry.now - units * UNIT + REMAINDER,
            _ => {}
        }
        self.said = say(&self.registry, &mut self.held, self.said);
        if !self.holds {
            self.tell();
        }
    }

    fn tell(&mut self) {
        self.holds = false;
        let bundle = std::mem::take(&mut self.held);
        self.channel.extend((!bundle.is_empty()).then_some(bundle));
    }

    fn take_in(&mut self, bundle: Vec<registry::RegistryChange>) {
        if !bundle.into_iter().all(|change| self.apply(change)) {
            self.catch_up();
        }
    }

    fn apply(&mut self, change: registry::RegistryChange) -> bool {
        let items = change.items.into_iter().map(item).collect();
        self.catalog.apply(change.prev, change.epoch, items, self.registry.now).is_some()
    }

    fn compare(&mut self) {
        if self.registry.epoch() != self.catalog.epoch() {
            self.catch_up();
        }
    }

    /// As discovery does it.
    fn catch_up(&mut self) {
        let epoch = self.catalog.epoch();
        if epoch > 0
            && let Some(missed) = self.registry.changes_since(epoch)
        {
            for change in missed {
                self.apply(change);
            }
            if self.registry.epoch() == self.catalog.epoch() {
                return;
            }
        }
        self.read(&[], &[]);
    }

    /// The version is read first, then the nodes, then what lingers.
    fn read(&mut self, first: &[Step], second: &[Step]) {
        let epoch = self.registry.epoch();
        let now = self.registry.now;
        first.iter().for_each(|step| self.happen(step));
        let members = self.registry.nodes().into_iter().map(member).collect();
        second.iter().for_each(|step| self.happen(step));
        let paths = self.registry.lingering().into_iter().map(lingering).collect();
        self.catalog.replace(epoch, members, paths, now);
    }

    /// What a node that has just come believes.
    fn newcomer(&self) -> Catalog {
        let mut catalog = Catalog::new("node-0", GRACE);
        let members = self.registry.nodes().into_iter().map(member).collect();
        let paths = self.registry.lingering().into_iter().map(lingering).collect();
        catalog.replace(self.registry.epoch(), members, paths, self.registry.now);
        catalog
    }

    fn agree(&mut self) -> Result<(), TestCaseError> {
        let newcomer = self.newcomer();
        prop_assert_eq!(&self.catalog.nodes, &newcomer.nodes);
        prop_assert_eq!(&self.catalog.routes, &newcomer.routes);
        prop_assert_eq!(waiting(&self.catalog), waiting(&newcomer));
        prop_assert_eq!(self.catalog.epoch(), newcomer.epoch());
        prop_assert!(self.catalog.missing.is_empty());
        Ok(())
    }
}

/// Puts the newest change to what is to be told, unless it was said already.
fn say(registry: &Model, held: &mut Vec<registry::RegistryChange>, said: u64) -> u64 {
    match registry.newest() {
        Some(change) if change.epoch != said => {
            held.push(change.clone());
            change.epoch
        }
        _ => said,
    }
}

/// The paths without replicas and when they end, of every app: routes only show the first.
fn waiting(catalog: &Catalog) -> Vec<(&str, &str, Option<u64>)> {
    let all = catalog.offers.iter().flat_map(|(path, apps)| apps.iter().map(move |(app, offers)| (path, app, offers)));
    all.filter(|(_, _, offers)| offers.replicas.is_empty() && offers.draining.is_empty())
        .filter_map(|(path, app, offers)| Some((path.as_str(), app.as_str(), offers.lingering.as_ref()?.until)))
        .collect()
}

fn item(item: registry::NodeChange) -> CatalogUpdate {
    match item {
        registry::NodeChange::Up(node) => CatalogUpdate::Up(member(node)),
        registry::NodeChange::Down(id, left) => CatalogUpdate::Down(id, left.into_iter().map(lingering).collect()),
    }
}

fn member(node: NodeRecord) -> Member {
    Member {
        key: "default".into(),
        info: Info::default(),
        up: node.state == "up",
        linger: String::from_utf8(node.head).unwrap().parse().ok(),
        partitions: 1,
        services: node.services.iter().map(|service| (service.path.clone(), offer(service))).collect(),
        id: node.id,
        app: node.app,
    }
}

fn lingering(path: LingeringRecord) -> Lingering {
    Lingering { offer: offer(&path.service), app: path.app, until: path.until }
}

/// Two versions of a service differ in their methods.
fn offer(service: &ServiceRecord) -> Offer {
    let methods = match service.descriptor[..] {
        [1] => vec![Method::Get],
        _ => vec![Method::Find, Method::Get],
    };
    let events = Vec::new();
    let idempotent = Vec::new();
    let descriptor =
        Descriptor { path: service.path.clone(), methods, events, idempotent, options: Default::default() };
    Offer { since: service.since, descriptor: Arc::new(descriptor) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_heard_of_the_mesh_one_beat_brings_the_belief_of_the_registry(steps in steps(0)) {
        let mut world = World::new(usize::MAX);
        steps.iter().for_each(|step| world.step(step));
        world.compare();
        world.catalog.tick(world.registry.now);
        world.agree()?;
    }

    #[test]
    fn after_lost_data_wrong_clocks_and_gaps_the_belief_becomes_that_of_the_registry(steps in steps(2), kept in 1..8usize) {
        let mut world = World::new(kept);
        steps.iter().for_each(|step| world.step(step));
        // Whatever clocks did, in the end time passes; the dead are swept, and what lingers ends.
        let jumped = steps.iter().map(|step| if let Step::Back(units) = step { *units } else { LONG }).sum::<u64>();
        // A node that listens is on the mesh itself.
        world.processes[0].alive = true;
        world.step(&Step::Beats(false));
        world.compare();
        for units in [jumped + LONG, LONG, LONG] {
            world.happen(&Step::Forward(units));
            // No living node is judged for having been away.
            world.happen(&Step::Beats(false));
            world.happen(&Step::Beats(true));
            world.compare();
            world.catalog.tick(world.registry.now);
        }
        world.agree()?;
    }
}
