//! Subscriptions that outlive their connection.

use super::{
    connection::{Calm, Connector, Opened, Sign, Signs, timed_out},
    ears,
};
use futures_util::StreamExt;
use redis::{
    Msg, RedisResult, Value,
    aio::{PubSub, PubSubSink, PubSubStream},
};
use std::{collections::HashSet, time::Instant};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// What comes in from the channels.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A message.
    Message { channel: String, payload: Vec<u8> },
    /// The connection was made anew and every channel subscribed again: messages may have been missed.
    Reconnected,
}

/// Messages between the connection and whoever reads; pub/sub has no other brake, and a reader that falls this far
/// behind is slower than Redis's own output buffer allows anyway.
pub(super) const BUFFER: usize = 4096;

pub(super) enum Command {
    Subscribe(String, oneshot::Sender<()>),
    Unsubscribe(String),
}

/// Adds and removes channels of one connection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Channels {
    commands: mpsc::UnboundedSender<Command>,
    /// In a cluster, the channels that have a server of their own: all but the one that is everybody's.
    sharded: Option<(String, mpsc::UnboundedSender<Command>)>,
}

impl Channels {
    /// Subscribes; returns when Redis has confirmed it, so nothing published after that is missed. `false`: the
    /// subscription connection was stopped first.
    pub(crate) async fn subscribe(&self, channel: String) -> bool {
        let (confirm, confirmed) = oneshot::channel();
        self.to(&channel).send(Command::Subscribe(channel, confirm)).is_ok() && confirmed.await.is_ok()
    }

    /// Unsubscribes, soon.
    pub(crate) fn unsubscribe(&self, channel: String) {
        let _ = self.to(&channel).send(Command::Unsubscribe(channel));
    }

    fn to(&self, channel: &str) -> &mpsc::UnboundedSender<Command> {
        match &self.sharded {
            Some((everybodys, sharded)) if everybodys != channel => sharded,
            _ => &self.commands,
        }
    }
}

/// Opens a connection for subscriptions, to the server that holds `channel`, and keeps it up until `stop` is cancelled.
/// In a cluster that connection is for this one channel, and there are others for the rest.
pub(crate) fn open(
    connector: Connector,
    channel: String,
    stop: CancellationToken,
) -> (Channels, mpsc::Receiver<Heard>) {
    let (commands, inbox) = mpsc::unbounded_channel();
    let (heard, messages) = mpsc::channel(BUFFER);
    let sharded = connector.servers().are_shared().then(|| {
        let (commands, inbox) = mpsc::unbounded_channel();
        tokio::spawn(ears::listen(connector.clone(), heard.clone(), inbox, stop.clone()));
        (channel.clone(), commands)
    });
    let subscriber =
        Subscriber { connector, key: channel, stop, inbox, heard, channels: HashSet::new(), waiting: Vec::new() };
    tokio::spawn(subscriber.run());
    (Channels { commands, sharded }, messages)
}

struct Subscriber {
    connector: Connector,
    key: String,
    stop: CancellationToken,
    inbox: mpsc::UnboundedReceiver<Command>,
    heard: mpsc::Sender<Heard>,
    channels: HashSet<String>,
    waiting: Vec<(String, oneshot::Sender<()>)>,
}

/// Why a connection was given up.
enum Ended {
    Broken,
    Stopped,
}

impl Subscriber {
    async fn run(mut self) {
        let mut first = true;
        let mut calm = Calm::new(&self.connector);
        loop {
            let connector = self.connector.clone();
            let stop = self.stop.clone();
            if calm.before_connecting(&stop).await.is_none() {
                return;
            }
            let attempt = || connector.connect_pubsub(&self.key);
            let Some(opened) = connector.until("events", &stop, attempt).await else { return };
            match self.serve(opened, first).await {
                Ended::Broken => first = false,
                Ended::Stopped => return,
            }
        }
    }

