//! What waits for a client, bounded by bytes.
//!
//! Answers wait until there is room. Events can not: one that does not fit is left out, and so are all that follow of its
//! path, until half of the outbox is empty again; then the client is told, once, to read that path anew. To disconnect it
//! would cost it everything else as well, and it would only come back to the same flood; to wait for it would hold up all
//! others.

use super::packet::Packet;
use rachis_core::host::lock;
use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    pin::pin,
    sync::{Mutex, MutexGuard},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

pub(in crate::realtime) struct Outbox {
    waiting: Mutex<Waiting>,
    limit: usize,
    /// Notified when there is something to take; one task takes.
    filled: Notify,
    /// Notified when something was taken.
    room: Notify,
}

#[derive(Default)]
struct Waiting {
    packets: VecDeque<Packet>,
    /// Events from before the client was told that it is connected, which it must be told first.
    early: Vec<Packet>,
    connected: bool,
    bytes: usize,
    /// Since when the client has taken nothing of what waits.
    since: Option<Instant>,
    /// The paths of which events were left out, with what the client is told of them.
    missed: BTreeMap<String, Packet>,
    ended: bool,
}

impl Waiting {
    fn push(&mut self, packets: Vec<Packet>) {
        self.bytes += size(&packets);
        self.packets.extend(packets);
        self.since.get_or_insert_with(Instant::now);
    }

    /// Packets of at most `most` bytes, but one at least.
    fn take(&mut self, most: usize, limit: usize) -> Vec<Packet> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(packet) = self.packets.pop_front_if(|next| bytes == 0 || bytes + next.size() <= most) {
            bytes += packet.size();
            taken.push(packet);
        }
        self.bytes -= bytes;
        if bytes > 0 && self.bytes <= limit / 2 {
            let missed = mem::take(&mut self.missed).into_values().collect();
            self.push(missed);
        }
        taken
    }
}

fn size(packets: &[Packet]) -> usize {
    packets.iter().map(Packet::size).sum()
}

impl Outbox {
    /// An outbox in which `limit` bytes may wait, or one message, however large.
    pub(super) fn new(limit: usize) -> Self {
        Outbox { waiting: Mutex::default(), limit, filled: Notify::new(), room: Notify::new() }
    }

    /// Adds what belongs to the protocol: there is always room for it.
    pub(in crate::realtime) fn control(&self, text: &str) {
        let mut waiting = self.lock();
        if !waiting.ended {
            waiting.push(vec![Packet::text(text)]);
            self.filled.notify_one();
        }
    }

    /// Says that the client is connected; events that came before follow.
    pub(in crate::realtime) fn connected(&self, text: &str) {
        let mut waiting = self.lock();
        let early = mem::take(&mut waiting.early);
        waiting.connected = true;
        waiting.bytes -= size(&early);
        waiting.push(std::iter::once(Packet::text(text)).chain(early).collect());
        self.filled.notify_one();
    }

    /// Holds events back again until [`Outbox::connected`] is called.
    pub(in crate::realtime) fn disconnected(&self) {
        self.lock().connected = false;
    }

    /// Adds an event of `path`, or notes that it is missing and that the client is to be told so by `resync`.
    pub(in crate::realtime) fn event(
        &self,
        path: &str,
        event: impl FnOnce() -> Vec<Packet>,
        resync: impl FnOnce() -> Packet,
    ) {
        let ignored = |waiting: &Waiting| waiting.ended || waiting.missed.contains_key(path);
        if ignored(&self.lock()) {
            return;
        }
        // Written without the lock, which the client's reading needs.
        let packets = event();
        let mut waiting = self.lock();
        if ignored(&waiting) {
            return;
        }
        let size = size(&packets);
        if waiting.bytes > 0 && waiting.bytes + size > self.limit {
            waiting.missed.insert(path.to_owned(), resync());
        } else if waiting.connected {
            waiting.push(packets);
            self.filled.notify_one();
        } else {
            waiting.bytes += size;
            waiting.early.extend(packets);
        }
    }

    /// Adds an answer as soon as there is room.
    pub(in crate::realtime) async fn answer(&self, packets: Vec<Packet>) {
        let size = size(&packets);
        self.when(|waiting| waiting.bytes == 0 || waiting.bytes + size <= self.limit, |waiting| waiting.push(packets))
            .await;
        self.filled.notify_one();
    }

    /// Waits until less than the limit waits.
    pub(in crate::realtime) async fn has_room(&self) {
        self.when(|waiting| waiting.bytes < self.limit, |_| ()).await;
    }

    /// Whether less than the limit waits.
    pub(in crate::realtime) fn is_open(&self) -> bool {
        self.lock().bytes < self.limit
    }

    /// Acts as soon as `fits` holds, or never, when this has ended.
    async fn when(&self, fits: impl Fn(&Waiting) -> bool, act: impl FnOnce(&mut Waiting)) {
        loop {
            let mut room = pin!(self.room.notified());
            room.as_mut().enable();
            {
                let mut waiting = self.lock();
                if waiting.ended {
                    return;
                }
                if fits(&waiting) {
                    return act(&mut waiting);
                }
            }
            room.await;
        }
    }

