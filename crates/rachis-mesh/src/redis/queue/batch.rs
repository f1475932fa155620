//! Batches: the commands of one write, and what their responses mean for it.

use super::{
    EntryId,
    bundles::{Bundles, INBOX_LENGTH},
    write::{Held, Senders, Write, WriteOutcome},
};
use crate::redis::{
    connection::{WaitFor, is_elsewhere, is_fatal, is_redirect},
    keys::GROUP,
    resp::{Commands, RespValue},
    scripts,
};
use redis::RedisError;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
    time::Instant,
};

/// The TTL of an inbox after its last reply, in ms.
const INBOX_TTL_MS: &[u8] = b"120000";

/// The approximate size of a command without its frame, in bytes, so that a write is built in one allocation.
const OVERHEAD: usize = 160;

/// Sent with each use, so without its comments.
static KEEP: LazyLock<String> =
    LazyLock::new(|| scripts::KEEP.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n"));

/// The settled entries of each stream.
type Settled = BTreeMap<Arc<str>, Vec<(EntryId, Held)>>;

/// The commands of one write, and how to read their responses.
pub(super) struct Built {
    pub(super) commands: Commands,
    bundles: Bundles,
    settled: Settled,
    /// The WAIT at the end of the write.
    pub(super) waits: Option<WaitFor>,
}

/// Builds the commands of a write, in the order in which `complete` reads the responses: single commands in the order
/// of the batch, then the bundles of replies, then the settled entries of each stream.
pub(super) fn build(batch: &mut [Write], now: Instant, wait: Option<WaitFor>) -> Built {
    let mut commands = Commands::with_capacity(batch.iter().map(|write| write.size() + OVERHEAD).sum());
    let mut bundles = Bundles::default();
    let mut settled = Settled::new();
    let mut streams: BTreeSet<Arc<str>> = BTreeSet::new();
    for (at, write) in batch.iter_mut().enumerate() {
        match write {
            Write::Request { stream, frame, deadline, stamp, .. } => {
                stamp(frame, deadline.saturating_duration_since(now));
                commands.add(&[b"XADD", stream.as_bytes(), b"NOMKSTREAM", b"*", b"m", frame]);
                if !streams.contains(stream) {
                    streams.insert(stream.clone());
                }
            }
            Write::Finished { stream, entry, reply, held } => {
                if let Some((inbox, frame)) = reply {
                    bundles.add(at, inbox, frame.len());
                }
                match settled.get_mut(stream) {
                    Some(entries) => entries.push((*entry, held.clone())),
                    None => {
                        settled.insert(stream.clone(), vec![(*entry, held.clone())]);
                    }
                }
            }
            Write::Send { inbox, frame, .. } => bundles.add(at, inbox, frame.len()),
            Write::Keep { key, value, ttl_ms, mark, .. } => {
                let time = ttl_ms.to_string();
                let arguments: [&[u8]; 3] = [value, time.as_bytes(), mark.as_bytes()];
                commands.add(&[
                    b"EVAL",
                    KEEP.as_bytes(),
                    b"1",
                    key.as_bytes(),
                    arguments[0],
                    arguments[1],
                    arguments[2],
                ]);
            }
            Write::Cancel { stream, entry, .. } => {
                let entry = entry.to_string();
                let parts =
                    [b"EVAL", scripts::CANCEL.as_bytes(), b"1", stream.as_bytes(), GROUP.as_bytes(), entry.as_bytes()];
                commands.add(&parts);
            }
            Write::Forced { inbox, frame, .. } => {
                commands.add(&[
                    b"EVAL",
                    scripts::REPLY.as_bytes(),
                    b"1",
                    inbox.as_bytes(),
                    INBOX_LENGTH,
                    frame,
                    INBOX_TTL_MS,
                ]);
            }
            Write::Mark { .. } => {}
        }
    }
    bundles.add_to(&mut commands, batch);
    for (stream, entries) in &settled {
        // Deleted before it is acknowledged: an acknowledged entry that is still in the stream looks undelivered to a
        // caller that wants to withdraw it, and for ever if the connection breaks in between.
        commands.begin(2 + entries.len());
        commands.part("XDEL");
        commands.part(&**stream);
        let ids = commands.end();
        entries.iter().for_each(|(id, _)| commands.id(*id));
        let ids = ids..commands.end();
        commands.begin(3 + entries.len());
        commands.part("XACK");
        commands.part(&**stream);
        commands.part(GROUP);
        commands.again(ids);
    }
    for inbox in bundles.inboxes() {
        commands.add(&[b"PEXPIRE", inbox.as_bytes(), INBOX_TTL_MS]);
    }
    for stream in &streams {
        commands.add(&[b"XLEN", stream.as_bytes()]);
    }
    // An acknowledgement that is lost alone does no harm.
    let waits = wait.filter(|_| bundles.len() > 0 || !streams.is_empty());
    if let Some(wait) = waits {
        wait.add_to(&mut commands);
    }
    Built { commands, bundles, settled, waits }
}

/// What the responses of a write mean.
#[derive(Default)]
pub(super) struct Completion {
    /// The connection is unusable.
    pub(super) broken: bool,
    /// The errors that send a write to another server, or here later; each once.
    pub(super) elsewhere: Vec<RedisError>,
    /// Writes that may follow now.
    pub(super) then: Vec<Write>,
}

impl Completion {
    /// Notes an error. Returns `true` if its command has to be written again.
    fn note(&mut self, error: &RedisError) -> bool {
        self.broken |= is_fatal(error) && !is_redirect(error);
        if is_elsewhere(error) && !self.elsewhere.iter().any(|known| known.detail() == error.detail()) {
            self.elsewhere.push(error.clone());
        }
        is_fatal(error)
    }

    /// Notes the response to a reply. Returns `true` if the reply has to be written again.
    fn keeps(&mut self, write: &mut Write, response: Option<&RespValue>) -> bool {
        match response.and_then(RespValue::error) {
            Some(error) if self.note(error) => return true,
            Some(error) if error.code() == Some("OOM") && write.force() => return true,
            Some(error) => {
                tracing::error!(%error, "Redis refused a reply: its caller will time out, or a repeat of the call not find it");
            }
            // Another run has the call, and answers it.
            None if matches!((&write, response), (Write::Keep { .. }, Some(RespValue::Int(0)))) => return false,
            None => {}
        }
        self.then.extend(write.followed_by());
        false
    }
}

/// Reports the outcome of each request to its sender, and keeps in `batch` what must be written again.
pub(super) fn complete(
    batch: &mut Vec<Write>,
    mut replies: Vec<RespValue>,
    built: Built,
    senders: &dyn Senders,
) -> Completion {
    let mut lengths = lengths(batch, &replies);
    let alone = batch.iter().filter(|write| write.stands_alone()).count();
    let mut behind = replies.split_off(alone.min(replies.len())).into_iter();
    let bundles: Vec<RespValue> = behind.by_ref().take(built.bundles.len()).collect();
    let mut alone = replies.into_iter();
    let mut bundle = built.bundles.of_each();
    let mut completion = Completion::default();
    batch.retain_mut(|write| match write {
        Write::Request { stream, token, .. } => {
            let length = lengths.get_mut(stream).map_or(0, Lengths::next);
            let outcome = match alone.next() {
                Some(RespValue::Nil) => WriteOutcome::NoStream,
                Some(RespValue::Id(entry)) => WriteOutcome::Added { entry, length },
                // A server that is no master (any more), or holds other keys: it has not taken the request, the next one
                // may, and its caller need not know.
                Some(RespValue::Error(error)) if completion.note(&error) => {
                    senders.kept(*token);
                    return true;
                }
                Some(RespValue::Error(error)) => WriteOutcome::Refused(error),
                Some(RespValue::Int(_) | RespValue::Text(_) | RespValue::Other) | None => WriteOutcome::Unknown(None),
            };
            completion.then.extend(senders.sent(*token, stream, outcome));
            false
        }
        // Dropping a mark wakes the task that waits for it.
        Write::Finished { reply: None, .. } | Write::Mark { .. } => false,
        Write::Cancel { response, stream, entry } => match alone.next() {
            Some(RespValue::Error(error)) if completion.note(&error) => true,
            answer => {
                match (response.take(), answer) {
                    (Some(response), Some(answer @ (RespValue::Int(_) | RespValue::Text(_)))) => {
                        let _ = response.send(matches!(answer, RespValue::Int(1..)));
                    }
                    (None, Some(RespValue::Text(replica))) => {
                        completion.then.extend(senders.begun(stream, *entry, &replica));
                    }
                    // The outcome is unknown if Redis refuses the command.
                    _ => {}
                }
                false
            }
        },
        Write::Keep { .. } | Write::Forced { .. } => completion.keeps(write, alone.next().as_ref()),
        Write::Finished { .. } | Write::Send { .. } => {
            let response = bundle.next().and_then(|bundle| bundles.get(bundle));
            completion.keeps(write, response)
        }
    });
    for (stream, entries) in built.settled {
        let outcomes = [behind.next(), behind.next()];
        if outcomes[0].as_ref().and_then(RespValue::error).is_some_and(|error| !is_fatal(error)) {
            entries.iter().for_each(|(_, held)| held.stays());
        }
        let failed = outcomes.iter().flatten().filter_map(RespValue::error);
        // What stays pending would be run again when this replica is gone.
        if failed.filter(|error| completion.note(error)).count() > 0 {
            let again = |(entry, held)| Write::Finished { stream: stream.clone(), entry, reply: None, held };
            batch.extend(entries.into_iter().map(again));
        }
    }
    completion
}

/// The length of a stream after a write, and how many requests of that write are behind the current one.
struct Lengths {
    whole: u64,
    behind: u64,
}

impl Lengths {
    /// Returns the length of the stream at the next request of the write.
    fn next(&mut self) -> u64 {
        self.behind = self.behind.saturating_sub(1);
        self.whole.saturating_sub(self.behind)
    }
}

fn lengths(batch: &[Write], replies: &[RespValue]) -> BTreeMap<Arc<str>, Lengths> {
    let mut streams: BTreeMap<Arc<str>, Lengths> = BTreeMap::new();
    for write in batch {
        if let Write::Request { stream, .. } = write {
            match streams.get_mut(stream) {
                Some(lengths) => lengths.behind += 1,
                None => {
                    streams.insert(stream.clone(), Lengths { whole: 0, behind: 1 });
                }
            }
        }
    }
    let last = replies.len().saturating_sub(streams.len());
    for (lengths, reply) in streams.values_mut().zip(replies.get(last..).unwrap_or_default()) {
        if let RespValue::Int(length) = reply {
            lengths.whole = u64::try_from(*length).unwrap_or(0);
        }
    }
    streams
}
