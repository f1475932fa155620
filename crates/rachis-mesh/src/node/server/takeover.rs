//! Requests of dead replicas: the living take them over. Liveness decides, never how long a request has been worked on.
//!
//! A death that is told is acted on at once. Beside that, each replica looks once a TTL which ones have requests pending, and finds
//! whatever no message tells: what Redis gave to a connection whose process was gone, what was taken over and not
//! begun, the legacy of replicas that died while no other of their app was there. One command says it, and where
//! nothing is pending or its holder is believed in, nothing else is asked.

use super::{partitions::Partitions, responder::Responder};
use crate::{
    node::{
        catalog::SharedCatalog,
        shared::{commands::Commands, identity::Identity, life::Life},
    },
    redis::{
        Failure,
        connection::{link::Live, pool::Admin},
        keys::Keys,
        queue::{Calls, PendingOf},
        registry::Registry,
    },
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Watches over the requests of this node's app.
pub(crate) struct Takeover {
    pub(crate) identity: Arc<Identity>,
    pub(crate) life: Arc<Life>,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) catalog: SharedCatalog,
    pub(crate) registry: Registry,
    pub(crate) keys: Keys,
    pub(crate) commands: Commands,
    pub(crate) admin: Admin,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) ttl: Duration,
    /// Ids of replicas that left or died.
    pub(crate) dead: mpsc::UnboundedReceiver<String>,
}

/// How thoroughly to look.
#[derive(Clone, Copy, PartialEq)]
enum ScanDepth {
    /// At every replica that was ever given a request, so that names of the dead do not stay for ever.
    All,
    /// At those that have requests.
    Pending,
}

impl Takeover {
    pub(crate) async fn run(self) {
        let pulling = self.life.pulling.clone();
        // It has to be a service that takes them over.
        if pulling.run_until_cancelled(self.partitions.offer_something()).await.is_none() {
            return;
        }
        // What was claimed and not begun when this ends stays pending, for the next heir to claim.
        pulling.run_until_cancelled(self.watch()).await;
    }

    async fn watch(mut self) {
        let mut opened = self.partitions.opened();
        let mut strangers = Strangers::default();
        let pause = tokio::time::sleep(self.look(ScanDepth::All, &mut strangers).await);
        tokio::pin!(pause);
        loop {
            let next = tokio::select! {
                // In one that was not looked at before, others may have died.
                Ok(()) = opened.changed() => self.look(ScanDepth::All, &mut strangers).await,
                Some(dead) = self.dead.recv() => match self.inherit(&dead).await {
                    Ok(()) => continue,
                    Err(()) => {
                        strangers.expect(dead);
                        self.between_looks()
                    }
                },
                () = &mut pause => self.look(ScanDepth::Pending, &mut strangers).await,
            };
            pause.as_mut().reset(tokio::time::Instant::now() + next);
        }
    }

    /// How long a replica may be missing in the registry that lives and is about to register anew.
    fn absence(&self) -> Duration {
        self.heartbeat_interval * 2
    }

    fn between_looks(&self) -> Duration {
        self.absence() + Duration::from_millis(200)
    }

    /// Looks after all that is pending; returns after how long to look again.
    async fn look(&self, depth: ScanDepth, strangers: &mut Strangers) -> Duration {
        let unknown = match self.unknown(depth).await {
            Ok(unknown) => unknown,
            Err(error) => {
                tracing::debug!(%error, "what is pending in this app could not be looked through");
                return self.between_looks();
            }
        };
        for id in strangers.confirmed(unknown, self.absence(), Instant::now()) {
            if self.inherit(&id).await.is_err() {
                strangers.expect(id);
            }
        }
        if strangers.is_empty() { self.ttl } else { self.between_looks() }
    }

    /// Replicas that have something of this app, and that neither this node nor the registry knows. Requests of this node
    /// itself that it does not work on are begun.
    async fn unknown(&self, depth: ScanDepth) -> Result<HashSet<String>, Failure> {
        let mut consumers = HashSet::new();
        for responder in self.partitions.all() {
            let found = async {
                let pending = self.pending(responder.calls()).await?;
                let own = pending.iter().find(|of| of.consumer == self.identity.id).map_or(0, |of| of.count);
                if own > responder.in_flight() {
                    responder.begin_overlooked().await?;
                }
                consumers.extend(pending.into_iter().map(|of| of.consumer));
                if let Err(error) = responder.delete_settled(depth == ScanDepth::All).await {
                    tracing::debug!(%error, "requests that were settled could not be deleted yet");
                }
                if depth == ScanDepth::All {
                    consumers.extend(self.consumers(responder.calls()).await?);
                }
                Ok::<_, Failure>(())
            };
            if let Err(error) = found.await {
                tracing::debug!(%error, "what is pending in a partition could not be looked through");
            }
        }
        {
            let catalog = self.catalog.lock();
            consumers.retain(|id| !catalog.nodes().any(|member| member.id == *id));
        }
        consumers.remove(&self.identity.id);
        if consumers.is_empty() {
            return Ok(consumers);
        }
        let consumers: Vec<String> = consumers.into_iter().collect();
        let mut connection = self.admin.get(&self.keys.registry()).await?;
        let known = self.registry.known(&mut connection, &consumers).await?;
        Ok(consumers.into_iter().zip(known).filter(|(_, known)| !known).map(|(id, _)| id).collect())
    }

