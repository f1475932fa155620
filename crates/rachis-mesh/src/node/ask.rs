//! Questions to Redis that belong to calls: they go over the connections that requests and replies share, and wait in no
//! pool.

use super::Inner;
use crate::redis::{
    Failure,
    connection::{is_fatal, is_redirect, link::Live, timed_out},
    queue::exists,
};
use rachis_core::Error;
use std::time::Duration;

/// The pause before a question is asked again whose connection broke.
const PAUSE: Duration = Duration::from_millis(10);

/// The error for a caller when Redis did not answer.
pub(super) fn unreachable(error: Failure) -> Error {
    Error::unavailable(format!("Redis: {error}"))
}

impl Inner {
    /// Returns `true` if the key exists.
    pub(super) async fn has_key(&self, key: &str) -> Result<bool, Failure> {
        self.redis(key, |mut live| async move { exists(&mut live.connection, key).await }).await
    }

    /// Runs a command on the connection that requests and replies share, anew where that breaks, within the time that a
    /// command may take. It may run twice.
    pub(super) async fn redis<T, Fut>(&self, key: &str, command: impl Fn(Live) -> Fut) -> Result<T, Failure>
    where
        Fut: Future<Output = Result<T, Failure>>,
    {
        let Some(links) = self.links.get() else {
            return Err(std::io::Error::from(std::io::ErrorKind::NotConnected).into());
        };
        let asked = async {
            loop {
                let (link, live) =
                    links.reach_untried(key).await.ok_or_else(|| timed_out("a node that has shut down"))?;
                // One that was cut silently is found out in the time of a probe, without the command that costs.
                let time = if live.has_rested() { self.connector.probe_time() } else { Duration::MAX };
                let answer = tokio::time::timeout(time, command(live.clone())).await;
                match answer.unwrap_or_else(|_| Err(timed_out("Redis"))) {
                    Err(error) if is_fatal(&error) => {
                        tracing::debug!(%error, "asking again");
                        self.connector.servers().learn_from(&error).await;
                        if !is_redirect(&error) {
                            link.report(&live);
                        }
                        tokio::time::sleep(PAUSE).await;
                    }
                    outcome => {
                        live.answered();
                        return outcome;
                    }
                }
            }
        };
        // A connection that was cut silently is found out first.
        let time = self.config.redis.response_timeout + self.connector.probe_time();
        tokio::time::timeout(time, asked).await.unwrap_or_else(|_| Err(timed_out("Redis")))
    }
}
