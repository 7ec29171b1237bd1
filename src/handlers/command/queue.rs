//! What waits for a process, and which process takes it.
//!
//! A place is where a process runs, or would. Places take what they have room for; one that finds nothing says that it is hungry,
//! and is woken when there is something. So there is one look at one lock for each hand-out, and no task for an item.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::handlers::{Answer, Failure, Item};

/// What is told to whoever waits for an item.
pub(super) type Reply = oneshot::Sender<Result<Answer, Failure>>;

/// An item, and who waits for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) item: Item,
    pub(super) reply: Reply,
    /// Whether it may have broken down a process, and is to be alone in the next.
    pub(super) is_alone: bool,
}

impl Job {
    /// Tells how it ended. Who does not wait any more has no use for it.
    pub(super) fn tell(self, result: Result<Answer, Failure>) {
        drop(self.reply.send(result));
    }
}

/// Why nothing can be worked for a while.
#[derive(Clone, Debug)]
struct Park {
    until: Instant,
    reason: String,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Job>,
    suspects: VecDeque<Job>,
    /// Places that found nothing; the one that said so last is woken first, so that few processes are kept busy.
    hungry: Vec<usize>,
    /// Of each place, whether its process has room.
    has_room: Vec<bool>,
    /// How many processes are at work.
    live: usize,
    parked: Option<Park>,
    is_closed: bool,
}

/// What waits.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    bells: Vec<Notify>,
}

/// What a place is given.
#[derive(Debug)]
pub(super) enum Taken {
    Nothing,
    /// This alone, and nothing beside it.
    Alone(Job),
    Jobs(Vec<Job>),
}

