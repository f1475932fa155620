//! One node, for one app of JavaScript.

use crate::{
    mailbox::Post,
    message::{AnswerMessage, CallMessage, ChangeMessage, EventMessage, Number, Question, ToJs},
    params,
    runtime::runtime,
    service::JsService,
};
use futures_util::StreamExt;
use parking_lot::Mutex;
use rachis::{Answer, App, Call, Change, Config, EventStream, Id, Node, Result, config::Origin};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::task::AbortHandle;

/// How errors call what comes from the options of the plugin.
const SOURCE: &str = "options of distribution()";

/// Calls that one thread of JavaScript works on at once. What is in its hands when it hangs is not given to others.
const MAX_IN_FLIGHT: usize = 64;

/// What JavaScript says of a node that it wants.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    /// Over what the file and the environment say.
    config: Value,
    /// The name of the app, where nothing else names it.
    app: String,
}

/// A node, and how it is known to JavaScript.
pub(crate) struct Member {
    number: Number,
    node: Node,
    post: Weak<Post>,
    /// Bring the events of paths.
    listeners: Mutex<HashMap<String, AbortHandle>>,
}

impl Member {
    /// # Errors
    /// What is wrong with the options, the file or the environment.
    pub(crate) fn new(post: &Arc<Post>, options: &str) -> Result<(Arc<Self>, String), String> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let options: Options = serde_json::from_str(options).map_err(|error| error.to_string())?;
        let (mut config, origins) =
            Config::loader().overrides_of(SOURCE, options.config).explain().map_err(|error| error.to_string())?;
        let is_default = |key: &str| *origins.of(key) == Origin::Default;
        if is_default("app") {
            config.app = if is_default("key") { options.app } else { config.key.clone() };
        }
        // As feathers-distributed behaves, which this is put in the place of.
        if is_default("linger") {
            config.linger = rachis::config::Linger::For(Duration::ZERO);
        }
        if is_default("authentication") {
            config.authentication = false;
        }
        if is_default("limits.max_in_flight") {
            config.limits.max_in_flight = MAX_IN_FLIGHT;
        }
        let delay = match config.start_delay {
            rachis::config::StartDelay::Manual => json!(-1),
            rachis::config::StartDelay::After(delay) => millis(delay),
        };
        // JavaScript waits, and then says when to join.
        config.start_delay = rachis::config::StartDelay::Manual;
        let node = runtime()?
            .block_on(Node::builder(config).app(App::new()).start())
            .map_err(|error| error.message().to_owned())?;
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let config = node.config();
        let described = json!({
            "number": number,
            "id": node.id(),
            "key": config.key,
            "app": config.app_name(),
            "startDelay": delay,
            "timeout": millis(config.timeout),
            "healthcheckPath": config.healthcheck_path,
            "publishEvents": config.publish_events,
            "warnings": config.warnings,
        });
        Ok((
            Arc::new(Member { number, node, post: Arc::downgrade(post), listeners: Mutex::default() }),
            described.to_string(),
        ))
    }

    pub(crate) fn number(&self) -> Number {
        self.number
    }

    pub(crate) fn pause(&self) {
        self.node.pause();
    }

    /// Called by the thread of JavaScript.
    pub(crate) fn resume(&self) {
        let _entered = runtime().map(tokio::runtime::Handle::enter);
        self.node.resume();
    }

    pub(crate) async fn leave(&self) {
        if let Err(error) = self.node.shutdown().await {
            tracing::warn!(%error, "calls were still running when their app left the mesh");
        }
    }

    /// Makes a call, and leaves what it comes to for JavaScript.
    pub(crate) fn call(self: &Arc<Self>, number: Number, call: CallMessage) {
        let me = self.clone();
        self.spawn(number, async move {
            let method = call.method.as_str();
            let call = Call {
                id: Id::from_json(&call.id),
                data: call.data,
                params: params::from_js(call.params),
                timeout: call.timeout.map(Duration::from_millis),
                ..Call::new(&call.path, method)
            };
            let answer = rachis::Caller::call(&me.node, Box::new(call)).await?;
            Ok(answer.into())
        });
    }

    /// Does what is asked, and leaves the answer for JavaScript. What has to wait for Redis is done beside what follows;
    /// services come and go in the order in which JavaScript says so, and before the events that it tells next.
    pub(crate) async fn ask(self: &Arc<Self>, number: Number, what: Question) {
        let me = self.clone();
        let waits = matches!(what, Question::Join | Question::Shutdown | Question::Listen { .. });
        let done = async move { me.answer(what).await.map(|result| Answer::from(result).into()) };
        if waits {
            self.spawn(number, done);
        } else {
            self.tell(number, done.await);
        }
    }

    async fn answer(self: &Arc<Self>, what: Question) -> Result<Value> {
        match what {
            Question::Join => {
                // Before it joins: no change is missed.
                let changes = self.node.changes();
                tokio::spawn(tell_changes(self.clone(), changes));
                self.node.join().await?;
            }
            Question::Shutdown => {
                let left = self.node.shutdown().await;
                if let Some(post) = self.post.upgrade() {
                    post.remove(self.number);
                }
                left?;
            }
            Question::Register(service) => {
                let path = service.path.clone();
                self.node.unregister(&path).await?;
                self.node.register(&path, JsService::registration(self.number, self.post.clone(), service)).await?;
            }
            Question::Unregister(path) => return self.node.unregister(&path).await.map(Value::Bool),
            Question::Listen { path, since } => {
                let events = self.node.events_since(&path, since).await?;
                let listener = tokio::spawn(tell_events(self.number, self.post.clone(), events));
                // One path is listened to once, however often it comes and goes.
                let earlier = self.listeners.lock().insert(path, listener.abort_handle());
                earlier.iter().for_each(AbortHandle::abort);
            }
            Question::Ignore(path) => {
                let listener = self.listeners.lock().remove(&path);
                listener.iter().for_each(AbortHandle::abort);
            }
        }
        Ok(Value::Null)
    }

    /// Fires an event of a service of this process.
    pub(crate) fn emit(&self, event: EventMessage) {
        let service = self.node.service(&event.path);
        let fired = match event.context {
            Some(context) => service.emit_of(context.into(), &event.name, event.data),
            None => service.emit(&event.name, event.data),
        };
        if let Err(error) = fired {
            tracing::warn!(path = %event.path, event = %event.name, %error, "an event was not told to other nodes");
        }
    }

    fn spawn(self: &Arc<Self>, number: Number, work: impl Future<Output = Result<AnswerMessage>> + Send + 'static) {
        let me = self.clone();
        tokio::spawn(async move { me.tell(number, work.await) });
    }

    fn tell(&self, number: Number, outcome: Result<AnswerMessage>) {
        let message = match outcome {
            Ok(answer) => ToJs::Reply { number, answer },
            Err(error) => ToJs::Failure { number, error },
        };
        if let Some(post) = self.post.upgrade() {
            post.push(&message);
        }
    }
}

