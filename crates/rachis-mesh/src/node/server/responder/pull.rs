//! Pulling: reads requests from the stream of a partition, never more than there are slots for.

use super::{ASK_AGAIN, Responder, Way};
use crate::redis::{
    Failure,
    connection::link::Live,
    keys::LOST,
    queue::{Delivered, Pulled, Reader},
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// When a replica looks again for what was given to a connection that it has lost.
const LATER: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// How long the replicas of an app may take to notice that their group is gone.
const REGROUP_PAUSE: Duration = Duration::from_secs(1);

impl Responder {
    /// Pulls requests until the reader is stopped, never more than there are slots for. The first one is pulled when this
    /// node has published a service: before, it could only refuse what waits for a replica that has one.
    pub(crate) async fn pull(self: Arc<Self>, mut reader: Reader, stop: CancellationToken) {
        let mut troubled = false;
        if stop.run_until_cancelled(self.work.admission.published.begun()).await.is_none() {
            return;
        }
        loop {
            // A slot is free before anything is pulled: what this replica can not start, another can.
            let mut slot = std::pin::pin!(self.work.slots.acquire());
            let first = loop {
                tokio::select! {
                    biased;
                    slot = &mut slot => break slot,
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(REGROUP_PAUSE / 3) => self.keep_what_runs().await,
                }
            };
            let Ok(first) = first else { return };
            let mut interrupt = std::pin::pin!(self.work.slots.one_more_waits());
            // Before it is asked whether any request waits, so that none comes unseen in between.
            interrupt.as_mut().enable();
            let (free, wait) = self.work.slots.share();
            match self.calls.pull(&mut reader, free, wait, interrupt).await {
                None => return,
                Some(Pulled::New(requests)) => {
                    let mut slots = first;
                    let others = u32::try_from(requests.len().saturating_sub(1)).unwrap_or(u32::MAX);
                    if let Some(others) = self.work.slots.try_acquire(others) {
                        slots.merge(others);
                    }
                    for entry in requests {
                        let Some(in_flight) = self.take(&entry) else { continue };
                        // No more were asked for than there are slots, but what was handed off takes some as well.
                        let slot = match slots.split(1) {
                            Some(slot) => slot,
                            None => tokio::select! {
                                Ok(slot) = self.work.slots.acquire() => slot,
                                () = stop.cancelled() => return,
                            },
                        };
                        self.start(Delivered { entry, deliveries: 1, from: None }, Way::Queue, in_flight, slot);
                    }
                    drop(slots);
                    // What can be answered at once leaves before the next are asked for, which are more by then. One that is
                    // alone shall not make the next one wait.
                    if others > 0 {
                        tokio::task::yield_now().await;
                    }
                }
                Some(Pulled::Refused(refused)) => {
                    tracing::debug!(error = %refused, "requests can not be read, making their group anew");
                    match self.regroup().await {
                        Ok(()) if matches!(refused.code(), Some("NOGROUP" | "UNBLOCKED")) => troubled = false,
                        Ok(()) => tokio::time::sleep(ASK_AGAIN).await,
                        Err(error) => {
                            if !std::mem::replace(&mut troubled, true) {
                                tracing::warn!(stream = %self.stream, %error, "requests can not be read, trying on");
                            }
                            tokio::time::sleep(ASK_AGAIN).await;
                        }
                    }
                }
                Some(Pulled::Reconnected) => {
                    drop(first);
                    let me = self.clone();
                    let stop = stop.clone();
                    // Beside the pulling, since what is found may have to wait for slots.
                    self.work.tasks.sources.spawn(async move {
                        stop.run_until_cancelled(async {
                            me.look_again().await;
                            // Until the server notices that the last connection is gone, it goes on to give it requests.
                            for pause in LATER {
                                tokio::time::sleep(pause).await;
                                me.look_again().await;
                            }
                        })
                        .await;
                    });
                }
            }
        }
    }

    /// Makes stream and group where they are missing. What stood in the stream then is inherited as from a dead replica,
    /// after a while, in which every replica takes back what it works on.
    pub(crate) async fn regroup(&self) -> Result<(), Failure> {
        if self.number >= self.work.wanted() && !self.work.commands.has_key(&self.stream).await? {
            // It was retired, and is closed here, too, before long.
            tokio::time::sleep(ASK_AGAIN).await;
            return Ok(());
        }
        let left = self.calls.regroup(&mut self.work.admin.get(&self.stream).await?, &self.in_flight.all()).await?;
        if left {
            tracing::warn!(stream = %self.stream, "the group of the replicas was gone: who had which request is not known");
            let heirs = self.work.dead_replicas.clone();
            tokio::spawn(async move {
                tokio::time::sleep(REGROUP_PAUSE).await;
                heirs.send(LOST.to_owned()).ok();
            });
        }
        Ok(())
    }

    /// Looks whether the group is gone, or was, while this replica has no slot free and so does not read: what it works on
    /// must not be inherited with what no replica knows about.
    async fn keep_what_runs(&self) {
        let looked = async {
            let lost = |mut live: Live| async move { self.calls.is_group_lost(&mut live.connection).await };
            if self.work.commands.run(&self.stream, lost).await? {
                self.regroup().await?;
            }
            Ok::<_, Failure>(())
        };
        if let Err(error) = looked.await {
            tracing::debug!(stream = %self.stream, %error, "whether the group of the replicas is there could not be asked");
        }
    }
}
