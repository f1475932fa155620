//! What this node says of itself.

use super::{publish, records::place_of_offer};
#[cfg(feature = "schema")]
use crate::node::schemas::OwnSchemas;
use crate::{
    node::{
        client::waiting::Waiting,
        server::partitions::Partitions,
        shared::{
            clock::Clock, commands::unreachable, filters::Filters, identity::Identity, life::Life,
            live_config::LiveConfig, published::Published,
        },
    },
    redis::{
        Failure,
        connection::{Connector, Trouble, pool::Admin},
        keys::Keys,
        registry::{Announced, Registry},
    },
    wire::{Announcement, Frame, Signer},
};
use rachis_config::Linger;
use rachis_core::{App, Result};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Announces a node.
pub(crate) struct Announcer {
    pub(crate) identity: Arc<Identity>,
    pub(crate) config: Arc<LiveConfig>,
    pub(crate) app: App,
    pub(crate) filters: Filters,
    pub(crate) published: Arc<Published>,
    pub(crate) partitions: Arc<Partitions>,
    /// Learns that Redis had forgotten this node.
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) connector: Connector,
    pub(crate) admin: Admin,
    pub(crate) registry: Registry,
    pub(crate) keys: Keys,
    pub(crate) signer: Signer,
    pub(crate) clock: Arc<Clock>,
    pub(crate) life: Arc<Life>,
    #[cfg(feature = "schema")]
    pub(crate) schemas: Arc<OwnSchemas>,
}

impl Announcer {
    /// Writes what this node offers, unless it is an observer; says whether Redis has all it should.
    pub(crate) async fn announce(&self, with_services: bool) -> bool {
        if self.identity.observer {
            return true;
        }
        let published = if with_services {
            publish::published(&self.app.registered(), &self.config.load(), &self.filters, &self.identity.app_name)
        } else {
            BTreeMap::new()
        };
        // Callable before it is known, so that no early call is refused.
        self.published.replace(published);
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
        let unreachable = |error: Failure| {
            self.connector.note_trouble(Trouble::of(&error));
            unreachable(error)
        };
        self.partitions.regroup().await.map_err(unreachable)?;
        // Before the announcement, so that whoever hears of it finds them.
        #[cfg(feature = "schema")]
        let schemas = self.schemas.describe().await?;
        #[cfg(not(feature = "schema"))]
        let schemas = String::new();
        let announced = self.announcement(schemas)?;
        let mut connection = self.admin.get(&self.keys.registry()).await.map_err(unreachable)?;
        let asked = Instant::now();
        let registered = self.registry.register(&mut connection, &announced).await.map_err(unreachable)?;
        self.clock.set(registered.now, asked.elapsed());
        if let Some(wait) = registered.promise.wait() {
            let registry = self.registry.clone();
            let admin = self.admin.clone();
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                // Where that fails, the next beat of any node tells.
                if let Ok(connection) = admin.get(&registry.key()).await {
                    registry.tell_after(Duration::ZERO, connection).await;
                }
            });
        }
        if !registered.known {
            self.waiting.recovery().forgotten();
        }
        tracing::debug!(epoch = registered.epoch, services = announced.services.len(), "announced");
        Ok(())
    }

    fn announcement(&self, schemas: String) -> Result<Announced> {
        let head = Announcement {
            key: self.identity.key.clone(),
            app: self.identity.app_name.clone(),
            version: self.config.at_start().version.clone(),
            host: self.identity.host.clone(),
            pid: std::process::id(),
            started: self.identity.started,
            linger: linger_ms(&self.config.at_start().linger),
            partitions: self.config.at_start().partitions,
        };
        let published = self.published.all();
        let services = published.iter().map(|(path, descriptor)| {
            let place = place_of_offer(&self.keys, &self.identity.app, path);
            Ok((path.clone(), descriptor.encode(self.signer.at(&place))?))
        });
        let head = head.encode(self.signer.at(&self.keys.node(&self.identity.id)))?;
        // Redis may have forgotten a node while it was leaving.
        let state = if self.life.draining.is_cancelled() { "draining" } else { "up" };
        Ok(Announced { head, state: state.into(), services: services.collect::<Result<_>>()?, schemas })
    }
}

/// Returns for how long paths without replicas stay callable, in ms; `None` for ever.
fn linger_ms(linger: &Linger) -> Option<u64> {
    match linger {
        Linger::For(time) => Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        Linger::Forever => None,
    }
}
