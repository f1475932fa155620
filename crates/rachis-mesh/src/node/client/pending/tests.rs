use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

type Calls = Pending<&'static str, u8>;

fn stream() -> Arc<str> {
    "calls".into()
}

/// A moment in so many seconds from one that is the same for all tests.
fn later(seconds: u64) -> Instant {
    static BEGIN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    *BEGIN + Duration::from_secs(seconds)
}

fn safety_of(repeatable: bool) -> Safety {
    if repeatable { Safety::Idempotent } else { Safety::Unsafe }
}

fn left() -> Left {
    Left { at: Instant::now(), losses: 0 }
}

fn one(safety: Safety, stage: &Stage) -> (Calls, RecoveryCandidate) {
    let mut pending = Pending::new(10);
    let id = pending.insert("ada", stream(), safety, later(0)).unwrap();
    pending.leaves(id, left());
    match stage {
        Stage::Sent(entry) => assert!(pending.sent(id, *entry)),
        Stage::Adrift(session) => {
            if let Some(waiter) = pending.adrift(id, session.clone()) {
                pending.rearm(id, waiter);
            }
        }
        Stage::Queued | Stage::Sending => {}
    }
    let candidate = pending.candidates(&RecoveryScope::All, Instant::now()).remove(0);
    (pending, candidate)
}

#[test]
fn a_second_reply_finds_nobody() {
    let mut pending = Calls::new(10);
    let id = pending.insert("ada", stream(), Safety::Idempotent, later(0)).unwrap();
    assert_eq!((pending.complete(id, 1), pending.complete(id, 2)), (Some(("ada", 1)), None));
}

#[test]
fn a_reply_that_comes_while_its_caller_is_awake_is_kept_for_it() {
    let mut pending = Calls::new(10);
    let id = pending.insert("ada", stream(), Safety::Idempotent, later(0)).unwrap();
    assert_eq!(pending.wake(id), Some("ada"));
    assert_eq!((pending.complete(id, 1), pending.complete(id, 2)), (None, None));
    assert_eq!(pending.rearm(id, "ada"), Rearmed::Replied(1));
    assert_eq!((pending.rearm(id, "ada"), pending.len()), (Rearmed::Over, 0));
}

#[test]
fn the_alarm_is_that_of_whoever_gives_up_first() {
    let mut pending = Calls::new(10);
    assert_eq!(pending.alarm(), None);
    let first = [5, 3, 3, 4].map(|seconds| pending.advance_alarm(later(seconds)));
    assert_eq!((first, pending.alarm()), ([true, true, false, false], Some(later(3))));
}

#[test]
fn those_whose_time_is_over_are_woken_and_the_next_ones_awaited() {
    let mut pending = Calls::new(10);
    let [_, answered, _, awake] = [("ada", 1), ("ben", 2), ("cleo", 3), ("dan", 1)]
        .map(|(who, seconds)| pending.insert(who, stream(), Safety::Idempotent, later(seconds)).unwrap());
    pending.complete(answered, 1);
    pending.wake(awake);
    assert_eq!((pending.late(later(0)), pending.alarm()), (vec![], Some(later(1))));
    assert_eq!((pending.late(later(1)), pending.alarm()), (vec!["ada"], Some(later(3))));
    assert_eq!((pending.late(later(4)), pending.alarm()), (vec!["cleo"], None));
    // A caller that comes back to wait is late at once.
    assert_eq!(pending.rearm(awake, "dan"), Rearmed::Waiting);
    assert!(pending.advance_alarm(later(1)));
    assert_eq!((pending.late(later(4)), pending.len()), (vec!["dan"], 3));
}

#[test]
fn who_comes_when_all_are_let_go_is_let_go_as_well() {
    let mut pending = Pending::<Arc<()>, u8>::new(10);
    let here = Arc::new(());
    let awake = Arc::new(());
    let id = pending.insert(awake, stream(), Safety::Idempotent, later(1)).unwrap();
    let awake = pending.wake(id).unwrap();
    pending.close();
    pending.insert(here.clone(), stream(), Safety::Idempotent, later(1)).unwrap();
    assert_eq!(pending.rearm(id, awake.clone()), Rearmed::Over);
    assert_eq!((Arc::strong_count(&here), Arc::strong_count(&awake)), (1, 1));
}

