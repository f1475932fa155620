//! Recovery of requests that Redis lost, so that their callers do not wait for a reply that never comes.
//!
//! The node that sent a request knows the entry it stands under. An entry is deleted only together with its reply, which is
//! written first; so where the entry is gone and the inbox, read to its end, holds no reply, the request was lost: by a
//! flush, a restart without data, a failover that came before the replication. Nothing is asked while no call waits.

use super::{
    pending::{Finding, RecoveryCandidate, RecoveryDecision, RecoveryScope, Safety, Stage},
    waiting::Waiting,
};
use crate::node::{
    catalog::SharedCatalog,
    shared::{clock::Clock, commands::Commands},
};
use crate::{
    redis::{
        Failure,
        connection::{
            is_fatal,
            link::{Live, Session},
        },
        keys::{Keys, same_app},
        queue::{EntryId, RequestState, exists, find, newest, request_states},
        registry::Registry,
    },
    wire,
};
use futures_util::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// How often calls that wait are asked about though nothing seems wrong.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// From which age on: most calls are over before.
const LOOK_FROM: Duration = Duration::from_secs(1);
/// How long a request that is gone may go without its reply. One pipeline writes the reply and deletes the request, so
/// this is for what was running when Redis lost its data: most of it ends within that time and is answered as ever.
const GRACE: Duration = Duration::from_millis(500);
/// How long the inbox may take to be read up to where it stood.
const INBOX_TIME: Duration = Duration::from_secs(5);
/// How long a server that does not answer is asked whether it held on to its data, and the pauses in between.
const PATIENCE: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How far off this node's idea of Redis's clock may be.
const CLOCK_SLACK: Duration = Duration::from_secs(60);

/// What looks after the requests of a node.
pub(crate) struct Recovery {
    /// The id of the node.
    pub(crate) node: String,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) commands: Commands,
    pub(crate) catalog: SharedCatalog,
    pub(crate) registry: Registry,
    pub(crate) keys: Keys,
    pub(crate) clock: Arc<Clock>,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) stop: CancellationToken,
}

/// Looks after requests until the node is stopped.
pub(crate) async fn watch(recovery: Recovery) {
    let recovery = Arc::new(recovery);
    let mut renewals = recovery.commands.links().renewals();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let scope = tokio::select! {
            renewed = renewals.changed() => match renewed {
                Ok(()) => RecoveryScope::All,
                Err(_) => return,
            },
            scope = recovery.waiting.recovery().next() => scope,
            _ = ticks.tick() => RecoveryScope::Older(LOOK_FROM),
            () = recovery.stop.cancelled() => return,
        };
        let looked = recovery.stop.run_until_cancelled(RecoveryScan(&recovery).run(&scope)).await;
        if let Some(Err(error)) = looked {
            // Everything is looked after again as soon as there is a new connection.
            tracing::debug!(%error, "calls that wait could not be looked after, trying again");
        }
    }
}

/// One scan of the calls that wait.
struct RecoveryScan<'a>(&'a Arc<Recovery>);

/// A request that stands nowhere.
struct Missing {
    candidate: RecoveryCandidate,
    /// The session it was sent in, if nothing that was sent in it can arrive any more.
    closed: Option<Arc<Session>>,
}

