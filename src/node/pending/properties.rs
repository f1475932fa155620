//! Whatever order requests, replies and callers come in: nobody waits twice, is woken twice or is forgotten.

use super::*;
use proptest::prelude::*;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

const CAPACITY: usize = 6;

/// Somebody who waits; what became of each is noted.
#[derive(Debug)]
struct Waiter {
    number: usize,
    ended: Rc<RefCell<Vec<Vec<Ended>>>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ended {
    Woken,
    LetGo,
}

impl Waiter {
    fn new(ended: &Rc<RefCell<Vec<Vec<Ended>>>>) -> Self {
        let number = ended.borrow().len();
        ended.borrow_mut().push(Vec::new());
        Waiter { number, ended: ended.clone() }
    }

    fn wake(self) -> usize {
        let number = self.number;
        self.ended.borrow_mut()[number].push(Ended::Woken);
        std::mem::forget(self);
        number
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.ended.borrow_mut()[self.number].push(Ended::LetGo);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert,
    Rearm(u64),
    Leaves(u64),
    Returned(u64),
    Sent(u64, u8),
    Complete(u64),
    Wake(u64),
    Abandon(u64),
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
        4 => id().prop_map(Step::Complete),
        3 => id().prop_map(Step::Wake),
        3 => id().prop_map(Step::Abandon),
        1 => Just(Step::Close),
    ]
}

/// What is expected of a call: who waits, and how far its request has come.
type Expected = BTreeMap<u64, (Option<usize>, Stage)>;

fn run(
    pending: &mut Pending<Waiter>,
    steps: Vec<Step>,
    ended: &Rc<RefCell<Vec<Vec<Ended>>>>,
) -> Result<(), TestCaseError> {
    let mut expected = Expected::new();
    let mut given = BTreeSet::new();
    for step in steps {
        match step {
            Step::Insert => {
                let waiter = Waiter::new(ended);
                let number = waiter.number;
                let taken = pending.insert(waiter);
                prop_assert_eq!(taken.is_ok(), expected.len() < CAPACITY);
                if let Ok(id) = taken {
                    prop_assert!(given.insert(id), "{} was given before", id);
                    expected.insert(id, (Some(number), Stage::Queued));
                }
            }
            Step::Rearm(id) => {
                let waiter = Waiter::new(ended);
                let number = waiter.number;
                prop_assert_eq!(pending.rearm(id, waiter), expected.contains_key(&id));
                expected.entry(id).and_modify(|call| call.0 = Some(number));
            }
            Step::Leaves(id) => {
                prop_assert_eq!(pending.leaves(id), expected.contains_key(&id));
                expected.entry(id).and_modify(|call| call.1 = Stage::Sending);
            }
            Step::Returned(id) => {
                pending.returned(id);
                expected.entry(id).and_modify(|call| call.1 = Stage::Queued);
            }
            Step::Sent(id, entry) => {
                let entry = format!("{entry}-0");
                prop_assert_eq!(pending.sent(id, entry.clone()), expected.contains_key(&id));
                expected.entry(id).and_modify(|call| call.1 = Stage::Sent(entry));
            }
            Step::Complete(id) => {
                let waiter = expected.remove(&id).and_then(|call| call.0);
                prop_assert_eq!(pending.complete(id).map(Waiter::wake), waiter);
            }
            Step::Wake(id) => {
                let waiter = expected.get_mut(&id).and_then(|call| call.0.take());
                prop_assert_eq!(pending.wake(id).map(Waiter::wake), waiter);
            }
            Step::Abandon(id) => {
                let stage = expected.remove(&id).map(|call| call.1);
                prop_assert_eq!(pending.abandon(id), stage);
            }
            Step::Close => {
                pending.close();
                expected.values_mut().for_each(|call| call.0 = None);
            }
        }
        prop_assert_eq!(pending.len(), expected.len());
        prop_assert!(pending.len() <= CAPACITY);
        let waiting: BTreeSet<usize> = expected.values().filter_map(|call| call.0).collect();
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
