//! Sorts what the subscriptions bring: changes of the mesh to the catalog, events to those that hear them.

use super::lifecycle::Lifecycle;
use crate::{
    node::events::receiver::EventReceiver,
    redis::{connection::Backoff, pubsub::SubscriptionEvent, registry},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// The pauses between attempts to read the events that were missed.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// Sorts what comes in over the subscriptions.
pub(crate) async fn listen(
    event_receiver: Arc<EventReceiver>,
    channel_of_changes: String,
    mut heard: mpsc::Receiver<SubscriptionEvent>,
    lifecycle: mpsc::Sender<Lifecycle>,
) {
    let mut again = None;
    let mut backoff = BACKOFF;
    loop {
        let event = tokio::select! {
            heard = heard.recv() => match heard {
                Some(event) => event,
                None => return,
            },
            () = event_receiver.doubted() => {
                again = Some(Instant::now());
                continue;
            }
            () = at(again), if again.is_some() => {
                if event_receiver.settle().await {
                    again = None;
                    backoff.reset();
                } else {
                    again = Some(Instant::now() + backoff.pause());
                }
                continue;
            }
        };
        match event {
            SubscriptionEvent::Message { channel, payload } if channel == channel_of_changes => {
                let message = match registry::RegistryChange::decode(&payload) {
                    Some(news) => Lifecycle::News(news),
                    // Whatever it was, the registry knows.
                    None => Lifecycle::Gap,
                };
                if lifecycle.send(message).await.is_err() {
                    return;
                }
            }
            SubscriptionEvent::Message { channel, payload } => event_receiver.message(&channel, &payload).await,
            SubscriptionEvent::Reconnected { channels } => {
                let was_missed = channels.contains(&channel_of_changes);
                if was_missed && lifecycle.send(Lifecycle::Gap).await.is_err() {
                    return;
                }
                event_receiver.doubt(&channels);
                // Before any message that came over the new connection: what is read now goes before it.
                if !event_receiver.settle().await {
                    again = Some(Instant::now() + backoff.next());
                }
            }
        }
    }
}

/// Waits until `moment`; never ends without one.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
