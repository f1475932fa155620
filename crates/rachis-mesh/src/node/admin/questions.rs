//! Asks single nodes what operators want to know of them.

use crate::{
    node::{
        catalog::SharedCatalog,
        shared::{context::NodeContext, life::Life},
    },
    redis::queue::{Write, Writer},
    wire::{Frame, Question, Statement},
};
use parking_lot::Mutex;
use rachis_core::{Error, Result};
use rustc_hash::FxHashMap;
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::oneshot;

/// The questions of a node that wait for what is said to them.
pub(crate) struct Questions {
    pub(crate) context: Arc<NodeContext>,
    pub(crate) life: Arc<Life>,
    pub(crate) catalog: SharedCatalog,
    pub(crate) writer: Writer,
    pub(crate) open: OpenQuestions,
}

/// Who waits, by the number of the question.
#[derive(Default)]
pub(crate) struct OpenQuestions {
    next: AtomicU64,
    waiting: Mutex<FxHashMap<u64, oneshot::Sender<Result<Value>>>>,
}

/// Forgets a question whose asker has gone.
struct Forgotten<'a>(&'a OpenQuestions, u64);

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        self.0.waiting.lock().remove(&self.1);
    }
}

impl Questions {
    /// Asks the node of that id, and waits for as long as `time`.
    ///
    /// # Errors
    /// `NotFound` where the mesh has no such node, `Timeout` where it says nothing in time, `Unavailable` before this node
    /// has joined and after it has left; else what the node answers.
    pub(crate) async fn ask(&self, node: &str, name: &str, argument: Value, time: Duration) -> Result<Value> {
        if !self.life.is_open() || self.life.stop.is_cancelled() {
            return Err(Error::unavailable("This node is not on the mesh, and asks no other"));
        }
        let known = self.catalog.lock().nodes().any(|member| member.id == node);
        if !known {
            return Err(Error::not_found(format!("The mesh has no node '{node}'")));
        }
        let id = self.open.next.fetch_add(1, Ordering::Relaxed);
        let (waiter, said) = oneshot::channel();
        self.open.waiting.lock().insert(id, waiter);
        let _forgotten = Forgotten(&self.open, id);
        let expires = self.context.clock.now().saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let question =
            Question { id, from: self.context.identity.id.clone(), expires, name: name.to_owned(), argument };
        let inbox = self.context.keys.inbox(node);
        let frame = question.encode(self.context.signer.at(&inbox).until(expires))?;
        if !self.writer.push(Write::Send { inbox: inbox.into(), frame: frame.into(), then: None }) {
            return Err(Error::unavailable("This node has left the mesh, and asks no other"));
        }
        let said = tokio::time::timeout(time, self.life.stop.run_until_cancelled(said));
        match said.await {
            Ok(Some(Ok(said))) => said,
            Ok(_) => Err(Error::unavailable("This node left the mesh before the other one answered")),
            Err(_) => Err(Error::timeout(format!(
                "The node '{node}' said nothing within {}: it may be dead, too busy, or of a version that can not be asked",
                humantime::format_duration(time)
            ))),
        }
    }

    /// Lets the asker know what was said.
    pub(crate) fn answered(&self, statement: Statement) {
        match self.open.waiting.lock().remove(&statement.id) {
            // It may have gone in this moment.
            Some(waiter) => drop(waiter.send(statement.into_outcome())),
            None => tracing::debug!(id = statement.id, "an answer to no open question"),
        }
    }
}
