//! Subscriptions that outlive their connection.

use super::connection::{Connector, Pace};
use futures_util::StreamExt;
use redis::{Msg, RedisResult, aio::PubSub};
use std::collections::HashSet;
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
const BUFFER: usize = 4096;

enum Command {
    Subscribe(String, oneshot::Sender<()>),
    Unsubscribe(String),
}

/// Adds and removes channels of one connection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Channels {
    commands: mpsc::UnboundedSender<Command>,
}

impl Channels {
    /// Subscribes; returns when Redis has confirmed it, so nothing published after that is missed. `false`: the
    /// subscription connection was stopped first.
    pub(crate) async fn subscribe(&self, channel: String) -> bool {
        let (confirm, confirmed) = oneshot::channel();
        self.commands.send(Command::Subscribe(channel, confirm)).is_ok() && confirmed.await.is_ok()
    }

    /// Unsubscribes, soon.
    pub(crate) fn unsubscribe(&self, channel: String) {
        let _ = self.commands.send(Command::Unsubscribe(channel));
    }
}

/// Opens a connection for subscriptions and keeps it up until `stop` is cancelled.
pub(crate) fn open(connector: Connector, stop: CancellationToken) -> (Channels, mpsc::Receiver<Heard>) {
    let (commands, inbox) = mpsc::unbounded_channel();
    let (heard, messages) = mpsc::channel(BUFFER);
    let subscriber = Subscriber { connector, stop, inbox, heard, channels: HashSet::new(), waiting: Vec::new() };
    tokio::spawn(subscriber.run());
    (Channels { commands }, messages)
}

struct Subscriber {
    connector: Connector,
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
        let mut pace = Pace::new();
        loop {
            let connector = self.connector.clone();
            let stop = self.stop.clone();
            if stop.run_until_cancelled(pace.rest(connector.options().longest_pause)).await.is_none() {
                return;
            }
            let attempt = || connector.connect_pubsub();
            let Some(connection) = connector.until("events", &stop, attempt).await else { return };
            pace.begin();
            match self.serve(connection, first).await {
                Ended::Broken => first = false,
                Ended::Stopped => return,
            }
        }
    }

    async fn serve(&mut self, connection: PubSub, first: bool) -> Ended {
        let (mut sink, mut stream) = connection.split();
        for channel in &self.channels {
            if sink.subscribe(channel).await.is_err() {
                return Ended::Broken;
            }
        }
        for (_, confirm) in self.waiting.drain(..) {
            let _ = confirm.send(());
        }
        if !first && self.heard.send(Heard::Reconnected).await.is_err() {
            return Ended::Stopped;
        }
        let mut suspicion = self.connector.suspicion();
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
                _ = suspicion.changed() => return Ended::Broken,
                () = self.stop.cancelled() => return Ended::Stopped,
            }
        }
    }

    async fn hand_on(&self, message: &Msg) -> Result<(), mpsc::error::SendError<Heard>> {
        let channel = message.get_channel_name().to_owned();
        self.heard.send(Heard::Message { channel, payload: message.get_payload_bytes().to_vec() }).await
    }

    async fn obey(&mut self, command: Command, sink: &mut redis::aio::PubSubSink) -> RedisResult<()> {
        match command {
            Command::Subscribe(channel, confirm) => {
                let outcome = sink.subscribe(&channel).await;
                self.channels.insert(channel.clone());
                match outcome {
                    Ok(()) => {
                        let _ = confirm.send(());
                        Ok(())
                    }
                    Err(error) => {
                        self.waiting.push((channel, confirm));
                        Err(error)
                    }
                }
            }
            Command::Unsubscribe(channel) => {
                self.channels.remove(&channel);
                sink.unsubscribe(&channel).await
            }
        }
    }
}
