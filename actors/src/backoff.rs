//! How long to wait before trying again: exponential, capped, with jitter.
//!
//! Pure: the random part is an argument, so that every decision can be tested as a table. Full jitter (a uniform draw
//! between zero and the exponential ceiling) spreads the retries of many items that failed together, which is what
//! protects a site or a database that has just come back.

use std::time::Duration;

use serde::Serialize;

/// An exponential backoff: `base`, twice that, four times that, and so on, never above `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Backoff {
    /// The ceiling of the first delay.
    pub base: Duration,
    /// The ceiling of every delay.
    pub max: Duration,
}

impl Backoff {
    /// A backoff from `base` to `max`.
    #[must_use]
    pub const fn new(base: Duration, max: Duration) -> Self {
        Self { base, max }
    }

    /// The ceiling after `failures` failures in a row, counted from 1: `base * 2^(failures - 1)`, at most `max`.
    #[must_use]
    pub fn ceiling(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(63);
        let nanos = self
            .base
            .as_nanos()
            .saturating_mul(1_u128 << doublings)
            .min(self.max.as_nanos());
        u64::try_from(nanos).map_or(self.max, Duration::from_nanos)
    }

    /// Full jitter: `random` (in `0.0..1.0`) of the ceiling. For items, which fail in crowds.
    #[must_use]
    pub fn full_jitter(&self, failures: u32, random: f64) -> Duration {
        self.ceiling(failures).mul_f64(unit(random))
    }

    /// Equal jitter: between half of the ceiling and the ceiling. For a single caller that must neither hammer nor sleep
    /// long, such as an actor waiting for its store.
    #[must_use]
    pub fn equal_jitter(&self, failures: u32, random: f64) -> Duration {
        self.ceiling(failures).mul_f64(0.5 + unit(random) / 2.0)
    }
}

fn unit(random: f64) -> f64 {
    if random.is_finite() {
        random.clamp(0.0, 1.0)
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

    #[test]
    fn ceiling_doubles_from_base_and_stops_at_max() {
        for (failures, expected) in [
            (0, 100),
            (1, 100),
            (2, 200),
            (3, 400),
            (6, 3_200),
            (7, 5_000),
            (64, 5_000),
            (u32::MAX, 5_000),
        ] {
            assert_eq!(
                BACKOFF.ceiling(failures),
                Duration::from_millis(expected),
                "after {failures} failures"
            );
        }
    }

    #[test]
    fn jitter_stays_within_its_bounds() {
        for (random, full, equal) in [
            (0.0, 0, 200),
            (0.5, 200, 300),
            (1.0, 400, 400),
            (f64::NAN, 400, 400),
            (-3.0, 0, 200),
        ] {
            assert_eq!(
                BACKOFF.full_jitter(3, random),
                Duration::from_millis(full),
                "full, {random}"
            );
            assert_eq!(
                BACKOFF.equal_jitter(3, random),
                Duration::from_millis(equal),
                "equal, {random}"
            );
        }
    }

    #[test]
    fn a_max_beyond_u64_nanoseconds_is_no_overflow() {
        let huge = Backoff::new(Duration::from_secs(1), Duration::MAX);
        assert_eq!(huge.ceiling(u32::MAX), Duration::MAX);
        assert_eq!(
            Backoff::new(Duration::ZERO, Duration::ZERO).ceiling(9),
            Duration::ZERO
        );
    }
}
