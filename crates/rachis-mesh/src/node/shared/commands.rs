//! Commands that belong to calls: they go over the connections that requests and replies share, and wait in no pool.

use crate::node::shared::life::Life;
use crate::redis::{
    Failure,
    connection::{
        is_fatal, is_redirect,
        link::{Links, Live},
        timed_out,
    },
    queue::exists,
};
use rachis_core::Error;
use std::{sync::Arc, time::Duration};

/// The pause before a question is asked again whose connection broke.
const PAUSE: Duration = Duration::from_millis(10);

/// The error for a caller when Redis did not answer.
pub(crate) fn unreachable(error: Failure) -> Error {
    Error::unavailable(format!("Redis: {error}"))
}

/// Runs commands on the connections that requests and replies share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Commands {
    links: Links,
    life: Arc<Life>,
    /// The longest time that a command may take.
    time: Duration,
}

impl Commands {
    pub(crate) fn new(links: Links, life: Arc<Life>, response_timeout: Duration) -> Self {
        // A connection that was cut silently is found out first.
        let time = response_timeout + links.connector().probe_time();
        Commands { links, life, time }
    }

    pub(crate) fn links(&self) -> &Links {
        &self.links
    }

    /// Returns `true` if the key exists.
    pub(crate) async fn has_key(&self, key: &str) -> Result<bool, Failure> {
        self.run(key, |mut live| async move { exists(&mut live.connection, key).await }).await
    }

    /// Runs a command, anew where its connection breaks, within the time that a command may take. It may run twice.
    ///
    /// # Errors
    /// `NotConnected` before the node has begun to join.
    pub(crate) async fn run<T, Fut>(&self, key: &str, command: impl Fn(Live) -> Fut) -> Result<T, Failure>
    where
        Fut: Future<Output = Result<T, Failure>>,
    {
        if !self.life.is_open() {
            return Err(std::io::Error::from(std::io::ErrorKind::NotConnected).into());
        }
        let connector = self.links.connector();
        let asked = async {
            loop {
                let (link, live) =
                    self.links.reach_untried(key).await.ok_or_else(|| timed_out("a node that has shut down"))?;
                // One that was cut silently is found out in the time of a probe, without the command that costs.
                let time = if live.has_rested() { connector.probe_time() } else { Duration::MAX };
                let answer = tokio::time::timeout(time, command(live.clone())).await;
                match answer.unwrap_or_else(|_| Err(timed_out("Redis"))) {
                    Err(error) if is_fatal(&error) => {
                        tracing::debug!(%error, "asking again");
                        connector.servers().learn_from(&error).await;
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
        tokio::time::timeout(self.time, asked).await.unwrap_or_else(|_| Err(timed_out("Redis")))
    }
}
