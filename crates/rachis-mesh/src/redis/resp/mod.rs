//! RESP by hand, for reads and writes of streams: commands, replies, and the connection they go through.
//!
//! redis-rs makes a value of every part of a reply and allocates for each; on the path of a call that is most of the cost.

mod commands;
mod entry;
mod entry_id;
mod parser;
mod raw_connection;

pub(crate) use commands::Commands;
pub(crate) use entry::{Entry, bytes};
pub(crate) use entry_id::EntryId;
pub(crate) use parser::{RespValue, Response};
pub(crate) use raw_connection::{RawConnection, WriteError};
