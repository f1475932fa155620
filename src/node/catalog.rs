//! What this node believes of the mesh: a pure state machine. Announcements and the time go in, changes come out.
//!
//! Rules, the same on every node:
//! - A path belongs to the app that has offered it longest, among those with a replica that is up. The others are
//!   *shadowed* and take over when it goes.
//! - A path whose last replica stopped or died stays callable for its app's `linger`, unless another app offers it.
//! - A path that its last replica unregistered is gone at once.
//! - A node that is missing from a registry that was lost is believed for a grace, since it will be back.

use crate::service::{Descriptor, Method};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A node as it is believed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) id: String,
    /// `KEY/APP`.
    pub(crate) app: String,
    pub(crate) key: String,
    pub(crate) info: Info,
    /// Does it take calls? One that drains does not.
    pub(crate) up: bool,
    /// How long its paths stay callable without replicas, in ms; `None` for ever.
    pub(crate) linger: Option<u64>,
    pub(crate) services: BTreeMap<String, Offer>,
}

/// What a node says of itself for people to read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Info {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) started: u64,
}

/// A service of one node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Offer {
    /// Since when its app offers it, in ms of Redis's clock.
    pub(crate) since: u64,
    pub(crate) descriptor: Arc<Descriptor>,
}

/// A path that has no replica and may still be called.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lingering {
    pub(crate) app: String,
    pub(crate) offer: Offer,
    /// When that ends, in ms; `None` for never.
    pub(crate) until: Option<u64>,
}

/// Where calls of a path go.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Route {
    /// The path as its app registered it.
    pub(crate) path: String,
    /// `KEY/APP`.
    pub(crate) app: String,
    pub(crate) since: u64,
    /// What the replicas offer taken together.
    pub(crate) descriptor: Arc<Descriptor>,
    /// The replicas that are up; none while the path lingers.
    pub(crate) replicas: BTreeSet<String>,
}

/// What became different.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// A path can be called from now on, or goes to another app, or offers something else than before.
    Service(Route),
    /// A path can no longer be called.
    ServiceRemoved(Route),
    /// The last replica of a path went, or one came back: callable all along, healthy or not.
    Health(Route),
    /// Another app offers the path of an older one, which keeps it.
    Shadowed {
        path: String,
        winner: String,
        loser: String,
    },
    NodeUp(Member),
    NodeDown(Member),
}

/// A new version of the registry, read.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Up(Member),
    Down(String),
}

/// The belief.
#[derive(Debug)]
pub(crate) struct Catalog {
    me: String,
    epoch: u64,
    /// How long nodes missing from a snapshot are still believed, in ms.
    grace: u64,
    nodes: BTreeMap<String, Member>,
    // Path, then app.
    offers: BTreeMap<String, BTreeMap<String, Offers>>,
    routes: BTreeMap<String, Route>,
    // Node id to when it stops being believed.
    missing: BTreeMap<String, u64>,
}

/// What one app offers under one path.
#[derive(Debug, Default)]
struct Offers {
    replicas: BTreeMap<String, Offer>,
    lingering: Option<Lingering>,
}

impl Offers {
    fn is_empty(&self) -> bool {
        self.replicas.is_empty() && self.lingering.is_none()
    }

    fn since(&self) -> u64 {
        let replicas = self.replicas.values().map(|offer| offer.since);
        replicas.chain(self.lingering.iter().map(|lingering| lingering.offer.since)).min().unwrap_or(u64::MAX)
    }
}

impl Catalog {
    pub(crate) fn new(me: &str, grace: u64) -> Self {
        Catalog {
            me: me.to_owned(),
            epoch: 0,
            grace,
            nodes: BTreeMap::new(),
            offers: BTreeMap::new(),
            routes: BTreeMap::new(),
            missing: BTreeMap::new(),
        }
    }

