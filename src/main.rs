//! The `rachis` binary.
fn main() {}
