//! One channel that is listened to: how far it was heard, and by what listeners.

use super::{aside::Aside, incoming_event::IncomingEvent, numbers::Numbers};
use crate::wire::EventFrame;
use rachis_core::{Event, host::listeners::Listeners};
use std::sync::Arc;

/// The state of one channel that has a listener here.
pub(super) struct ChannelState {
    pub(super) key: String,
    pub(super) path: String,
    /// The id of the last event of its log that was heard; empty where it is not known.
    pub(super) cursor: String,
    /// Events may have been missed, or it is not known where the log ended: Redis is to be asked.
    pub(super) unsure: bool,
    /// Events may have been missed before the cursor was known.
    pub(super) blind: bool,
    pub(super) numbers: Numbers,
    /// Events of apps that calls of the path did not go to when they came.
    pub(super) aside: Aside,
    pub(super) listeners: Listeners<Arc<IncomingEvent>>,
    /// Listeners, which [`Listening`](super::receiver::Listening) counts down.
    pub(super) users: usize,
}

impl ChannelState {
    /// Creates the state of a channel with no listener yet. Listeners have `buffer` bytes of room each.
    pub(super) fn new(key: &str, path: &str, buffer: usize) -> Self {
        ChannelState {
            key: key.to_owned(),
            path: path.to_owned(),
            cursor: String::new(),
            unsure: false,
            blind: false,
            numbers: Numbers::default(),
            // What is passed on has to find room beside what waits already.
            aside: Aside::new(buffer / 2),
            listeners: Listeners::default(),
            users: 0,
        }
    }

    /// Whose events these are, how far they were heard, and whether some may have been missed before that was known.
    pub(super) fn place(&self) -> (String, String, String, bool) {
        (self.key.clone(), self.path.clone(), self.cursor.clone(), self.blind)
    }

    /// Tells listeners that they missed events.
    pub(super) fn tell_of_gap(&self) {
        let frame = EventFrame::new("", "", 0, &Event::resync(&self.path));
        self.listeners.send(&IncomingEvent::new(frame, true), IncomingEvent::size);
    }
}
