//! What one process has in hand: which items, since when, until when; and who is to blame when it breaks down.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::queue::Job;
use crate::handlers::Item;
use crate::handlers::bounds::ProtocolError;

/// An item that was handed out.
#[derive(Debug)]
struct Held {
    job: Job,
    hand_out: u64,
    /// Whether it was told to stop.
    is_cancelled: bool,
}

/// Items that were handed out in one line.
#[derive(Debug)]
struct HandOut {
    /// How many of them are not answered.
    left: usize,
    /// How many there were.
    size: usize,
    /// When it is told to stop.
    deadline: Instant,
    /// When it has to have stopped.
    stop_by: Option<Instant>,
    is_late: bool,
}

impl HandOut {
    fn timer(&self) -> Instant {
        self.stop_by.unwrap_or(self.deadline)
    }
}

/// What time has made of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// These are to be told to stop.
    pub(super) cancel: Vec<u64>,
    /// Something that was told so has not stopped.
    pub(super) is_hung: bool,
}

/// An item taken back by its answer.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) job: Job,
    /// Whether it was told to stop because its time was over.
    pub(super) is_late: bool,
}

/// What becomes of the items of a process that has broken down.
#[derive(Debug, Default)]
pub(super) struct Blame {
    /// Are charged: it was alone, or its time was over, which is said.
    pub(super) charged: Vec<(Job, bool)>,
    /// One of them did it. Each is tried again alone before it is charged.
    pub(super) suspects: Vec<Job>,
    /// Had no part in it.
    pub(super) innocent: Vec<Job>,
}

/// What a process has in hand. Ids are given once for each item that is handed out, and count upwards.
#[derive(Debug, Default)]
pub(super) struct Hand {
    next_id: u64,
    next_hand_out: u64,
    items: BTreeMap<u64, Held>,
    hand_outs: BTreeMap<u64, HandOut>,
    /// The earliest that something may be due.
    timer: Option<Instant>,
}

impl Hand {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many hand-outs are not answered whole.
    pub(super) fn hand_outs(&self) -> usize {
        self.hand_outs.len()
    }

    /// Whether what is in hand is to be alone there.
    pub(super) fn is_alone(&self) -> bool {
        self.items
            .values()
            .next()
            .is_some_and(|held| held.job.is_alone)
    }

    /// Takes a hand-out, and gives its items with their ids.
    pub(super) fn give(
        &mut self,
        jobs: Vec<Job>,
        now: Instant,
        within: Duration,
    ) -> impl Iterator<Item = (u64, &Item)> {
        let first = self.next_id;
        let hand_out = self.next_hand_out;
        self.next_hand_out += 1;
        let deadlines = jobs.iter().filter_map(|job| job.item.deadline);
        let deadline = deadlines.fold(now + within, Instant::min);
        let size = jobs.len();
        self.hand_outs.insert(
            hand_out,
            HandOut {
                left: size,
                size,
                deadline,
                stop_by: None,
                is_late: false,
            },
        );
        self.timer = Some(self.timer.map_or(deadline, |timer| timer.min(deadline)));
        for job in jobs {
            let held = Held {
                job,
                hand_out,
                is_cancelled: false,
            };
            self.items.insert(self.next_id, held);
            self.next_id += 1;
        }
        self.items
            .range(first..)
            .map(|(id, held)| (*id, &held.job.item))
    }

    /// Takes an item back by its answer.
    ///
    /// # Errors
    /// It is not there: it never was, or not any more.
    pub(super) fn settle(&mut self, id: u64) -> Result<Settled, ProtocolError> {
        let Some(held) = self.items.remove(&id) else {
            return Err(if id < self.next_id {
                ProtocolError::Twice(id)
            } else {
                ProtocolError::NotGiven(id)
            });
        };
        let mut is_late = false;
        if let Some(hand_out) = self.hand_outs.get_mut(&held.hand_out) {
            is_late = hand_out.is_late;
            hand_out.left -= 1;
            if hand_out.left == 0 {
                self.hand_outs.remove(&held.hand_out);
            }
        }
        Ok(Settled {
            job: held.job,
            is_late,
        })
    }

