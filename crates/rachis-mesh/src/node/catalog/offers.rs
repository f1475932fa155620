//! What apps offer under one path, and where its calls go by that.

use super::types::{Lingering, Offer, Route};
use rachis_core::Descriptor;
use std::{collections::BTreeMap, sync::Arc};

/// What one app offers under one path.
#[derive(Debug, Default)]
pub(super) struct Offers {
    /// By node id.
    pub(super) replicas: BTreeMap<String, Offer>,
    /// Of replicas that take no calls any more and are not gone yet.
    pub(super) draining: BTreeMap<String, Offer>,
    /// Counts only where there is neither. A pointer, since it is seldom there, and a tree has room for eleven of these.
    pub(super) lingering: Option<Box<Lingering>>,
}

impl Offers {
    pub(super) fn is_empty(&self) -> bool {
        self.deciding().next().is_none()
    }

    pub(super) fn since(&self) -> u64 {
        self.deciding().map(|offer| offer.since).min().unwrap_or(u64::MAX)
    }

    /// The offers that say what the app offers: those of its replicas, else what is left of them.
    fn deciding(&self) -> impl Iterator<Item = &Offer> {
        let present = if self.replicas.is_empty() { &self.draining } else { &self.replicas };
        let lingering = self.lingering.iter().filter(|_| present.is_empty()).map(|lingering| &lingering.offer);
        present.values().chain(lingering)
    }

    pub(super) fn forget(&mut self, node: &str) {
        self.replicas.remove(node);
        self.draining.remove(node);
    }

    /// Returns `true` if a replica other than `node` offers it.
    pub(super) fn has_other_than(&self, node: &str) -> bool {
        self.replicas.keys().chain(self.draining.keys()).any(|other| other != node)
    }
}

/// The oldest app with a replica that is up; failing that, the oldest that lingers.
pub(super) fn route(path: &str, apps: &BTreeMap<String, Offers>) -> Option<Route> {
    let winner = apps.iter().min_by_key(|(app, offers)| (offers.replicas.is_empty(), offers.since(), app.as_str()));
    let (app, offers) = winner?;
    let descriptor = merged(offers.deciding())?;
    Some(Route {
        path: path.to_owned(),
        app: app.clone(),
        since: offers.since(),
        descriptor,
        replicas: offers.replicas.keys().cloned().collect(),
    })
}

/// What replicas of several versions offer together: a replica that lacks a method hands the call off.
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
