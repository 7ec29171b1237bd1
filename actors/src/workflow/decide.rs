//! The decisions of a workflow's actor, as pure functions.

use std::time::Duration;

use crate::port::{Outcome, SnoozeScope, Verdict};
use crate::settings::Settings;

/// What the demand depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) batch_size: usize,
    pub(crate) concurrency: usize,
    pub(crate) in_flight: usize,
    /// Finished, and waiting for a settle.
    pub(crate) unsettled: usize,
    /// What the rate still allows; none without a rate.
    pub(crate) allowance: Option<usize>,
    /// Paused, snoozed, draining, without a lease, or waiting for the store.
    pub(crate) barred: bool,
}

/// How many items to claim now.
pub(crate) fn demand(room: Room) -> usize {
    if room.barred {
        return 0;
    }
    room.concurrency
        .saturating_sub(room.in_flight)
        .saturating_sub(room.unsettled)
        .min(room.batch_size)
        .min(room.allowance.unwrap_or(usize::MAX))
}

/// When starving, outcomes wait this long for others that finish at the same moment.
const STARVING_PATIENCE: Duration = Duration::from_millis(2);

/// What the start of a settle depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// At least one.
    pub(crate) outcomes: usize,
    pub(crate) in_flight: usize,
    /// More items are to be had, and only these outcomes take up their room.
    pub(crate) starving: bool,
}

/// How long the oldest outcome may wait for others before it is settled.
pub(crate) fn patience(waiting: Waiting, settings: &Settings) -> Duration {
    // With nothing running no more outcomes will come to make the batch larger.
    if waiting.outcomes >= settings.settle_items || waiting.in_flight == 0 {
        return Duration::ZERO;
    }
    if !waiting.starving {
        return settings.settle_age;
    }
    // Waiting for the age would leave the room idle. Half of it is a batch worth its transaction.
    if waiting.outcomes.saturating_mul(2) >= settings.concurrency {
        Duration::ZERO
    } else {
        settings.settle_age.min(STARVING_PATIENCE)
    }
}

/// What is to be recorded for an outcome, and for how long the whole workflow snoozes because of it.
///
/// The engine asks it of every item that ends; an application, of one whose result its store refuses. `attempt` is the number of
/// attempts that count against the item, this one among them; `random` is in `0.0..1.0`.
pub fn judge<O>(
    outcome: Outcome<O>,
    attempt: i16,
    settings: &Settings,
    random: f64,
) -> (Verdict<O>, Option<Duration>) {
    match outcome {
        Outcome::Completed(output) => (Verdict::Complete(output), None),
        Outcome::Filtered { reason, output } => (Verdict::Filter { reason, output }, None),
        Outcome::Retry {
            failure,
            after,
            output,
        } => {
            let verdict = if attempt >= settings.max_attempts {
                Verdict::Fail { failure, output }
            } else {
                Verdict::Retry {
                    after: retry_after(after, attempt, settings, random),
                    failure,
                    output,
                }
            };
            (verdict, None)
        }
        Outcome::Snooze {
            after,
            reason,
            scope,
        } => {
            let whole_workflow = match scope {
                SnoozeScope::Item => None,
                SnoozeScope::Workflow => Some(after),
            };
            (Verdict::Snooze { after, reason }, whole_workflow)
        }
        Outcome::Permanent { failure, output } => (Verdict::Fail { failure, output }, None),
    }
}

