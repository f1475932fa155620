//! What is logged goes to JavaScript.

use crate::{mailbox::Post, message::ToJs};
use parking_lot::Mutex;
use std::{
    fmt::Write,
    sync::{
        Arc, Once, Weak,
        atomic::{AtomicBool, Ordering},
    },
};
use tracing::{Event, Level, Metadata, Subscriber, field::Field};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt},
    registry::Registry,
};

/// All mailboxes of the process: a node does not know whose it is.
static POSTS: Mutex<Vec<Weak<Post>>> = Mutex::new(Vec::new());

/// Whether developers read it.
static MORE: AtomicBool = AtomicBool::new(false);

/// Has a mailbox get what is logged.
pub(crate) fn add(post: &Arc<Post>) {
    static START: Once = Once::new();
    START.call_once(|| {
        // Only another library of this package could have set one, and there is none.
        tracing::subscriber::set_global_default(Registry::default().with(ToMailboxes)).ok();
    });
    let mut posts = POSTS.lock();
    posts.retain(|post| post.strong_count() > 0);
    posts.push(Arc::downgrade(post));
}

/// Has all that is there logged.
pub(crate) fn more() {
    MORE.store(true, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

struct ToMailboxes;

impl<S: Subscriber> Layer<S> for ToMailboxes {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let most = if MORE.load(Ordering::Relaxed) { Level::DEBUG } else { Level::INFO };
        metadata.is_event() && *metadata.level() <= most && metadata.target().starts_with("rachis")
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG | Level::TRACE => "debug",
        };
        let posts: Vec<Arc<Post>> = POSTS.lock().iter().filter_map(Weak::upgrade).collect();
        for post in posts {
            post.push(&ToJs::Log { level, target: metadata.target().to_owned(), text: text.0.clone() });
        }
    }
}

/// The message of an event, and its fields behind that.
#[derive(Default)]
struct Text(String);

impl tracing::field::Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => {
                self.0.insert_str(0, &format!("{value:?}"));
                Ok(())
            }
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
