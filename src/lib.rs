//! Rachis: discovery, RPC and real-time events for services, with one shared Redis as the only thing between them.

pub mod config;
mod error;
#[cfg(feature = "gateway")]
pub mod gateway;
mod node;
mod redis;
mod service;
pub mod testing;
mod wire;

pub use config::Config;
pub use error::{Error, ErrorKind, Result};
pub use node::{CallService, Change, Node, NodeBuilder, NodeInfo, Readiness, Resolved, ServiceInfo, signal};
pub use service::*;
