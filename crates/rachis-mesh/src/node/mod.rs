//! An app on the mesh: found by others, calling others, heard by others.
//!
//! The folders are the jobs of a node. [`assembly`] builds all parts and gives each the others that it works with; [`handle`]
//! is what applications hold. Imports go one way: those further down know those further up.
//!
//! - [`catalog`]: what it believes of the mesh
//! - [`shared`]: what it is, and what several jobs work with
//! - [`client`]: calls to other nodes
//! - [`events`]: events out and in
//! - [`idempotency`]: calls that run once
//! - `resilience`: limits, retries and circuit breakers around its calls; with the feature `resilience`
//! - [`server`]: calls from other nodes
//! - [`caller`]: how services and hooks call
//! - [`discovery`]: keeps the catalog true
//! - `schemas`: what services take and return, for others and of others; with the feature `schema`
//! - [`admin`]: what operators see
//! - [`lifecycle`]: joins, beats, reloads, leaves

mod admin;
mod assembly;
mod builder;
mod caller;
mod catalog;
mod client;
mod discovery;
mod events;
mod handle;
mod idempotency;
mod lifecycle;
#[cfg(feature = "resilience")]
mod resilience;
#[cfg(feature = "schema")]
mod schemas;
mod server;
mod shared;

pub use admin::dead_letters::{DeadCall, DeadLetter, DeadLetters, Replay};
pub use admin::history::{MadeCalls, NodeHistory, NodeSample, ServedCalls};
pub use admin::peer::{MethodStats, NodeStats, Peer, ResilienceStats, Tapped, TappedCall};
pub use admin::queues::QueueInfo;
pub use admin::scrape::METRICS_TYPE;
pub use builder::NodeBuilder;
pub use client::remote::CallService;
pub use discovery::view::Resolved;
pub use handle::{Node, WeakNode};
pub use lifecycle::heartbeat::on_the_starting_runtime as beat_on_starting_runtime;
pub use lifecycle::reload::Reloaded;
pub use lifecycle::shutdown::signal;
#[cfg(feature = "schema")]
pub use schemas::{OtherSchemas, ServiceSchemas};
pub use shared::info::{Change, NodeInfo, ServiceInfo};
pub use shared::latencies::Latencies;
pub use shared::life::Readiness;
