//! Admission: decides whether a request may run here, by who wrote it, how often it was delivered and what is published.

use super::Responder;
use crate::{
    node::Inner,
    redis::queue::{Entry, EntryId},
    wire::{self, Request},
};
use rachis_core::{
    Error, Outcome, Result,
    host::{Found, Registered},
};
use std::sync::Arc;

impl Responder {
    /// Checks whether a request that a replica had when it died may run on another.
    ///
    /// # Errors
    /// `Unavailable` after too many deliveries, and for what must not run twice.
    pub(super) fn may_run_again(&self, node: &Inner, request: &Request, delivery: u32) -> Result<()> {
        if delivery > self.limits.load().max_deliveries {
            return Err(Error::unavailable(format!(
                "{} on '{}' was given to {} replicas and none finished it",
                request.call.method,
                request.call.path,
                delivery - 1
            ))
            .with_outcome(Outcome::Unknown));
        }
        if may_run_twice(node, request) {
            return Ok(());
        }
        Err(Error::unavailable(format!(
            "The replica that had {} on '{}' died: it may have run, and is not run again",
            request.call.method, request.call.path
        ))
        .with_outcome(Outcome::Unknown))
    }

    /// Returns `true` if this request must not run twice and was started here before under another entry. Without a
    /// secret a copy can not be told from a request that was made up, so `false` is returned.
    pub(super) fn is_copy(&self, node: &Inner, request: &Request, entry: &Entry) -> bool {
        if !self.signer.signs() || may_run_twice(node, request) {
            return false;
        }
        let until = wire::until(&entry.frame);
        let mut guard = self.replay_guard.lock();
        let copy = !guard.insert(&request.from, request.id, entry.id, until, node.clock.now());
        drop(guard);
        if copy && let Some(more) = self.refused.permit() {
            tracing::warn!(call = %request.call_id(), entry = %entry.id, stream = %self.stream, more,
                "a request that has run here stands in Redis again and is not run: somebody without the secret copies requests");
        }
        copy
    }

    /// Logs that a request is not believed, and why.
    pub(super) fn refuse(&self, entry: EntryId, error: &Error) {
        if let Some(more) = self.refused.permit() {
            tracing::warn!(%entry, stream = %self.stream, %error, more, "a request was refused");
        }
    }

    /// Returns the service that a request calls. Only what was published may be called.
    ///
    /// # Errors
    /// `NotFound` for a path, `MethodNotAllowed` for a method that is not published.
    pub(super) fn admit(&self, node: &Inner, request: &Request) -> Result<Found<Arc<Registered>>> {
        let found =
            node.app.find_named(&request.call.path).ok_or_else(|| rachis_core::host::not_found(&request.call.path))?;
        let published =
            node.published(&request.call.path).ok_or_else(|| rachis_core::host::not_found(&request.call.path))?;
        match published.methods.contains(&request.call.method) {
            true => Ok(found),
            false => Err(rachis_core::host::not_offered(&request.call.method, &request.call.path)),
        }
    }

    /// In a rolling deploy another replica of the same app may have what this one lacks. Asked once, so that no call
    /// goes round in circles.
    pub(super) fn elsewhere(&self, node: &Inner, request: &Request) -> Option<String> {
        if request.hops > 0 {
            return None;
        }
        let catalog = node.catalog();
        catalog.replica_with(&node.app_key, &request.call.path, &request.call.method).map(str::to_owned)
    }
}

/// Returns `true` if a replica may run a request that another one has begun.
fn may_run_twice(node: &Inner, request: &Request) -> bool {
    let registered = node.app.find_named(&request.call.path);
    let declared = registered.map(|found| found.value.descriptor.is_idempotent(&request.call.method));
    request.has_key() || declared.unwrap_or(request.call.method.is_idempotent())
}
