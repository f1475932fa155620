//! What is said to a call that is not made.

use rachis_core::{Error, Method, Params, Result};
use rachis_mesh::{Node, Resolved};

/// Returns the error for a call that can not be made because of `error`: a client that the hooks of the service refuse gets
/// their error instead. `method` is `None` if the service does not offer what was called.
pub(crate) async fn of(
    node: &Node,
    service: &Resolved,
    path: &str,
    method: Option<&Method>,
    caller: impl FnOnce() -> Result<Params>,
    error: Error,
) -> Error {
    if !service.guarded.covers(method, &service.descriptor) {
        return error;
    }
    match caller() {
        Ok(caller) => node.ask(path, method, caller).await.err().unwrap_or(error),
        Err(unreadable) => unreadable,
    }
}
