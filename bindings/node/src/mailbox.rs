//! The two strings by which JavaScript and Rust talk.

use crate::{
    incoming::Incoming,
    log,
    member::Member,
    message::{FromJs, Number, ToJs},
    runtime::runtime,
};
use napi::{
    Status,
    bindgen_prelude::Function,
    threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode},
};
use napi_derive::napi;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    mem::take,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// Weak: it keeps no process alive.
type Wake = ThreadsafeFunction<(), (), (), Status, false, true>;

/// How often it is looked whether JavaScript still fetches what is there for it.
const LOOK: Duration = Duration::from_millis(100);

/// How much may wait for JavaScript before events are held back, in bytes. Each subscription has a bound of its own
/// behind that, where a `resync` takes the place of what finds no room.
const ROOM: usize = 8 << 20;

/// The most room that is made for messages that have not come yet, in bytes.
const MOST_KEPT: usize = 64 << 10;

/// What all nodes of one thread of JavaScript have in common.
pub(crate) struct Post {
    /// Messages for JavaScript, parted by commas.
    outbox: Mutex<Vec<u8>>,
    /// Whether JavaScript was told that there are some.
    told: AtomicBool,
    wake: Wake,
    taken: Notify,
    /// Calls that JavaScript was asked to run.
    pub(crate) incoming: Incoming,
    members: Mutex<HashMap<Number, Arc<Member>>>,
    /// Whether the nodes take no calls, since JavaScript fetches none.
    paused: AtomicBool,
}

