//! Links: connections that many share, and that come back by themselves.

use super::{
    connection::{Calm, Connector, Opened},
    servers::Shard,
};
use redis::aio::MultiplexedConnection;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A shared connection to one server that comes back by itself.
///
/// redis-rs's own `ConnectionManager` repeats an error that is no I/O error (a wrong password, say) for ever, even when
/// the server has been mended; here any reported failure makes a new connection.
#[derive(Clone)]
pub(crate) struct Link {
    live: watch::Receiver<Option<Live>>,
    broken: Arc<watch::Sender<u64>>,
}

/// A connection and which one in the row it is.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) generation: u64,
}

/// The links of one node for the commands that many share, one to each server it has something to say to.
#[derive(Clone)]
pub(crate) struct Links {
    connector: Connector,
    stop: CancellationToken,
    // Bounded by the servers there are: whoever finds that one is gone drops its link.
    open: Arc<Mutex<HashMap<Shard, (Link, CancellationToken)>>>,
}

impl Links {
    /// Links that live until `stop` is cancelled.
    pub(crate) fn new(connector: Connector, stop: CancellationToken) -> Self {
        Links { connector, stop, open: Arc::default() }
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// The link to this server, which begins to connect when it is first asked for.
    pub(crate) fn to(&self, shard: &Shard) -> Link {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((link, _)) = open.get(shard) {
            return link.clone();
        }
        let stop = self.stop.child_token();
        let link = Link::open(self.connector.clone(), "commands", shard.clone(), stop.clone());
        open.insert(shard.clone(), (link.clone(), stop));
        link
    }

    /// The link to the server that holds `key`, and its connection, as soon as there is one; `None` when stopped.
    pub(crate) async fn reach(&self, key: &str) -> Option<(Link, Live)> {
        let servers = self.connector.servers();
        loop {
            let mut moves = servers.moves();
            let shard = match servers.shard(key) {
                Some(shard) => shard,
                None => self.connector.locate(key, &self.stop).await?,
            };
            let mut link = self.to(&shard);
            tokio::select! {
                live = link.get() => match live {
                    Some(live) => return Some((link, live)),
                    None if self.stop.is_cancelled() => return None,
                    // Somebody found that the server no longer holds anything.
                    None => self.end(&shard),
                },
                () = moves.next() => {}
            }
        }
    }

    /// Ends the link to a server that no longer holds anything.
    pub(crate) fn end(&self, shard: &Shard) {
        let ended = self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(shard);
        if let Some((_, stop)) = ended {
            stop.cancel();
        }
    }
}

impl Link {
    /// Starts to connect; the link lives until `stop` is cancelled.
    fn open(connector: Connector, purpose: &'static str, shard: Shard, stop: CancellationToken) -> Self {
        let (publish, live) = watch::channel(None);
        let broken = Arc::new(watch::Sender::new(0));
        let mut reports = broken.subscribe();
        tokio::spawn(async move {
            let mut calm = Calm::new(&connector);
            for generation in 1.. {
                if calm.before_connecting(&stop).await.is_none() {
                    return;
                }
                let attempt = || connector.connect_to(purpose, &shard);
                let Some(Opened { connection, mut signs }) = connector.until(purpose, &stop, attempt).await else {
                    return;
                };
                publish.send_replace(Some(Live { connection, generation }));
                tokio::select! {
                    // An error means that every clone of the link is gone.
                    outcome = reports.wait_for(|broken| *broken >= generation) => if outcome.is_err() { return },
                    () = signs.doubted() => {}
                    () = stop.cancelled() => return,
                }
                publish.send_replace(None);
            }
        });
        Link { live, broken }
    }

    /// The connection, as soon as there is one. `None` when the link was stopped.
    pub(crate) async fn get(&mut self) -> Option<Live> {
        self.live.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// Says that a connection failed; reports about one that has been replaced already do nothing.
    pub(crate) fn report(&self, live: &Live) {
        self.broken.send_if_modified(|broken| {
            let newer = live.generation > *broken;
            *broken = live.generation.max(*broken);
            newer
        });
    }
}
