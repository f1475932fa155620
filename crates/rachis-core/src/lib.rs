//! What a service of Rachis is: services, apps, calls, hooks, events and queries, without I/O.
//!
//! Applications depend on the crate `rachis`, which has all of this; adapters to data stores, bindings and libraries of
//! hooks depend on this one alone.

mod app;
mod call;
mod depth;
mod error;
mod event;
mod hooks;
mod lock;
mod memory;
#[doc(hidden)]
pub mod path;
pub mod query;
#[cfg(feature = "schema")]
pub mod schema;
#[doc(hidden)]
pub mod secret;
mod service;
#[cfg(test)]
mod tests;

pub use app::App;
pub use call::handle::{CallBuilder, Caller, Handle};
pub use call::id::Id;
pub use call::method::{Method, STANDARD_EVENTS};
pub use call::outcome::Outcome;
pub use call::page::{Listing, Page, Paginate};
pub use call::params::Params;
pub use call::{Answer, Call, Http};
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, EventContext, EventStream, RESYNC};
/// A boxed future that may cross threads, as traits that are used as `dyn` return.
pub use futures_core::future::BoxFuture;
pub use hooks::context::{Context, Parts};
pub use hooks::hook::{ALL, AroundHook, Hook, Next, Scope};
pub use hooks::resolver::{Resolver, Resolving, resolve_data, resolve_external, resolve_query, resolve_result};
pub use memory::{MemoryService, Multi};
pub use query::Query;
pub use secret::mask_secrets;
pub use service::Service;
pub use service::descriptor::Descriptor;
pub use service::dynamic::DynService;
pub use service::methods::{MethodFn, Methods};
pub use service::registration::{Registration, ServiceExt};
pub use service::shape::Shape;
pub use service::typed::{Typed, TypedService};

/// What hosts an app: for the crates of Rachis that carry its calls and events to others. Not a part of the stable
/// interface.
#[doc(hidden)]
pub mod host {
    pub use crate::{
        app::{
            not_found, not_offered,
            router::{Found, Router, fill_route},
        },
        call::idempotency::{self, check_key},
        depth::{DEEPEST, is_deeper_than},
        error::excerpt,
        event::{EventSink, listeners},
        hooks::{
            Hooks, chain,
            guarded::{self, Guarded},
            hook::{Chain, Finished},
        },
        lock::lock,
        memory::{Options, object},
        path, secret,
        service::{Dispatch, registered::Registered, registration::Publish},
    };
}
