//! Calls that wait for JavaScript.

use crate::message::{EventMessage, Number};
use parking_lot::Mutex;
use rachis::{Answer, Error, Outcome, Result};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// How long JavaScript may give no sign of life before the calls that it has not begun are handed back. A pause of garbage
/// collection is shorter.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a call came to, and the events that it fired.
pub(crate) type Ended = (Result<Answer>, Vec<EventMessage>);

/// One call of a service of JavaScript.
struct Asked {
    answer: oneshot::Sender<Ended>,
    events: Vec<EventMessage>,
    /// Since when it waits; `None` once JavaScript has begun it.
    waits: Option<Instant>,
}

/// The calls that JavaScript was asked to run, by their number.
pub(crate) struct Incoming {
    calls: Mutex<Calls>,
}

struct Calls {
    last: Number,
    all: HashMap<Number, Asked>,
    /// The last sign of life from JavaScript.
    alive: Instant,
}

impl Default for Incoming {
    fn default() -> Self {
        Incoming { calls: Mutex::new(Calls { last: 0, all: HashMap::new(), alive: Instant::now() }) }
    }
}

impl Incoming {
    /// A new call, and where its answer will come.
    pub(crate) fn add(&self) -> (Number, oneshot::Receiver<Ended>) {
        let (answer, receiver) = oneshot::channel();
        let mut calls = self.calls.lock();
        calls.last = calls.last.wrapping_add(1);
        let number = calls.last;
        calls.all.insert(number, Asked { answer, events: Vec::new(), waits: Some(Instant::now()) });
        (number, receiver)
    }

    /// Notes that JavaScript runs.
    pub(crate) fn note_life(&self) {
        self.calls.lock().alive = Instant::now();
    }

    /// Notes that JavaScript begins a call; `false` if it was handed back and must not be begun.
    pub(crate) fn begin(&self, number: Number) -> bool {
        let mut calls = self.calls.lock();
        calls.alive = Instant::now();
        match calls.all.get_mut(&number) {
            Some(asked) => {
                asked.waits = None;
                true
            }
            None => false,
        }
    }

    /// Keeps an event until the call that fires it is answered; returns it if that one is over.
    pub(crate) fn fired(&self, event: EventMessage) -> Option<EventMessage> {
        let mut calls = self.calls.lock();
        match event.by.and_then(|number| calls.all.get_mut(&number)) {
            Some(asked) => {
                asked.events.push(event);
                None
            }
            None => Some(event),
        }
    }

    /// Passes an answer on.
    pub(crate) fn answer(&self, number: Number, answer: Result<Answer>) {
        if let Some(asked) = self.calls.lock().all.remove(&number) {
            asked.answer.send((answer, asked.events)).ok();
        }
    }

    /// Forgets a call that nobody waits for, and returns what it has fired; JavaScript does not begin it any more.
    pub(crate) fn forget(&self, number: Number) -> Vec<EventMessage> {
        self.calls.lock().all.remove(&number).map(|asked| asked.events).unwrap_or_default()
    }

    /// Hands back all calls that JavaScript has not begun, if it gives no sign of life; returns whether there were any.
    pub(crate) fn hand_back(&self) -> bool {
        let mut calls = self.calls.lock();
        let late = |asked: &Asked| asked.waits.is_some_and(|since| since.elapsed() > PATIENCE);
        if calls.alive.elapsed() <= PATIENCE || !calls.all.values().any(late) {
            return false;
        }
        for (_, asked) in calls.all.extract_if(|_, asked| asked.waits.is_some()) {
            asked.answer.send((Err(Error::hand_back()), Vec::new())).ok();
        }
        true
    }

    /// Ends all calls: there is no JavaScript any more.
    pub(crate) fn close(&self) {
        for (_, asked) in self.calls.lock().all.drain() {
            let error = match asked.waits {
                Some(_) => Error::hand_back(),
                None => Error::unavailable("The thread that ran the call has ended").with_outcome(Outcome::Unknown),
            };
            asked.answer.send((Err(error), asked.events)).ok();
        }
    }
}