    async fn serve(&mut self, opened: Opened<PubSub>, first: bool) -> Ended {
        let Opened { connection, mut signs } = opened;
        let (mut sink, mut stream) = connection.split();
        if self.subscribe_all(&mut sink).await.is_err() {
            return Ended::Broken;
        }
        for (_, confirm) in self.waiting.drain(..) {
            let _ = confirm.send(());
        }
        if !first && self.heard.send(Heard::Reconnected).await.is_err() {
            return Ended::Stopped;
        }
        // Nothing else tells a way that has gone without a word from a quiet one, and keeps what is quiet from being cut.
        let keep_alive = self.connector.options().keep_alive;
        let mut pings = tokio::time::interval_at((Instant::now() + keep_alive).into(), keep_alive);
        pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = stream.next() => match message {
                    Some(message) => if self.hand_on(&message).await.is_err() { return Ended::Stopped },
                    None => return Ended::Broken,
                },
                command = self.inbox.recv() => match command {
                    Some(command) => if self.obey(command, &mut sink).await.is_err() { return Ended::Broken },
                    None => return Ended::Stopped,
                },
                sign = signs.next() => match sign {
                    Sign::Doubted | Sign::Ended => return Ended::Broken,
                    // A connection for subscriptions takes no AUTH, so another takes its place before it ends.
                    Sign::LoginChanged => match self.successor().await {
                        Some((new_sink, new_stream, new_signs)) => {
                            (sink, stream, signs) = (new_sink, new_stream, new_signs);
                            if self.heard.send(Heard::Reconnected).await.is_err() {
                                return Ended::Stopped;
                            }
                        }
                        None => tracing::warn!("no connection for events with the new login, the old one stays"),
                    },
                },
                _ = pings.tick() => if self.in_time(sink.ping::<Value>()).await.is_err() { return Ended::Broken },
                () = self.stop.cancelled() => return Ended::Stopped,
            }
        }
    }

    /// Waits for the server's word, for as long as a command may take.
    async fn in_time<T>(&self, word: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        let time = self.connector.options().response_timeout;
        tokio::time::timeout(time, word).await.map_err(|_| timed_out("a subscription"))?
    }

    async fn subscribe_all(&self, sink: &mut PubSubSink) -> RedisResult<()> {
        for channel in &self.channels {
            self.in_time(sink.subscribe(channel))
                .await
                .inspect_err(|error| self.connector.note_deaf(channel, error))?;
        }
        Ok(())
    }

    /// A connection with every subscription of the one that is open.
    async fn successor(&self) -> Option<(PubSubSink, PubSubStream, Signs)> {
        let attempt = async {
            let Opened { connection, signs } = self.connector.connect_pubsub(&self.key).await?;
            let (mut sink, stream) = connection.split();
            self.subscribe_all(&mut sink).await?;
            RedisResult::Ok((sink, stream, signs))
        };
        attempt.await.inspect_err(|error| tracing::debug!(%error, "no connection with the new login")).ok()
    }

    async fn hand_on(&self, message: &Msg) -> Result<(), mpsc::error::SendError<Heard>> {
        let channel = message.get_channel_name().to_owned();
        self.heard.send(Heard::Message { channel, payload: message.get_payload_bytes().to_vec() }).await
    }

    async fn obey(&mut self, command: Command, sink: &mut PubSubSink) -> RedisResult<()> {
        match command {
            Command::Subscribe(channel, confirm) => {
                let outcome = self.in_time(sink.subscribe(&channel)).await;
                self.channels.insert(channel.clone());
                match outcome {
                    Ok(()) => {
                        let _ = confirm.send(());
                        Ok(())
                    }
                    Err(error) => {
                        self.connector.note_deaf(&channel, &error);
                        self.waiting.push((channel, confirm));
                        Err(error)
                    }
                }
            }
            Command::Unsubscribe(channel) => {
                self.channels.remove(&channel);
                self.in_time(sink.unsubscribe(&channel)).await
            }
        }
    }
}
