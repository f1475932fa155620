//! Records of the registry, as this node takes them into its catalog: what it can not read or may not see is left out.

use crate::{
    node::{
        catalog::{self, Lingering, Member, Offer},
        shared::{
            filters::Filters,
            info::{self, ServiceInfo},
            live_config::LiveConfig,
            rate_limited_log::RateLimitedLog,
        },
    },
    redis::{
        keys::{Keys, MAX_PARTITIONS},
        registry::{self, LingeringRecord, NodeRecord},
    },
    wire::{Announcement, Frame, Signer},
};
use rachis_core::{Descriptor, Error, Result};
use std::sync::Arc;

/// Reads records of the registry.
pub(crate) struct Records {
    keys: Keys,
    signer: Signer,
    config: Arc<LiveConfig>,
    filters: Filters,
    /// Limits warnings of announcements that are not believed.
    refused: RateLimitedLog,
}

impl Records {
    pub(crate) fn new(keys: Keys, signer: Signer, config: Arc<LiveConfig>, filters: Filters) -> Self {
        Records { keys, signer, config, filters, refused: RateLimitedLog::new() }
    }

    /// Returns `true` if this node signs its frames.
    pub(super) fn signs(&self) -> bool {
        self.signer.signs()
    }

    /// What a change tells, as far as this node can read it and may see it.
    pub(super) fn item(&self, item: registry::NodeChange) -> Option<catalog::CatalogUpdate> {
        match item {
            registry::NodeChange::Up(record) => self.member(record).map(catalog::CatalogUpdate::Up),
            registry::NodeChange::Down(id, lingering) => {
                let lingering = lingering.into_iter().filter_map(|record| self.lingering(record)).collect();
                Some(catalog::CatalogUpdate::Down(id, lingering))
            }
        }
    }

    /// Reads an announcement; `None`, with a warning, for one that this node can not read.
    pub(super) fn member(&self, record: NodeRecord) -> Option<Member> {
        let head = match self.head(&record) {
            Ok(head) => head,
            Err(error) => {
                if let Some(more) = self.refused.permit() {
                    tracing::warn!(node = %record.id, app = %record.app, %error, more, "a node is ignored");
                }
                return None;
            }
        };
        let offer = |service: registry::ServiceRecord| {
            let offer = self.offer(&record.app, &service)?;
            Some((service.path, offer))
        };
        Some(Member {
            services: record.services.into_iter().filter_map(offer).collect(),
            id: record.id,
            app: record.app.clone(),
            key: head.key,
            up: record.state == "up",
            linger: head.linger,
            // Another build may have written it.
            partitions: head.partitions.clamp(1, MAX_PARTITIONS),
            info: catalog::Info {
                name: head.app,
                version: head.version,
                host: head.host,
                pid: head.pid,
                started: head.started,
            },
        })
    }

    /// What a node says of itself.
    fn head(&self, record: &NodeRecord) -> Result<Announcement> {
        let head = Announcement::decode(&record.head, self.signer.at(&self.keys.node(&record.id)))?;
        // The field beside it is not signed.
        if record.app == format!("{}/{}", head.key, head.app) {
            return Ok(head);
        }
        Err(Error::bad_request(format!("It says that it belongs to '{}/{}'", head.key, head.app)))
    }

    pub(super) fn lingering(&self, record: LingeringRecord) -> Option<Lingering> {
        let offer = self.offer(&record.app, &record.service)?;
        Some(Lingering { app: record.app, offer, until: record.until })
    }

    /// Reads a descriptor and asks the filters whether it may be seen here.
    fn offer(&self, app: &str, service: &registry::ServiceRecord) -> Option<Offer> {
        let place = place_of_offer(&self.keys, app, &service.path);
        let descriptor = match Descriptor::decode(&service.descriptor, self.signer.at(&place)) {
            Ok(descriptor) => descriptor,
            Err(error) => {
                if let Some(more) = self.refused.permit() {
                    tracing::warn!(app, path = %service.path, %error, more, "a service is ignored");
                }
                return None;
            }
        };
        if !self.config.load().remote_services.allows(&descriptor.path) {
            return None;
        }
        if let Some(allows) = &self.filters.remote_services {
            let (key, name) = info::split_app(app);
            let seen = ServiceInfo { remote: true, ..ServiceInfo::local(&descriptor, key, name) };
            if !allows(&seen) {
                return None;
            }
        }
        Some(Offer { since: service.since, descriptor: Arc::new(descriptor) })
    }
}

/// Returns what a descriptor is signed for. Its app and not its node, since it stays when the node is gone.
pub(super) fn place_of_offer(keys: &Keys, app: &str, path: &str) -> String {
    format!("{}/{path}", keys.app(app))
}