    /// The version of the registry that this belief stands for.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Member> {
        self.nodes.values()
    }

    pub(crate) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.values()
    }

    pub(crate) fn route(&self, path: &str) -> Option<&Route> {
        self.routes.get(path)
    }

    /// Another replica of `app` that is up and has this method of this path.
    pub(crate) fn replica_with(&self, app: &str, path: &str, method: &Method) -> Option<&str> {
        let replicas = &self.offers.get(path)?.get(app)?.replicas;
        let has = |offer: &Offer| offer.descriptor.methods.contains(method);
        replicas.iter().find(|(_, offer)| has(offer)).map(|(id, _)| id.as_str())
    }

    /// Takes the next version, or refuses (`None`) one that does not follow the version held: something was missed.
    pub(crate) fn apply(&mut self, prev: u64, epoch: u64, items: Vec<Item>, now: u64) -> Option<Vec<Change>> {
        if epoch <= self.epoch {
            return Some(Vec::new());
        }
        if prev != self.epoch {
            return None;
        }
        self.epoch = epoch;
        let mut changes = Vec::new();
        for item in items {
            match item {
                Item::Up(member) => self.put(member, now, &mut changes),
                Item::Down(id) => self.take(&id, now, &mut changes),
            }
        }
        Some(changes)
    }

    /// Replaces the belief by the whole registry. Nodes that are missing there are believed for the grace.
    pub(crate) fn replace(
        &mut self,
        epoch: u64,
        members: Vec<Member>,
        lingering: Vec<Lingering>,
        now: u64,
    ) -> Vec<Change> {
        self.epoch = epoch;
        let mut changes = Vec::new();
        let present: BTreeSet<String> = members.iter().map(|member| member.id.clone()).collect();
        for member in members {
            self.put(member, now, &mut changes);
        }
        for id in self.nodes.keys().filter(|id| !present.contains(*id)) {
            self.missing.entry(id.clone()).or_insert(now.saturating_add(self.grace));
        }
        for path in lingering {
            let name = path.offer.descriptor.path.clone();
            let offers = self.offers.entry(name.clone()).or_default().entry(path.app.clone()).or_default();
            if offers.replicas.is_empty() {
                offers.lingering = Some(path);
            }
            self.refresh(&name, &mut changes);
        }
        changes
    }

    /// Lets time pass: ends what lingered long enough, and the belief in nodes that did not come back.
    pub(crate) fn tick(&mut self, now: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        let gone: Vec<String> =
            self.missing.iter().filter(|(_, until)| **until <= now).map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.take(&id, now, &mut changes);
        }
        let over = |lingering: &Lingering| lingering.until.is_some_and(|until| until <= now);
        let mut ended = Vec::new();
        for (path, apps) in &mut self.offers {
            for offers in apps.values_mut() {
                if offers.lingering.as_ref().is_some_and(over) {
                    offers.lingering = None;
                    ended.push(path.clone());
                }
            }
        }
        for path in ended {
            self.refresh(&path, &mut changes);
        }
        changes
    }

    fn put(&mut self, member: Member, now: u64, changes: &mut Vec<Change>) {
        self.missing.remove(&member.id);
        let before = self.nodes.insert(member.id.clone(), member.clone());
        if before.is_none() {
            changes.push(Change::NodeUp(member.clone()));
        }
        // This node's own services are local: it does not call them through Redis.
        if member.id == self.me {
            return;
        }
        let offered = if member.up { member.services.clone() } else { BTreeMap::new() };
        let withdrawn = before.map(|before| before.services).unwrap_or_default();
        for path in withdrawn.keys().filter(|path| !offered.contains_key(*path)) {
            // A node that drains leaves its paths like one that dies; one that is up has unregistered them.
            let lingers = !member.up;
            self.drop_offer(&member, path, lingers, now);
            self.refresh(path, changes);
        }
        for (path, offer) in offered {
            let offers = self.offers.entry(path.clone()).or_default().entry(member.app.clone()).or_default();
            offers.replicas.insert(member.id.clone(), offer);
            offers.lingering = None;
            self.refresh(&path, changes);
        }
    }

    fn take(&mut self, id: &str, now: u64, changes: &mut Vec<Change>) {
        self.missing.remove(id);
        let Some(member) = self.nodes.remove(id) else { return };
        for path in member.services.keys() {
            self.drop_offer(&member, path, true, now);
            self.refresh(path, changes);
        }
        changes.push(Change::NodeDown(member));
    }

    fn drop_offer(&mut self, member: &Member, path: &str, lingers: bool, now: u64) {
        let Some(apps) = self.offers.get_mut(path) else { return };
        let Some(offers) = apps.get_mut(&member.app) else { return };
        let Some(offer) = offers.replicas.remove(&member.id) else { return };
        let until = member.linger.map(|time| now.saturating_add(time));
        if offers.replicas.is_empty() && lingers && until != Some(now) {
            offers.lingering = Some(Lingering { app: member.app.clone(), offer, until });
        }
    }

    /// Derives the route of one path anew and notes what became different.
    fn refresh(&mut self, path: &str, changes: &mut Vec<Change>) {
        if let Some(apps) = self.offers.get_mut(path) {
            apps.retain(|_, offers| !offers.is_empty());
            if apps.is_empty() {
                self.offers.remove(path);
            }
        }
        let new = self.offers.get(path).and_then(|apps| route(path, apps));
        let old = match &new {
            Some(route) => self.routes.insert(path.to_owned(), route.clone()),
            None => self.routes.remove(path),
        };
        self.note_shadow(path, old.as_ref(), new.as_ref(), changes);
        match (old, new) {
            (Some(old), None) => changes.push(Change::ServiceRemoved(old)),
            (None, Some(new)) => changes.push(Change::Service(new)),
            (Some(old), Some(new)) if old.app != new.app || old.descriptor != new.descriptor => {
                changes.push(Change::Service(new));
            }
            (Some(old), Some(new)) if old.replicas.is_empty() != new.replicas.is_empty() => {
                changes.push(Change::Health(new));
            }
            _ => {}
        }
    }

    fn note_shadow(&self, path: &str, old: Option<&Route>, new: Option<&Route>, changes: &mut Vec<Change>) {
        let (Some(new), Some(apps)) = (new, self.offers.get(path)) else { return };
        // Said once per pair: when the loser is the newest to come, or when the winner has just changed.
        let news = old.is_none_or(|old| old.app != new.app || old.replicas == new.replicas);
        for (loser, offers) in apps.iter().filter(|(app, _)| **app != new.app) {
            if news && !offers.replicas.is_empty() && offers.since() >= new.since {
                changes.push(Change::Shadowed { path: path.to_owned(), winner: new.app.clone(), loser: loser.clone() });
            }
        }
    }
}