impl Queue {
    pub(super) fn new(places: usize) -> Self {
        Self {
            state: Mutex::new(State {
                // The first place is woken first.
                hungry: (0..places).rev().collect(),
                has_room: vec![false; places],
                ..State::default()
            }),
            bells: (0..places).map(|_| Notify::new()).collect(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, place: Option<usize>) {
        if let Some(bell) = place.and_then(|place| self.bells.get(place)) {
            bell.notify_one();
        }
    }

    /// Rings for all places: something has happened to what is in hand.
    pub(super) fn ring_all(&self) {
        self.bells.iter().for_each(Notify::notify_one);
    }

    /// Waits until it is rung for a place.
    pub(super) async fn rung(&self, place: usize) {
        match self.bells.get(place) {
            Some(bell) => bell.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Puts an item at the end, unless nothing can be worked now.
    pub(super) fn push(&self, job: Job) {
        let mut state = self.state();
        if let Some(refusal) = state.refusal(Instant::now()) {
            drop(state);
            return job.tell(Err(refusal));
        }
        state.waiting.push_back(job);
        let woken = state.hungry.pop();
        drop(state);
        self.ring(woken);
    }

    /// Puts items back at the front, in their order.
    pub(super) fn put_back(&self, innocent: Vec<Job>, suspects: Vec<Job>) {
        let mut state = self.state();
        if let Some(refusal) = state.refusal(Instant::now()) {
            drop(state);
            for job in innocent.into_iter().chain(suspects) {
                job.tell(Err(refusal.clone()));
            }
            return;
        }
        for job in innocent.into_iter().rev() {
            state.waiting.push_front(job);
        }
        for mut job in suspects {
            job.is_alone = true;
            state.suspects.push_back(job);
        }
        let woken = state.hungry.pop();
        drop(state);
        self.ring(woken);
    }

    /// Takes what a place has room for: so many items, if nothing has to be alone there. Where other processes have room too, it
    /// leaves them their part.
    pub(super) fn take(&self, place: usize, most: usize, is_idle: bool) -> Taken {
        let mut state = self.state();
        if let Some(room) = state.has_room.get_mut(place) {
            *room = most > 0;
        }
        if most == 0 {
            return Taken::Nothing;
        }
        state.forget_forsaken();
        if is_idle && let Some(job) = state.suspects.pop_front() {
            let woken = state.next_hungry();
            drop(state);
            self.ring(woken);
            return Taken::Alone(job);
        }
        if state.waiting.is_empty() {
            if !state.hungry.contains(&place) {
                state.hungry.push(place);
            }
            return Taken::Nothing;
        }
        let sharers = state.has_room.iter().filter(|room| **room).count().max(1);
        let share = state.waiting.len().div_ceil(sharers).min(most);
        let mut jobs = Vec::with_capacity(share);
        while jobs.len() < share
            && let Some(job) = state.waiting.pop_front()
        {
            if !job.reply.is_closed() {
                jobs.push(job);
            }
        }
        state.hungry.retain(|hungry| *hungry != place);
        let woken = state.next_hungry();
        drop(state);
        self.ring(woken);
        if jobs.is_empty() {
            return Taken::Nothing;
        }
        Taken::Jobs(jobs)
    }

    /// Whether there is something for a place to start a process for. If not, it is woken when there is.
    pub(super) fn has_work(&self, place: usize) -> bool {
        let mut state = self.state();
        state.forget_forsaken();
        if state.waiting.is_empty() && state.suspects.is_empty() {
            if !state.hungry.contains(&place) {
                state.hungry.push(place);
            }
            return false;
        }
        state.hungry.retain(|hungry| *hungry != place);
        true
    }

    /// A place takes nothing more for a while: what it would have been woken for is another's.
    pub(super) fn leave(&self, place: usize) {
        let mut state = self.state();
        if let Some(room) = state.has_room.get_mut(place) {
            *room = false;
        }
        state.hungry.retain(|hungry| *hungry != place);
        let woken = state.next_hungry();
        drop(state);
        self.ring(woken);
    }

    /// A process is at work: nothing stands in the way of others.
    pub(super) fn entered(&self) {
        let mut state = self.state();
        state.live += 1;
        state.parked = None;
    }

    /// A process is at work no more.
    pub(super) fn left(&self, place: usize) {
        self.leave(place);
        let mut state = self.state();
        state.live = state.live.saturating_sub(1);
    }

    /// Refuses all that waits and that comes within this time, unless a process is at work. Whether it did.
    pub(super) fn park(&self, within: Duration, reason: &str) -> bool {
        let mut state = self.state();
        if state.live > 0 {
            return false;
        }
        let until = Instant::now() + within;
        state.parked = Some(Park {
            until,
            reason: reason.to_owned(),
        });
        let refused = state.take_all();
        let refusal = state.refusal(Instant::now());
        drop(state);
        refuse(refused, refusal);
        true
    }

    /// Refuses all that waits and that comes.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        let refused = state.take_all();
        let refusal = state.refusal(Instant::now());
        drop(state);
        refuse(refused, refusal);
    }

    /// How many processes are at work, and how many items wait for one.
    pub(super) fn load(&self) -> (usize, usize) {
        let state = self.state();
        (state.live, state.waiting.len() + state.suspects.len())
    }
}

fn refuse(jobs: Vec<Job>, refusal: Option<Failure>) {
    for (job, refusal) in jobs.into_iter().zip(std::iter::repeat(refusal)) {
        if let Some(refusal) = refusal {
            job.tell(Err(refusal));
        }
    }
}

impl State {
    fn take_all(&mut self) -> Vec<Job> {
        let suspects = self.suspects.drain(..);
        suspects.chain(self.waiting.drain(..)).collect()
    }

    /// Why nothing can be worked now, if that is so.
    fn refusal(&self, now: Instant) -> Option<Failure> {
        if self.is_closed {
            return Some(Failure::Snooze {
                after: Duration::from_secs(1),
                reason: "the handlers are being ended".to_owned(),
                whole_workflow: false,
            });
        }
        let park = self.parked.as_ref().filter(|park| park.until > now)?;
        Some(Failure::Snooze {
            after: park.until - now,
            reason: park.reason.clone(),
            whole_workflow: true,
        })
    }

    /// Nobody waits any more for what stands at the front.
    fn forget_forsaken(&mut self) {
        for queue in [&mut self.waiting, &mut self.suspects] {
            while queue.front().is_some_and(|job| job.reply.is_closed()) {
                queue.pop_front();
            }
        }
    }

    /// Another place to be woken, if there is more to do.
    fn next_hungry(&mut self) -> Option<usize> {
        if self.waiting.is_empty() && self.suspects.is_empty() {
            return None;
        }
        self.hungry.pop()
    }
}

#[cfg(test)]
mod tests;
