//! OpenAPI: what the services of a mesh offer, in the form that generators, validators and people read.
//!
//! A [`Document`] is made from the faces of services and, where they have some, their schemas. A gateway serves the one of
//! its mesh at `gateway.openapi`, by default `/openapi.json`.

mod components;
mod described;
mod document;
pub(crate) mod endpoint;
mod errors;
mod names;
mod operations;
#[cfg(feature = "docs")]
pub(crate) mod page;
mod parameters;
mod parts;
#[cfg(test)]
mod tests;

pub use described::Described;
pub use document::Document;
pub use endpoint::describe;
