//! Requests that no replica could finish: looked at, made again, thrown away.

use crate::node::{
    client::{
        partition_selector::PartitionSelector,
        rpc::{CallTarget, Rpc},
    },
    idempotency::is_final,
    shared::{commands::unreachable, info::split_app, life::Life, live_config::LiveConfig},
};
use crate::{
    redis::{
        Failure,
        connection::{
            is_fatal,
            pool::{Admin, Pooled},
        },
        dead_letters::{self, Letter},
        keys::{Keys, MAX_PARTITIONS, partition},
        queue::EntryId,
    },
    wire::{Request, Signer},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use rachis_core::{Answer, Descriptor, Error, ErrorKind, Id, Method, Result, mask_secrets};
use serde::Serialize;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, sync::Arc};

/// Letters in one read: they come with what they keep.
const BATCH: usize = 20;
/// Partitions asked at a time. All are, since one that is no longer used may have left letters.
const PLACES: usize = 8;

/// The dead letters of one app: see [`Node::dead_letters`](crate::Node::dead_letters).
#[derive(Clone)]
pub struct DeadLetters {
    access: Arc<LetterAccess>,
    app: String,
}

/// A request that was given to replicas as often as `limits.max_deliveries` says and never finished, or that no replica
/// could read.
///
/// Credentials are never kept with one, and what is secret by its name is shown as `***`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DeadLetter {
    /// By which it is found: where the app has several partitions, and for any but the first, with the number of the
    /// partition behind a point.
    pub id: String,
    /// The partition key of its app.
    pub key: String,
    /// The app it was sent to.
    pub app: String,
    /// Why it was set aside.
    pub reason: String,
    /// How often it was given to a replica, the last included that set it aside.
    pub deliveries: u32,
    /// When it was queued, in ms since 1970 by Redis's clock; for one that a leaving replica handed back, when that was.
    pub queued: u64,
    /// When it was set aside, likewise.
    #[serde(rename = "buried")]
    pub set_aside: u64,
    /// The id of the replica that had it last. Which ones had it before is not known.
    pub replica: String,
    /// The id of the replica that set it aside.
    #[serde(rename = "buried_by")]
    pub set_aside_by: String,
    /// How many bytes the request had.
    pub size: u64,
    /// What was called; `None` for a request that no replica could read, and of which nothing is kept.
    pub call: Option<DeadCall>,
}

/// What a [`DeadLetter`] asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DeadCall {
    /// The service.
    pub path: String,
    /// The method.
    pub method: Method,
    /// The record.
    pub id: Option<Id>,
    /// The data, without what is secret by its name.
    pub data: Value,
    /// The query, likewise.
    pub query: Value,
    /// The values of the path's placeholders.
    pub route: BTreeMap<String, String>,
    /// The transport it came in by; `None` for a call made by code.
    pub provider: Option<String>,
    /// The user that called, likewise without secrets.
    pub user: Option<Value>,
    /// The headers that came along, likewise.
    pub headers: BTreeMap<String, String>,
    /// The application's own values, likewise.
    pub extra: Map<String, Value>,
    /// By which repeats of it are known.
    pub idempotency_key: Option<String>,
    /// The id of the node that called.
    pub caller: String,
}

/// What making a dead letter's call again came to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Replay {
    /// What the call ended in, as a client sees it.
    pub outcome: Result<Value>,
    /// `true` if the letter was removed: after an answer, and after an error that is the service's own (400 to 499, except
    /// 401, 404, 405, 408 and 429). After any other it stays.
    pub removed: bool,
}

/// What dead letters are read and replayed by.
pub(crate) struct LetterAccess {
    pub(crate) keys: Keys,
    pub(crate) admin: Admin,
    pub(crate) signer: Signer,
    pub(crate) rpc: Arc<Rpc>,
    pub(crate) config: Arc<LiveConfig>,
    pub(crate) life: Arc<Life>,
}

impl DeadLetters {
    /// Those of `app`, as `KEY/APP`.
    pub(crate) fn new(access: Arc<LetterAccess>, app: String) -> Self {
        DeadLetters { access, app }
    }

    /// The newest letters, at most so many, the newest first.
    ///
    /// # Errors
    /// `Unavailable` when Redis does not answer.
    pub async fn list(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        let mut letters = self
            .everywhere(|letters| async move {
                let found = dead_letters::newest(&mut self.redis(&letters).await?, &letters.stream, limit).await?;
                Ok(found.into_iter().map(|letter| self.read(&letters, letter)).collect())
            })
            .await?;
        letters.sort_by_key(|letter| std::cmp::Reverse(order(&letter.id)));
        letters.truncate(limit);
        Ok(letters)
    }

