//! The threads that all nodes of a process share.

use std::sync::OnceLock;
use tokio::runtime::{Builder, Runtime};

/// Two keep up with one thread of JavaScript, which is all there is to keep up with.
const WORKERS: usize = 2;

/// # Errors
/// What the system says when it gives no threads.
pub(crate) fn runtime() -> Result<&'static Runtime, String> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| {
        let built = Builder::new_multi_thread().worker_threads(WORKERS).thread_name("rachis").enable_all().build();
        built.map_err(|error| format!("The threads of Rachis can not be started: {error}"))
    });
    made.as_ref().map_err(Clone::clone)
}