#[test]
fn a_full_table_takes_nobody_in_until_someone_leaves() {
    let mut pending = Calls::new(1);
    let first = pending.insert("", stream(), Safety::Idempotent, later(0)).unwrap();
    assert_eq!(pending.insert("", stream(), Safety::Idempotent, later(0)), Err(Full));
    pending.abandon(first);
    assert!(pending.insert("", stream(), Safety::Idempotent, later(0)).is_ok());
}

#[test]
fn a_request_whose_reply_is_faster_than_the_word_where_it_stands_is_not_withdrawn() {
    let mut pending = Calls::new(10);
    let [replied, abandoned] = [0, 1].map(|_| pending.insert("", stream(), Safety::Unsafe, later(0)).unwrap());
    for id in [replied, abandoned] {
        assert!(pending.leaves(id, left()));
    }
    assert!(pending.complete(replied, 7).is_some());
    pending.abandon(abandoned);
    assert!(pending.sent(replied, EntryId::new(5, 0)) && !pending.sent(abandoned, EntryId::new(5, 1)));
    assert!(pending.overtaken.is_empty());
}

#[test]
fn an_abandoned_call_tells_how_far_its_request_has_come() {
    let mut pending = Calls::new(10);
    let ids: Vec<u64> = (0..5).map(|_| pending.insert("", stream(), Safety::Unsafe, later(0)).unwrap()).collect();
    for id in &ids[1..] {
        assert!(pending.leaves(*id, left()));
    }
    pending.returned(ids[2]);
    assert!(pending.sent(ids[3], EntryId::new(5, 0)));
    assert_eq!(pending.adrift(ids[4], None), None);
    let stages = ids.iter().map(|id| pending.abandon(*id).unwrap());
    assert_eq!(
        stages.collect::<Vec<_>>(),
        [Stage::Queued, Stage::Sending, Stage::Queued, Stage::Sent(EntryId::new(5, 0)), Stage::Adrift(None)]
    );
    assert!(!pending.leaves(ids[0], left()) && !pending.sent(ids[3], EntryId::new(6, 0)));
}

#[test]
fn what_is_lost_is_sent_again_only_if_it_may_run_twice_or_never_arrived() {
    use {
        Finding as F, RecoveryDecision as V,
        Safety::{Idempotent, Keyed, Unsafe},
    };
    let sent = Stage::Sent(EntryId::new(1, 0));
    let adrift = Stage::Adrift(None);
    let cases = [
        (Idempotent, &sent, F::Gone, Some(V::Resend)),
        (Unsafe, &sent, F::Gone, Some(V::Lost)),
        (Idempotent, &adrift, F::Gone, Some(V::Resend)),
        (Unsafe, &adrift, F::Gone, Some(V::Lost)),
        (Unsafe, &adrift, F::NeverArrived, Some(V::Resend)),
        (Keyed, &sent, F::Gone, Some(V::Resend)),
        (Keyed, &adrift, F::Gone, Some(V::Resend)),
        (Keyed, &sent, F::Orphaned, None),
        // It was in the stream, whatever is said later.
        (Unsafe, &sent, F::NeverArrived, Some(V::Lost)),
        (Idempotent, &sent, F::Orphaned, None),
        (Unsafe, &sent, F::Orphaned, Some(V::Orphaned)),
        (Unsafe, &adrift, F::Stands(EntryId::new(2, 0)), None),
    ];
    for (safety, stage, finding, expected) in cases {
        let (mut pending, candidate) = one(safety, stage);
        let decision = pending.decide(&candidate, finding.clone()).map(|(decision, _)| decision);
        assert_eq!(decision, expected, "{safety:?} {stage:?} {finding:?}");
    }
}