/// The delay before the next attempt: the backoff, or what the other side named where that is longer.
fn retry_after(
    named: Option<Duration>,
    attempt: i16,
    settings: &Settings,
    random: f64,
) -> Duration {
    let failures = u32::try_from(attempt).unwrap_or(1).max(1);
    settings
        .backoff
        .full_jitter(failures, random)
        .max(named.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backoff::Backoff;
    use crate::port::Failure;

    #[test]
    fn demand_is_the_smallest_of_its_bounds() {
        let room = Room {
            batch_size: 10,
            concurrency: 8,
            in_flight: 0,
            unsettled: 0,
            allowance: None,
            barred: false,
        };
        for (room, expected) in [
            (room, 8),
            (
                Room {
                    batch_size: 3,
                    ..room
                },
                3,
            ),
            (
                Room {
                    in_flight: 5,
                    ..room
                },
                3,
            ),
            (
                Room {
                    in_flight: 5,
                    unsettled: 2,
                    ..room
                },
                1,
            ),
            (
                Room {
                    in_flight: 5,
                    unsettled: 3,
                    ..room
                },
                0,
            ),
            // The concurrency was lowered while items were running.
            (
                Room {
                    in_flight: 20,
                    ..room
                },
                0,
            ),
            (
                Room {
                    allowance: Some(2),
                    ..room
                },
                2,
            ),
            (
                Room {
                    allowance: Some(0),
                    ..room
                },
                0,
            ),
            (
                Room {
                    allowance: Some(50),
                    ..room
                },
                8,
            ),
            (
                Room {
                    barred: true,
                    ..room
                },
                0,
            ),
            (
                Room {
                    batch_size: 0,
                    ..room
                },
                0,
            ),
        ] {
            assert_eq!(demand(room), expected, "{room:?}");
        }
    }

    #[test]
    fn outcomes_wait_for_others_only_while_that_costs_nothing() {
        let settings = Settings {
            concurrency: 80,
            settle_items: 50,
            settle_age: Duration::from_millis(200),
            ..Settings::default()
        };
        let waiting = Waiting {
            outcomes: 9,
            in_flight: 1,
            starving: false,
        };
        for (waiting, expected_millis) in [
            (waiting, 200),
            (
                Waiting {
                    outcomes: 50,
                    ..waiting
                },
                0,
            ),
            (
                Waiting {
                    in_flight: 0,
                    ..waiting
                },
                0,
            ),
            (
                Waiting {
                    starving: true,
                    ..waiting
                },
                2,
            ),
            (
                Waiting {
                    starving: true,
                    outcomes: 40,
                    ..waiting
                },
                0,
            ),
        ] {
            let expected = Duration::from_millis(expected_millis);
            assert_eq!(patience(waiting, &settings), expected, "{waiting:?}");
        }
    }

    #[test]
    fn retries_end_with_the_attempts_and_honour_retry_after() {
        let settings = Settings {
            max_attempts: 3,
            backoff: Backoff::new(Duration::from_secs(10), Duration::from_secs(15)),
            ..Settings::default()
        };
        let retry = |after: Option<u64>| Outcome::<()>::Retry {
            failure: Failure::new("http", "503"),
            after: after.map(Duration::from_secs),
            output: Some(()),
        };
        for (attempt, after, random, expected) in [
            (1, None, 0.5, Some(5)),
            (2, None, 1.0, Some(15)),
            (2, Some(60), 1.0, Some(60)),
            (2, Some(1), 1.0, Some(15)),
            (3, None, 1.0, None),
            (4, Some(60), 1.0, None),
        ] {
            let (verdict, snooze) = judge(retry(after), attempt, &settings, random);
            assert_eq!(snooze, None);
            let delay = match verdict {
                Verdict::Retry { after, output, .. } => {
                    assert_eq!(output, Some(()));
                    Some(after.as_secs())
                }
                Verdict::Fail { failure, output } => {
                    assert_eq!((failure.class, output), ("http", Some(())));
                    None
                }
                Verdict::Complete(())
                | Verdict::Filter { .. }
                | Verdict::Snooze { .. }
                | Verdict::Release => panic!("unexpected verdict"),
            };
            assert_eq!(delay, expected, "attempt {attempt}, after {after:?}");
        }
    }

    #[test]
    fn only_a_snooze_of_the_workflow_snoozes_the_workflow() {
        for (scope, expected) in [
            (SnoozeScope::Item, None),
            (SnoozeScope::Workflow, Some(Duration::from_secs(60))),
        ] {
            let outcome = Outcome::<()>::Snooze {
                after: Duration::from_secs(60),
                reason: "quota".to_owned(),
                scope,
            };
            let (verdict, snooze) = judge(outcome, 9, &Settings::default(), 0.0);
            assert!(matches!(verdict, Verdict::Snooze { .. }));
            assert_eq!(snooze, expected);
        }
    }
}
