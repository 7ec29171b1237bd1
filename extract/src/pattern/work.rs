//! What it costs to apply a pattern, counted while it is done.
//!
//! Selectors and pages may both be anybody's, and what a selector costs on a page cannot be told beforehand: an estimate that is
//! safe refuses what is harmless. So every selector pays for what it looks at, in steps of about 20 ns of an optimised program,
//! from a budget of its own and from one that all selectors of the pattern share. Steps are counted, not timed: the same pattern
//! on the same page ends alike everywhere.

use std::cell::Cell;

/// Steps of one selector on one page: up to 20 to 145 ms, by what it looks at.
pub const MAX_SELECTOR_STEPS: u64 = 4_000_000;

/// Steps of all selectors of a pattern on one page.
pub const MAX_PATTERN_STEPS: u64 = 8_000_000;

/// A budget of steps.
#[derive(Debug)]
pub(super) struct Work {
    left: Cell<u64>,
    is_used_up: Cell<bool>,
}

impl Work {
    pub(super) fn new(steps: u64) -> Self {
        Self {
            left: Cell::new(steps),
            is_used_up: Cell::new(false),
        }
    }

    /// Spends steps; `false` when there are not as many, and from then on.
    pub(super) fn spend(&self, steps: u64) -> bool {
        match self.left.get().checked_sub(steps) {
            Some(left) if !self.is_used_up.get() => {
                self.left.set(left);
                true
            }
            _ => {
                self.is_used_up.set(true);
                false
            }
        }
    }

    /// Spends what it costs to go through so many bytes, of which `per_step` are one step.
    pub(super) fn spend_bytes(&self, bytes: usize, per_step: usize) -> bool {
        self.spend(1 + u64::try_from(bytes / per_step.max(1)).unwrap_or(u64::MAX))
    }

    /// Whether more was asked for than there was.
    pub(super) fn is_used_up(&self) -> bool {
        self.is_used_up.get()
    }

    /// What is left; nothing once it is used up.
    pub(super) fn left(&self) -> u64 {
        if self.is_used_up() {
            0
        } else {
            self.left.get()
        }
    }
}
