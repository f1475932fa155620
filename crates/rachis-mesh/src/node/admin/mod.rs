//! What operators see of a node: its dead letters and its metrics.

pub(super) mod dead_letters;
pub(super) mod scrape;
