//! Requests of dead replicas: the living take them over. Liveness decides, never how long a request has been worked on.

use super::{Inner, responder::Responder};
use crate::redis::{Failure, streams::Calls};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Watches over the requests of this node's app.
pub(crate) struct Takeover {
    pub(crate) node: Arc<Inner>,
    /// Ids of replicas that left or died.
    pub(crate) dead: mpsc::UnboundedReceiver<String>,
}

impl Takeover {
    pub(crate) async fn run(self) {
        let pulling = self.node.pulling.clone();
        // What was claimed and not begun when this ends stays pending, for the next heir to claim.
        pulling.run_until_cancelled(self.watch()).await;
    }

    async fn watch(mut self) {
        let mut opened = self.node.partitions.opened();
        // Replicas may have died while nobody of this app was there. The registry may also have lost some that live,
        // which then register anew with their next beat, so what is missing is looked at twice, two beats apart.
        let mut second_look = Some(self.strangers().await);
        let pause = tokio::time::sleep(self.between_looks());
        tokio::pin!(pause);
        loop {
            tokio::select! {
                // In one that was not looked at before, others may have died.
                Ok(()) = opened.changed() => {
                    second_look = Some(self.strangers().await);
                    pause.as_mut().reset(tokio::time::Instant::now() + self.between_looks());
                }
                Some(dead) = self.dead.recv() => self.inherit(&dead).await,
                () = &mut pause, if second_look.is_some() => {
                    let now = self.strangers().await;
                    for id in second_look.take().unwrap_or_default().intersection(&now) {
                        self.inherit(id).await;
                    }
                }
            }
        }
    }

    fn between_looks(&self) -> Duration {
        self.node.config.heartbeat_interval * 2 + Duration::from_millis(200)
    }

    /// Consumers of the app's streams that the registry does not know.
    async fn strangers(&self) -> HashSet<String> {
        self.try_strangers().await.unwrap_or_else(|error| {
            tracing::debug!(%error, "the replicas of this app could not be looked through");
            HashSet::new()
        })
    }

    async fn try_strangers(&self) -> Result<HashSet<String>, Failure> {
        let mut consumers = HashSet::new();
        for responder in self.node.partitions.all() {
            match self.consumers(responder.calls()).await {
                Ok(found) => consumers.extend(found),
                Err(error) => tracing::debug!(%error, "the replicas of a partition could not be looked through"),
            }
        }
        let consumers: Vec<String> = consumers.into_iter().collect();
        let mut connection = self.node.admin.get(&self.node.keys.registry()).await?;
        let known = self.node.registry.known(&mut connection, &consumers).await?;
        let strangers = consumers.into_iter().zip(known).filter(|(_, known)| !known).map(|(id, _)| id);
        Ok(strangers.filter(|id| *id != self.node.id).collect())
    }

    async fn consumers(&self, calls: &Calls) -> Result<Vec<String>, Failure> {
        calls.consumers(&mut self.node.admin.get(calls.stream()).await?).await
    }

    async fn inherit(&self, dead: &str) {
        if let Err(error) = self.try_inherit(dead).await {
            tracing::warn!(dead, %error, "requests of a dead replica could not be taken over, trying again");
            let (again, dead, pause) =
                (self.node.dead_replicas.clone(), dead.to_owned(), self.node.config.heartbeat_interval);
            tokio::spawn(async move {
                tokio::time::sleep(pause).await;
                again.send(dead).ok();
            });
        }
    }

    async fn try_inherit(&self, dead: &str) -> Result<(), Failure> {
        for responder in self.node.partitions.all() {
            self.inherit_from(&responder, dead).await?;
        }
        Ok(())
    }

    async fn inherit_from(&self, responder: &Arc<Responder>, dead: &str) -> Result<(), Failure> {
        loop {
            let mut connection = self.node.admin.get(responder.calls().stream()).await?;
            let claimed = responder.calls().claim(&mut connection, dead).await?;
            drop(connection);
            if claimed.is_empty() {
                break;
            }
            tracing::info!(dead, requests = claimed.len(), "taking over requests of a dead replica");
            for request in claimed {
                responder.take_over(&self.node, request).await;
            }
        }
        // It may have handed a request on to this replica and died before it could say so.
        responder.look_again(&self.node).await;
        Ok(())
    }
}
