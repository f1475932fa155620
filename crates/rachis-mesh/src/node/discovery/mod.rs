//! Keeps the catalog true: hears of changes, reads what was missed, announces this node.

pub(super) mod announce;
pub(super) mod change_feed;
pub(super) mod lifecycle;
pub(super) mod listen;
pub(super) mod observer;
mod publish;
pub(super) mod records;
pub(super) mod sync;
pub(super) mod task;
pub(super) mod view;
