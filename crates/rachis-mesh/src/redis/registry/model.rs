//! The registry as its scripts keep it, without Redis: they are held against this, and so are catalogs.

use super::{Announced, Linger, LingeringRecord, NodeChange, NodeRecord, RegistryChange, ServiceRecord};
use std::collections::BTreeMap;

/// What Redis holds, and its clock.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// Redis's clock, in ms.
    pub(crate) now: u64,
    /// How many changes are kept.
    cap: usize,
    epoch: u64,
    changes: Vec<RegistryChange>,
    /// Node id to when it counts as dead.
    pub(crate) expiry: BTreeMap<String, u64>,
    nodes: BTreeMap<String, NodeRecord>,
    apps: BTreeMap<String, App>,
}

#[derive(Clone, Debug)]
struct App {
    linger: Linger,
    /// The paths of each replica.
    replicas: BTreeMap<String, Vec<String>>,
    services: BTreeMap<String, ServiceRecord>,
    /// When paths without replicas end; `None` for never.
    ends: BTreeMap<String, Option<u64>>,
}

impl Model {
    pub(crate) fn new(now: u64, cap: usize) -> Self {
        Model {
            now,
            cap,
            epoch: 0,
            changes: Vec::new(),
            expiry: BTreeMap::new(),
            nodes: BTreeMap::new(),
            apps: BTreeMap::new(),
        }
    }

    pub(crate) fn register(&mut self, id: &str, app: &str, what: &Announced, linger: Linger, ttl: u64) {
        let before = self.nodes.get(id).map(|node| node.services.clone()).unwrap_or_default();
        let offered = self.apps.entry(app.to_owned()).or_insert_with(|| App {
            linger,
            replicas: BTreeMap::new(),
            services: BTreeMap::new(),
            ends: BTreeMap::new(),
        });
        offered.linger = linger;
        let mut services = BTreeMap::new();
        for (path, descriptor) in &what.services {
            let ended = offered.ends.remove(path).flatten().is_some_and(|until| until <= self.now);
            let known = offered.services.get(path).filter(|_| !ended).map(|service| service.since);
            let since = known.unwrap_or(self.now);
            let service = ServiceRecord { path: path.clone(), since, descriptor: descriptor.clone() };
            offered.services.insert(path.clone(), service.clone());
            services.insert(path.clone(), service);
        }
        offered.replicas.insert(id.to_owned(), services.keys().cloned().collect());
        let gone: Vec<String> =
            before.into_iter().map(|service| service.path).filter(|path| !services.contains_key(path)).collect();
        self.drop_paths(app, id, &gone, true);
        let node = NodeRecord {
            id: id.to_owned(),
            app: app.to_owned(),
            head: what.head.clone(),
            state: what.state.clone(),
            services: services.into_values().collect(),
        };
        self.nodes.insert(id.to_owned(), node.clone());
        self.expiry.insert(id.to_owned(), self.now + ttl);
        self.commit(vec![NodeChange::Up(node)]);
    }

    /// `false`: the node is not known.
    pub(crate) fn beat(&mut self, id: &str, sweep: bool, ttl: u64) -> bool {
        if !self.nodes.contains_key(id) {
            return false;
        }
        self.expiry.insert(id.to_owned(), self.now + ttl);
        let mut expired: Vec<(u64, String)> = self.expiry.iter().map(|(id, until)| (*until, id.clone())).collect();
        expired.retain(|(until, _)| sweep && *until < self.now);
        expired.sort();
        let mut items = Vec::new();
        for (_, id) in expired {
            if let Some(left) = self.remove(&id) {
                items.push(NodeChange::Down(id, left));
            }
        }
        if !items.is_empty() {
            self.commit(items);
        }
        true
    }

    pub(crate) fn set_state(&mut self, id: &str, state: &str) -> bool {
        let Some(node) = self.nodes.get_mut(id) else { return false };
        state.clone_into(&mut node.state);
        let node = node.clone();
        self.commit(vec![NodeChange::Up(node)]);
        true
    }

    pub(crate) fn withdraw(&mut self, id: &str) -> bool {
        let Some(left) = self.remove(id) else { return false };
        self.commit(vec![NodeChange::Down(id.to_owned(), left)]);
        true
    }

    pub(crate) fn flush(&mut self) {
        *self = Model::new(self.now, self.cap);
    }

    /// Lets all that lingers in an app end in the past.
    pub(crate) fn end_lingering(&mut self, app: &str, at: u64) {
        if let Some(app) = self.apps.get_mut(app) {
            app.ends.values_mut().for_each(|until| *until = Some(at));
        }
    }

    pub(crate) fn lingering_paths(&self, app: &str) -> Vec<String> {
        self.apps.get(app).map(|app| app.ends.keys().cloned().collect()).unwrap_or_default()
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The newest change, as the channel carried it.
    pub(crate) fn newest(&self) -> Option<&RegistryChange> {
        self.changes.last()
    }

    pub(crate) fn changes_since(&self, epoch: u64) -> Option<Vec<RegistryChange>> {
        let mut expected = epoch;
        let mut since = Vec::new();
        for change in self.changes.iter().filter(|change| change.epoch > epoch) {
            if change.prev != expected {
                return None;
            }
            expected = change.epoch;
            since.push(change.clone());
        }
        Some(since)
    }

    /// The nodes, by id.
    pub(crate) fn nodes(&self) -> Vec<NodeRecord> {
        self.expiry.keys().filter_map(|id| self.nodes.get(id).cloned()).collect()
    }

    /// What lingers now, by app and path.
    pub(crate) fn lingering(&self) -> Vec<LingeringRecord> {
        let all = self.apps.iter().flat_map(|(name, app)| app.ends.iter().map(move |end| (name, app, end)));
        all.filter(|(_, _, (_, until))| until.is_none_or(|until| until > self.now))
            .map(|(name, app, (path, until))| app.record(name, path, *until))
            .collect()
    }

    fn remove(&mut self, id: &str) -> Option<Vec<LingeringRecord>> {
        self.expiry.remove(id)?;
        let Some(node) = self.nodes.remove(id) else { return Some(Vec::new()) };
        let paths = self.apps.get_mut(&node.app).and_then(|app| app.replicas.remove(id)).unwrap_or_default();
        Some(self.drop_paths(&node.app, id, &paths, false))
    }

    fn drop_paths(&mut self, name: &str, id: &str, paths: &[String], unregistered: bool) -> Vec<LingeringRecord> {
        let Some(app) = self.apps.get_mut(name) else { return Vec::new() };
        let mut left = Vec::new();
        for path in paths {
            let served = app.replicas.iter().any(|(other, paths)| other != id && paths.contains(path));
            if served {
                continue;
            }
            let until = match app.linger {
                _ if unregistered => Some(0),
                Linger::For(time) => Some(time.as_millis() as u64),
                Linger::Forever => None,
            };
            if until == Some(0) {
                app.services.remove(path);
                app.ends.remove(path);
            } else {
                let until = until.map(|linger| self.now + linger);
                app.ends.insert(path.clone(), until);
                left.push(app.record(name, path, until));
            }
        }
        left
    }

    fn commit(&mut self, items: Vec<NodeChange>) {
        let prev = self.epoch;
        self.epoch = self.now.max(prev + 1);
        self.changes.push(RegistryChange { prev, epoch: self.epoch, items });
        let surplus = self.changes.len().saturating_sub(self.cap);
        self.changes.drain(..surplus);
    }
}

impl App {
    fn record(&self, name: &str, path: &str, until: Option<u64>) -> LingeringRecord {
        LingeringRecord { app: name.to_owned(), service: self.services[path].clone(), until }
    }
}
