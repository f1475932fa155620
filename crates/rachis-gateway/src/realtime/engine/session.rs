//! One session of Engine.IO: a client, whatever it is connected by.

use super::{
    super::{Realtime, permits::ConnectionPermit, socket::Member},
    outbox::Outbox,
    packet::Received,
    request::Transport,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rachis_core::Error;
use rachis_core::host::lock;
use serde_json::json;
use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tungstenite::protocol::frame::coding::CloseCode;
use uuid::Uuid;

pub(super) const PING_INTERVAL: Duration = Duration::from_secs(25);
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a client may be without a socket, for which it asks right after the handshake. A session that its client
/// forgot is kept until then, permit and all.
const JOINING: Duration = Duration::from_secs(10);

/// What one socket may take, as the configuration said when it was opened.
#[derive(Clone, Copy, Debug)]
pub(in crate::realtime) struct Bounds {
    /// The largest message, in bytes, attachments included.
    pub(in crate::realtime) message: usize,
    /// How many calls run at once, and the bytes of their messages.
    pub(in crate::realtime) calls: usize,
    pub(in crate::realtime) inbox: usize,
    /// The bytes that wait for the client, and how long it may take none of them.
    pub(in crate::realtime) outbox: usize,
    pub(in crate::realtime) patience: Duration,
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::realtime) enum Ending {
    /// The client said so, or is gone.
    Client,
    /// The gateway stops, or can not let the client in for now: it may come back.
    Server,
    /// The client broke a rule of the protocol.
    Protocol(CloseCode),
    /// The client takes nothing, or answers no ping.
    Silent,
}

pub(in crate::realtime) struct Session {
    pub(super) id: String,
    pub(in crate::realtime) realtime: Arc<Realtime>,
    pub(in crate::realtime) headers: Arc<BTreeMap<String, String>>,
    pub(in crate::realtime) ip: Option<IpAddr>,
    pub(in crate::realtime) bounds: Bounds,
    pub(in crate::realtime) outbox: Outbox,
    pub(in crate::realtime) member: Member,
    pub(super) way: Mutex<Way>,
    /// Notified when a request that waits for packets has to look at the [`Way`] again.
    pub(super) turned: Notify,
    /// Held while what the client sent last is processed.
    pub(super) inbound: Arc<tokio::sync::Mutex<()>>,
    calls: Arc<Semaphore>,
    inbox: Arc<Semaphore>,
    pulse: Pulse,
    ended: CancellationToken,
    ending: OnceLock<Ending>,
    _permit: ConnectionPermit,
}

/// How packets travel at the moment.
pub(super) struct Way {
    pub(super) transport: Transport,
    pub(super) upgrading: bool,
    /// Whether a request waits for packets, and one brings some.
    pub(super) polling: bool,
    pub(super) posting: bool,
}

/// What tells that a client lives.
#[derive(Default)]
struct Pulse {
    pong: Notify,
    /// Whether anything else came since this was last looked at, or was kept from coming by the gateway.
    sign: AtomicBool,
    /// How often the gateway keeps itself from reading at the moment.
    held: AtomicUsize,
}

impl Session {
    pub(super) fn new(
        realtime: &Arc<Realtime>,
        transport: Transport,
        permit: ConnectionPermit,
        headers: BTreeMap<String, String>,
        ip: Option<IpAddr>,
    ) -> Arc<Self> {
        let bounds = realtime.bounds();
        Arc::new(Session {
            id: new_id(),
            realtime: realtime.clone(),
            headers: Arc::new(headers),
            ip,
            bounds,
            outbox: Outbox::new(bounds.outbox),
            member: Member::default(),
            way: Mutex::new(Way { transport, upgrading: false, polling: false, posting: false }),
            turned: Notify::new(),
            inbound: Arc::default(),
            calls: Arc::new(Semaphore::new(bounds.calls)),
            inbox: Arc::new(Semaphore::new(bounds.inbox)),
            pulse: Pulse::default(),
            ended: CancellationToken::new(),
            ending: OnceLock::new(),
            _permit: permit,
        })
    }

    /// The packet that tells a client of its session.
    pub(super) fn open_packet(&self, transport: Transport) -> String {
        let upgrades: &[&str] = if transport == Transport::Polling { &["websocket"] } else { &[] };
        let open = json!({
            "sid": self.id,
            "upgrades": upgrades,
            "pingInterval": millis(PING_INTERVAL),
            "pingTimeout": millis(PING_TIMEOUT),
            "maxPayload": self.bounds.message,
        });
        format!("0{open}")
    }

    pub(super) fn way(&self) -> MutexGuard<'_, Way> {
        lock(&self.way)
    }

    /// Ends the session; the second time nothing happens.
    pub(in crate::realtime) fn end(&self, ending: Ending) {
        if self.ending.set(ending).is_err() {
            return;
        }
        tracing::debug!(session = %self, ?ending, "a session ends");
        self.realtime.sessions.remove(&self.id);
        self.outbox.end();
        self.ended.cancel();
        self.member.leave(&self.realtime.channels);
    }

    /// Why the session has ended, if it has.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.ending.get().copied()
    }

    pub(in crate::realtime) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    pub(in crate::realtime) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Does what a packet asks for, and waits where the client sends faster than it is answered.
    ///
    /// # Errors
    /// When the session has to end.
    pub(super) async fn receive(self: &Arc<Self>, packet: Received) -> Result<(), Ending> {
        self.pulse.sign.store(true, Ordering::Relaxed);
        match packet {
            Received::Close => Err(Ending::Client),
            Received::Ping(_) => Err(Ending::Protocol(CloseCode::Policy)),
            Received::Pong => {
                self.pulse.pong.notify_one();
                Ok(())
            }
            Received::Upgrade | Received::Nothing => Ok(()),
            Received::Message(text) => super::super::socket::text(self, text).await,
            Received::Binary(bytes) => super::super::socket::binary(self, bytes).await,
        }
    }

    /// Waits until one more call may run whose message has `size` bytes. Nothing more is read of the client until then.
    pub(in crate::realtime) async fn turn(&self, size: usize) -> Turn {
        let size = u32::try_from(size.min(self.bounds.inbox)).unwrap_or(u32::MAX);
        if self.outbox.is_open()
            && let Ok(call) = self.calls.clone().try_acquire_owned()
            && let Ok(bytes) = self.inbox.clone().try_acquire_many_owned(size)
        {
            return Turn { _permits: Some((call, bytes)) };
        }
        let waiting = async {
            self.outbox.has_room().await;
            let call = self.calls.clone().acquire_owned().await.ok()?;
            let bytes = self.inbox.clone().acquire_many_owned(size).await.ok()?;
            Some((call, bytes))
        };
        Turn { _permits: self.held_up(waiting).await }
    }

    /// Waits for something that is not the client's fault: it may seem silent meanwhile.
    pub(super) async fn held_up<T>(&self, waiting: impl Future<Output = T>) -> T {
        struct Held<'a>(&'a Pulse);
        impl Drop for Held<'_> {
            fn drop(&mut self) {
                self.0.held.fetch_sub(1, Ordering::Relaxed);
                self.0.sign.store(true, Ordering::Relaxed);
            }
        }
        self.pulse.held.fetch_add(1, Ordering::Relaxed);
        let _held = Held(&self.pulse);
        waiting.await
    }

    fn gives_a_sign(&self) -> bool {
        self.pulse.held.load(Ordering::Relaxed) > 0 || self.pulse.sign.swap(false, Ordering::Relaxed)
    }

    /// Pings the client, and ends the session of one that is gone, takes nothing, or opens no socket.
    pub(super) fn keep(self: &Arc<Self>) {
        let session = self.clone();
        tokio::spawn(async move {
            let ending = tokio::select! {
                () = session.ended() => return,
                () = session.beat() => Ending::Silent,
                () = session.grow_old() => Ending::Silent,
                () = session.member.stays_away(JOINING) => Ending::Client,
            };
            session.end(ending);
        });
    }

    /// Returns when a ping was not answered. Any other packet counts for the answer, since it may stand before it.
    async fn beat(&self) {
        loop {
            tokio::time::sleep(PING_INTERVAL).await;
            self.gives_a_sign();
            self.outbox.control("2");
            while tokio::time::timeout(PING_TIMEOUT, self.pulse.pong.notified()).await.is_err() {
                if !self.gives_a_sign() {
                    return;
                }
            }
        }
    }

    /// Returns when the client has taken nothing for too long.
    async fn grow_old(&self) {
        loop {
            let age = self.outbox.age();
            if age >= self.bounds.patience {
                tracing::debug!(session = %self, ?age, "a client takes nothing any more");
                return;
            }
            tokio::time::sleep_until(Instant::now() + (self.bounds.patience - age)).await;
        }
    }

    /// The refusal of a message that is larger than allowed.
    pub(in crate::realtime) fn too_large(&self) -> Error {
        Error::payload_too_large(format!("The message is larger than {} bytes", self.bounds.message))
    }
}

/// The id that logs name a session by: not its own, with which one could speak for it.
impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.member.id())
    }
}

/// The right to run one call.
pub(in crate::realtime) struct Turn {
    _permits: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

/// Returns a random id of 122 bits.
pub(in crate::realtime) fn new_id() -> String {
    URL_SAFE_NO_PAD.encode(Uuid::new_v4())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
