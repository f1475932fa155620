//! For tests of applications: a whole mesh in one process, over a real `redis-server` (which must be on the path).
//!
//! ```no_run
//! use rachis::{App, MemoryService};
//! use rachis_testing::cluster;
//! use serde_json::json;
//!
//! #[tokio::test]
//! async fn calls_cross_nodes() {
//!     let [_todos, other] = cluster([App::new().register("todos", MemoryService::new()), App::new()]).await;
//!     let todo = other.service("todos").create(json!({ "text": "write" })).await.unwrap();
//!     assert_eq!(todo["text"], "write");
//! }
//! ```

#[cfg(feature = "config")]
mod config;
#[cfg(feature = "databases")]
mod databases;
#[cfg(feature = "gateway")]
mod gateway;
#[cfg(feature = "mesh")]
mod mesh;
mod throwaway;

#[cfg(feature = "config")]
pub use config::{config, config_for};
#[cfg(feature = "databases")]
pub use databases::ThrowawayDatabase;
#[cfg(feature = "gateway")]
pub use gateway::{TestGateway, gateway, gateway_with};
#[cfg(feature = "mesh")]
pub use mesh::{beat_on_starting_runtime, cluster, cluster_with, start};
pub use throwaway::ThrowawayRedis;

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

/// The Redis that all meshes of this process share; it ends with the process.
///
/// # Panics
/// When `redis-server` can not be started.
pub fn redis() -> &'static ThrowawayRedis {
    static REDIS: OnceLock<ThrowawayRedis> = OnceLock::new();
    REDIS.get_or_init(|| match ThrowawayRedis::start() {
        Ok(redis) => redis,
        Err(error) => panic!("tests need redis-server: {error}"),
    })
}

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within ten seconds; the message says `what` was waited for.
#[track_caller]
pub fn eventually<F, Fut>(what: &str, condition: F) -> impl Future<Output = ()>
where
    F: Fn() -> Fut,
    Fut: Future<Output = bool>,
{
    let caller = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition().await {
            assert!(Instant::now() < deadline, "{caller}: still waiting until {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}
