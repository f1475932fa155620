//! The schemas of this node's services, stored for others.

use super::{hash_of, text_of};
use crate::{
    node::shared::{context::NodeContext, published::Published},
    redis::{
        Failure,
        connection::{Trouble, pool::Admin},
        keys::Keys,
        registry::{Registry, schemas::Named},
    },
    wire::{Frame, Manifest},
};
use parking_lot::Mutex;
use rachis_core::{App, Descriptor, Result};
use redis::aio::ConnectionLike;
use serde_bytes::ByteArray;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// How much of a manifest's hash is its id: it only tells the few manifests of one app apart.
const ID: usize = 6;

/// Stores the schemas of a node's services, and renews them.
pub(crate) struct OwnSchemas {
    pub(crate) context: Arc<NodeContext>,
    pub(crate) app: App,
    pub(crate) published: Arc<Published>,
    pub(crate) registry: Registry,
    pub(crate) admin: Admin,
    pub(crate) state: Mutex<Renewal>,
    /// `true` if it was said that others can not see them.
    pub(crate) told: AtomicBool,
}

/// What is to be renewed, and when.
#[derive(Default)]
pub(crate) struct Renewal {
    named: Option<Arc<Named>>,
    next: Option<Instant>,
}

/// What is stored for others.
struct Collected {
    named: Named,
    manifest: Manifest,
    /// In the order of the hashes in `named`.
    texts: Vec<Vec<u8>>,
}

impl OwnSchemas {
    /// Stores the schemas of what is published, if there are any. Returns the id of their manifest, which is empty for none.
    /// A node joins without, if it can not store them.
    pub(crate) async fn describe(&self) -> Result<String> {
        let collected = self.collect(&self.published.all())?;
        let named = collected.as_ref().map(|collected| Arc::new(collected.named.clone()));
        {
            let mut state = self.state.lock();
            state.named = named;
            state.next = Some(Instant::now() + self.registry.schema_renewal());
        }
        let Some(collected) = collected else { return Ok(String::new()) };
        let place = place_of(&self.context.keys, &self.context.identity.app, &collected.named.manifest);
        let manifest = collected.manifest.encode(self.context.signer.at(&place))?;
        match self.store(&collected, &manifest).await {
            Ok(true) => self.told.store(false, Ordering::Relaxed),
            Ok(false) => self.warn("Redis does not keep them; is it evicting keys?"),
            Err(error) => self.warn_of(&error),
        }
        Ok(collected.named.manifest)
    }

    async fn store(&self, collected: &Collected, manifest: &[u8]) -> std::result::Result<bool, Failure> {
        let mut connection = self.admin.get(&self.registry.key()).await?;
        let text_of = |number: usize| collected.texts.get(number).map_or(&[][..], Vec::as_slice);
        self.registry.describe(&mut connection, &collected.named, manifest, text_of).await
    }

    /// Returns `true` if [`renew`](Self::renew) is to be called now.
    pub(crate) fn is_due(&self) -> bool {
        let mut state = self.state.lock();
        if state.named.is_none() || state.next.is_none_or(|next| Instant::now() < next) {
            return false;
        }
        state.next = Some(Instant::now() + self.registry.schema_renewal());
        true
    }

    /// Lets what is stored last on, and stores what is missing.
    pub(crate) async fn renew(&self, mut on: impl ConnectionLike) {
        let Some(named) = self.state.lock().named.clone() else { return };
        match self.registry.renew_schemas(&mut on, &named).await {
            Ok(true) => {}
            Ok(false) => {
                if let Err(error) = self.describe().await {
                    self.warn(&error.to_string());
                }
            }
            Err(error) => self.warn_of(&error),
        }
    }

    fn warn_of(&self, error: &Failure) {
        match Trouble::of(error) {
            Trouble::Forbidden(reason) => {
                self.warn(&format!("Redis forbids it ({reason}); what its user needs is in docs/security.md"));
            }
            // The heartbeat says so.
            Trouble::Unreached(reason) if error.code().is_none() => tracing::debug!(reason, "schemas were not stored"),
            _ => self.warn(&error.to_string()),
        }
    }

    /// Says once, until they are stored, why they are not.
    fn warn(&self, reason: &str) {
        if self.told.swap(true, Ordering::Relaxed) {
            tracing::debug!(reason, "schemas were not stored");
        } else {
            tracing::warn!(
                reason,
                "the schemas of this node's services could not be stored in Redis, so other nodes do not know them; calls \
                 are checked by them all the same"
            );
        }
    }

    /// Returns the schemas of these services, as far as they have any.
    fn collect(&self, published: &BTreeMap<String, Arc<Descriptor>>) -> Result<Option<Collected>> {
        let mut services = BTreeMap::new();
        let mut texts = BTreeMap::new();
        for (path, descriptor) in published {
            let Some(registered) = self.app.find_named(path) else { continue };
            let Some(schemas) = registered.value.schemas() else { continue };
            let text = text_of(&schemas.clone().only(&descriptor.methods, &descriptor.events))?;
            let hash = hash_of(&text);
            services.insert(path.clone(), ByteArray::new(hash));
            texts.insert(hex::encode(hash), text);
        }
        if services.is_empty() {
            return Ok(None);
        }
        let manifest = Manifest { services };
        let (schemas, texts) = texts.into_iter().unzip();
        Ok(Some(Collected { named: Named { manifest: id_of(&manifest), schemas }, manifest, texts }))
    }
}

/// Returns the id of a manifest within its app.
pub(super) fn id_of(manifest: &Manifest) -> String {
    let mut whole = Vec::new();
    for (path, hash) in &manifest.services {
        whole.extend_from_slice(path.as_bytes());
        // Ends a path: none has this byte, which is in no text.
        whole.push(0xff);
        whole.extend_from_slice(hash.as_ref());
    }
    hex::encode(&hash_of(&whole)[..ID])
}

/// Returns what a manifest is signed for. Its app and not its node, since all replicas have the same.
pub(super) fn place_of(keys: &Keys, app: &str, id: &str) -> String {
    format!("{}/{id}", keys.schemas(app))
}
