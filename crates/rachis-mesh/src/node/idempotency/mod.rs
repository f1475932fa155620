//! Calls with an idempotency key: one run, and its reply for each repeat of the call.
//!
//! A mark in Redis says which node runs a call, then what it ended in. Liveness decides here as well: the mark of a live node
//! holds for as long as the service works, that of a dead one falls to the next call that comes.

mod call;
mod recent_outcomes;
mod tell_again;

pub(crate) use call::IdempotentCall;
pub(crate) use recent_outcomes::RecentOutcomes;
pub(crate) use tell_again::watch;

use super::{
    catalog::SharedCatalog,
    client::waiting::Waiting,
    events::fired::{self, noting},
};
use crate::node::shared::{
    commands::Commands, context::NodeContext, life::Life, live_config::LiveConfig, runner::Runner,
};
use crate::{
    redis::{
        Failure,
        connection::{Backoff, link::Live, pool::Admin},
        event_log::Intake,
        idempotency::{Begun, Mark, ms},
        queue::Write,
        registry::Registry,
    },
    wire::{Frame, Reply, SigningScope},
};
use bytes::Bytes;
use rachis_core::{
    Answer, Call, Error, ErrorKind, Outcome, Result,
    host::{Found, Registered},
};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// The header of a REST reply that is that of an earlier request with the same key.
pub(crate) const REPLAYED: &str = "idempotency-replayed";

/// How many TTLs a mark holds that is not renewed, be it that its node can not reach Redis or that others can
/// not see whether it lives.
pub(crate) const TTLS_HELD: u32 = 10;
/// How often it is renewed in that time: two attempts may be lost.
const RENEWALS: u32 = 3;
/// The pauses of a repeat that waits for a run.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(250));
/// A larger reply is not kept, only that there was one: a day's replies have to fit into Redis.
const LARGEST_KEPT: usize = 256 * 1024;

/// Which delivery of which call this is.
pub(crate) struct Delivery {
    /// Of one delivery of one request.
    pub(crate) name: String,
    /// `true` if no delivery can have come before it.
    pub(crate) first: bool,
    /// When its caller stops waiting.
    pub(crate) until: Instant,
}

/// A run that came to an end worth keeping.
pub(crate) struct CompletedRun(Mark);

/// The end of a call that has run, now or before.
pub(crate) struct EndedRun {
    pub(crate) outcome: Result<Answer>,
    /// For the reply to be kept by.
    pub(crate) completed: Option<CompletedRun>,
}

/// The error of a call that was not begun, since Redis did not tell whether it had run.
pub(crate) struct NotBegun(pub(crate) Error);

/// Runs calls with an idempotency key.
pub(crate) struct Idempotency {
    pub(crate) context: Arc<NodeContext>,
    pub(crate) config: Arc<LiveConfig>,
    pub(crate) life: Arc<Life>,
    pub(crate) recent: RecentOutcomes,
    pub(crate) commands: Commands,
    pub(crate) catalog: SharedCatalog,
    pub(crate) registry: Registry,
    pub(crate) admin: Admin,
    /// Knows when Redis has lost data.
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) runner: Runner,
    pub(crate) intake: watch::Sender<Intake>,
    /// Calls of this process, which go on without their callers; a shutdown waits for them.
    pub(crate) own_calls: TaskTracker,
}

impl Idempotency {
    /// Has `reply` written once repeats of the call get it as well: no caller has a reply that a repeat would not get.
    pub(crate) fn kept_before(
        &self,
        CompletedRun(mark): CompletedRun,
        outcome: &Result<Answer>,
        reply: Write,
    ) -> Write {
        let Some((value, time)) = self.remember(&mark, outcome) else { return reply };
        Write::Keep { mark: mark.running(), key: mark.key, value, ttl_ms: ms(time), then: Some(Box::new(reply)) }
    }

    /// Returns what is to be kept of a call, and for how long.
    fn remember(&self, mark: &Mark, outcome: &Result<Answer>) -> Option<(Bytes, Duration)> {
        let value: Bytes = mark.finished(&kept(outcome, self.context.signer.at(&mark.key))?).into();
        let time = self.config.load().limits.idempotency_ttl;
        let now = Instant::now();
        self.recent.add(mark, now.checked_add(time).map(|until| (value.clone(), until)), now);
        Some((value, time))
    }

