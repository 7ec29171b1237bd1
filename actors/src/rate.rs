//! A ceiling on how many items are claimed per time: no window of that length ever sees more.
//!
//! A sliding window rather than a token bucket: a bucket that is full lets through twice its rate in the first window,
//! and the ceilings set here are usually somebody else's quota. Claims close together are remembered as one, at the later
//! instant, so that the memory is bounded and the error is on the safe side.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// At most `count` items per `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// How many items.
    pub count: u32,
    /// Within which time.
    pub per: Duration,
}

/// Claims are merged when less than this part of the window apart.
const GRAIN: u32 = 64;

/// The claims of the last window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    claims: VecDeque<(Instant, usize)>,
    total: usize,
    origin: Option<Instant>,
}

impl Window {
    /// How many items may be claimed now.
    pub(crate) fn available(&mut self, rate: Rate, now: Instant) -> usize {
        while let Some(&(at, items)) = self.claims.front()
            && now.saturating_duration_since(at) >= rate.per
        {
            self.claims.pop_front();
            self.total = self.total.saturating_sub(items);
        }
        usize::try_from(rate.count)
            .unwrap_or(usize::MAX)
            .saturating_sub(self.total)
    }

    /// Remembers that `items` were claimed by `now`.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant, items: usize) {
        if items == 0 {
            return;
        }
        self.total = self.total.saturating_add(items);
        // Grains stand still: merging by distance alone would let a steady stream push one entry along for ever.
        let origin = *self.origin.get_or_insert(now);
        let width = (rate.per / GRAIN).as_nanos().max(1);
        let grain = |at: Instant| at.saturating_duration_since(origin).as_nanos() / width;
        match self.claims.back_mut() {
            Some((at, merged)) if grain(now) == grain(*at) => {
                *at = now;
                *merged = merged.saturating_add(items);
            }
            _ => self.claims.push_back((now, items)),
        }
    }

    /// When the next place becomes free, if the window is full.
    pub(crate) fn next_free(&self, rate: Rate) -> Option<Instant> {
        self.claims.front().map(|&(at, _)| at + rate.per)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        count: 30,
        per: Duration::from_secs(60),
    };

    #[test]
    fn no_window_sees_more_than_the_count() {
        let start = Instant::now();
        let mut window = Window::default();
        for (second, wanted, allowed) in [
            (0, 20, 20),
            (10, 20, 10),
            (30, 5, 0),
            (59, 5, 0),
            (60, 25, 20),
            (69, 5, 0),
            (70, 50, 10),
        ] {
            let now = start + Duration::from_secs(second);
            let granted = window.available(RATE, now).min(wanted);
            window.take(RATE, now, granted);
            assert_eq!(granted, allowed, "at second {second}");
        }
    }

    #[test]
    fn the_next_free_place_is_known() {
        let start = Instant::now();
        let mut window = Window::default();
        assert_eq!(window.next_free(RATE), None);
        window.take(RATE, start, 30);
        assert_eq!(window.available(RATE, start), 0);
        assert_eq!(window.next_free(RATE), Some(start + RATE.per));
    }

    #[test]
    fn memory_is_bounded_whatever_the_number_of_claims() {
        let rate = Rate {
            count: 1_000_000,
            per: Duration::from_secs(1),
        };
        let start = Instant::now();
        let mut window = Window::default();
        for step in 0..10_000 {
            let now = start + Duration::from_micros(step * 200);
            let allowed = window.available(rate, now);
            window.take(rate, now, allowed.min(1));
            assert!(window.claims.len() <= 66, "{}", window.claims.len());
        }
    }

    #[test]
    fn a_zero_rate_allows_nothing() {
        let rate = Rate {
            count: 0,
            per: Duration::from_secs(1),
        };
        assert_eq!(Window::default().available(rate, Instant::now()), 0);
    }
}
