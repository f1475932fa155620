//! The two streams, and whoever waits for an answer from them.

use std::sync::Mutex;
use tokio::sync::oneshot;

/// Requests, shared by the replicas.
pub const REQUESTS: &str = "yardstick:{app}:requests";
/// Replies to the one process that asks.
pub const REPLIES: &str = "yardstick:{caller}:replies";
pub const GROUP: &str = "replicas";
/// The only field of an entry.
pub const FIELD: &str = "d";
/// Entries a read takes at most. Nothing else moves the ceiling as much.
pub const COUNT: usize = 256;
/// Replies that are kept, or some more: nobody deletes those that have been read.
pub const KEPT: usize = 10_000;
/// Bytes of a request and of its reply; the first eight say whose it is.
pub const FRAME: usize = 64;

/// Callers that wait, each for one answer at a time.
pub struct Waiters {
    places: Vec<Mutex<Place>>,
}

#[derive(Default)]
struct Place {
    /// The number of the caller's last question, so that no older answer is taken for this one's.
    asked: u32,
    waiting: Option<oneshot::Sender<()>>,
}

impl Waiters {
    pub fn new(callers: usize) -> Self {
        Waiters { places: (0..callers).map(|_| Mutex::default()).collect() }
    }

    /// The frame of a caller's next question, and where its answer will be told.
    pub fn ask(&self, caller: usize) -> ([u8; FRAME], oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        let mut place = self.places[caller].lock().expect("nobody panics with it in hand");
        place.asked = place.asked.wrapping_add(1);
        place.waiting = Some(sender);
        let mut frame = [b'x'; FRAME];
        frame[..8].copy_from_slice(&((caller as u64) << 32 | u64::from(place.asked)).to_le_bytes());
        (frame, receiver)
    }

    /// Tells the caller whose question this frame answers; what fits nobody is dropped.
    pub fn answer(&self, frame: &[u8]) {
        let Some(head) = frame.first_chunk() else { return };
        let head = u64::from_le_bytes(*head);
        let Some(place) = self.places.get((head >> 32) as usize) else { return };
        let mut place = place.lock().expect("nobody panics with it in hand");
        if place.asked == head as u32
            && let Some(waiting) = place.waiting.take()
        {
            // Nobody gives up before the answer.
            let _ = waiting.send(());
        }
    }
}
