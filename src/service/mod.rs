//! What a service is: pure, no I/O.

mod app;
mod call;
mod context;
mod descriptor;
mod event;
mod handle;
mod hidden;
mod hook;
mod hooks;
mod id;
pub(crate) mod idempotency;
mod memory;
mod method;
mod page;
mod params;
pub(crate) mod path;
pub mod query;
mod registration;
mod router;
pub(crate) mod secret;
#[allow(clippy::module_inception)]
mod service;
#[cfg(test)]
mod tests;
mod typed;

pub use app::App;
pub(crate) use app::{not_found, not_offered};
pub use call::{Answer, Call, Http};
pub use context::{Context, Parts};
pub use descriptor::Descriptor;
pub(crate) use event::EventSink;
pub use event::{Event, EventContext, EventStream, RESYNC};
pub use handle::{CallBuilder, Caller, Handle};
pub use hidden::Hiding;
pub(crate) use hook::Chain;
pub use hook::{ALL, Hook, Identifying, Next, Scope};
pub(crate) use hooks::{Hooks, chain};
pub use id::Id;
pub use memory::{MemoryService, Multi};
pub use method::{Method, STANDARD_EVENTS};
pub use page::{Listing, Page, Paginate};
pub use params::Params;
pub use query::Query;
pub(crate) use registration::Registered;
pub use registration::{Registration, ServiceExt};
pub(crate) use router::{Found, Router, fill_route};
pub use secret::mask_secrets;
pub(crate) use service::Dispatch;
pub use service::Service;
pub use typed::{Typed, TypedService};
