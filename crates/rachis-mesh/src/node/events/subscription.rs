//! The events of one path as a stream.

use super::{
    incoming_event::IncomingEvent,
    receiver::{EventReceiver, Listening},
};
use crate::node::{
    client::routes::Routes,
    shared::{identity::Identity, info::split_app},
};
use futures_util::{StreamExt, stream};
use rachis_core::{
    App, Error, Event, EventStream, RESYNC, Result,
    host::{
        listeners::{Listener, Next},
        not_found,
        path::strip,
    },
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio_util::sync::CancellationToken;

/// Subscribes to the events of services, wherever they run.
pub(crate) struct Subscriber {
    pub(crate) app: App,
    pub(crate) identity: Arc<Identity>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) event_receiver: Arc<EventReceiver>,
    pub(crate) stop: CancellationToken,
}

impl Subscriber {
    /// The events of one path, wherever they happen: those of this process and those of every replica of the app it
    /// belongs to.
    ///
    /// `since`, in ms of Redis's clock, adds what happened elsewhere from then on: a subscriber that learns of a service and
    /// subscribes at once would miss what comes in between.
    pub(crate) async fn subscribe(&self, path: &str, name: &str, since: Option<u64>) -> Result<EventStream> {
        let path = strip(path).to_owned();
        // Of a local service, its own app; of a remote one, whichever app its calls go to when an event comes.
        let (key, remote_path, app) = if self.app.find_named(&path).is_some() {
            (self.identity.key.clone(), path.clone(), Some(self.identity.app.clone()))
        } else {
            let remote = self.routes.get().named(&path).ok_or_else(|| not_found(&path))?;
            let (key, _) = split_app(&remote.route.app);
            (key.to_owned(), remote.route.path.clone(), None)
        };
        let (receiver, listening) = self.event_receiver.listen(&key, &remote_path, app.clone()).await?;
        let mut past = match since {
            Some(since) => self.event_receiver.past(&key, &remote_path, since).await.map_err(|error| {
                Error::unavailable(format!("Redis did not say what has happened on {path}: {error}"))
            })?,
            None => VecDeque::new(),
        };
        // One that is not believed yet may come again.
        past.retain(|told| told.is_for(app.as_deref()));
        let elsewhere = Elsewhere { path: path.clone(), past, told: HashMap::new(), receiver, _listening: listening };
        let wanted = name.to_owned();
        let elsewhere = stream::unfold(elsewhere, async |mut all| all.next().await.map(|event| (event, all)))
            .filter(move |event| std::future::ready(wanted == "*" || event.name == wanted || event.name == RESYNC));
        let local = self.app.subscribe(&path, name);
        let stop = self.stop.clone();
        Ok(EventStream::new(stream::select(local, elsewhere).take_until(async move { stop.cancelled().await })))
    }
}

/// What happens on other nodes.
struct Elsewhere {
    path: String,
    past: VecDeque<Arc<IncomingEvent>>,
    /// How far each node had counted in `past`: what comes live may have been in it.
    told: HashMap<String, u64>,
    receiver: Listener<Arc<IncomingEvent>>,
    _listening: Listening,
}

impl Elsewhere {
    fn was_told(&self, told: &IncomingEvent) -> bool {
        self.told.get(&told.frame.origin).is_some_and(|last| told.frame.number <= *last)
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            let told = match self.past.pop_front() {
                // A writer to the log can copy what is in it.
                Some(told) if self.was_told(&told) => continue,
                Some(told) => {
                    self.told.insert(told.frame.origin.clone(), told.frame.number);
                    told
                }
                None => match self.receiver.next().await {
                    Next::Item(told) if self.was_told(&told) => continue,
                    Next::Item(told) => told,
                    Next::Missed => return Some(Event::resync(&self.path)),
                    Next::End => return None,
                },
            };
            return Some(told.frame.clone().into_event(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Node;
    use crate::testing;
    use rachis_config::Config;
    use rachis_core::{App, EventStream, MemoryService};
    use serde_json::json;
    use std::time::Duration;

    async fn create(node: &Node, text: &str) {
        node.service("todos").create(json!({ "text": text })).await.unwrap();
    }

    async fn next(events: &mut EventStream) -> String {
        let next = tokio::time::timeout(Duration::from_secs(10), events.next());
        next.await.expect("an event in time").unwrap().data["text"].as_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_subscription_may_begin_with_what_happened_before_it() {
        let config = testing::config();
        let todos = App::new().register("todos", MemoryService::new());
        let _serving = testing::start(Config { app: "todos".into(), ..config.clone() }, todos).await;
        let listening = testing::start(config, App::new()).await;
        listening.wait_for("todos").await.unwrap();
        let start = listening.redis_now() - 1000;
        let mut all = listening.events_since("todos", Some(start)).await.unwrap();
        create(&listening, "long ago").await;
        assert_eq!(next(&mut all).await, "long ago");
        // The log tells the time in ms.
        let then = listening.redis_now();
        testing::eventually("some ms have passed", async || listening.redis_now() > then + 5).await;
        let since = listening.redis_now();
        testing::eventually("some more have passed", async || listening.redis_now() > since + 5).await;
        create(&listening, "before").await;
        assert_eq!(next(&mut all).await, "before");

        let mut late = listening.events_since("todos", Some(since)).await.unwrap();
        create(&listening, "after").await;
        create(&listening, "last").await;
        let heard = [next(&mut late).await, next(&mut late).await, next(&mut late).await];
        assert_eq!(heard, ["before", "after", "last"], "in order, each once");
    }
}
