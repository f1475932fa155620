//! Rachis: discovery, RPC and real-time events for services, with one shared Redis as the only thing between them.

pub mod config;
mod error;
mod redis;
mod service;
mod wire;

pub use config::Config;
pub use error::{Error, ErrorKind, Result};
pub use service::*;
