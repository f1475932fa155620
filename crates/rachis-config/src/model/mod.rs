//! The sections of the file.

pub(crate) mod auth;
pub(crate) mod gateway;
pub(crate) mod log;
pub(crate) mod mesh;
pub(crate) mod metrics;
pub(crate) mod query;
pub(crate) mod service;