    /// The ids of all letters, the oldest first.
    ///
    /// # Errors
    /// `Unavailable` when Redis does not answer.
    pub async fn ids(&self) -> Result<Vec<String>> {
        let mut ids = self.everywhere(|letters| self.ids_in(letters)).await?;
        ids.sort_by_key(|id| order(id));
        Ok(ids)
    }

    async fn ids_in(&self, letters: DeadLetterStream) -> Result<Vec<String>, Failure> {
        let mut all = Vec::new();
        let mut last = "0-0".to_owned();
        loop {
            let ids = dead_letters::ids_after(&mut self.redis(&letters).await?, &letters.stream, &last, BATCH).await?;
            let Some(newest) = ids.last() else { return Ok(all) };
            last.clone_from(newest);
            all.extend(ids.into_iter().map(|id| letters.name(&id)));
        }
    }

    /// What `ask` finds in each partition.
    async fn everywhere<T, Fut>(&self, ask: impl Fn(DeadLetterStream) -> Fut) -> Result<Vec<T>>
    where
        Fut: Future<Output = Result<Vec<T>, Failure>>,
    {
        let found: Vec<Vec<T>> = stream::iter((0..MAX_PARTITIONS).map(|number| {
            let asked = ask(self.letters(number));
            async move {
                match asked.await {
                    // An ACL that lets this node see its app's first partition only.
                    Err(error) if number > 0 && !is_fatal(&error) => Ok(Vec::new()),
                    asked => asked,
                }
            }
        }))
        .buffered(PLACES)
        .try_collect()
        .await
        .map_err(unreachable)?;
        Ok(found.into_iter().flatten().collect())
    }

    fn letters(&self, number: usize) -> DeadLetterStream {
        DeadLetterStream { number, stream: self.access.keys.dead_letters(&partition(&self.app, number)) }
    }