#[test]
fn of_what_broke_off_on_its_way_only_the_idempotent_is_sent_again_before_anything_is_known() {
    for (safety, again) in [(Safety::Idempotent, true), (Safety::Keyed, false), (Safety::Unsafe, false)] {
        let mut pending = Calls::new(10);
        let id = pending.insert("ada", stream(), safety, later(0)).unwrap();
        assert!(pending.leaves(id, left()));
        assert_eq!(pending.adrift(id, None).is_some(), again, "{safety:?}");
    }
}

#[test]
fn a_request_that_was_found_stands_where_it_was_found() {
    let (mut pending, candidate) = one(Safety::Unsafe, &Stage::Adrift(None));
    assert_eq!(pending.decide(&candidate, Finding::Stands(EntryId::new(7, 0))), None);
    assert_eq!(pending.abandon(candidate.id), Some(Stage::Sent(EntryId::new(7, 0))));
}

#[test]
fn a_finding_about_an_earlier_stage_decides_nothing() {
    let (mut pending, candidate) = one(Safety::Unsafe, &Stage::Sent(EntryId::new(1, 0)));
    pending.sent(candidate.id, EntryId::new(2, 0));
    assert_eq!(pending.decide(&candidate, Finding::Gone), None);
    assert_eq!(pending.complete(candidate.id, 1), Some(("ada", 1)));
}

#[test]
fn a_caller_that_is_awake_is_not_judged() {
    let (mut pending, candidate) = one(Safety::Idempotent, &Stage::Sent(EntryId::new(1, 0)));
    pending.wake(candidate.id);
    assert_eq!(pending.decide(&candidate, Finding::Gone), None);
    assert_eq!(pending.abandon(candidate.id), Some(Stage::Sent(EntryId::new(1, 0))));
}

#[test]
fn only_calls_that_are_somewhere_in_redis_are_asked_about() {
    let mut pending = Calls::new(10);
    let ids: Vec<u64> = (0..4).map(|_| pending.insert("", stream(), Safety::Unsafe, later(0)).unwrap()).collect();
    for id in &ids[1..] {
        pending.leaves(*id, left());
    }
    pending.sent(ids[2], EntryId::new(1, 0));
    pending.adrift(ids[3], None);
    let asked = |which: RecoveryScope, after: u64| -> Vec<u64> {
        let now = Instant::now() + Duration::from_secs(after);
        pending.candidates(&which, now).into_iter().map(|candidate| candidate.id).collect()
    };
    assert_eq!(asked(RecoveryScope::All, 0), [2, 3]);
    assert_eq!(asked(RecoveryScope::Older(Duration::from_secs(5)), 1), [3]);
    assert_eq!(asked(RecoveryScope::Older(Duration::from_secs(5)), 6), [2, 3]);
    assert_eq!(asked(RecoveryScope::Orphans("other".into()), 0), [3]);
    assert_eq!(asked(RecoveryScope::Orphans(stream()), 0), [2, 3]);
}

#[test]
fn a_request_that_turns_to_another_partition_is_asked_about_there_and_is_of_the_same_app() {
    let keys = crate::redis::keys::Keys::new("ns");
    let of = |app: &str| -> Arc<str> { keys.calls(app).into() };
    let mut pending = Calls::new(10);
    let id = pending.insert("ada", of("default/shop/3"), Safety::Unsafe, later(0)).unwrap();
    pending.turns_to(id, of("default/shop/1"));
    pending.leaves(id, left());
    pending.sent(id, EntryId::new(1, 0));
    let asked = |which| pending.candidates(&which, Instant::now());
    assert_eq!(asked(RecoveryScope::Orphans(of("default/shop")))[0].stream, of("default/shop/1"));
    assert_eq!(asked(RecoveryScope::Orphans(of("default/shop2"))), []);
}

#[derive(Clone, Debug)]
enum Step {
    Insert(bool),
    Complete(u64),
    Abandon(u64),
    Leaves(u64),
    Sent(u64),
    Adrift(u64),
    Wake(u64),
    Rearm(u64),
    Decide(Finding),
}

