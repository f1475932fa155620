//! What this node says of itself.

use crate::{
    node::{Inner, ask::unreachable, discovery::publish},
    redis::{Failure, connection::Trouble, registry::Announced},
    wire::{Announcement, Frame},
};
use rachis_core::Result;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

impl Inner {
    /// Writes what this node offers, unless it is an observer; says whether Redis has all it should.
    pub(crate) async fn announce(&self, with_services: bool) -> bool {
        if self.observer {
            return true;
        }
        let published = match with_services {
            true => publish::published(&self.app.registered(), &self.live.load(), &self.filters, &self.app_name),
            false => BTreeMap::new(),
        };
        // Callable before it is known, so that no early call is refused.
        self.published.store(Arc::new(published));
        let before = self.connector.trouble();
        match self.register().await {
            Ok(()) => {
                self.connector.forget_trouble();
                true
            }
            // A node that starts tries on every 100 ms.
            Err(error) if before.is_some() && before == self.connector.trouble() => {
                tracing::debug!(%error, "this node still can not be announced");
                false
            }
            Err(error) => {
                tracing::warn!(%error, "this node could not be announced, trying again with the next beat");
                false
            }
        }
    }

    async fn register(&self) -> Result<()> {
        let announced = self.announcement()?;
        let unreachable = |error: Failure| {
            self.connector.note_trouble(Trouble::of(&error));
            unreachable(error)
        };
        self.partitions.regroup(self).await.map_err(unreachable)?;
        let mut connection = self.admin.get(&self.keys.registry()).await.map_err(unreachable)?;
        let asked = Instant::now();
        let registered = self.registry.register(&mut connection, &announced).await.map_err(unreachable)?;
        self.clock.set(registered.now, asked.elapsed());
        if let Some(wait) = registered.promise.wait() {
            let (registry, admin) = (self.registry.clone(), self.admin.clone());
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                // Where that fails, the next beat of any node tells.
                if let Ok(connection) = admin.get(&registry.key()).await {
                    registry.tell_after(Duration::ZERO, connection).await;
                }
            });
        }
        if !registered.known {
            self.rpc.recovery().forgotten();
        }
        tracing::debug!(epoch = registered.epoch, services = announced.services.len(), "announced");
        Ok(())
    }

    fn announcement(&self) -> Result<Announced> {
        let head = Announcement {
            key: self.config.key.clone(),
            app: self.app_name.clone(),
            version: self.config.version.clone(),
            host: self.host.clone(),
            pid: std::process::id(),
            started: self.started,
            linger: self.linger_ms(),
            partitions: self.config.partitions,
        };
        let published = self.published.load();
        let services = published.iter().map(|(path, descriptor)| {
            let place = self.place_of_offer(&self.app_key, path);
            Ok((path.clone(), descriptor.encode(self.signer.at(&place))?))
        });
        let head = head.encode(self.signer.at(&self.keys.node(&self.id)))?;
        // Redis may have forgotten a node while it was leaving.
        let state = if self.draining.is_cancelled() { "draining" } else { "up" };
        Ok(Announced { head, state: state.into(), services: services.collect::<Result<_>>()? })
    }

    /// What a descriptor is signed for. Its app and not its node, since it stays when the node is gone.
    pub(super) fn place_of_offer(&self, app: &str, path: &str) -> String {
        format!("{}/{path}", self.keys.app(app))
    }
}