    /// The next packets, `most` bytes of them; they count as under way until [`Outbox::delivered`].
    pub(super) async fn take(&self, most: usize) -> Vec<Packet> {
        loop {
            let taken = self.take_now(most);
            if !taken.is_empty() {
                return taken;
            }
            self.filled.notified().await;
        }
    }

    /// The packets that wait now.
    pub(super) fn take_now(&self, most: usize) -> Vec<Packet> {
        let taken = self.lock().take(most, self.limit);
        if !taken.is_empty() {
            self.room.notify_waiters();
        }
        taken
    }

    /// Says that the client has what was taken last.
    pub(super) fn delivered(&self) {
        let mut waiting = self.lock();
        waiting.since = (!waiting.packets.is_empty()).then(Instant::now);
    }

    /// How long the client has taken nothing although something waits for it.
    pub(super) fn age(&self) -> Duration {
        self.lock().since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Takes nothing in any more; what waits may still be taken.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.room.notify_waiters();
        self.filled.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const LIMIT: usize = 10_000;

    fn outbox() -> Outbox {
        let outbox = Outbox::new(LIMIT);
        outbox.connected("40");
        assert_eq!(outbox.take_now(LIMIT), [Packet::text("40")]);
        outbox
    }

    fn event(outbox: &Outbox, path: &str, length: usize) {
        outbox.event(path, || vec![Packet::Text("e".repeat(length))], || Packet::Text(format!("{path} resync")));
    }

    fn texts(packets: Vec<Packet>) -> Vec<String> {
        let text = |packet| match packet {
            Packet::Text(text) => text,
            Packet::Binary(_) => unreachable!(),
        };
        packets.into_iter().map(text).collect()
    }

    #[test]
    fn however_many_events_fit_by_their_bytes_are_kept() {
        let outbox = outbox();
        let each = Packet::text("e").size();
        (0..LIMIT / each).for_each(|_| event(&outbox, "todos", 1));
        assert_eq!(outbox.take_now(usize::MAX).len(), LIMIT / each);
    }

    #[test]
    fn events_that_do_not_fit_are_left_out_and_told_of_once_there_is_room() {
        let outbox = outbox();
        event(&outbox, "todos", LIMIT - 500);
        event(&outbox, "todos", 1000);
        event(&outbox, "notes", 1000);
        // Of a path of which one is missing, the next would come out of order.
        event(&outbox, "todos", 1);
        event(&outbox, "users", 1);
        assert_eq!(texts(outbox.take_now(1)).len(), 1);
        assert_eq!(texts(outbox.take_now(usize::MAX)), ["e", "notes resync", "todos resync"]);
        event(&outbox, "todos", 1);
        assert_eq!(texts(outbox.take_now(usize::MAX)), ["e"]);
    }

    #[test]
    fn one_message_may_be_larger_than_the_outbox() {
        let outbox = outbox();
        event(&outbox, "todos", 2 * LIMIT);
        assert_eq!(outbox.take_now(1).len(), 1);
    }

    #[test]
    fn events_from_before_the_connection_follow_it() {
        let outbox = Outbox::new(LIMIT);
        event(&outbox, "todos", 1);
        assert!(outbox.take_now(LIMIT).is_empty());
        outbox.connected("40");
        assert_eq!(texts(outbox.take_now(LIMIT)), ["40", "e"]);
    }

    #[tokio::test]
    async fn answers_wait_for_room_and_control_packets_do_not() {
        let outbox = outbox();
        outbox.answer(vec![Packet::Text("a".repeat(LIMIT - 50))]).await;
        let mut second = Box::pin(outbox.answer(vec![Packet::text("second")]));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(outbox.has_room().now_or_never().is_some());
        (0..10).for_each(|_| outbox.control("2"));
        assert!(outbox.has_room().now_or_never().is_none());
        outbox.take_now(1);
        second.await;
        assert_eq!(texts(outbox.take_now(usize::MAX)).last().unwrap(), "second");
    }

    #[tokio::test(start_paused = true)]
    async fn the_age_is_that_of_the_last_time_something_was_delivered() {
        let outbox = outbox();
        outbox.delivered();
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(outbox.age().as_secs(), 0);
        outbox.control("2");
        outbox.control("2");
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(outbox.take(1).await.len(), 1);
        assert_eq!(outbox.age().as_secs(), 5, "taken, but not delivered");
        outbox.delivered();
        assert_eq!(outbox.age().as_secs(), 0);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(outbox.age().as_secs(), 3);
    }

    #[tokio::test]
    async fn nobody_waits_for_an_outbox_that_has_ended() {
        let outbox = outbox();
        outbox.answer(vec![Packet::Text("a".repeat(2 * LIMIT))]).await;
        outbox.end();
        outbox.answer(vec![Packet::text("late")]).await;
        outbox.has_room().await;
        outbox.control("2");
        event(&outbox, "todos", 1);
        assert_eq!(outbox.take_now(usize::MAX).len(), 1);
    }
}
