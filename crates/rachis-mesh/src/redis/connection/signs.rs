//! What tells that a connection is of no further use although nothing fails.

use super::{
    socket::Shared,
    topology::{Moves, Servers, Shard},
};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What tells that a server has gone silent, or that the key has moved away from it.
pub(crate) struct Signs {
    pub(super) servers: Arc<Servers>,
    pub(super) shard: Shard,
    /// The key that the connection is about; `None`: all that the server holds.
    pub(super) key: Option<String>,
    pub(super) moves: Moves,
    pub(super) suspicion: watch::Receiver<u64>,
    pub(super) logins: watch::Receiver<u64>,
    /// Tells that the other end has closed the connection, where that is known.
    pub(super) end: Option<CancellationToken>,
}

/// What is to be done about a connection.
pub(crate) enum Sign {
    /// It had better be made anew.
    Doubted,
    /// The other end has closed it, when nothing was to be sent.
    Ended,
    /// The server should be told who one is now, by [`Connector::log_in`](super::Connector::log_in).
    LoginChanged,
}

impl Signs {
    /// Those of this connection.
    pub(super) fn of(self, connection: &Shared) -> Self {
        Signs { end: Some(connection.end()), ..self }
    }

    /// Returns `true` if the other end has closed the connection.
    pub(crate) fn has_ended(&self) -> bool {
        self.end.as_ref().is_some_and(CancellationToken::is_cancelled)
    }

    /// Ends when the connection had better be made anew.
    pub(crate) async fn doubted(&mut self) {
        loop {
            tokio::select! {
                // An error means that nobody is left to suspect anything.
                outcome = self.suspicion.changed() => match outcome {
                    Ok(()) => return,
                    Err(_) => std::future::pending().await,
                },
                () = self.moves.next() => if !self.is_in_place() { return },
            }
        }
    }

    /// Ends when something is to be done about the connection.
    pub(crate) async fn next(&mut self) -> Sign {
        let mut logins = self.logins.clone();
        let end = self.end.clone();
        let ended = async {
            match &end {
                Some(end) => end.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = ended => Sign::Ended,
            () = self.doubted() => Sign::Doubted,
            Ok(()) = logins.changed() => {
                self.logins.mark_unchanged();
                Sign::LoginChanged
            }
        }
    }

    /// Has the login changed since the last time, so that the server should be told by [`Connector::log_in`](super::Connector::log_in)?
    pub(crate) fn has_login_changed(&mut self) -> bool {
        let changed = self.logins.has_changed().unwrap_or(false);
        if changed {
            self.logins.mark_unchanged();
        }
        changed
    }

    fn is_in_place(&self) -> bool {
        match &self.key {
            Some(key) => self.servers.shard(key).as_ref() == Some(&self.shard),
            None => self.servers.has(&self.shard),
        }
    }
}
