//! When rows that were put back become due again.
//!
//! No notification comes at that moment, and the interval may be far away. Only this incarnation's own retries and snoozes
//! are remembered; the interval finds those of others, and those of before.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

/// Instants that lie this close together share one look.
const GRAIN: Duration = Duration::from_millis(100);

/// With more than this, the latest are left to the interval.
const KEPT: usize = 256;

#[derive(Default)]
pub(super) struct Reminders(BTreeSet<Instant>);

impl Reminders {
    /// A row becomes due `after` this time from `now`.
    pub(super) fn add(&mut self, now: Instant, after: Duration) {
        let Some(look) = now
            .checked_add(after)
            .and_then(|due| due.checked_add(GRAIN))
        else {
            return;
        };
        if self.0.range(look - GRAIN..=look).next().is_none() {
            self.0.insert(look);
        }
        if self.0.len() > KEPT {
            self.0.pop_last();
        }
    }

    /// Whether a look is due; forgets those that are.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        let mut is_due = false;
        while self.0.first().is_some_and(|look| *look <= now) {
            self.0.pop_first();
            is_due = true;
        }
        is_due
    }

    /// The next look.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rows_that_are_due_together_share_a_look() {
        let now = Instant::now();
        let mut reminders = Reminders::default();
        for millis in [1_000, 1_050, 1_100, 5_000] {
            reminders.add(now, Duration::from_millis(millis));
        }
        assert_eq!(reminders.0.len(), 2);
        assert!(!reminders.take_due(now + Duration::from_millis(1_099)));
        assert!(reminders.take_due(now + Duration::from_millis(1_100)));
        assert_eq!(reminders.next(), Some(now + Duration::from_millis(5_100)));
        reminders.add(now, Duration::MAX);
        for seconds in 0..1_000 {
            reminders.add(now, Duration::from_secs(seconds));
        }
        assert_eq!(reminders.0.len(), KEPT);
        assert_eq!(
            reminders.next(),
            Some(now + GRAIN),
            "the latest are dropped"
        );
    }
}
