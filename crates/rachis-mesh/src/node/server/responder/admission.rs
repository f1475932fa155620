//! Whether a request may run, by its writer and the number of its deliveries.

use super::Responder;
use crate::{
    redis::queue::{Entry, EntryId},
    wire::{self, Request},
};
use rachis_core::{Error, Outcome, Result};

impl Responder {
    /// Checks whether a request that a replica had when it died may run on another.
    ///
    /// # Errors
    /// `Unavailable` after too many deliveries, and for what must not run twice.
    pub(super) fn may_run_again(&self, request: &Request, delivery: u32) -> Result<()> {
        if delivery > self.work.limits.load().max_deliveries {
            return Err(Error::unavailable(format!(
                "{} on '{}' was given to {} replicas and none finished it",
                request.call.method,
                request.call.path,
                delivery - 1
            ))
            .with_outcome(Outcome::Unknown));
        }
        if self.work.admission.may_run_twice(request) {
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
    pub(super) fn is_copy(&self, request: &Request, entry: &Entry) -> bool {
        if !self.work.signer.signs() || self.work.admission.may_run_twice(request) {
            return false;
        }
        let until = wire::until(&entry.frame);
        let mut guard = self.replay_guard.lock();
        let copy = !guard.insert(&request.from, request.id, entry.id, until, self.work.clock.now());
        drop(guard);
        if copy && let Some(more) = self.refused.permit() {
            tracing::warn!(call = %request.call_id(), entry = %entry.id, stream = %self.stream, more,
                "a request that has run here stands in Redis again and is not run: a writer without the secret copies requests");
        }
        copy
    }

    /// Logs that a request is not believed, and why.
    pub(super) fn refuse(&self, entry: EntryId, error: &Error) {
        if let Some(more) = self.refused.permit() {
            tracing::warn!(%entry, stream = %self.stream, %error, more, "a request was refused");
        }
    }
}
