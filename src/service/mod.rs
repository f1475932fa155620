//! What a service is: pure, no I/O.

mod app;
mod call;
mod chain;
mod descriptor;
mod event;
mod handle;
mod hook;
mod id;
mod method;
mod params;
pub(crate) mod path;
mod query;
mod registration;
mod router;
#[allow(clippy::module_inception)]
mod service;

pub use app::App;
pub use call::{Answer, Call, Http};
pub use descriptor::Descriptor;
pub use event::{Event, EventContext, EventStream, RESYNC};
pub use handle::{CallBuilder, Caller, Handle};
pub use hook::{ALL, Context, Hook, Next, Parts, Scope};
pub use id::Id;
pub use method::{Method, STANDARD_EVENTS};
pub use params::Params;
pub use query::Query;
pub use registration::{Registration, ServiceExt};
pub use service::Service;