    /// The item that something is told of; none if it is answered already.
    ///
    /// # Errors
    /// It never was given.
    pub(super) fn item(&self, id: u64) -> Result<Option<&Item>, ProtocolError> {
        match self.items.get(&id) {
            Some(held) => Ok(Some(&held.job.item)),
            None if id < self.next_id => Ok(None),
            None => Err(ProtocolError::NotGiven(id)),
        }
    }

    /// When to look again whether something is due.
    pub(super) fn timer(&self) -> Option<Instant> {
        self.timer.filter(|_| !self.hand_outs.is_empty())
    }

    /// What is due by now; what is told to stop has so long to do so.
    pub(super) fn due(&mut self, now: Instant, to_stop: Duration) -> Due {
        let mut due = Due::default();
        for (number, hand_out) in &mut self.hand_outs {
            if hand_out.timer() > now {
                continue;
            }
            if hand_out.stop_by.is_some() {
                due.is_hung = true;
                continue;
            }
            hand_out.stop_by = Some(now + to_stop);
            hand_out.is_late = true;
            let items = self.items.iter_mut();
            for (id, held) in items.filter(|(_, held)| held.hand_out == *number) {
                if !held.is_cancelled {
                    held.is_cancelled = true;
                    due.cancel.push(*id);
                }
            }
        }
        self.timer = self.hand_outs.values().map(HandOut::timer).min();
        due
    }

    /// Items that nobody waits for any more, to be told to stop. A hand-out of only such items has so long to do so.
    pub(super) fn forsaken(&mut self, now: Instant, to_stop: Duration) -> Vec<u64> {
        let mut cancel = Vec::new();
        // How many of each hand-out are still waited for.
        let mut wanted: BTreeMap<u64, usize> = BTreeMap::new();
        for (id, held) in &mut self.items {
            let is_wanted = !held.job.reply.is_closed();
            *wanted.entry(held.hand_out).or_default() += usize::from(is_wanted);
            if !is_wanted && !held.is_cancelled {
                held.is_cancelled = true;
                cancel.push(*id);
            }
        }
        for (number, hand_out) in &mut self.hand_outs {
            let is_wanted = wanted.get(number).is_some_and(|wanted| *wanted > 0);
            if !is_wanted && hand_out.stop_by.is_none() {
                hand_out.stop_by = Some(now + to_stop);
            }
        }
        self.timer = self.hand_outs.values().map(HandOut::timer).min();
        cancel
    }

    /// Takes all back from a process that has broken down, or that was ended since something in it did not stop.
    ///
    /// The rule: an item that was alone in the process is charged with its breakdown. Of several nobody knows which did it, so each is
    /// tried again alone first; so is one that was alone where it is not sure that it did it. What was ended for its time is charged with
    /// that, and what was beside it has had no part in it.
    pub(super) fn blame(&mut self, is_hung: bool, is_sure: bool, now: Instant) -> Blame {
        let mut blame = Blame::default();
        let items = std::mem::take(&mut self.items);
        let hand_outs = std::mem::take(&mut self.hand_outs);
        self.timer = None;
        let is_only = items.len() == 1;
        for held in items.into_values() {
            let hand_out = hand_outs.get(&held.hand_out);
            let is_over = hand_out.is_some_and(|own| own.stop_by.is_some_and(|by| by <= now));
            let is_late = hand_out.is_some_and(|own| own.is_late);
            let is_single = hand_out.is_some_and(|own| own.size == 1);
            if held.job.reply.is_closed() {
                // Nobody waits for it.
            } else if is_hung && !is_over {
                blame.innocent.push(held.job);
            } else if is_only && (is_sure || held.job.is_alone) || is_hung && is_single {
                blame.charged.push((held.job, is_late));
            } else {
                blame.suspects.push(held.job);
            }
        }
        blame
    }
}

#[cfg(test)]
mod tests;
