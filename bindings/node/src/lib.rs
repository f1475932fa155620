//! A node of the mesh inside a Node.js process.
//!
//! JavaScript and Rust talk by two strings of JSON: all that JavaScript has to say in one turn of its event loop goes to
//! [`Mailbox::send`], a line a message; all that has come meanwhile is fetched by [`Mailbox::take`]. So a crossing of the
//! boundary, which costs as much as a small call, is shared by many messages. `message.rs` lists them.

mod emitted;
mod incoming;
mod log;
mod mailbox;
mod member;
mod message;
mod params;
mod runtime;
mod service;

pub use mailbox::Mailbox;
