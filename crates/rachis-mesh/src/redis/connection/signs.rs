//! Signs that a connection is unusable although no command fails.

use super::{
    socket::Shared,
    topology::{Moves, Servers, Shard},
};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Watches for a silent server, a moved key, a changed login and a closed connection.
pub(crate) struct Signs {
    pub(super) servers: Arc<Servers>,
    pub(super) shard: Shard,
    /// The key that the connection is about; `None` for all keys of the server.
    pub(super) key: Option<String>,
    pub(super) moves: Moves,
    pub(super) suspicion: watch::Receiver<u64>,
    pub(super) logins: watch::Receiver<u64>,
    /// Cancelled when the other end has closed the connection; `None` where that is not watched.
    pub(super) end: Option<CancellationToken>,
}

/// What a connection needs.
pub(crate) enum Sign {
    /// The server is silent or the key has moved: reconnect.
    Doubted,
    /// The other end has closed it while it was idle.
    Ended,
    /// The login has changed: call [`Connector::log_in`](super::Connector::log_in).
    LoginChanged,
}

impl Signs {
    /// Adds the end of this connection to the signs.
    pub(super) fn of(self, connection: &Shared) -> Self {
        Signs { end: Some(connection.end()), ..self }
    }

    /// Returns `true` if the other end has closed the connection.
    pub(crate) fn has_ended(&self) -> bool {
        self.end.as_ref().is_some_and(CancellationToken::is_cancelled)
    }

    /// Completes when the connection should be replaced.
    pub(crate) async fn doubted(&mut self) {
        self.split().0.await;
    }

    /// Returns what completes when the connection should be replaced, and the other signs. The futures of connections are
    /// made and dropped with each command, so they share what they watch instead of cloning it.
    fn split(&mut self) -> (impl Future<Output = ()>, &mut watch::Receiver<u64>, Option<&CancellationToken>) {
        let Signs { servers, shard, key, moves, suspicion, logins, end } = self;
        let doubted = async {
            loop {
                tokio::select! {
                    biased;
                    // An error means that the connector is gone.
                    outcome = suspicion.changed() => match outcome {
                        Ok(()) => return,
                        Err(_) => std::future::pending().await,
                    },
                    () = moves.next() => {
                        let is_in_place = match key {
                            Some(key) => servers.shard(key).as_ref() == Some(shard),
                            None => servers.has(shard),
                        };
                        if !is_in_place {
                            return;
                        }
                    }
                }
            }
        };
        (doubted, logins, end.as_ref())
    }

    /// Waits for the next sign.
    pub(crate) async fn next(&mut self) -> Sign {
        let (doubted, logins, end) = self.split();
        let ended = async {
            match end {
                Some(end) => end.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = ended => Sign::Ended,
            () = doubted => Sign::Doubted,
            Ok(()) = logins.changed() => Sign::LoginChanged,
        }
    }

    /// Returns `true` if the login has changed since the last call; then
    /// [`Connector::log_in`](super::Connector::log_in) is due.
    pub(crate) fn has_login_changed(&mut self) -> bool {
        let changed = self.logins.has_changed().unwrap_or(false);
        if changed {
            self.logins.mark_unchanged();
        }
        changed
    }
}
