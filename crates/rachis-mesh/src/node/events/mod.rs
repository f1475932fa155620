//! Events between nodes: each is published once where it happened and heard once by each listener elsewhere.
//!
//! [`outbox`] is the way out of a node and [`fired`] what its calls wait for; [`receiver`] is the way in, one [`channel`] for
//! each service that is listened to, and [`subscription`] what a listener gets of it.

mod aside;
mod channel;
pub(super) mod fired;
mod incoming_event;
mod numbers;
pub(super) mod outbox;
pub(super) mod receiver;
pub(super) mod subscription;

pub(crate) use aside::Takeover;