/// The oldest app with a replica that is up; failing that, the oldest that lingers.
fn route(path: &str, apps: &BTreeMap<String, Offers>) -> Option<Route> {
    let winner = apps.iter().min_by_key(|(app, offers)| (offers.replicas.is_empty(), offers.since(), app.as_str()));
    let (app, offers) = winner?;
    let descriptor = match &offers.lingering {
        Some(lingering) if offers.replicas.is_empty() => lingering.offer.descriptor.clone(),
        _ => merged(offers.replicas.values())?,
    };
    Some(Route {
        path: path.to_owned(),
        app: app.clone(),
        since: offers.since(),
        descriptor,
        replicas: offers.replicas.keys().cloned().collect(),
    })
}

/// What replicas of several versions offer together: whoever lacks a method hands the call on.
fn merged<'a>(mut offers: impl Iterator<Item = &'a Offer>) -> Option<Arc<Descriptor>> {
    let mut merged = offers.next()?.descriptor.clone();
    for offer in offers {
        let other = &offer.descriptor;
        if *other == merged {
            continue;
        }
        let merged = Arc::make_mut(&mut merged);
        add_missing(&mut merged.methods, &other.methods);
        add_missing(&mut merged.events, &other.events);
        // Only what every replica may safely repeat may be repeated.
        merged.idempotent.retain(|method| other.idempotent.contains(method));
        for (name, value) in &other.options {
            merged.options.entry(name).or_insert_with(|| value.clone());
        }
    }
    Some(merged)
}

fn add_missing<T: Clone + PartialEq>(to: &mut Vec<T>, from: &[T]) {
    for item in from {
        if !to.contains(item) {
            to.push(item.clone());
        }
    }
}

#[cfg(test)]
mod tests;
