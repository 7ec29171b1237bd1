//! Whether a dead actor is started again: its recent deaths, counted.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// What to do about a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Start it again; this is the so-maniest death within the window, from 1.
    Restart { deaths: u32 },
    /// It has died too often: leave it.
    Park,
}

/// The deaths of one child within the window.
#[derive(Debug, Default)]
pub(super) struct RestartLog {
    deaths: VecDeque<Instant>,
}

impl RestartLog {
    /// Takes in a death at `now` and decides.
    pub(super) fn died(&mut self, now: Instant, max_restarts: u32, window: Duration) -> Decision {
        while let Some(&first) = self.deaths.front()
            && now.saturating_duration_since(first) >= window
        {
            self.deaths.pop_front();
        }
        self.deaths.push_back(now);
        let deaths = u32::try_from(self.deaths.len()).unwrap_or(u32::MAX);
        if deaths > max_restarts {
            Decision::Park
        } else {
            Decision::Restart { deaths }
        }
    }

    /// Forgets all deaths: someone has looked at it.
    pub(super) fn clear(&mut self) {
        self.deaths.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_deaths_than_allowed_within_the_window_park() {
        let start = Instant::now();
        let mut log = RestartLog::default();
        for (second, expected) in [
            (0, Decision::Restart { deaths: 1 }),
            (10, Decision::Restart { deaths: 2 }),
            (20, Decision::Restart { deaths: 3 }),
            // The first has left the window.
            (60, Decision::Restart { deaths: 3 }),
            (61, Decision::Park),
            (200, Decision::Restart { deaths: 1 }),
        ] {
            let now = start + Duration::from_secs(second);
            assert_eq!(
                log.died(now, 3, Duration::from_secs(60)),
                expected,
                "at {second}"
            );
        }
        log.clear();
        assert_eq!(
            log.died(start, 0, Duration::from_secs(60)),
            Decision::Park,
            "no restarts allowed"
        );
    }
}
