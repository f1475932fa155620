//! What a service of Rachis is: services, apps, calls, hooks, events and queries, without I/O.
//!
//! Applications depend on the crate `rachis`, which has all of this; adapters to data stores, bindings and libraries of
//! hooks depend on this one alone.

mod app;
mod call;
mod context;
mod descriptor;
mod dynamic;
mod error;
mod event;
#[doc(hidden)]
pub mod guarded;
mod handle;
mod hidden;
mod hook;
mod hooks;
mod id;
#[doc(hidden)]
pub mod idempotency;
#[doc(hidden)]
pub mod listeners;
mod lock;
mod memory;
mod method;
mod methods;
mod outcome;
mod page;
mod params;
#[doc(hidden)]
pub mod path;
pub mod query;
mod registered;
mod registration;
mod resolver;
mod router;
#[cfg(feature = "schema")]
pub mod schema;
#[doc(hidden)]
pub mod secret;
mod service;
#[cfg(test)]
mod tests;
mod typed;

pub use app::App;
pub use call::{Answer, Call, Http};
pub use context::{Context, Parts};
pub use descriptor::Descriptor;
pub use dynamic::DynService;
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, EventContext, EventStream, RESYNC};
/// A boxed future that may cross threads, as traits that are used as `dyn` return.
pub use futures_core::future::BoxFuture;
pub use handle::{CallBuilder, Caller, Handle};
pub use hook::{ALL, AroundHook, Hook, Next, Scope};
pub use id::Id;
pub use memory::{MemoryService, Multi};
pub use method::{Method, STANDARD_EVENTS};
pub use methods::{MethodFn, Methods};
pub use outcome::Outcome;
pub use page::{Listing, Page, Paginate};
pub use params::Params;
pub use query::Query;
pub use registration::{Registration, ServiceExt};
pub use resolver::{Resolver, Resolving, resolve_data, resolve_external, resolve_query, resolve_result};
pub use secret::mask_secrets;
pub use service::Service;
pub use typed::{Typed, TypedService};

/// What hosts an app: for the crates of Rachis that carry its calls and events to others. Not a part of the stable
/// interface.
#[doc(hidden)]
pub mod host {
    pub use crate::{
        app::{not_found, not_offered},
        error::excerpt,
        event::EventSink,
        guarded::{self, Guarded},
        hook::{Chain, Finished},
        hooks::{Hooks, chain},
        idempotency::{self, check_key},
        listeners,
        lock::lock,
        path,
        registered::Registered,
        registration::Publish,
        router::{Found, Router, fill_route},
        secret,
        service::Dispatch,
    };
}
