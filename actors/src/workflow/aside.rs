//! Outcomes that cannot be recorded because somebody else has a lock on what would be written.
//!
//! They wait here apart from all others, are tried again by themselves, and count in a bound of their own: what waits for a
//! stranger takes no place from items that can be worked, and does not grow for ever.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::port::{Blocked, Settlement};
use crate::settings::Settings;

/// Between two tries. A lock that goes is noticed this late at most.
const TRIED_AGAIN: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));

/// So many outcomes are set aside for each item that may be worked at a time, before no more are claimed.
const PER_PLACE: usize = 4;

/// And never fewer than this.
const LEAST: usize = 100;

/// How many outcomes may be set aside before no more items are claimed.
pub(super) fn bound(settings: &Settings) -> usize {
    settings.concurrency.saturating_mul(PER_PLACE).max(LEAST)
}

pub(super) struct Aside<O> {
    waiting: VecDeque<Settlement<O>>,
    /// Of those, being tried again.
    trying: usize,
    /// Tries in a row that recorded nothing.
    failures: u32,
    not_before: Option<Instant>,
    since: Option<Instant>,
    by: Option<String>,
}

impl<O> Default for Aside<O> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            trying: 0,
            failures: 0,
            not_before: None,
            since: None,
            by: None,
        }
    }
}

impl<O> Aside<O> {
    /// Outcomes set aside, those that are being tried again included.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.trying
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Since when there have been any, without a gap.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Who has the lock, as far as is known.
    pub(super) fn by(&self) -> Option<&str> {
        self.by.as_deref()
    }

    /// When the next try is due, if one is to come.
    pub(super) fn next(&self) -> Option<Instant> {
        if self.trying > 0 || self.waiting.is_empty() {
            return None;
        }
        self.not_before
    }

    /// Up to `most` outcomes, to be tried again, if that is due. [`Aside::tried`] is to follow.
    pub(super) fn take_due(&mut self, now: Instant, most: usize) -> Option<Vec<Settlement<O>>> {
        if self.next().is_none_or(|at| at > now) {
            return None;
        }
        self.trying = most.max(1).min(self.waiting.len());
        Some(self.waiting.drain(..self.trying).collect())
    }

    /// The try has ended, `recorded` tells whether anything was. [`Aside::put`] is to follow, with what is left of it.
    pub(super) fn tried(&mut self, recorded: bool) {
        self.trying = 0;
        self.failures = if recorded {
            0
        } else {
            self.failures.saturating_add(1)
        };
        self.not_before = None;
    }

    /// Sets outcomes aside.
    pub(super) fn put(
        &mut self,
        outcomes: impl IntoIterator<Item = Settlement<O>>,
        by: Option<String>,
        now: Instant,
        random: f64,
    ) {
        self.waiting.extend(outcomes);
        if self.is_empty() {
            *self = Self::default();
            return;
        }
        self.since.get_or_insert(now);
        if by.is_some() {
            self.by = by;
        }
        let delay = TRIED_AGAIN.equal_jitter(self.failures.max(1), random);
        self.not_before.get_or_insert(now + delay);
    }

    /// Drops all of them; how many that were.
    pub(super) fn clear(&mut self) -> usize {
        let dropped = self.waiting.len();
        *self = Self::default();
        dropped
    }
}

/// Takes out of the outcomes that a report is about those that it calls blocked.
pub(super) fn split<O>(
    outcomes: impl Iterator<Item = Settlement<O>>,
    blocked: &Blocked,
) -> (Vec<Settlement<O>>, Vec<Settlement<O>>) {
    if blocked.items.is_empty() {
        return (Vec::new(), outcomes.collect());
    }
    let items: HashSet<i64> = blocked.items.iter().copied().collect();
    outcomes.partition(|outcome| items.contains(&outcome.item))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Verdict;

    fn outcome(item: i64) -> Settlement<()> {
        Settlement {
            item,
            attempt: 1,
            elapsed: Duration::ZERO,
            verdict: Verdict::Complete(()),
        }
    }

    #[test]
    fn what_is_aside_is_tried_again_ever_more_slowly_until_something_goes() {
        let start = Instant::now();
        let mut aside = Aside::default();
        let mut now = start;
        let mut waits = Vec::new();
        aside.put([outcome(1), outcome(2)], Some("pid 7".to_owned()), now, 1.0);
        for _ in 0..6 {
            let next = aside.next().expect("a try is to come");
            waits.push((next - now).as_millis());
            assert!(aside.take_due(next - Duration::from_millis(1), 9).is_none());
            now = next;
            let tried = aside.take_due(now, 9).expect("it is due");
            assert_eq!((tried.len(), aside.len(), aside.next()), (2, 2, None));
            aside.tried(false);
            aside.put(tried, None, now, 1.0);
        }
        assert_eq!(waits, [100, 100, 200, 400, 800, 1_000]);
        assert_eq!((aside.since(), aside.by()), (Some(start), Some("pid 7")));

        now = aside.next().expect("a try is to come");
        let tried = aside.take_due(now, 1).expect("it is due");
        assert_eq!((tried.len(), aside.len()), (1, 2));
        aside.tried(true);
        aside.put([], None, now, 1.0);
        assert_eq!(aside.next(), Some(now + Duration::from_millis(100)));
        let tried = aside.take_due(now + Duration::from_secs(1), 9);
        assert_eq!(tried.map(|tried| tried.len()), Some(1));
        aside.tried(true);
        aside.put([], None, now, 1.0);
        assert_eq!((aside.len(), aside.since(), aside.by()), (0, None, None));
    }

    #[test]
    fn the_bound_grows_with_the_concurrency() {
        for (concurrency, expected) in [(0, 100), (1, 100), (25, 100), (50, 200)] {
            let settings = Settings {
                concurrency,
                ..Settings::default()
            };
            assert_eq!(bound(&settings), expected);
        }
    }
}
