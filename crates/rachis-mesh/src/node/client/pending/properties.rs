//! Whatever order requests, replies and callers come in: no caller waits twice, is woken twice or is forgotten.

use super::*;
use proptest::prelude::*;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

const CAPACITY: usize = 6;

/// A caller that waits; what became of each is noted.
#[derive(Debug)]
struct Waiter {
    number: usize,
    ended: Rc<RefCell<Vec<Vec<WaiterEnd>>>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum WaiterEnd {
    Woken,
    LetGo,
}

impl Waiter {
    fn new(ended: &Rc<RefCell<Vec<Vec<WaiterEnd>>>>) -> Self {
        let number = ended.borrow().len();
        ended.borrow_mut().push(Vec::new());
        Waiter { number, ended: ended.clone() }
    }

    fn wake(self) -> usize {
        let number = self.number;
        self.ended.borrow_mut()[number].push(WaiterEnd::Woken);
        std::mem::forget(self);
        number
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.ended.borrow_mut()[self.number].push(WaiterEnd::LetGo);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert,
    Rearm(u64),
    Leaves(u64),
    Returned(u64),
    Sent(u64, u8),
    Adrift(u64),
    Complete(u64),
    Wake(u64),
    Abandon(u64),
    Late(u64),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let id = || 0..24u64;
    prop_oneof![
        8 => Just(Step::Insert),
        3 => id().prop_map(Step::Rearm),
        3 => id().prop_map(Step::Leaves),
        2 => id().prop_map(Step::Returned),
        3 => (id(), any::<u8>()).prop_map(|(id, entry)| Step::Sent(id, entry)),
        2 => id().prop_map(Step::Adrift),
        4 => id().prop_map(Step::Complete),
        3 => id().prop_map(Step::Wake),
        3 => id().prop_map(Step::Abandon),
        2 => id().prop_map(Step::Late),
        1 => Just(Step::Close),
    ]
}

fn moment(seconds: u64) -> Instant {
    static BEGIN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    *BEGIN + Duration::from_secs(seconds)
}

/// In no order.
fn deadline(number: usize) -> Instant {
    moment(number as u64 * 7 % 24)
}

/// What is expected of a call.
struct Call {
    waits: Option<usize>,
    stage: Stage,
    reply: Option<u64>,
    repeatable: bool,
    deadline: Instant,
}

fn run(
    pending: &mut Pending<Waiter, u64>,
    steps: Vec<Step>,
    ended: &Rc<RefCell<Vec<Vec<WaiterEnd>>>>,
) -> Result<(), TestCaseError> {
    let mut expected: BTreeMap<u64, Call> = BTreeMap::new();
    let mut given = BTreeSet::new();
    let mut overtaken = BTreeSet::new();
    let mut closed = false;
    let left = Left { at: Instant::now(), losses: 0 };
    for (now, step) in (0..).zip(steps) {
        match step {
            Step::Insert => {
                let waiter = Waiter::new(ended);
                let number = waiter.number;
                let repeatable = waiter.number.is_multiple_of(2);
                let safety = if repeatable { Safety::Idempotent } else { Safety::Unsafe };
                let taken = pending.insert(waiter, "stream".into(), safety, deadline(number));
                prop_assert_eq!(taken.is_ok(), expected.len() < CAPACITY);
                if let Ok(id) = taken {
                    prop_assert!(given.insert(id), "{} was given before", id);
                    let call = Call {
                        waits: (!closed).then_some(number),
                        stage: Stage::Queued,
                        reply: None,
                        repeatable,
                        deadline: deadline(number),
                    };
                    expected.insert(id, call);
                }
            }
            Step::Rearm(id) => {
                let waiter = Waiter::new(ended);
                let number = waiter.number;
                let found = match expected.get(&id) {
                    None => Rearmed::Over,
                    Some(Call { reply: Some(reply), .. }) => Rearmed::Replied(*reply),
                    Some(_) if closed => Rearmed::Over,
                    Some(_) => Rearmed::Waiting,
                };
                prop_assert_eq!(pending.rearm(id, waiter), found);
                match expected.get_mut(&id) {
                    Some(call) if call.reply.is_none() => call.waits = (!closed).then_some(number),
                    _ => drop(expected.remove(&id)),
                }
            }
            Step::Leaves(id) => {
                prop_assert_eq!(pending.leaves(id, left), expected.contains_key(&id));
                expected.entry(id).and_modify(|call| call.stage = Stage::Sending);
            }
            Step::Returned(id) => {
                pending.returned(id);
                overtaken.remove(&id);
                expected.entry(id).and_modify(|call| call.stage = Stage::Queued);
            }
            Step::Sent(id, entry) => {
                let entry = EntryId::new(entry.into(), 0);
                prop_assert_eq!(pending.sent(id, entry), expected.contains_key(&id) || overtaken.remove(&id));
                expected.entry(id).and_modify(|call| call.stage = Stage::Sent(entry));
            }
            Step::Adrift(id) => {
                overtaken.remove(&id);
                let call = expected.get_mut(&id);
                let waiter = call.and_then(|call| {
                    call.stage = Stage::Adrift(None);
                    if call.repeatable { call.waits.take() } else { None }
                });
                prop_assert_eq!(pending.adrift(id, None).map(Waiter::wake), waiter);
            }
            // The reply says which step brought it.
            Step::Complete(id) => {
                let waiter = match expected.get_mut(&id) {
                    Some(call) if call.waits.is_none() => {
                        call.reply.get_or_insert(now);
                        None
                    }
                    _ => expected.remove(&id).and_then(|call| {
                        if call.stage == Stage::Sending {
                            overtaken.insert(id);
                        }
                        Some((call.waits?, now))
                    }),
                };
                prop_assert_eq!(pending.complete(id, now).map(|(waiter, reply)| (waiter.wake(), reply)), waiter);
            }
            Step::Wake(id) => {
                let waiter = expected.get_mut(&id).and_then(|call| call.waits.take());
                prop_assert_eq!(pending.wake(id).map(Waiter::wake), waiter);
            }
            Step::Abandon(id) => {
                let stage = expected.remove(&id).map(|call| call.stage);
                prop_assert_eq!(pending.abandon(id), stage);
            }
            Step::Late(seconds) => {
                let now = moment(seconds);
                let mut late: Vec<usize> = pending.late(now).into_iter().map(Waiter::wake).collect();
                let calls = expected.values_mut().filter(|call| call.deadline <= now);
                let mut over: Vec<usize> = calls.filter_map(|call| call.waits.take()).collect();
                late.sort_unstable();
                over.sort_unstable();
                prop_assert_eq!(late, over);
                let next = expected.values().filter(|call| call.waits.is_some()).map(|call| call.deadline).min();
                prop_assert_eq!(pending.alarm(), next);
            }
            Step::Close => {
                pending.close();
                closed = true;
                expected.values_mut().for_each(|call| call.waits = None);
            }
        }
        prop_assert_eq!(pending.len(), expected.len());
        prop_assert!(pending.len() <= CAPACITY);
        let waiting: BTreeSet<usize> = expected.values().filter_map(|call| call.waits).collect();
        for (number, ends) in ended.borrow().iter().enumerate() {
            prop_assert_eq!(ends.len(), usize::from(!waiting.contains(&number)), "{}: {:?}", number, ends);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn whoever_waits_is_woken_or_let_go_exactly_once(steps in proptest::collection::vec(step(), 0..120)) {
        let ended = Rc::default();
        let mut pending = Pending::new(CAPACITY);
        run(&mut pending, steps, &ended)?;
        drop(pending);
        for (number, ends) in ended.borrow().iter().enumerate() {
            prop_assert_eq!(ends.len(), 1, "{}: {:?}", number, ends);
        }
    }
}