impl RecoveryScan<'_> {
    async fn run(self, scope: &RecoveryScope) -> Result<(), Failure> {
        let mut streams: BTreeMap<Arc<str>, Vec<RecoveryCandidate>> = BTreeMap::new();
        for candidate in self.0.waiting.candidates(scope) {
            streams.entry(candidate.stream.clone()).or_default().push(candidate);
        }
        // Beside each other: a server that does not answer holds up what is about it, and nothing else.
        let looks = streams.into_iter().map(async |(stream, candidates)| {
            let gone = self.missing(&stream, candidates).await?;
            self.search(&stream, gone).await
        });
        let mut missing = Vec::new();
        let mut outcome = Ok(());
        for looked in join_all(looks).await {
            match looked {
                Ok(found) => missing.extend(found),
                Err(error) => outcome = Err(error),
            }
        }
        if !missing.is_empty() {
            self.conclude(missing).await?;
        }
        outcome
    }

    /// Those that are not where they were put.
    async fn missing(&self, stream: &Arc<str>, candidates: Vec<RecoveryCandidate>) -> Result<Vec<Missing>, Failure> {
        let entries: Vec<EntryId> = candidates.iter().filter_map(RecoveryCandidate::entry).collect();
        let entries = &entries;
        let asked = |mut live: Live| async move { request_states(&mut live.connection, stream, entries).await };
        let mut states = self.0.commands.run(stream, asked).await?.into_iter();
        let mut missing = Vec::new();
        let mut given = Vec::new();
        for candidate in candidates {
            let state = if candidate.entry().is_some() { states.next() } else { Some(RequestState::Missing) };
            match state {
                Some(RequestState::Missing) => {
                    let closed = self.0.commands.run(stream, |live| close(&candidate, live)).await?;
                    missing.push(Missing { candidate, closed });
                }
                Some(RequestState::Delivered(replica)) => given.push((candidate, replica)),
                Some(RequestState::Waiting) | None => {}
            }
        }
        if !given.is_empty() && self.is_orphaned(stream) {
            self.orphans(given).await?;
        }
        Ok(missing)
    }

    fn is_orphaned(&self, stream: &str) -> bool {
        let keys = &self.0.keys;
        !self.0.catalog.lock().nodes().any(|member| same_app(&keys.calls(&member.app), stream))
    }

    /// Of an app without replicas, what was given to the dead waits for an heir, which may come late or never. The registry
    /// is asked as well: a replica may have come of which this node has not heard yet.
    async fn orphans(&self, given: Vec<(RecoveryCandidate, String)>) -> Result<(), Failure> {
        let replicas: BTreeSet<String> = given.iter().map(|(_, replica)| replica.clone()).collect();
        let replicas: Vec<String> = replicas.into_iter().collect();
        let registry = self.0.keys.registry();
        let asked = &replicas;
        let known = |mut live: Live| async move { self.0.registry.known(&mut live.connection, asked).await };
        let known = self.0.commands.run(&registry, known).await?;
        let alive: BTreeSet<&String> =
            replicas.iter().zip(known).filter(|(_, known)| *known).map(|(id, _)| id).collect();
        for (candidate, replica) in &given {
            if !alive.contains(replica) {
                self.0.waiting.decide(candidate, Finding::Orphaned);
            }
        }
        Ok(())
    }

    /// Looks for them under other entries: a replica that leaves puts what it had not begun at the end of the queue.
    async fn search(&self, stream: &str, missing: Vec<Missing>) -> Result<Vec<Missing>, Failure> {
        let Some(since) = missing.iter().map(|missing| self.sent_at(&missing.candidate)).min() else {
            return Ok(missing);
        };
        let found = |mut live: Live| async move { find(&mut live.connection, stream, &self.0.node, since).await };
        let found = self.0.commands.run(stream, found).await?;
        let found: HashMap<u64, EntryId> = found
            .into_iter()
            .filter_map(|entry| match wire::sender(&entry.frame) {
                Some((id, from)) if from == self.0.node => Some((id, entry.id)),
                _ => None,
            })
            .collect();
        let mut still = Vec::new();
        for missing in missing {
            match found.get(&missing.candidate.id) {
                Some(entry) => self.0.waiting.decide(&missing.candidate, Finding::Stands(*entry)),
                None => still.push(missing),
            }
        }
        Ok(still)
    }

    /// Not later than this, in ms of Redis's clock, was it written.
    fn sent_at(&self, candidate: &RecoveryCandidate) -> u64 {
        let waited = (candidate.left.at.elapsed() + CLOCK_SLACK).as_millis();
        let by_clock = self.0.clock.now().saturating_sub(u64::try_from(waited).unwrap_or(u64::MAX));
        candidate.entry().map_or(by_clock, |entry| entry.ms.min(by_clock))
    }

    /// Waits for replies that are there already, and decides about the rest.
    ///
    /// That a request never arrived is certain only if all of this holds:
    /// - the server is the one it was sent to, and has held on to its data since: this node is still registered there,
    ///   and was never found forgotten in between;
    /// - the connection it was sent through is closed on the server's side, so it can not arrive later;
    /// - it is not in the stream. Had it been, it could only have left together with a reply, unless Redis had no memory for
    ///   that, which it has refused nothing for since;
    /// - the inbox was read up to where it stood after that, and no reply was in it.
    ///
    /// The server and its memory are asked about last, so that their answers hold for the whole search.
    async fn conclude(&self, missing: Vec<Missing>) -> Result<(), Failure> {
        let found_out = Instant::now();
        let own = self.0.keys.node(&self.0.node);
        let inbox = self.0.keys.inbox(&self.0.node);
        let own = &own;
        let inbox = &inbox;
        let intact =
            self.0.commands.run(own, |mut live| async move { exists(&mut live.connection, own).await }).await?;
        let newest =
            self.0.commands.run(inbox, |mut live| async move { newest(&mut live.connection, inbox).await }).await?;
        if tokio::time::timeout(INBOX_TIME, self.0.waiting.inbox_read_to(newest)).await.is_err() {
            self.0.waiting.recovery().all();
            return Ok(());
        }
        tokio::time::sleep_until((found_out + GRACE).into()).await;
        let losses = self.0.waiting.recovery().count();
        let mut later = Vec::new();
        for Missing { candidate, closed } in missing {
            let never_arrived = match closed {
                Some(then) if intact && candidate.left.losses == losses => self.held_on(&candidate, &then).await?,
                _ => false,
            };
            match (never_arrived, candidate.safety) {
                (true, _) => self.0.waiting.decide(&candidate, Finding::NeverArrived),
                (false, Safety::Keyed) => later.push(candidate),
                (false, Safety::Idempotent | Safety::Unsafe) => self.0.waiting.decide(&candidate, Finding::Gone),
            }
        }
        if !later.is_empty() {
            self.decide_later(later, found_out);
        }
        Ok(())
    }

    /// Returns `true` if the server of that session is the present one, and has had memory for everything since. Where it does
    /// not answer for a while, what was found out before still holds, so it is asked again: else one that is away every few
    /// moments would be searched from the beginning each time, and to no end.
    async fn held_on(&self, candidate: &RecoveryCandidate, then: &Session) -> Result<bool, Failure> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.0.commands.run(&candidate.stream, |live| held_on(then, live)).await {
                Err(error) if is_fatal(&error) && Instant::now() < until => {
                    tracing::debug!(%error, "whether Redis held on to its data could not be asked yet");
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// A call with an idempotency key may be running while Redis has lost its mark. It is sent again when the node
    /// that runs it has found that out, by a beat at the latest, and has set the mark again.
    fn decide_later(&self, candidates: Vec<RecoveryCandidate>, found_out: Instant) {
        let recovery = self.0.clone();
        let when = found_out + GRACE + self.0.heartbeat_interval * 3 / 2;
        let deciding = async move {
            tokio::time::sleep_until(when.into()).await;
            candidates.iter().for_each(|candidate| recovery.waiting.decide(candidate, Finding::Gone));
        };
        tokio::spawn(self.0.stop.clone().run_until_cancelled_owned(deciding));
    }
}

/// Makes sure that a request whose connection broke does not arrive after it was looked for: what still lies on the way
/// is worth nothing once the server has closed its end. Only the server it was sent to can do that. Returns the session
/// that is closed.
async fn close(candidate: &RecoveryCandidate, mut live: Live) -> Result<Option<Arc<Session>>, Failure> {
    match (&candidate.stage, &live.session) {
        (Stage::Adrift(Some(then)), Some(now)) if then.server == now.server => {
            let closed = then.client == now.client || then.close(&mut live.connection).await?;
            Ok(closed.then(|| then.clone()))
        }
        _ => Ok(None),
    }
}

/// Returns `true` if the server of that session is the present one, and has had memory for everything since.
async fn held_on(then: &Session, mut live: Live) -> Result<bool, Failure> {
    match &live.session {
        Some(now) if then.server == now.server => Ok(then.had_memory(&mut live.connection).await?),
        _ => Ok(false),
    }
}

impl RecoveryCandidate {
    fn entry(&self) -> Option<EntryId> {
        match self.stage {
            Stage::Sent(entry) => Some(entry),
            _ => None,
        }
    }
}

impl RecoveryDecision {
    /// What a caller is told that has to give up.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            RecoveryDecision::Orphaned => {
                "the replica that had it died, and none is left: it may have run, and is not run again"
            }
            RecoveryDecision::Resend | RecoveryDecision::Lost => {
                "Redis lost the request: it may have run, and is not sent again"
            }
        }
    }
}