fn step() -> impl Strategy<Value = Step> {
    let finding = prop_oneof![
        Just(Finding::Stands(EntryId::new(9, 9))),
        Just(Finding::Orphaned),
        Just(Finding::Gone),
        Just(Finding::NeverArrived)
    ];
    prop_oneof![
        any::<bool>().prop_map(Step::Insert),
        (0u64..20).prop_map(Step::Complete),
        (0u64..20).prop_map(Step::Abandon),
        (0u64..20).prop_map(Step::Leaves),
        (0u64..20).prop_map(Step::Sent),
        (0u64..20).prop_map(Step::Adrift),
        (0u64..20).prop_map(Step::Wake),
        (0u64..20).prop_map(Step::Rearm),
        finding.prop_map(Step::Decide),
    ]
}

proptest! {
    #[test]
    fn whoever_comes_in_is_answered_at_most_once_and_nothing_that_may_have_run_is_repeated(
        steps in proptest::collection::vec(step(), 0..200))
    {
        let mut pending: Pending<u64, ()> = Pending::new(8);
        let mut repeatable = Vec::new();
        // Calls that are over, and those whose reply waits for them.
        let mut over = HashSet::new();
        let mut kept = HashSet::new();
        let (mut awake, mut sending, mut overtaken) = <(HashSet<_>, HashSet<_>, HashSet<_>)>::default();
        for step in steps {
            let known = |id: u64, over: &HashSet<u64>| id < repeatable.len() as u64 && !over.contains(&id);
            match step {
                Step::Insert(may_repeat) => if let Ok(id) = pending.insert(repeatable.len() as u64, stream(), safety_of(may_repeat), later(0)) {
                    prop_assert_eq!(id, repeatable.len() as u64);
                    repeatable.push(may_repeat);
                },
                Step::Complete(id) => {
                    let waits = known(id, &over) && !awake.contains(&id);
                    prop_assert_eq!(pending.complete(id, ()).is_some(), waits);
                    if waits && sending.contains(&id) {
                        overtaken.insert(id);
                    }
                    match waits {
                        true => drop(over.insert(id)),
                        false if known(id, &over) => drop(kept.insert(id)),
                        false => {}
                    }
                }
                Step::Abandon(id) => {
                    let there = known(id, &over);
                    prop_assert_eq!(pending.abandon(id).is_some(), there);
                    if there {
                        over.insert(id);
                    }
                }
                Step::Leaves(id) => {
                    prop_assert_eq!(pending.leaves(id, left()), known(id, &over));
                    if known(id, &over) {
                        sending.insert(id);
                    }
                }
                // Only what had no reply is withdrawn.
                Step::Sent(id) => {
                    let wanted = known(id, &over) || overtaken.remove(&id);
                    prop_assert_eq!(pending.sent(id, EntryId::new(1, 0)), wanted);
                    sending.remove(&id);
                }
                Step::Adrift(id) => {
                    sending.remove(&id);
                    overtaken.remove(&id);
                    if pending.adrift(id, None).is_some() {
                        prop_assert!(repeatable[id as usize]);
                        awake.insert(id);
                    }
                }
                Step::Wake(id) => if pending.wake(id).is_some() { awake.insert(id); },
                Step::Rearm(id) if awake.contains(&id) => match pending.rearm(id, id) {
                    Rearmed::Waiting => { prop_assert!(!kept.contains(&id)); awake.remove(&id); }
                    Rearmed::Replied(()) => { prop_assert!(kept.contains(&id) && over.insert(id)); }
                    Rearmed::Over => prop_assert!(over.contains(&id)),
                },
                Step::Rearm(_) => {}
                Step::Decide(finding) => for candidate in pending.candidates(&RecoveryScope::All, Instant::now()) {
                    let Some((decision, waiter)) = pending.decide(&candidate, finding.clone()) else { continue };
                    prop_assert_eq!(waiter, candidate.id);
                    let adrift = matches!(candidate.stage, Stage::Adrift(_));
                    let harmless = repeatable[candidate.id as usize] || (adrift && finding == Finding::NeverArrived);
                    prop_assert_eq!(decision == RecoveryDecision::Resend, harmless);
                    awake.insert(candidate.id);
                },
            }
            prop_assert!(pending.len() <= 8);
        }
    }
}