    /// Where a letter of that id is, and the id that it has there.
    fn find<'a>(&self, id: &'a str) -> Option<(DeadLetterStream, &'a str)> {
        let Some((id, number)) = id.split_once('.') else { return Some((self.letters(0), id)) };
        let number = number.parse().ok().filter(|number| (1..MAX_PARTITIONS).contains(number))?;
        Some((self.letters(number), id))
    }

    /// One letter.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id, `Unavailable` when Redis does not answer.
    pub async fn get(&self, id: &str) -> Result<DeadLetter> {
        let (letters, letter) = self.letter(id).await?;
        Ok(self.read(&letters, letter))
    }

    /// Makes the call again: as a new one, with this node's `timeout`, by the same user, without the credentials that
    /// once came along. Nothing tells whether the first ran, in part or as a whole; where it had a user and an
    /// idempotency key, the new one has them, too, and finds a reply that was kept.
    ///
    /// # Errors
    /// `NotFound` when there is no letter of that id, `Unprocessable` for a letter that keeps no call, `Unavailable`
    /// when Redis does not answer. What the call itself ends in is in the [`Replay`].
    pub async fn replay(&self, id: &str) -> Result<Replay> {
        let (letters, letter) = self.letter(id).await?;
        let request = self.decode(&letters, &letter).ok_or_else(|| {
            Error::unprocessable(format!("The dead letter '{id}' keeps no call that could be made again"))
        })?;
        let outcome = self.call(request).await;
        // That there is no such record and that no replica has the path are one class of error.
        let settled = is_final(&outcome) && !matches!(&outcome, Err(error) if error.kind() == ErrorKind::NotFound);
        let removed = settled && self.remove(id).await.unwrap_or(false);
        Ok(Replay { outcome: outcome.map(Answer::external), removed })
    }

    /// Throws a letter away; says whether there was one.
    ///
    /// # Errors
    /// `Unavailable` when Redis does not answer.
    pub async fn remove(&self, id: &str) -> Result<bool> {
        let Some((letters, id)) = self.find(id) else { return Ok(false) };
        let removed =
            async { dead_letters::remove(&mut self.redis(&letters).await?, &letters.stream, &[id.to_owned()]).await };
        removed.await.map(|count| count > 0).map_err(unreachable)
    }

    /// Throws all letters away that there are now; says how many.
    ///
    /// # Errors
    /// `Unavailable` when Redis does not answer.
    pub async fn clear(&self) -> Result<u64> {
        let removed = self.everywhere(|letters| async move {
            let mut counts = Vec::new();
            for ids in self.ids_in(letters.clone()).await?.chunks(BATCH) {
                let ids: Vec<String> = ids.iter().map(|id| entry_of(id).to_owned()).collect();
                counts.push(dead_letters::remove(&mut self.redis(&letters).await?, &letters.stream, &ids).await?);
            }
            Ok(counts)
        });
        Ok(removed.await?.into_iter().sum())
    }

    async fn letter(&self, id: &str) -> Result<(DeadLetterStream, Letter)> {
        let none = || Error::not_found(format!("No dead letter '{id}' of app '{}'", self.app));
        let (letters, id) = self.find(id).ok_or_else(none)?;
        let read = async { dead_letters::get(&mut self.redis(&letters).await?, &letters.stream, id).await };
        let letter = read.await.map_err(unreachable)?.ok_or_else(none)?;
        Ok((letters, letter))
    }

    /// To the app whose letter it is, past the hooks and layers that this node puts around remote services: the call has
    /// been through those of its caller.
    async fn call(&self, request: Request) -> Result<Answer> {
        if !self.access.life.is_open() {
            return Err(Error::unavailable("This node has not joined the mesh, and makes no calls yet"));
        }
        let path = request.call.path.clone();
        let mut call = request.into_call(true);
        call.timeout = Some(self.access.config.load().timeout);
        let descriptor = Descriptor {
            path: path.clone(),
            methods: vec![call.method.clone()],
            events: Vec::new(),
            // Nothing is known of it that would allow to send it twice.
            idempotent: Vec::new(),
            options: Map::new(),
        };
        // Into the first partition, which every replica reads.
        let selector = Arc::new(PartitionSelector::new(&self.access.keys, &self.app, 1, 0));
        let target = CallTarget { app: self.app.clone(), selector, path, descriptor: Arc::new(descriptor) };
        self.access.rpc.call(&target, call).await
    }

    /// The call that a letter keeps. Its writer may have left secrets in it.
    fn decode(&self, letters: &DeadLetterStream, letter: &Letter) -> Option<Request> {
        let (request, _) = Request::decode(&letter.frame, self.access.signer.at(&letters.stream)).ok()?;
        Some(request.without_secrets())
    }

    fn read(&self, letters: &DeadLetterStream, letter: Letter) -> DeadLetter {
        let (key, app) = split_app(&self.app);
        DeadLetter {
            key: key.to_owned(),
            app: app.to_owned(),
            call: self.decode(letters, &letter).map(DeadCall::from),
            queued: EntryId::read_or_first(&letter.entry).ms,
            set_aside: EntryId::read_or_first(&letter.id).ms,
            id: letters.name(&letter.id),
            reason: letter.reason,
            deliveries: letter.deliveries,
            replica: letter.consumer,
            set_aside_by: letter.by,
            size: letter.size,
        }
    }

    async fn redis(&self, letters: &DeadLetterStream) -> Result<Pooled, Failure> {
        self.access.admin.get(&letters.stream).await
    }
}

/// The dead letters of one partition.
#[derive(Clone)]
struct DeadLetterStream {
    number: usize,
    stream: String,
}

impl DeadLetterStream {
    /// By what a letter is found among those of all partitions, which has this id here.
    fn name(&self, id: &str) -> String {
        if self.number == 0 { id.to_owned() } else { format!("{id}.{}", self.number) }
    }
}

/// The id that a letter has in its partition.
fn entry_of(id: &str) -> &str {
    id.split_once('.').map_or(id, |(entry, _)| entry)
}

/// The older, the smaller.
fn order(id: &str) -> EntryId {
    EntryId::read_or_first(entry_of(id))
}

impl From<Request> for DeadCall {
    fn from(request: Request) -> Self {
        let caller = request.from.to_string();
        let call = request.into_call(true);
        let params = call.params;
        let masked = |mut value: Value| {
            mask_secrets(&mut value);
            value
        };
        let extra = params.extra.into_iter().map(|(name, value)| (name, masked(value)));
        DeadCall {
            path: call.path,
            method: call.method,
            id: call.id,
            data: masked(call.data),
            query: masked(params.query.into()),
            route: params.route,
            provider: params.provider.map(String::from),
            user: params.user.map(masked),
            headers: params.headers,
            extra: extra.collect(),
            idempotency_key: params.idempotency_key,
            caller,
        }
    }
}

impl std::fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeadLetters({})", self.app)
    }
}
