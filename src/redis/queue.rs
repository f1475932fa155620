//! How much waits in an app's stream, for whoever watches or scales it.

use super::{Failure, keys::Keys, streams::entry_ms};
use redis::{Value, aio::ConnectionLike};

/// The requests of one app.
pub(crate) struct Queue {
    /// How many wait or are being worked on: finished ones are deleted.
    pub(crate) length: u64,
    /// When the oldest of them was sent, in ms of Redis's clock.
    pub(crate) oldest: Option<u64>,
    pub(crate) dead: u64,
}

impl Queue {
    /// Asks Redis, in one round trip.
    pub(crate) async fn look(on: &mut impl ConnectionLike, keys: &Keys, app: &str) -> Result<Queue, Failure> {
        let (calls, dead) = (keys.calls(app), keys.dead(app));
        let (length, first, dead): (u64, Vec<(String, Value)>, u64) = redis::pipe()
            .xlen(&calls)
            .cmd("XRANGE")
            .arg(&calls)
            .arg("-")
            .arg("+")
            .arg("COUNT")
            .arg(1)
            .xlen(&dead)
            .query_async(on)
            .await?;
        Ok(Queue { length, oldest: first.first().map(|(id, _)| entry_ms(id)), dead })
    }
}
