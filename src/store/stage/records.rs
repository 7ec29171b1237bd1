//! What becomes of the rows of a batch, as columns for one statement.

use gleaner_actors::port::{Settlement, Verdict};

/// Longest error text kept on a row or in the history, in bytes.
const MAX_ERROR_BYTES: usize = 2_000;

/// Verdicts of a batch as the columns that `settle.sql` takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    pub(super) ids: Vec<i64>,
    pub(super) attempts: Vec<i16>,
    pub(super) statuses: Vec<&'static str>,
    pub(super) after_seconds: Vec<f64>,
    pub(super) errors: Vec<Option<String>>,
    pub(super) given_back: Vec<i16>,
    pub(super) outcomes: Vec<&'static str>,
    pub(super) classes: Vec<Option<&'static str>>,
    pub(super) elapsed_ms: Vec<i32>,
}

impl Records {
    /// The columns for these settlements, in the order of the rows' keys: whoever else locks rows in that order, as bulk
    /// updates mostly do, waits for us instead of dying in a deadlock.
    #[must_use]
    pub fn of<'a, O: 'a>(batch: impl IntoIterator<Item = &'a Settlement<O>>) -> Self {
        let mut records = Self::default();
        let mut batch: Vec<&Settlement<O>> = batch.into_iter().collect();
        batch.sort_by_key(|settlement| settlement.item);
        for settlement in batch {
            let (status, after, error, given_back, outcome, class) = match &settlement.verdict {
                Verdict::Complete(_) => ("Completed", 0.0, None, 0, "completed", None),
                Verdict::Filter { reason, .. } => {
                    ("Filtered", 0.0, Some(bounded(reason)), 0, "filtered", None)
                }
                Verdict::Retry { after, failure, .. } => (
                    "Queued",
                    after.as_secs_f64(),
                    Some(bounded(&format!("{}: {}", failure.class, failure.message))),
                    0,
                    "retried",
                    Some(failure.class),
                ),
                Verdict::Snooze { after, reason } => (
                    "Queued",
                    after.as_secs_f64(),
                    Some(bounded(reason)),
                    1,
                    "snoozed",
                    None,
                ),
                Verdict::Fail { failure, .. } => (
                    "Error",
                    0.0,
                    Some(bounded(&format!("{}: {}", failure.class, failure.message))),
                    0,
                    "failed",
                    Some(failure.class),
                ),
                Verdict::Release => ("Queued", 0.0, None, 1, "released", None),
            };
            records.ids.push(settlement.item);
            records.attempts.push(settlement.attempt);
            records.statuses.push(status);
            records.after_seconds.push(after);
            records.errors.push(error);
            records.given_back.push(given_back);
            records.outcomes.push(outcome);
            records.classes.push(class);
            let millis = i32::try_from(settlement.elapsed.as_millis()).unwrap_or(i32::MAX);
            records.elapsed_ms.push(millis);
        }
        records
    }
}

/// Texts from outside may be long and may hold NUL, which PostgreSQL does not store.
pub(crate) fn bounded(text: &str) -> String {
    let mut kept: String = text.replace('\0', "\u{fffd}");
    if kept.len() > MAX_ERROR_BYTES {
        let end = (0..=MAX_ERROR_BYTES)
            .rev()
            .find(|at| kept.is_char_boundary(*at))
            .unwrap_or(0);
        kept.truncate(end);
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gleaner_actors::port::Failure;

    use super::*;

    #[test]
    fn verdicts_become_columns() {
        let settle = |verdict| Settlement::<()> {
            item: 7,
            attempt: 2,
            elapsed: Duration::from_millis(5),
            verdict,
        };
        let records = Records::of(&[
            settle(Verdict::Complete(())),
            settle(Verdict::Retry {
                after: Duration::from_secs(3),
                failure: Failure::new("http", "503"),
                output: None,
            }),
            settle(Verdict::Release),
        ]);
        assert_eq!(records.statuses, ["Completed", "Queued", "Queued"]);
        assert_eq!(records.after_seconds, [0.0, 3.0, 0.0]);
        assert_eq!(records.given_back, [0, 0, 1]);
        assert_eq!(records.errors[1].as_deref(), Some("http: 503"));
    }

    #[test]
    fn texts_are_bounded_and_storable() {
        assert_eq!(bounded("a\0b"), "a\u{fffd}b");
        let long = bounded(&"é".repeat(5_000));
        assert!(long.len() <= MAX_ERROR_BYTES + 4 && long.ends_with('…'));
    }
}
