//! What operators see of a node, and tell it: its dead letters, its metrics, its last hour, and what single nodes answer.

pub(super) mod beats;
pub(super) mod dead_letters;
pub(super) mod history;
pub(super) mod peer;
pub(super) mod questions;
pub(super) mod queues;
pub(super) mod respondent;
pub(super) mod scrape;