impl Post {
    /// Leaves a message for JavaScript.
    pub(crate) fn push(&self, message: &ToJs) {
        {
            let mut outbox = self.outbox.lock();
            let before = outbox.len();
            if before > 0 {
                outbox.push(b',');
            }
            // Nothing in a message can fail to be written: keys are text, and numbers are JSON's.
            if serde_json::to_writer(&mut *outbox, message).is_err() {
                outbox.truncate(before);
                return;
            }
        }
        if !self.told.swap(true, Ordering::AcqRel) {
            self.wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }

    /// Waits until JavaScript has fetched enough that events may follow.
    pub(crate) async fn room(&self) {
        loop {
            let taken = self.taken.notified();
            if self.outbox.lock().len() < ROOM {
                return;
            }
            taken.await;
        }
    }

    fn take(&self) -> String {
        self.told.store(false, Ordering::Release);
        let text = {
            let mut outbox = self.outbox.lock();
            // What comes next is as long, more or less.
            let next = Vec::with_capacity(outbox.len().min(MOST_KEPT));
            std::mem::replace(&mut *outbox, next)
        };
        self.taken.notify_waiters();
        self.incoming.note_life();
        if self.paused.swap(false, Ordering::AcqRel) {
            tracing::info!("JavaScript runs again, and takes calls");
            self.members().iter().for_each(|member| member.resume());
        }
        // JSON that was written here is UTF-8.
        String::from_utf8(text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    fn members(&self) -> Vec<Arc<Member>> {
        self.members.lock().values().cloned().collect()
    }

    async fn receive(self: &Arc<Self>, line: &str) {
        match serde_json::from_str(line) {
            Ok(FromJs::Answer { number, answer }) => self.incoming.answer(number, Ok(answer.into())),
            Ok(FromJs::Refuse { number, error }) => {
                self.incoming.answer(number, Err(rachis::Error::from_json(error)));
            }
            Ok(FromJs::Call { number, node, call }) => match self.member(node) {
                Some(member) => member.call(number, call),
                None => self.refuse_unknown(number),
            },
            Ok(FromJs::Ask { number, node, what }) => match self.member(node) {
                Some(member) => member.ask(number, what).await,
                None => self.refuse_unknown(number),
            },
            Ok(FromJs::Emit { node, event }) => {
                if let Some((member, event)) = self.member(node).zip(self.incoming.fired(event)) {
                    member.emit(event);
                }
            }
            // The two halves of one package know each other's messages.
            Err(error) => tracing::error!(%error, "a message from JavaScript is none"),
        }
    }

    /// The node of that number.
    pub(crate) fn member(&self, number: Number) -> Option<Arc<Member>> {
        self.members.lock().get(&number).cloned()
    }

    /// Forgets a node that has left.
    pub(crate) fn remove(&self, number: Number) {
        self.members.lock().remove(&number);
    }

    fn refuse_unknown(&self, number: Number) {
        let error = rachis::Error::unavailable("This app has left the mesh and makes no more calls")
            .with_outcome(rachis::Outcome::NeverRan);
        self.push(&ToJs::Failure { number, error });
    }
}

/// What JavaScript has said and nobody has read yet.
#[derive(Default)]
struct Said {
    lines: Mutex<Vec<String>>,
    /// To be read now.
    news: Notify,
}

/// Looks after a thread of JavaScript that hangs: its nodes take no more calls, what it has not begun others get, and what it
/// has said is read although it said that more follows.
async fn watch(post: Weak<Post>, said: Arc<Said>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(post) = post.upgrade() else {
            // Who reads ends with this.
            said.news.notify_one();
            return;
        };
        if !said.lines.lock().is_empty() {
            said.news.notify_one();
        }
        if post.incoming.hand_back() && !post.paused.swap(true, Ordering::AcqRel) {
            tracing::warn!("JavaScript is busy and begins no calls: they go to other replicas until it does");
            post.members().iter().for_each(|member| member.pause());
        }
    }
}

/// Reads what JavaScript says, in its order.
async fn listen(post: Weak<Post>, said: Arc<Said>) {
    loop {
        said.news.notified().await;
        let Some(post) = post.upgrade() else { return };
        let all = take(&mut *said.lines.lock());
        for line in all.iter().flat_map(|lines| lines.lines()) {
            post.receive(line).await;
        }
    }
}

/// What one thread of JavaScript has to do with nodes of the mesh.
#[napi]
pub struct Mailbox {
    post: Arc<Post>,
    said: Arc<Said>,
}

impl Mailbox {
    fn hear(&self, lines: String) {
        if !lines.is_empty() {
            self.said.lines.lock().push(lines);
        }
    }
}

#[napi]
impl Mailbox {
    /// A mailbox whose owner is woken by `wake` when there is something in it.
    #[napi(constructor)]
    pub fn new(wake: Function<'_, (), ()>) -> napi::Result<Self> {
        let wake: Wake = wake.build_threadsafe_function().weak::<true>().callee_handled::<false>().build()?;
        let post = Arc::new(Post {
            outbox: Mutex::default(),
            told: AtomicBool::new(false),
            wake,
            taken: Notify::new(),
            incoming: Incoming::default(),
            members: Mutex::default(),
            paused: AtomicBool::new(false),
        });
        let runtime = runtime().map_err(napi::Error::from_reason)?;
        let said = Arc::new(Said::default());
        runtime.spawn(watch(Arc::downgrade(&post), said.clone()));
        runtime.spawn(listen(Arc::downgrade(&post), said.clone()));
        log::add(&post);
        Ok(Mailbox { post, said })
    }

    /// Makes a node that has not joined, by options as JSON. Returns its number and what it is configured to, as JSON.
    #[napi]
    pub fn create(&self, options: String) -> napi::Result<String> {
        let (member, described) = Member::new(&self.post, &options).map_err(napi::Error::from_reason)?;
        self.post.members.lock().insert(member.number(), member);
        Ok(described)
    }

    /// Takes what JavaScript says, a line a message.
    #[napi]
    pub fn send(&self, lines: String) {
        self.post.incoming.note_life();
        self.hear(lines);
        // Read elsewhere: the thread of JavaScript has enough to do.
        self.said.news.notify_one();
    }

    /// Returns all messages for JavaScript, parted by commas.
    #[napi]
    pub fn take(&self) -> String {
        self.post.take()
    }

    /// Returns whether JavaScript may begin the call of this number. Takes what it says as [`send`](Self::send) does, but more
    /// follows soon, and all is read together: to wake who reads costs as much as a small call.
    #[napi]
    pub fn begin(&self, number: u32, lines: String) -> bool {
        self.hear(lines);
        self.post.incoming.begin(number)
    }

    /// Brings more of what is logged, down to what only developers read.
    #[napi]
    pub fn verbose(&self) {
        log::more();
    }
}

/// A thread that has ended leaves no member behind: calls fail, and its nodes leave the mesh.
impl Drop for Mailbox {
    fn drop(&mut self) {
        self.post.incoming.close();
        let members: Vec<Arc<Member>> = self.post.members.lock().drain().map(|(_, member)| member).collect();
        if let Ok(runtime) = runtime() {
            for member in members {
                runtime.spawn(async move { member.leave().await });
            }
        }
    }
}