async fn tell_events(node: Number, post: Weak<Post>, mut events: EventStream) {
    while let Some(event) = events.next().await {
        let Some(post) = post.upgrade() else { return };
        // What happened here JavaScript has told.
        if event.from_remote || event.name == rachis::RESYNC {
            post.room().await;
            post.push(&ToJs::Event { node, event: event.into() });
        }
    }
}

async fn tell_changes(member: Arc<Member>, changes: impl futures_util::Stream<Item = Change>) {
    let (post, node, number) = (member.post.clone(), member.node.clone(), member.number);
    drop(member);
    let mut changes = std::pin::pin!(changes);
    while let Some(change) = changes.next().await {
        let Some(post) = post.upgrade() else { return };
        let change = match change {
            Change::Service(service) => {
                json(&service).map(|service| ChangeMessage::Service { now: node.redis_now(), service })
            }
            Change::ServiceRemoved(service) => json(&service).map(ChangeMessage::ServiceRemoved),
            Change::Health(service) => json(&service).map(ChangeMessage::Health),
            Change::NodeUp(other) => json(&other).map(ChangeMessage::NodeUp),
            Change::NodeDown(other) => json(&other).map(ChangeMessage::NodeDown),
            _ => None,
        };
        if let Some(change) = change {
            post.push(&ToJs::Change { node: number, change });
        }
    }
}

fn json(value: &impl Serialize) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(value).ok()
}

fn millis(time: Duration) -> Value {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into()
}
