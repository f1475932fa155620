//! The events of one path as a stream.

use super::{Listening, Told};
use crate::node::Inner;
use futures_util::{StreamExt, stream};
use rachis_core::{
    Error, Event, EventStream, RESYNC, Result,
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

// For the relay of the gateway.
impl crate::Node {
    /// All events of `path`, with what happened elsewhere since `since`, as [`redis_now`](Self::redis_now) told it.
    #[doc(hidden)]
    pub async fn events_since(&self, path: &str, since: Option<u64>) -> Result<EventStream> {
        subscribe(&self.inner, path, "*", since).await
    }

    /// Redis's time as this node knows it, in ms since 1970.
    #[doc(hidden)]
    pub fn redis_now(&self) -> u64 {
        self.inner.clock.now()
    }
}

/// The events of one path, wherever they happen: those of this process and those of every replica of the app it
/// belongs to.
///
/// `since`, in ms of Redis's clock, adds what happened elsewhere from then on: whoever learns of a service and
/// subscribes at once would miss what comes in between.
pub(crate) async fn subscribe(node: &Arc<Inner>, path: &str, name: &str, since: Option<u64>) -> Result<EventStream> {
    let path = strip(path).to_owned();
    // Of a local service, its own app; of a remote one, whichever app its calls go to when an event comes.
    let (key, remote_path, app) = if node.app.find_named(&path).is_some() {
        (node.config.key.clone(), path.clone(), Some(node.app_key.clone()))
    } else {
        let remote = node.routes().named(&path).ok_or_else(|| not_found(&path))?;
        let key = remote.route.app.split('/').next().unwrap_or_default().to_owned();
        (key, remote.route.path.clone(), None)
    };
    let (receiver, listening) = node.events.listen(&key, &remote_path, app.clone()).await?;
    let mut past =
        match since {
            Some(since) => node.events.past(node, &key, &remote_path, since).await.map_err(|error| {
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
    let local = node.app.subscribe(&path, name);
    let stop = node.stop.clone();
    Ok(EventStream::new(stream::select(local, elsewhere).take_until(async move { stop.cancelled().await })))
}

/// What happens on other nodes.
struct Elsewhere {
    path: String,
    past: VecDeque<Arc<Told>>,
    /// How far each node had counted in `past`: what comes live may have been in it.
    told: HashMap<String, u64>,
    receiver: Listener<Arc<Told>>,
    _listening: Listening,
}

impl Elsewhere {
    fn was_told(&self, told: &Told) -> bool {
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
        let hearing = testing::start(config, App::new()).await;
        hearing.wait_for("todos").await.unwrap();
        let start = hearing.redis_now() - 1000;
        let mut all = hearing.events_since("todos", Some(start)).await.unwrap();
        create(&hearing, "long ago").await;
        assert_eq!(next(&mut all).await, "long ago");
        // The log tells the time in ms.
        let then = hearing.redis_now();
        testing::eventually("some ms have passed", async || hearing.redis_now() > then + 5).await;
        let since = hearing.redis_now();
        testing::eventually("some more have passed", async || hearing.redis_now() > since + 5).await;
        create(&hearing, "before").await;
        assert_eq!(next(&mut all).await, "before");

        let mut late = hearing.events_since("todos", Some(since)).await.unwrap();
        create(&hearing, "after").await;
        create(&hearing, "last").await;
        let heard = [next(&mut late).await, next(&mut late).await, next(&mut late).await];
        assert_eq!(heard, ["before", "after", "last"], "in order, each once");
    }
}
