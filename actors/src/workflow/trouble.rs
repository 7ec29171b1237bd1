//! A workflow's trouble with its store: how long to wait before each kind of call, and one report per outage.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;

/// Between two tries of the same call. A dozen workflows that ask every second or two are nothing to a database that comes
/// back, and what it had interrupted goes on two seconds later at the latest.
const STORE_BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// A call to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    OpenLease,
    Claim,
    Settle,
    CloseLease,
}

impl Operation {
    const ALL: [Self; 4] = [Self::OpenLease, Self::Claim, Self::Settle, Self::CloseLease];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::OpenLease => "open_lease",
            Self::Claim => "claim",
            Self::Settle => "settle",
            Self::CloseLease => "close_lease",
        }
    }
}

/// The failures in a row of one kind of call.
#[derive(Clone, Copy, Debug, Default)]
struct Failing {
    failures: u32,
    not_before: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Trouble {
    open_lease: Failing,
    claim: Failing,
    settle: Failing,
    close_lease: Failing,
    outage: Option<(Instant, String)>,
}

impl Trouble {
    fn of(&self, operation: Operation) -> &Failing {
        match operation {
            Operation::OpenLease => &self.open_lease,
            Operation::Claim => &self.claim,
            Operation::Settle => &self.settle,
            Operation::CloseLease => &self.close_lease,
        }
    }

    fn of_mut(&mut self, operation: Operation) -> &mut Failing {
        match operation {
            Operation::OpenLease => &mut self.open_lease,
            Operation::Claim => &mut self.claim,
            Operation::Settle => &mut self.settle,
            Operation::CloseLease => &mut self.close_lease,
        }
    }

    /// A call failed. Whether this begins an outage.
    pub(super) fn failed(
        &mut self,
        operation: Operation,
        error: &str,
        now: Instant,
        random: f64,
    ) -> bool {
        let failing = self.of_mut(operation);
        failing.failures = failing.failures.saturating_add(1);
        failing.not_before = Some(now + STORE_BACKOFF.equal_jitter(failing.failures, random));
        let begins = self.outage.is_none();
        let since = self.outage.take().map_or(now, |(since, _)| since);
        self.outage = Some((since, error.to_owned()));
        begins
    }

    /// A call was answered. If that ends an outage, how long it was.
    pub(super) fn answered(&mut self, operation: Operation, now: Instant) -> Option<Duration> {
        self.outage.as_ref()?;
        *self.of_mut(operation) = Failing::default();
        if Operation::ALL.iter().any(|&one| self.is_failing(one)) {
            return None;
        }
        self.outage
            .take()
            .map(|(since, _)| now.saturating_duration_since(since))
    }

    /// There is no longer a reason to make this call; the outage is over only when another is answered.
    pub(super) fn forget(&mut self, operation: Operation) {
        *self.of_mut(operation) = Failing::default();
    }

    pub(super) fn is_failing(&self, operation: Operation) -> bool {
        self.of(operation).failures > 0
    }

    /// The instant before which the call is not to be made again.
    pub(super) fn not_before(&self, operation: Operation) -> Option<Instant> {
        self.of(operation).not_before
    }

    /// Whether the call may be made now.
    pub(super) fn allows(&self, operation: Operation, now: Instant) -> bool {
        self.not_before(operation).is_none_or(|at| at <= now)
    }

    /// Since when the store has been failing, and its last error.
    pub(super) fn outage(&self) -> Option<(Instant, &str)> {
        self.outage
            .as_ref()
            .map(|(since, error)| (*since, error.as_str()))
    }
}

/// The delay before another lease is opened, after this many were lost without a claim answered in between.
pub(super) fn reopen_delay(losses: u32, random: f64) -> Duration {
    match losses {
        0 | 1 => Duration::ZERO,
        more => STORE_BACKOFF.equal_jitter(more - 1, random),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_reported_once_and_ends_with_the_last_failing_call() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut trouble = Trouble::default();
        assert!(trouble.failed(Operation::Claim, "refused", start, 0.0));
        assert!(!trouble.failed(Operation::Settle, "refused", at(1), 0.0));
        assert!(!trouble.failed(Operation::Claim, "reset", at(2), 0.0));
        assert_eq!(trouble.outage(), Some((start, "reset")));
        assert_eq!(trouble.answered(Operation::Claim, at(3)), None);
        assert_eq!(
            trouble.answered(Operation::Settle, at(4)),
            Some(Duration::from_secs(4))
        );
        assert_eq!(trouble.answered(Operation::Settle, at(5)), None);
        assert!(trouble.outage().is_none());
    }

    #[test]
    fn each_call_waits_for_its_own_backoff() {
        let start = Instant::now();
        let mut trouble = Trouble::default();
        for (failures, expected_millis) in [(1, 50), (2, 100), (3, 200), (9, 1_000)] {
            while trouble.of(Operation::Claim).failures < failures {
                trouble.failed(Operation::Claim, "refused", start, 0.0);
            }
            let expected = start + Duration::from_millis(expected_millis);
            assert_eq!(trouble.not_before(Operation::Claim), Some(expected));
        }
        assert!(!trouble.allows(Operation::Claim, start));
        assert!(trouble.allows(Operation::Claim, start + Duration::from_secs(5)));
        assert!(trouble.allows(Operation::Settle, start));
        trouble.forget(Operation::Claim);
        assert!(trouble.allows(Operation::Claim, start));
    }

    #[test]
    fn a_lease_lost_again_and_again_is_reopened_ever_more_slowly() {
        assert_eq!(reopen_delay(1, 1.0), Duration::ZERO);
        assert_eq!(reopen_delay(2, 1.0), Duration::from_millis(100));
        assert_eq!(reopen_delay(20, 1.0), Duration::from_secs(2));
    }
}
