//! What this node believes of the mesh: a pure state machine. Announcements and the time go in, changes come out.
//!
//! Rules, the same on every node:
//! - A path belongs to the app that has offered it longest, among those with a replica that is up. The others are
//!   *shadowed* and take over when it goes.
//! - A path whose last replica stopped or died stays callable for its app's `linger`, unless another app offers it. Until
//!   when is decided by the registry alone, so that all nodes believe the same. One whose last replica drains stays
//!   callable as long as that takes.
//! - A path that its last replica unregistered is gone at once.
//! - A node that is missing from a registry that was lost is believed for a grace, since it will be back. What the
//!   registry does not know ends by itself: a path after its linger, or after the grace where it would linger for ever.

mod offers;
mod types;

pub(crate) use types::{CatalogChange, CatalogUpdate, Info, Lingering, Member, Offer, Route};

use offers::{Offers, route};
use parking_lot::Mutex;
use rachis_core::Method;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The catalog of a node, shared by what reads it and what keeps it true.
pub(crate) type SharedCatalog = Arc<Mutex<Catalog>>;

/// The state of the mesh as this node believes it.
#[derive(Debug)]
pub(crate) struct Catalog {
    me: String,
    epoch: u64,
    /// How long nodes missing from a snapshot are still believed, in ms.
    grace: u64,
    // Shared with the changes that tell of them: a node in a mesh of a thousand hears of each of them.
    nodes: BTreeMap<String, Arc<Member>>,
    // Path, then app.
    offers: BTreeMap<String, BTreeMap<String, Offers>>,
    routes: BTreeMap<String, Arc<Route>>,
    // Node id to when it stops being believed.
    missing: BTreeMap<String, u64>,
    // Paths of which something may linger until a certain time: not to look at all of them again and again.
    ending: BTreeSet<String>,
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
            ending: BTreeSet::new(),
        }
    }

    /// The version of the registry that this belief stands for.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Member> {
        self.nodes.values().map(Arc::as_ref)
    }

    /// Over how many streams the calls of a route are spread: as few as any of its replicas says, so that each reads all of
    /// them. While it has none, its calls wait in the one stream that every replica reads. A node says the same for
    /// all its life, so this changes only with the route.
    pub(crate) fn partitions(&self, route: &Route) -> usize {
        let replicas = route.replicas.iter().filter_map(|id| self.nodes.get(id));
        replicas.map(|member| member.partitions).min().unwrap_or(1)
    }

    /// The most that any replica of `app` says, or said before it began to leave: in so many there may be requests.
    pub(crate) fn most_partitions(&self, app: &str) -> usize {
        let replicas = self.nodes.values().filter(|member| member.app == app);
        replicas.map(|member| member.partitions).max().unwrap_or(1)
    }

    pub(crate) fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.values()
    }

    pub(crate) fn route(&self, path: &str) -> Option<&Arc<Route>> {
        self.routes.get(path)
    }

    /// Another replica of `app` that is up and has this method of this path.
    pub(crate) fn replica_with(&self, app: &str, path: &str, method: &Method) -> Option<&str> {
        let replicas = &self.offers.get(path)?.get(app)?.replicas;
        let has = |offer: &Offer| offer.descriptor.methods.contains(method);
        replicas.iter().find(|(_, offer)| has(offer)).map(|(id, _)| id.as_str())
    }

    /// Takes the next version, or refuses (`None`) one that does not follow the version held: something was missed.
    pub(crate) fn apply(
        &mut self,
        prev: u64,
        epoch: u64,
        items: Vec<CatalogUpdate>,
        now: u64,
    ) -> Option<Vec<CatalogChange>> {
        if epoch <= self.epoch {
            return Some(Vec::new());
        }
        // Version 0 is that of every registry without data: it is followed only where nothing is believed.
        let believes = !self.nodes.is_empty() || !self.offers.is_empty();
        if prev != self.epoch || (prev == 0 && believes) {
            return None;
        }
        self.epoch = epoch;
        let mut changes = Vec::new();
        for item in items {
            match item {
                CatalogUpdate::Up(member) => self.put(member, &mut changes),
                CatalogUpdate::Down(id, lingering) => self.take(&id, lingering, now, &mut changes),
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
    ) -> Vec<CatalogChange> {
        self.epoch = epoch;
        let mut changes = Vec::new();
        let present: BTreeSet<String> = members.iter().map(|member| member.id.clone()).collect();
        for member in members {
            self.put(member, &mut changes);
        }
        for id in self.nodes.keys().filter(|id| !present.contains(*id)) {
            self.missing.entry(id.clone()).or_insert(now.saturating_add(self.grace));
        }
        self.doubt_lingering(&lingering, now);
        for path in lingering {
            self.linger(path, now, &mut changes);
        }
        changes
    }

    /// What lingers for ever, and the registry does not know it, ends with the grace.
    fn doubt_lingering(&mut self, known: &[Lingering], now: u64) {
        let known: BTreeSet<(&str, &str)> =
            known.iter().map(|path| (path.offer.descriptor.path.as_str(), path.app.as_str())).collect();
        for (path, apps) in &mut self.offers {
            for (app, offers) in apps {
                if let Some(lingering) = &mut offers.lingering
                    && !known.contains(&(path.as_str(), app.as_str()))
                {
                    lingering.until.get_or_insert(now.saturating_add(self.grace));
                    self.ending.insert(path.clone());
                }
            }
        }
    }

    /// Returns `true` if anything is to end by itself as time passes.
    pub(crate) fn waits(&self) -> bool {
        !self.missing.is_empty() || !self.ending.is_empty()
    }

    /// Lets time pass: ends what lingered long enough, and the belief in nodes that did not come back.
    pub(crate) fn tick(&mut self, now: u64) -> Vec<CatalogChange> {
        let mut changes = Vec::new();
        let gone: Vec<String> =
            self.missing.iter().filter(|(_, until)| **until <= now).map(|(id, _)| id.clone()).collect();
        for id in gone {
            let left = self.left_by(&id, now);
            self.take(&id, left, now, &mut changes);
        }
        for path in std::mem::take(&mut self.ending) {
            let mut ended = false;
            let mut waits = false;
            for offers in self.offers.get_mut(&path).into_iter().flat_map(BTreeMap::values_mut) {
                match offers.lingering.as_ref().and_then(|lingering| lingering.until) {
                    Some(until) if until <= now => {
                        offers.lingering = None;
                        ended = true;
                    }
                    Some(_) => waits = true,
                    None => {}
                }
            }
            if ended {
                self.refresh(&path, &mut changes);
            }
            if waits {
                self.ending.insert(path);
            }
        }
        changes
    }

    /// What lingers of a node of which the registry has said nothing: the paths that no other replica of its app
    /// offers.
    fn left_by(&self, id: &str, now: u64) -> Vec<Lingering> {
        let Some(member) = self.nodes.get(id) else { return Vec::new() };
        let until = now.saturating_add(member.linger.unwrap_or(self.grace));
        let alone = |path: &str| {
            let offers = self.offers.get(path).and_then(|apps| apps.get(&member.app));
            offers.is_some_and(|offers| offers.lingering.is_none() && !offers.has_other_than(id))
        };
        let left = member.services.iter().filter(|(path, _)| alone(path));
        let lingering = |offer: &Offer| Lingering { app: member.app.clone(), offer: offer.clone(), until: Some(until) };
        left.map(|(_, offer)| lingering(offer)).collect()
    }

    fn put(&mut self, member: Member, changes: &mut Vec<CatalogChange>) {
        self.missing.remove(&member.id);
        let member = Arc::new(member);
        let before = self.nodes.insert(member.id.clone(), member.clone());
        if before.is_none() {
            changes.push(CatalogChange::NodeUp(member.clone()));
        }
        let own = member.id == self.me;
        let withdrawn = before.iter().flat_map(|before| before.services.keys());
        for path in withdrawn.filter(|path| !member.services.contains_key(*path)) {
            self.drop_offer(&member, path);
            self.refresh(path, changes);
        }
        for (path, offer) in &member.services {
            let offers = self.offers.entry(path.clone()).or_default().entry(member.app.clone()).or_default();
            offers.lingering = None;
            offers.forget(&member.id);
            // This node's own services are local: it does not call them through Redis.
            if !own && member.up {
                offers.replicas.insert(member.id.clone(), offer.clone());
            } else if !own && member.linger != Some(0) {
                offers.draining.insert(member.id.clone(), offer.clone());
            }
            self.refresh(path, changes);
        }
    }

    fn take(&mut self, id: &str, lingering: Vec<Lingering>, now: u64, changes: &mut Vec<CatalogChange>) {
        self.missing.remove(id);
        let member = self.nodes.remove(id);
        if let Some(member) = &member {
            for path in member.services.keys() {
                self.drop_offer(member, path);
            }
        }
        for path in lingering {
            self.linger(path, now, changes);
        }
        let Some(member) = member else { return };
        for path in member.services.keys() {
            self.refresh(path, changes);
        }
        changes.push(CatalogChange::NodeDown(member));
    }

    fn drop_offer(&mut self, member: &Member, path: &str) {
        if let Some(offers) = self.offers.get_mut(path).and_then(|apps| apps.get_mut(&member.app)) {
            offers.forget(&member.id);
        }
    }

    /// Notes what the registry says of a path without replicas.
    fn linger(&mut self, path: Lingering, now: u64, changes: &mut Vec<CatalogChange>) {
        if path.until.is_some_and(|until| until <= now) {
            return;
        }
        let name = path.offer.descriptor.path.clone();
        if path.until.is_some() {
            self.ending.insert(name.clone());
        }
        let offers = self.offers.entry(name.clone()).or_default().entry(path.app.clone()).or_default();
        offers.lingering = Some(Box::new(path));
        self.refresh(&name, changes);
    }

    /// Derives the route of one path anew and notes what became different.
    fn refresh(&mut self, path: &str, changes: &mut Vec<CatalogChange>) {
        if let Some(apps) = self.offers.get_mut(path) {
            apps.retain(|_, offers| !offers.is_empty());
            if apps.is_empty() {
                self.offers.remove(path);
            }
        }
        let new = self.offers.get(path).and_then(|apps| route(path, apps)).map(Arc::new);
        let old = match &new {
            Some(route) => self.routes.insert(path.to_owned(), route.clone()),
            None => self.routes.remove(path),
        };
        self.note_shadow(path, old.as_deref(), new.as_deref(), changes);
        match (old, new) {
            (Some(old), None) => changes.push(CatalogChange::ServiceRemoved(old)),
            (None, Some(new)) => changes.push(CatalogChange::Service(new)),
            (Some(old), Some(new)) if old.app != new.app || old.descriptor != new.descriptor => {
                changes.push(CatalogChange::Service(new));
            }
            (Some(old), Some(new)) if old.replicas.is_empty() != new.replicas.is_empty() => {
                changes.push(CatalogChange::Health(new));
            }
            _ => {}
        }
    }

    fn note_shadow(&self, path: &str, old: Option<&Route>, new: Option<&Route>, changes: &mut Vec<CatalogChange>) {
        let (Some(new), Some(apps)) = (new, self.offers.get(path)) else { return };
        // Said once per pair: when the loser is the newest to come, or when the winner has just changed.
        let news = old.is_none_or(|old| old.app != new.app || old.replicas == new.replicas);
        for (loser, offers) in apps.iter().filter(|(app, _)| **app != new.app) {
            if news && !offers.replicas.is_empty() && offers.since() >= new.since {
                changes.push(CatalogChange::Shadowed {
                    path: path.to_owned(),
                    winner: new.app.clone(),
                    loser: loser.clone(),
                });
            }
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
