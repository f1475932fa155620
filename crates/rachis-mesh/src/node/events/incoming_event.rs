//! An event on its way to the listeners of this process.

use crate::wire::EventFrame;
use std::sync::Arc;

/// An event for the listeners, with what was believed when it came.
#[derive(Clone)]
pub(super) struct IncomingEvent {
    pub(super) frame: EventFrame,
    /// `true` if calls of its path go to the app it comes from.
    pub(super) routed: bool,
    /// `true` if it was told before, when they did not.
    pub(super) again: bool,
}

impl IncomingEvent {
    pub(super) fn new(frame: EventFrame, routed: bool) -> Arc<Self> {
        Arc::new(IncomingEvent { frame, routed, again: false })
    }

    /// Returns `true` if a subscriber hears it: one that listens to `app`, or without one to whichever app is called. Another
    /// app under the same key may offer the path as well; it is not believed.
    pub(super) fn is_for(&self, app: Option<&str>) -> bool {
        let is_believed = match app {
            Some(app) => self.frame.app == app && !self.again,
            None => self.routed,
        };
        self.frame.app.is_empty() || is_believed
    }

    /// About how much memory it takes.
    pub(super) fn size(told: &Arc<IncomingEvent>) -> usize {
        told.frame.size()
    }
}
