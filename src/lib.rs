//! Rachis: discovery, RPC and real-time events for services, with one shared Redis as the only thing between them.

mod error;
mod redis;
mod service;
mod wire;

pub use error::{Error, ErrorKind, Result};
pub use service::*;
