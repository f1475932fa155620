//! Requests and replies: what comes in by HTTP, and what goes back.

pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod cors;
pub(crate) mod framing;
pub(crate) mod heads;
pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod layers;
pub(crate) mod params;
pub(crate) mod query_string;
pub(crate) mod refusal;
pub(crate) mod reply;
pub(crate) mod rest;
pub(crate) mod target;
