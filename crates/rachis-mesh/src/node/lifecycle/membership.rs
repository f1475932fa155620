//! How far a node has come: built, joining, joined, or over.

use super::{
    join::{Assembled, Joined},
    shutdown::Exit,
};
use crate::{
    node::shared::life::Life,
    redis::connection::{Connector, Trouble},
};
use parking_lot::Mutex;
use rachis_core::{Error, Result};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};

/// Lets a node join once and leave once.
pub(crate) struct Membership {
    stage: Mutex<Stage>,
    life: Arc<Life>,
    connector: Connector,
    namespace: String,
    exit: Exit,
}

enum Stage {
    Assembled(Box<Assembled>),
    Joining,
    Joined(Joined),
    Over,
}

impl Membership {
    pub(crate) fn new(assembled: Assembled, exit: Exit) -> Self {
        Membership {
            life: assembled.life.clone(),
            connector: assembled.connector.clone(),
            namespace: assembled.config.at_start().namespace.clone(),
            stage: Mutex::new(Stage::Assembled(Box::new(assembled))),
            exit,
        }
    }

    /// Joins, if that was not done before.
    ///
    /// # Errors
    /// `Unavailable` when the node was shut down meanwhile.
    pub(crate) async fn join(self: &Arc<Self>) -> Result<()> {
        let Some(assembled) = self.take_assembled() else { return Ok(()) };
        let joined = assembled.join().await?;
        tokio::spawn(leave_when_dismissed(Arc::downgrade(self), self.life.clone()));
        let mut stage = self.stage.lock();
        // A shutdown that came first has stopped everything already.
        if matches!(*stage, Stage::Joining) {
            *stage = Stage::Joined(joined);
        }
        Ok(())
    }

    /// Joins, or gives up after `time`.
    ///
    /// # Errors
    /// `Unavailable` when Redis was not reached in time, or did not let this node in; the node is then shut down.
    pub(crate) async fn join_within(self: &Arc<Self>, time: Duration) -> Result<()> {
        if let Ok(outcome) = tokio::time::timeout(time, self.join()).await {
            return outcome;
        }
        self.life.stop.cancel();
        let address = self.connector.address();
        let reason = match self.connector.trouble() {
            Some(trouble) => trouble.describe(&address, &self.namespace, time),
            None => Trouble::unknown(&address, time),
        };
        Err(Error::unavailable(reason))
    }

    /// Leaves, if the node has joined; otherwise it just ends. Where it leaves already, waits until it has.
    ///
    /// # Errors
    /// `Timeout` when calls still ran at the end of the grace.
    pub(crate) async fn leave(&self) -> Result<()> {
        let stage = std::mem::replace(&mut *self.stage.lock(), Stage::Over);
        self.life.draining.cancel();
        match stage {
            Stage::Joined(Joined::Member { discovery }) => self.exit.leave(discovery).await,
            Stage::Joined(Joined::Observer) => {
                self.exit.stop_looking().await;
                Ok(())
            }
            Stage::Assembled(_) | Stage::Joining => {
                self.life.stop.cancel();
                Ok(())
            }
            // Somebody else has begun that.
            Stage::Over => {
                self.life.stop.cancelled().await;
                Ok(())
            }
        }
    }

    /// Returns what joining needs, once.
    fn take_assembled(&self) -> Option<Box<Assembled>> {
        let mut stage = self.stage.lock();
        if !matches!(*stage, Stage::Assembled(_)) {
            return None;
        }
        match std::mem::replace(&mut *stage, Stage::Joining) {
            Stage::Assembled(assembled) => Some(assembled),
            _ => None,
        }
    }
}

/// Leaves as soon as an operator wants that.
async fn leave_when_dismissed(membership: Weak<Membership>, life: Arc<Life>) {
    tokio::select! {
        () = life.dismissed.cancelled() => {}
        () = life.stop.cancelled() => return,
    }
    let Some(membership) = membership.upgrade() else { return };
    if let Err(error) = membership.leave().await {
        tracing::warn!(%error, "left the mesh, as told");
    }
}
