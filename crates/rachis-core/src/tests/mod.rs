//! The service model as its users meet it.

mod events;
mod hook_state;
mod hooks;
mod memory;
mod properties;
mod registration;
mod resolvers;
mod syntax;
mod typed;

use crate::{Error, Params, Result};
use serde_json::Value;
use std::sync::{Arc, Mutex};

/// What ran, in order; it rides along in `params.extensions`.
#[derive(Clone, Default)]
struct Trace(Arc<Mutex<Vec<String>>>);

impl Trace {
    fn params(&self) -> Params {
        let mut params = Params::default();
        params.extensions.insert(self.clone());
        params
    }

    fn note(params: &Params, what: &str) {
        params.extensions.get::<Trace>().expect("a trace").0.lock().unwrap().push(what.to_owned());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Params as a gateway makes them.
fn from_rest() -> Params {
    Params { provider: Some("rest".into()), ..Params::default() }
}

#[track_caller]
fn fails(result: Result<Value>, expected: (u16, &str)) -> Error {
    let error = result.expect_err("the call went well");
    assert_eq!((error.code(), error.message()), expected);
    error
}
