//! What waits to be sent.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::reply::Told;
use super::request::{FRAME_BYTES, ITEM_FRAME_BYTES};
use crate::callback::Expected;
use crate::handlers::Item;

/// What becomes of a row.
pub(super) enum Said {
    Now(Told),
    Later(Later),
}

/// A row whose answer comes by a callback.
pub(super) struct Later {
    pub(super) expected: Expected,
    /// How long it may take.
    pub(super) until: Instant,
}

/// A row, and who waits for what becomes of it.
pub(super) struct Job {
    pub(super) item: Item,
    /// Its key, as one text for each.
    pub(super) key: String,
    pub(super) reply: oneshot::Sender<Said>,
    /// Whether it is to have a request for itself.
    pub(super) is_alone: bool,
}

impl Job {
    fn bytes(&self) -> usize {
        ITEM_FRAME_BYTES + self.item.bytes()
    }
}

/// How much goes together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Requests at once.
    pub(super) requests: usize,
    /// Rows in one.
    pub(super) items: usize,
    /// Bytes of one that has several.
    pub(super) bytes: usize,
}

pub(super) struct Queue {
    bounds: Bounds,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Tasks that take from it.
    takers: usize,
}

/// The place of one task that takes from a queue; given back when dropped.
pub(super) struct Taker<'a> {
    queue: &'a Queue,
    is_over: bool,
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a job in. Whether one more task is to begin to take from it ([`Queue::taker`]).
    pub(super) fn push(&self, job: Job) -> bool {
        let mut state = self.state();
        state.waiting.push_back(job);
        let is_to_begin = state.takers < self.bounds.requests;
        if is_to_begin {
            state.takers += 1;
        }
        is_to_begin
    }

    /// Takes jobs in again, in front of the others. Whoever does so takes from it.
    pub(super) fn push_back_alone(&self, jobs: Vec<Job>) {
        let mut state = self.state();
        for mut job in jobs.into_iter().rev() {
            job.is_alone = true;
            state.waiting.push_front(job);
        }
    }

    /// For the task that was to begin.
    pub(super) fn taker(&self) -> Taker<'_> {
        Taker {
            queue: self,
            is_over: false,
        }
    }
}

impl Taker<'_> {
    /// What goes into the next request; `None` once nothing waits, and the task is to end.
    pub(super) fn take(&mut self) -> Option<Vec<Job>> {
        let bounds = self.queue.bounds;
        let mut state = self.queue.state();
        let mut taken: Vec<Job> = Vec::new();
        let mut bytes = FRAME_BYTES;
        while let Some(next) = state.waiting.front() {
            let is_wanted = !next.reply.is_closed();
            if is_wanted && !taken.is_empty() {
                let is_full = taken.len() >= bounds.items || bytes + next.bytes() > bounds.bytes;
                if is_full || next.is_alone {
                    break;
                }
            }
            let Some(job) = state.waiting.pop_front() else {
                break;
            };
            if is_wanted {
                bytes += job.bytes();
                let is_alone = job.is_alone;
                taken.push(job);
                if is_alone {
                    break;
                }
            }
        }
        if taken.is_empty() {
            state.takers = state.takers.saturating_sub(1);
            self.is_over = true;
            return None;
        }
        Some(taken)
    }
}

impl Drop for Taker<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let mut state = self.queue.state();
            state.takers = state.takers.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::value::RawValue;

    use super::*;

    fn queue(items: usize, bytes: usize) -> Queue {
        Queue::new(Bounds {
            requests: 1,
            items,
            bytes,
        })
    }

    fn push(queue: &Queue, key: i64, is_alone: bool) -> (bool, oneshot::Receiver<Said>) {
        let (reply, said) = oneshot::channel();
        let begins = queue.push(Job {
            item: Item {
                key: json!(key),
                attempt: 1,
                columns: RawValue::from_string("{}".to_owned()).unwrap(),
                deadline: None,
                on_progress: None,
            },
            key: key.to_string(),
            reply,
            is_alone,
        });
        (begins, said)
    }

    fn keys(jobs: Option<Vec<Job>>) -> Vec<String> {
        jobs.into_iter().flatten().map(|job| job.key).collect()
    }

    #[test]
    fn what_waits_goes_together_within_the_bounds() {
        let queue = queue(3, FRAME_BYTES + 2 * (ITEM_FRAME_BYTES + 34));
        let (begins, first) = push(&queue, 1, false);
        let rest: Vec<_> = (2..=5).map(|key| push(&queue, key, key == 4)).collect();
        assert!(begins && rest.iter().all(|(begins, _)| !begins));
        let mut taker = queue.taker();
        // Two by bytes, then who is alone.
        assert_eq!(keys(taker.take()), ["1", "2"]);
        assert_eq!(keys(taker.take()), ["3"]);
        assert_eq!(keys(taker.take()), ["4"]);
        assert_eq!(keys(taker.take()), ["5"]);
        assert!(taker.take().is_none());
        drop(first);
        assert!(push(&queue, 6, false).0, "a new task begins");
    }

    #[test]
    fn nobody_is_sent_who_is_not_waited_for() {
        let queue = queue(10, 1 << 20);
        let (_, gone) = push(&queue, 1, false);
        let (_, _stays) = push(&queue, 2, false);
        drop(gone);
        let mut taker = queue.taker();
        let jobs = taker.take().unwrap();
        queue.push_back_alone(jobs);
        assert_eq!(keys(taker.take()), ["2"]);
        // A task that panics leaves its place.
        drop(taker);
        assert!(push(&queue, 3, false).0);
    }
}
