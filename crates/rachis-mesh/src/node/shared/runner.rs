//! Runs services of this process on behalf of callers elsewhere.

use futures_util::FutureExt;
use rachis_core::{
    Answer, App, Call, Caller, Error, Result,
    host::{Found, Registered},
};
use std::{panic::AssertUnwindSafe, sync::Arc};

/// Runs calls so that a service that panics fails its call and nothing else. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Runner {
    pub(crate) app: App,
    /// Through which the services call others.
    pub(crate) caller: Arc<dyn Caller>,
}

impl Runner {
    /// Runs a call, with its hooks.
    ///
    /// # Errors
    /// Those of the service, and `GeneralError` where it panics.
    pub(crate) async fn run(&self, found: Found<Arc<Registered>>, call: Box<Call>) -> Result<Answer> {
        let descriptor = found.value.descriptor.clone();
        let method = call.method.clone();
        let running = AssertUnwindSafe(self.app.run(found, call, self.caller.clone()));
        running.catch_unwind().await.unwrap_or_else(|_| {
            let path = &descriptor.path;
            tracing::error!(%path, %method, "a service panicked");
            Err(Error::general(format!("{method} on '{path}' panicked")))
        })
    }

    /// Asks the hooks of a service whether they know the caller.
    ///
    /// # Errors
    /// Those of the hooks, and `GeneralError` where one panics.
    pub(crate) async fn ask(&self, found: Found<Arc<Registered>>, call: Box<Call>) -> Result<()> {
        let path = call.path.clone();
        let asked = AssertUnwindSafe(self.app.ask(found, call, self.caller.clone())).catch_unwind().await;
        asked.unwrap_or_else(|_| Err(Error::general(format!("A hook of '{path}' panicked"))))
    }
}
