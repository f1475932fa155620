//! Brings the catalog up to date: takes in changes as they are told, and reads what was missed.

use super::{change_feed::ChangeFeed, records::Records};
use crate::{
    node::{
        catalog::SharedCatalog,
        events::{Takeover, receiver::EventReceiver},
        shared::clock::Clock,
    },
    redis::{
        Failure,
        connection::pool::Admin,
        keys::Keys,
        registry::{self, Look, NodeRecord, Registry},
    },
    wire,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// Keeps the catalog of a node true.
pub(crate) struct CatalogSync {
    pub(crate) observer: bool,
    pub(crate) catalog: SharedCatalog,
    pub(crate) registry: Registry,
    pub(crate) admin: Admin,
    pub(crate) keys: Keys,
    pub(crate) clock: Arc<Clock>,
    pub(crate) records: Records,
    /// Hears events that came ahead of the change that lets them be believed.
    pub(crate) event_receiver: Arc<EventReceiver>,
    pub(crate) changes: ChangeFeed,
    /// `true` if a living node signs its frames, while this one has no secret.
    pub(crate) foreign: AtomicBool,
}

impl CatalogSync {
    pub(super) async fn take_in(&self, news: Vec<registry::RegistryChange>) {
        if !self.apply(news) {
            self.catch_up().await;
        }
    }

    /// Takes these changes into the catalog; `false` where one does not join on, and it and those behind it are left.
    fn apply(&self, news: Vec<registry::RegistryChange>) -> bool {
        let mut changes = Vec::new();
        let mut whole = true;
        for change in news {
            if change.epoch <= self.catalog.lock().epoch() {
                continue;
            }
            let items = change.items.into_iter().filter_map(|item| self.records.item(item)).collect();
            let applied = self.catalog.lock().apply(change.prev, change.epoch, items, self.clock.now());
            match applied {
                Some(applied) => {
                    self.event_receiver.taken_over(&applied, Takeover::at(change.epoch));
                    changes.extend(applied);
                }
                None => {
                    whole = false;
                    break;
                }
            }
        }
        self.changes.broadcast(changes);
        whole
    }

    /// Reads what was missed: the changes where they join on, else everything.
    pub(crate) async fn catch_up(&self) {
        if let Err(error) = self.try_catch_up().await {
            tracing::debug!(%error, "the registry could not be read, trying again with the next beat");
        }
    }

    async fn try_catch_up(&self) -> Result<(), Failure> {
        let mut connection = self.admin.get(&self.keys.registry()).await?;
        let held = self.catalog.lock().epoch();
        // Asked first: what is changed from here on is news, not a gap for which everything would have to be read.
        let epoch = self.registry.epoch(&mut connection).await?;
        if (1..=epoch).contains(&held)
            && let Some(missed) = self.registry.changes_since(&mut connection, held).await?
            && self.apply(missed)
            && self.catalog.lock().epoch() >= epoch
        {
            return Ok(());
        }
        drop(connection);
        self.read_anew().await
    }

    /// Reads the whole registry; returns `false` if it could not.
    pub(super) async fn reread(&self) -> bool {
        let told = |error: &Failure| tracing::debug!(%error, "the registry could not be read, trying again with the next beat");
        self.read_anew().await.inspect_err(told).is_ok()
    }

    /// Reads the whole registry.
    pub(crate) async fn read_anew(&self) -> Result<(), Failure> {
        let mut connection = self.admin.get(&self.keys.registry()).await?;
        let snapshot = self.registry.read(&mut connection).await?;
        let lives = |record: &NodeRecord| !snapshot.silent.contains(&record.id);
        let signs = |record: &NodeRecord| wire::is_signed(&record.head);
        let foreign = !self.records.signs() && snapshot.nodes.iter().any(|record| lives(record) && signs(record));
        self.foreign.store(foreign, Ordering::Relaxed);
        // Nodes wait for the one that sweeps to tell of the dead. An observer may be the only one left to see it.
        let believed = |record: &NodeRecord| lives(record) || !self.observer;
        let members =
            snapshot.nodes.into_iter().filter(believed).filter_map(|record| self.records.member(record)).collect();
        let lingering = snapshot.lingering.into_iter().filter_map(|record| self.records.lingering(record)).collect();
        let (held, changes) = {
            let mut catalog = self.catalog.lock();
            (catalog.epoch(), catalog.replace(snapshot.epoch, members, lingering, snapshot.now))
        };
        self.event_receiver.taken_over(&changes, Takeover::between(held, snapshot.epoch));
        self.changes.broadcast(changes);
        Ok(())
    }

    /// Ends what lingers no longer.
    pub(super) fn tick(&self) {
        let changes = self.catalog.lock().tick(self.clock.now());
        self.changes.broadcast(changes);
    }

    /// Returns `true` if a living node signs its frames, while this one has no secret.
    pub(crate) fn is_foreign(&self) -> bool {
        self.foreign.load(Ordering::Relaxed)
    }

    /// Reads everything; returns which nodes have been silent for too long.
    pub(crate) async fn first_look(&self) -> Result<Look, Failure> {
        let look = self.look().await?;
        self.read_anew().await?;
        Ok(look)
    }

    /// Asks for the version of the registry, and sets the clock.
    pub(crate) async fn look(&self) -> Result<Look, Failure> {
        let mut connection = self.admin.get(&self.keys.registry()).await?;
        let asked = Instant::now();
        let look = self.registry.look(&mut connection).await?;
        self.clock.set(look.beat.now, asked.elapsed());
        Ok(look)
    }
}
