//! Who takes what.

use serde_json::json;
use serde_json::value::RawValue;

use super::*;

type Answered = oneshot::Receiver<Result<Answer, Failure>>;

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

fn fill(queue: &Queue, keys: std::ops::Range<u64>) -> Vec<Answered> {
    let pairs = keys.map(job);
    pairs
        .map(|(job, answered)| {
            queue.push(job);
            answered
        })
        .collect()
}

fn take(queue: &Queue, place: usize, most: usize) -> Vec<u64> {
    match queue.take(place, most, false) {
        Taken::Jobs(jobs) => jobs
            .iter()
            .filter_map(|job| job.item.key.as_u64())
            .collect(),
        Taken::Nothing => Vec::new(),
        Taken::Alone(job) => panic!("{job:?}"),
    }
}

#[test]
fn a_place_takes_what_it_has_room_for_and_leaves_others_their_part() {
    let queue = Queue::new(2);
    let _waiting = fill(&queue, 0..10);
    // The other has not started yet.
    assert_eq!(take(&queue, 0, 3), [0, 1, 2]);
    assert!(take(&queue, 0, 0).is_empty());
    assert_eq!(take(&queue, 1, 4), [3, 4, 5, 6]);
    // Both have room: three are left, of which each has its part.
    assert_eq!(take(&queue, 0, 9), [7, 8]);
    assert_eq!(take(&queue, 1, 9), [9]);
    assert!(take(&queue, 1, 9).is_empty());
}

#[test]
fn what_nobody_waits_for_is_not_taken() {
    let queue = Queue::new(1);
    let mut waiting = fill(&queue, 0..3);
    drop(waiting.drain(..2));
    assert_eq!(take(&queue, 0, 9), [2]);
    drop(fill(&queue, 3..5));
    assert!(!queue.has_work(0));
    assert_eq!(queue.load(), (0, 0));
}

#[test]
fn suspects_are_alone_and_come_first_where_nothing_is_in_hand() {
    let queue = Queue::new(1);
    let _waiting = fill(&queue, 0..2);
    let ((innocent, _first), (suspect, _second)) = (job(7), job(8));
    queue.put_back(vec![innocent], vec![suspect]);
    assert_eq!(take(&queue, 0, 1), [7]);
    let Taken::Alone(alone) = queue.take(0, 9, true) else {
        panic!("a suspect was there");
    };
    assert!(alone.is_alone);
    assert_eq!(alone.item.key, json!(8));
    assert_eq!(take(&queue, 0, 9), [0, 1]);
}

#[tokio::test]
async fn a_hungry_place_is_woken_for_each_item_and_wakes_the_next() {
    let queue = Queue::new(2);
    let _waiting = fill(&queue, 0..1);
    queue.rung(0).await;
    // Not enough room: the other place is woken for the rest.
    let _more = fill(&queue, 1..3);
    queue.rung(1).await;
    assert_eq!(take(&queue, 0, 1), [0]);
    assert!(take(&queue, 0, 0).is_empty());
    assert_eq!(take(&queue, 1, 9), [1, 2]);
    assert!(take(&queue, 1, 9).is_empty());
    assert!(take(&queue, 0, 9).is_empty());
    let _again = fill(&queue, 3..4);
    // Who said last that it found nothing.
    queue.rung(0).await;
    // It cannot take anything after all.
    queue.leave(0);
    queue.rung(1).await;
}

#[tokio::test]
async fn what_waits_is_refused_while_nothing_can_be_worked() {
    let queue = Queue::new(1);
    let waiting = fill(&queue, 0..1);
    queue.entered();
    assert!(!queue.park(Duration::from_secs(60), "no such file"));
    queue.left(0);
    assert!(queue.park(Duration::from_secs(60), "no such file"));
    let later = fill(&queue, 1..2);
    for answered in waiting.into_iter().chain(later) {
        let Err(Failure::Snooze {
            after,
            reason,
            whole_workflow: true,
        }) = answered.await.unwrap()
        else {
            panic!("it was not told to wait");
        };
        assert!(after > Duration::from_secs(50), "{after:?}");
        assert_eq!(reason, "no such file");
    }
    queue.entered();
    let _taken = fill(&queue, 2..3);
    assert_eq!(take(&queue, 0, 1), [2]);
    queue.close();
    let mut last = fill(&queue, 3..4);
    assert!(last.remove(0).await.unwrap().is_err());
}
