//! The task that keeps a node's view of the mesh true and announces the node.

use super::{announce::Announcer, lifecycle::Lifecycle, sync::CatalogSync};
use crate::{
    node::shared::{life::Life, live_config::LiveConfig},
    redis::registry::Beat,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};

/// How often lingering paths and missing nodes are looked at; nothing goes to Redis.
const TICK: Duration = Duration::from_millis(250);

/// How long a message may take to come behind a beat that shows what it tells; only then was it missed. Not to wait would
/// make a thousand nodes read the changes, each time one of them comes or goes.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// Drives one node's view of the mesh.
pub(crate) struct Discovery {
    pub(crate) announcer: Arc<Announcer>,
    pub(crate) sync: Arc<CatalogSync>,
    pub(crate) config: Arc<LiveConfig>,
    pub(crate) life: Arc<Life>,
    pub(crate) lifecycle: mpsc::Receiver<Lifecycle>,
    pub(crate) beats: mpsc::UnboundedReceiver<Beat>,
    /// Changes of the app's services since they were first announced.
    pub(crate) services: watch::Receiver<u64>,
}

impl Discovery {
    pub(crate) async fn run(self) {
        let Discovery { announcer, sync, config, life, mut lifecycle, mut beats, mut services } = self;
        let delay = config.at_start().publication_delay;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let publication = tokio::time::sleep(delay);
        tokio::pin!(publication);
        let mut reloads = config.reloads();
        // One may have come between the join and now.
        if *reloads.borrow() > 0 {
            reloads.mark_changed();
        }
        let mut may_publish = delay.is_zero();
        let mut announced = true;
        let mut gap = None;
        // What is believed does not come from the registry as it would be read now.
        let mut stale = false;
        loop {
            // At rest nothing wakes up for it.
            let waits = sync.catalog.lock().waits();
            tokio::select! {
                () = &mut publication, if !may_publish => {
                    may_publish = true;
                    announced = announcer.announce(true).await;
                }
                Some(message) = lifecycle.recv() => match message {
                    Lifecycle::News(news) => sync.take_in(news).await,
                    Lifecycle::Gap => sync.catch_up().await,
                    Lifecycle::Stale => stale = !sync.reread().await,
                },
                Some(beat) = beats.recv() => {
                    life.note_beat();
                    if !beat.known || !announced {
                        if !beat.known {
                            tracing::warn!("Redis has forgotten this node, registering anew");
                        }
                        announced = announcer.announce(may_publish).await;
                    }
                    if stale {
                        stale = !sync.reread().await;
                    }
                    // What is held back for a moment may be known here, what all nodes were told must be.
                    let held = sync.catalog.lock().epoch();
                    if (held < beat.published || held > beat.epoch) && gap.is_none() {
                        gap = Some(EpochGap { held, told: beat.published, until: Instant::now() + ON_ITS_WAY });
                    }
                }
                waited = wait_for_late_message(gap), if gap.is_some() => {
                    gap = None;
                    let epoch = sync.catalog.lock().epoch();
                    // What waits to be taken in may be what was missed; a node that is behind shall not read it twice.
                    let comes = !lifecycle.is_empty();
                    if !comes && waited.is_some_and(|gap| epoch == gap.held || epoch < gap.told) {
                        sync.catch_up().await;
                    }
                }
                outcome = services.changed(), if may_publish => {
                    if outcome.is_err() { return; }
                    announced = announcer.announce(true).await;
                }
                Ok(()) = reloads.changed() => {
                    // Whole, since what is announced may be signed otherwise, and others may be believed now.
                    announced = announcer.announce(may_publish).await;
                    stale = !sync.reread().await;
                }
                _ = ticks.tick(), if waits => sync.tick(),
                // A node that has left must not announce itself again.
                () = life.beating.cancelled() => return,
            }
        }
    }
}

/// A beat has shown another version of the registry than the one held; the message that explains it may be on its way.
#[derive(Clone, Copy)]
struct EpochGap {
    /// The version that was held then.
    held: u64,
    /// The one that all nodes had been told.
    told: u64,
    until: Instant,
}

/// Waits until the message that explains `gap` has had its time.
async fn wait_for_late_message(gap: Option<EpochGap>) -> Option<EpochGap> {
    tokio::time::sleep_until(gap?.until.into()).await;
    gap
}
