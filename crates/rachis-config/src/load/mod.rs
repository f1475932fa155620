//! Where settings come from: the file, the environment, changes while a program runs; and what is checked of them together.

pub(crate) mod difference;
pub(crate) mod env;
pub(crate) mod hazards;
pub(crate) mod layers;
pub(crate) mod loader;
#[cfg(test)]
pub(crate) mod schema;
pub(crate) mod validate;
pub(crate) mod watch;
