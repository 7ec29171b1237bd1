//! What a process has in hand, over time, and who is to blame.

use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::*;
use crate::handlers::{Answer, Failure};

type Answered = oneshot::Receiver<Result<Answer, Failure>>;

const TIMEOUT: Duration = Duration::from_secs(10);
const TO_STOP: Duration = Duration::from_secs(2);

fn job(key: u64) -> (Job, Answered) {
    let (reply, answered) = oneshot::channel();
    let item = Item {
        key: json!(key),
        attempt: 1,
        columns: RawValue::from_string("{}".to_owned()).unwrap(),
        deadline: None,
        on_progress: None,
    };
    let job = Job {
        item,
        reply,
        is_alone: false,
    };
    (job, answered)
}

/// Hand-outs of so many items each, and who waits for them.
fn hand(sizes: &[usize], now: Instant) -> (Hand, Vec<Answered>) {
    let (mut hand, mut waiting) = (Hand::default(), Vec::new());
    let mut key = 0;
    for size in sizes {
        let mut jobs = Vec::new();
        for _ in 0..*size {
            let (job, answered) = job(key);
            key += 1;
            jobs.push(job);
            waiting.push(answered);
        }
        let given: Vec<u64> = hand.give(jobs, now, TIMEOUT).map(|(id, _)| id).collect();
        assert_eq!(given.len(), *size);
    }
    (hand, waiting)
}

fn keys(jobs: &[Job]) -> Vec<u64> {
    jobs.iter()
        .filter_map(|job| job.item.key.as_u64())
        .collect()
}

#[test]
fn an_answer_is_taken_once_and_only_for_what_was_given() {
    let (mut hand, _waiting) = hand(&[2], Instant::now());
    assert!(matches!(hand.settle(2), Err(ProtocolError::NotGiven(2))));
    assert!(hand.item(1).unwrap().is_some());
    assert!(!hand.settle(1).unwrap().is_late);
    assert!(matches!(hand.settle(1), Err(ProtocolError::Twice(1))));
    // Told late, of what is answered: no fault.
    assert!(hand.item(1).unwrap().is_none());
    assert!(matches!(hand.item(9), Err(ProtocolError::NotGiven(9))));
    assert_eq!(hand.hand_outs(), 1);
    hand.settle(0).unwrap();
    assert_eq!((hand.hand_outs(), hand.is_empty()), (0, true));
    assert_eq!(hand.timer(), None);
}

#[test]
fn what_is_late_is_told_to_stop_and_then_has_a_while_to_do_so() {
    let now = Instant::now();
    let (mut hand, _waiting) = hand(&[1, 2], now);
    assert_eq!(hand.timer(), Some(now + TIMEOUT));
    assert_eq!(hand.due(now, TO_STOP), Due::default());
    hand.settle(1).unwrap();
    let due = hand.due(now + TIMEOUT, TO_STOP);
    assert_eq!((due.cancel, due.is_hung), (vec![0, 2], false));
    assert_eq!(hand.timer(), Some(now + TIMEOUT + TO_STOP));
    assert!(hand.settle(0).unwrap().is_late);
    assert_eq!(hand.due(now + TIMEOUT, TO_STOP), Due::default());
    assert!(hand.due(now + TIMEOUT + TO_STOP, TO_STOP).is_hung);
}

#[test]
fn an_item_s_own_deadline_holds_if_it_is_earlier() {
    let now = Instant::now();
    let mut hand = Hand::default();
    let (mut first, _waits) = job(0);
    first.item.deadline = Some(now + Duration::from_secs(1));
    let (second, _waits) = job(1);
    assert_eq!(hand.give(vec![first, second], now, TIMEOUT).count(), 2);
    assert_eq!(hand.timer(), Some(now + Duration::from_secs(1)));
}

#[test]
fn what_nobody_waits_for_is_told_to_stop_once() {
    let now = Instant::now();
    let (mut hand, mut waiting) = hand(&[1, 2], now);
    drop(waiting.remove(0));
    drop(waiting.remove(0));
    assert_eq!(hand.forsaken(now, TO_STOP), [0, 1]);
    assert!(hand.forsaken(now, TO_STOP).is_empty());
    // The first hand-out has to end; in the second, one is waited for still.
    assert_eq!(hand.timer(), Some(now + TO_STOP));
    assert!(hand.due(now + TO_STOP, TO_STOP).is_hung);
    let blame = hand.blame(true, true, now + TO_STOP);
    assert!(blame.charged.is_empty() && blame.suspects.is_empty());
    assert_eq!(keys(&blame.innocent), [2]);
}

#[test]
fn who_was_alone_is_charged_and_of_several_each_is_a_suspect() {
    let now = Instant::now();
    for (sizes, is_sure, charged, suspects) in [
        (&[1][..], true, vec![0], vec![]),
        (&[1], false, vec![], vec![0]),
        (&[1, 1], true, vec![], vec![0, 1]),
        (&[3], true, vec![], vec![0, 1, 2]),
        (&[], true, vec![], vec![]),
    ] {
        let (mut hand, _waiting) = hand(sizes, now);
        let blame = hand.blame(false, is_sure, now);
        let found: Vec<Job> = blame.charged.into_iter().map(|(job, _)| job).collect();
        assert_eq!(keys(&found), charged, "{sizes:?}");
        assert_eq!(keys(&blame.suspects), suspects, "{sizes:?}");
        assert!(blame.innocent.is_empty());
        assert!(hand.is_empty());
    }
}

#[test]
fn who_does_not_stop_is_charged_and_who_was_beside_it_is_not() {
    let now = Instant::now();
    let (mut hand, _waiting) = hand(&[1, 2], now);
    let (later, _waits) = job(9);
    assert_eq!(hand.give(vec![later], now + TO_STOP, TIMEOUT).count(), 1);
    assert_eq!(hand.due(now + TIMEOUT, TO_STOP).cancel, [0, 1, 2]);
    let end = now + TIMEOUT + TO_STOP;
    assert!(hand.due(end, TO_STOP).is_hung);
    let blame = hand.blame(true, true, end);
    let late: Vec<bool> = blame.charged.iter().map(|(_, is_late)| *is_late).collect();
    let charged: Vec<Job> = blame.charged.into_iter().map(|(job, _)| job).collect();
    assert_eq!((keys(&charged), late), (vec![0], vec![true]));
    // Of a batch nobody knows which took so long.
    assert_eq!(keys(&blame.suspects), [1, 2]);
    assert_eq!(keys(&blame.innocent), [9]);
}
