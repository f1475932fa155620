//! The thread that all nodes of a process share.

use std::{future::pending, sync::OnceLock, thread};
use tokio::runtime::{Builder, Handle};

/// One thread keeps up with several threads of JavaScript. A second one would take each task over as soon as it is woken,
/// which costs more than it gains: what tasks have to write to Redis is then written one by one, and not together.
///
/// # Errors
/// What the system says when it gives no thread.
pub(crate) fn runtime() -> Result<&'static Handle, String> {
    static RUNTIME: OnceLock<Result<Handle, String>> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| {
        let failed = |error| format!("The thread of Rachis can not be started: {error}");
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let run = move || runtime.block_on(pending::<()>());
        thread::Builder::new().name("rachis".to_owned()).spawn(run).map_err(failed)?;
        Ok(handle)
    });
    made.as_ref().map_err(Clone::clone)
}
