//! Admission: which requests may run here, by what is registered and published.

use crate::{
    node::{
        catalog::SharedCatalog,
        shared::{identity::Identity, published::Published},
    },
    wire::Request,
};
use rachis_core::{
    App, Result,
    host::{Found, Registered, not_found, not_offered},
};
use std::sync::Arc;

/// Knows what this node offers to others, and what other replicas of its app do.
pub(crate) struct Admission {
    pub(crate) identity: Arc<Identity>,
    pub(crate) app: App,
    pub(crate) published: Arc<Published>,
    pub(crate) catalog: SharedCatalog,
}

impl Admission {
    /// Returns the service that a request calls. Only what was published may be called.
    ///
    /// # Errors
    /// `NotFound` for a path, `MethodNotAllowed` for a method that is not published.
    pub(super) fn admit(&self, request: &Request) -> Result<Found<Arc<Registered>>> {
        let path = &request.call.path;
        let found = self.app.find_named(path).ok_or_else(|| not_found(path))?;
        let published = self.published.get(path).ok_or_else(|| not_found(path))?;
        if published.methods.contains(&request.call.method) {
            return Ok(found);
        }
        Err(not_offered(&request.call.method, path))
    }

    /// Returns the replica that a request is handed off to: in a rolling deploy another one of the same app may have what
    /// this one lacks. Only once, so that no call goes round in circles.
    pub(super) fn elsewhere(&self, request: &Request) -> Option<String> {
        if request.hops > 0 {
            return None;
        }
        let catalog = self.catalog.lock();
        catalog.replica_with(&self.identity.app, &request.call.path, &request.call.method).map(str::to_owned)
    }

    /// Returns `true` if a replica may run a request that another one has begun.
    pub(super) fn may_run_twice(&self, request: &Request) -> bool {
        let registered = self.app.find_named(&request.call.path);
        let declared = registered.map(|found| found.value.descriptor.is_idempotent(&request.call.method));
        request.has_key() || declared.unwrap_or(request.call.method.is_idempotent())
    }
}