    /// Runs `work`, or finds out what it came to before.
    pub(crate) async fn run_once(
        &self,
        idempotent: IdempotentCall,
        run: Delivery,
        work: impl Future<Output = Result<Answer>>,
    ) -> Result<EndedRun, NotBegun> {
        let mark = Mark {
            key: self.context.keys.idempotency(&self.context.identity.app, &idempotent.digest),
            fingerprint: idempotent.fingerprint,
            node: self.is_announced().then(|| self.context.identity.id.clone()),
            run: run.name,
        };
        match self.begin(&mark, run.first, run.until).await {
            Ok(Begin::Run) => {}
            Ok(Begin::Replay(reply)) => {
                let outcome = replayed(&reply, idempotent.rest, self.context.signer.at(&mark.key));
                return Ok(EndedRun { outcome, completed: None });
            }
            Ok(Begin::Untold(error)) => return Err(NotBegun(error)),
            Err(error) => return Ok(EndedRun { outcome: Err(error), completed: None }),
        }
        let outcome = tokio::select! {
            outcome = work => outcome,
            never = self.keep_up(&mark) => match never {},
        };
        if is_final(&outcome) {
            return Ok(EndedRun { outcome, completed: Some(CompletedRun(mark)) });
        }
        self.recent.add(&mark, None, Instant::now());
        if let Err(error) = self.let_go(&mark).await {
            tracing::debug!(%error, "repeats of a call that failed have to wait until its mark is over");
        }
        Ok(EndedRun { outcome, completed: None })
    }

    /// As [`run_once`](Self::run_once), for a service of this process. The caller may go: as on another node, the call
    /// runs to its end, so that a repeat finds it.
    pub(crate) async fn run_once_here(
        self: Arc<Self>,
        idempotent: IdempotentCall,
        found: Found<Arc<Registered>>,
        call: Box<Call>,
    ) -> Result<Answer> {
        let own_calls = self.own_calls.clone();
        // A shutdown waits for it as for calls of other nodes.
        let running = own_calls.spawn(
            async move {
                let until = Instant::now() + call.timeout.unwrap_or(self.config.load().timeout);
                let run = Delivery { name: format!("here:{}", ulid::Ulid::generate()), first: true, until };
                let work = std::pin::pin!(self.run_once(idempotent, run, self.runner.run(found, call)));
                let (run, fired) = noting(work).await;
                fired.taken(&self.intake, fired::ReplyTo::Here).await;
                let EndedRun { outcome, completed } = run.map_err(|NotBegun(error)| error)?;
                if let Some(CompletedRun(mark)) = completed {
                    self.keep(&mark, &outcome).await;
                }
                outcome
            }
            .in_current_span(),
        );
        running
            .await
            .unwrap_or_else(|_| Err(Error::unavailable("This node has shut down while the call was under way")))
    }

