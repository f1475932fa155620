//! The thread that all nodes of a process share.

use crate::mailbox::Post;
use parking_lot::Mutex;
use std::{
    cell::Cell,
    future::pending,
    mem::take,
    sync::{OnceLock, Weak},
    thread,
};
use tokio::runtime::{Builder, Handle};

/// Those whose JavaScript is to be woken before this thread sleeps.
static WAITING: Mutex<Vec<Weak<Post>>> = Mutex::new(Vec::new());

thread_local! {
    static IS_HERE: Cell<bool> = const { Cell::new(false) };
}

/// One thread keeps up with several threads of JavaScript. A second one would take each task over as soon as it is woken,
/// which costs more than it gains: what tasks have to write to Redis is then written one by one, and not together.
///
/// # Errors
/// What the system says when it gives no thread.
pub(crate) fn runtime() -> Result<&'static Handle, String> {
    static RUNTIME: OnceLock<Result<Handle, String>> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| {
        let failed = |error| format!("The thread of Rachis can not be started: {error}");
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_all().on_thread_park(wake_all).build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let run = move || {
            IS_HERE.set(true);
            runtime.block_on(pending::<()>());
        };
        thread::Builder::new().name("rachis".to_owned()).spawn(run).map_err(failed)?;
        Ok(handle)
    });
    made.as_ref().map_err(Clone::clone)
}

/// Wakes the JavaScript of `post` once all that is ready on this thread is done; `false` on any other thread.
pub(crate) fn wake_later(post: &Weak<Post>) -> bool {
    let is_here = IS_HERE.get();
    if is_here {
        WAITING.lock().push(post.clone());
    }
    is_here
}

fn wake_all() {
    if !IS_HERE.get() {
        return;
    }
    let waiting = take(&mut *WAITING.lock());
    waiting.iter().filter_map(Weak::upgrade).for_each(|post| post.wake());
}
