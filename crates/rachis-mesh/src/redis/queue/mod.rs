//! Requests and replies as entries of streams, whose field `m` holds a frame: the writer and its shard writers put them
//! there, readers take them out. An entry of an inbox may hold several frames.

mod batch;
mod bundles;
mod calls;
mod depth;
mod inbox;
mod reader;
mod request_state;
mod shard_connection;
mod shard_writers;
mod wait;
mod write;
mod writer;

pub(crate) use super::resp::{Entry, EntryId};
pub(crate) use calls::{Calls, Delivered, GivenUp, PendingOf, Pulled};
pub(crate) use depth::QueueDepth;
pub(crate) use inbox::{Inbox, InboxRead};
pub(crate) use reader::Reader;
pub(crate) use request_state::{RequestState, exists, find, newest, request_states};
pub(crate) use write::{Senders, Settles, Write, WriteOutcome};
pub(crate) use writer::Writer;