    /// Waits until the call may run or has run.
    async fn begin(&self, mark: &Mark, first: bool, until: Instant) -> Result<Begin> {
        let mut backoff = BACKOFF;
        let holds = self.mark_holds();
        let mut death = Death::default();
        let mut dead = None;
        loop {
            let gone = dead.as_deref();
            let asked = Instant::now();
            let begun = self
                .commands
                .run(&mark.key, |mut live| async move { mark.begin(&mut live.connection, gone, holds).await });
            match begun.await {
                // A process that stood still since then may count as dead, and another one have run the call: asked again.
                Ok(Begun::Now) if asked.elapsed() > self.config.at_start().ttl() / 2 && Instant::now() < until => {
                    continue;
                }
                Ok(Begun::Now) => {
                    self.recent.begun(&mark.key);
                    return Ok(Begin::Run);
                }
                Ok(Begun::Kept(reply)) => return Ok(Begin::Replay(reply)),
                Ok(Begun::Other) => return Err(reused()),
                Ok(Begun::Running(_) | Begun::Lost) if Instant::now() >= until => return Err(still_running()),
                Ok(Begun::Running(node)) => dead = self.find_dead(&mut death, node).await,
                Ok(Begun::Lost) => {}
                Err(error) => {
                    self.clean_up(mark.clone());
                    return Ok(Begin::Untold(unprotected(&error, first)));
                }
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// Returns the node that runs it, if that node is dead. The registry may have lost a node that lives and then
    /// announces itself anew, so a node that is missing there is looked at again two beats later.
    async fn find_dead(&self, death: &mut Death, node: Option<String>) -> Option<String> {
        let node = node?;
        let believed = node == self.context.identity.id || self.catalog.lock().nodes().any(|member| member.id == node);
        if believed || self.is_known(&node).await.unwrap_or(true) {
            death.0 = None;
            return None;
        }
        let (missing, since) = death.0.get_or_insert_with(|| (node.clone(), Instant::now()));
        if *missing != node {
            (*missing, *since) = (node.clone(), Instant::now());
        }
        (since.elapsed() > self.config.at_start().heartbeat_interval * 2).then_some(node)
    }

    async fn is_known(&self, node: &str) -> Result<bool, Failure> {
        let mut connection = self.admin.get(&self.context.keys.registry()).await?;
        let known = self.registry.known(&mut connection, &[node.to_owned()]).await?;
        Ok(known.first().copied().unwrap_or(false))
    }

    /// Renews the mark for as long as it is asked to.
    async fn keep_up(&self, mark: &Mark) -> Infallible {
        let holds = self.mark_holds();
        let mut losses = self.waiting.recovery().losses();
        let mut renewals = self.commands.links().renewals();
        loop {
            // At once where Redis may have lost the mark: a repeat must not begin beside this run.
            tokio::select! {
                () = tokio::time::sleep(holds / RENEWALS) => {}
                Ok(()) = losses.changed() => {}
                Ok(()) = renewals.changed() => {}
            }
            let renewed =
                self.commands.run(&mark.key, |mut live| async move { mark.renew(&mut live.connection, holds).await });
            match renewed.await {
                Ok(Begun::Now) => {}
                Ok(_) => {
                    // Taken for dead, or cut off for too long: what began elsewhere can not be told to stop either.
                    tracing::warn!("a call with an idempotency key goes on, though another replica may run it by now");
                    return std::future::pending().await;
                }
                Err(error) => tracing::debug!(%error, "the mark of a call could not be renewed"),
            }
        }
    }

    fn mark_holds(&self) -> Duration {
        self.config.at_start().ttl() * TTLS_HELD
    }

    pub(super) async fn let_go(&self, mark: &Mark) -> Result<(), Failure> {
        self.commands.run(&mark.key, |mut live| async move { mark.release(&mut live.connection).await }).await.map(drop)
    }

    /// Lets go of a mark that may have been made though nothing runs: until then repeats would wait for the run.
    fn clean_up(&self, mark: Mark) {
        if !self.life.is_open() {
            return;
        }
        let commands = self.commands.clone();
        let holds = self.mark_holds();
        tokio::spawn(async move {
            let mark = &mark;
            let cleaned = async {
                let mut backoff = BACKOFF;
                let release = |mut live: Live| async move { mark.release(&mut live.connection).await };
                while let Err(error) = commands.run(&mark.key, release).await {
                    tracing::debug!(%error, "the mark of a call that was not begun could not be let go of yet");
                    tokio::time::sleep(backoff.pause()).await;
                }
            };
            tokio::time::timeout(holds, cleaned).await.ok();
        });
    }

    async fn keep(&self, mark: &Mark, outcome: &Result<Answer>) {
        let Some((value, time)) = &self.remember(mark, outcome) else { return };
        let kept = self
            .commands
            .run(&mark.key, |mut live| async move { mark.keep(&mut live.connection, value, *time).await })
            .await;
        if let Err(error) = kept {
            tracing::error!(%error, "a reply could not be kept: a repeat of the call will run");
        }
    }

    /// Returns `true` if others can see whether this node lives.
    fn is_announced(&self) -> bool {
        !self.context.identity.observer && self.life.has_joined()
    }
}

/// Whether a call may run.
enum Begin {
    Run,
    /// It has run, with this reply.
    Replay(Vec<u8>),
    /// Redis does not tell.
    Untold(Error),
}

/// A node that the registry did not know, and since when.
#[derive(Default)]
struct Death(Option<(String, Instant)>);

/// Returns `true` for an outcome that is the service's own and would be the same another time. An error about the moment
/// (no answer in time, too much to do), about the login or about this replica is not final.
pub(crate) fn is_final(outcome: &Result<Answer>) -> bool {
    use ErrorKind::{MethodNotAllowed, NotAuthenticated, Timeout, TooManyRequests};
    match outcome {
        Ok(_) => true,
        Err(error) => {
            let passing = [NotAuthenticated, MethodNotAllowed, Timeout, TooManyRequests].contains(&error.kind());
            (400..500).contains(&error.code()) && !passing
        }
    }
}

/// What a call ended in, or that this was too much to keep, as a frame.
fn kept(outcome: &Result<Answer>, scope: SigningScope<'_>) -> Option<Vec<u8>> {
    let frame = Reply::new(0, outcome.clone()).encode(scope).and_then(|frame| {
        if frame.len() <= LARGEST_KEPT {
            return Ok(frame);
        }
        Reply::new(0, Err(too_large(frame.len()))).encode(scope)
    });
    frame.inspect_err(|error| tracing::error!(%error, "no reply to keep could be made")).ok()
}

/// What an earlier run came to.
fn replayed(reply: &[u8], rest: bool, scope: SigningScope<'_>) -> Result<Answer> {
    let mut answer = Reply::decode(reply, scope)?.into_outcome()?;
    if rest {
        answer.http.headers.extend(BTreeMap::from([(REPLAYED.to_owned(), "true".to_owned())]));
    }
    Ok(answer)
}

fn too_large(size: usize) -> Error {
    Error::conflict(format!(
        "A call with this idempotency key has run; its reply, of {size} bytes, was too large to keep ({LARGEST_KEPT} at most)"
    ))
    .with_outcome(Outcome::Ran)
}

fn reused() -> Error {
    Error::unprocessable(
        "This idempotency key was used for a call with other data or another query: take a new key for a new call",
    )
}

fn still_running() -> Error {
    Error::timeout("A call with this idempotency key is still running").with_outcome(Outcome::Unknown)
}

fn unprotected(error: &Failure, first: bool) -> Error {
    let outcome = if first { Outcome::NeverRan } else { Outcome::Unknown };
    Error::unavailable(format!(
        "Redis does not tell whether this call has run before, by its idempotency key, so it is not run ({error})"
    ))
    .with_outcome(outcome)
}
