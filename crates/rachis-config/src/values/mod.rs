//! Single values: sizes, times, addresses, patterns, secrets; how each is read and shown.

pub(crate) mod address_map;
pub(crate) mod addresses;
pub(crate) mod allowed_origin;
pub(crate) mod calls;
pub(crate) mod filter;
pub(crate) mod network;
pub(crate) mod origin;
pub(crate) mod secret;
pub(crate) mod servers;
pub(crate) mod size;
pub(crate) mod template;
pub(crate) mod time;
pub(crate) mod url;
pub(crate) mod value;
