//! An app on the mesh: found by others, calling others, heard by others, over one Redis.
//!
//! Applications depend on the crate `rachis`, which has all of this; see its documentation.

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(fuzzing)]
#[doc(hidden)]
#[allow(missing_docs, clippy::expect_used)] // for `fuzz/` alone
#[path = "../../../fuzz/inside/mesh.rs"]
pub mod fuzzing;
#[cfg(feature = "measured")]
#[doc(hidden)]
#[allow(missing_docs)] // for the benchmark `pure` alone
#[path = "../benches/frames.rs"]
pub mod measured;
mod node;
mod redis;
#[cfg(test)]
mod testing;
mod wire;

#[doc(no_inline)]
pub use ::redis as redis_rs; // the traits by which the connections of `Node::redis` are used
pub use node::{
    CallService, Change, DeadCall, DeadLetter, DeadLetters, Latencies, MadeCalls, MethodStats, Node, NodeBuilder,
    NodeHistory, NodeInfo, NodeSample, NodeStats, Peer, QueueInfo, Readiness, Reloaded, Replay, ResilienceStats,
    Resolved, ServedCalls, ServiceInfo, Tapped, TappedCall, signal,
};
#[doc(hidden)] // for rachis-testing and rachis-gateway
pub use node::{METRICS_TYPE, WeakNode, beat_on_starting_runtime};
#[cfg(feature = "schema")]
pub use node::{OtherSchemas, ServiceSchemas};
#[doc(hidden)] // for the command line
pub use redis::server_warnings;
pub use redis::{
    CredentialProvider, Credentials, RedisConnection, RedisManager, RedisPool, RedisPoolError, RedisSession,
};