    async fn pending(&self, calls: &Calls) -> Result<Vec<PendingOf>, Failure> {
        self.commands
            .run(calls.stream(), |mut live: Live| async move { calls.pending(&mut live.connection).await })
            .await
    }

    async fn consumers(&self, calls: &Calls) -> Result<Vec<String>, Failure> {
        calls.consumers(&mut self.admin.get(calls.stream()).await?).await
    }

    /// Takes over what `dead` had; an error was logged.
    async fn inherit(&self, dead: &str) -> Result<(), ()> {
        for responder in self.partitions.all() {
            if let Err(error) = self.inherit_from(&responder, dead).await {
                tracing::warn!(dead, %error, "requests of a dead replica could not be taken over, trying again");
                return Err(());
            }
        }
        Ok(())
    }

    async fn inherit_from(&self, responder: &Arc<Responder>, dead: &str) -> Result<(), Failure> {
        loop {
            let mut connection = self.admin.get(responder.calls().stream()).await?;
            let claimed = responder.calls().claim(&mut connection, dead).await?;
            drop(connection);
            if claimed.is_empty() {
                break;
            }
            tracing::info!(dead, requests = claimed.len(), "taking over requests of a dead replica");
            for request in claimed {
                responder.take_over(request).await;
            }
        }
        // It may have handed a request on to this replica and died before it could say so.
        responder.look_again().await;
        // And it may have settled some that Redis did not let it delete; what is not deleted now is tried again.
        if let Err(error) = responder.delete_settled(true).await {
            tracing::debug!(%error, "requests that were settled could not be deleted yet");
        }
        Ok(())
    }
}

/// Replicas that the registry did not know, and since when. It may have lost some that live and register anew with their
/// next beat, so none inherits from one that was not missing for a while.
#[derive(Default)]
struct Strangers(HashMap<String, Option<Instant>>);

impl Strangers {
    /// Takes in which replicas are unknown `now`; returns those that were for `absence`, and forgets those that came back.
    fn confirmed(&mut self, unknown: HashSet<String>, absence: Duration, now: Instant) -> Vec<String> {
        self.0.retain(|id, _| unknown.contains(id));
        for id in unknown {
            self.0.entry(id).or_insert(Some(now));
        }
        let is_gone =
            |since: &Option<Instant>| since.is_none_or(|since| now.saturating_duration_since(since) >= absence);
        let gone: Vec<String> = self.0.iter().filter(|(_, since)| is_gone(since)).map(|(id, _)| id.clone()).collect();
        self.0.retain(|_, since| !is_gone(since));
        gone
    }

    /// Notes one that is dead for certain, and of which something is left.
    fn expect(&mut self, id: String) {
        self.0.insert(id, None);
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABSENCE: Duration = Duration::from_secs(4);

    fn unknown(ids: &[&str]) -> HashSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn a_replica_that_is_missing_twice_and_long_enough_is_inherited_from() {
        let mut strangers = Strangers::default();
        let start = Instant::now();
        assert!(strangers.confirmed(unknown(&["a", "b"]), ABSENCE, start).is_empty());
        assert!(strangers.confirmed(unknown(&["a", "b"]), ABSENCE, start + ABSENCE / 2).is_empty());
        assert!(strangers.confirmed(unknown(&["a"]), ABSENCE, start + ABSENCE / 2).is_empty());
        assert_eq!(strangers.confirmed(unknown(&["a", "b"]), ABSENCE, start + ABSENCE), ["a"], "b had come back");
        assert!(!strangers.is_empty());
        assert_eq!(strangers.confirmed(unknown(&["b"]), ABSENCE, start + 2 * ABSENCE), ["b"]);
        assert!(strangers.is_empty());
    }

    #[test]
    fn a_replica_that_died_for_certain_is_inherited_from_as_soon_as_it_is_seen_again() {
        let mut strangers = Strangers::default();
        strangers.expect("a".to_owned());
        assert_eq!(strangers.confirmed(unknown(&["a"]), ABSENCE, Instant::now()), ["a"]);
        strangers.expect("a".to_owned());
        assert!(strangers.confirmed(unknown(&[]), ABSENCE, Instant::now()).is_empty() && strangers.is_empty());
    }
}
