//! Cron expressions, and when their times come.

use std::fmt;

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};
use serde::{Deserialize, Serialize};

/// A cron expression of five fields: minute, hour, day of the month, month, day of the week.
///
/// In UTC no hour of it is ever skipped or repeated. In other zones clocks are put forward and back: an expression with a fixed
/// time fires once on such a day, after the gap or at the first of the two hours; one with `*` or `/` in seconds, minutes or hours
/// goes by what the clock shows, without the hour that is skipped and with both of that which is repeated.
#[derive(Clone, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron(croner::Cron);

/// Why a text is no cron expression.
#[derive(Debug, thiserror::Error)]
pub enum CronError {
    /// It cannot be read.
    #[error(
        "\"{expression}\" is no cron expression of five fields such as \"30 3 * * *\": {reason}"
    )]
    Unreadable {
        expression: String,
        /// What is wrong with it.
        reason: croner::errors::CronError,
    },
    /// It names a time that never comes.
    #[error("\"{0}\" never comes")]
    Never(String),
}

impl Cron {
    /// Reads an expression that may have a sixth field, for seconds, before the others.
    ///
    /// # Errors
    /// [`CronError`].
    pub fn with_seconds(expression: &str) -> Result<Self, CronError> {
        Self::read(expression, Seconds::Optional)
    }

    fn read(expression: &str, seconds: Seconds) -> Result<Self, CronError> {
        let parser = CronParser::builder()
            .seconds(seconds)
            .year(Year::Disallowed)
            .build();
        match parser.parse(expression) {
            // A year that has no such day has no other either, but for the 29th of February.
            Ok(cron)
                if Self(cron.clone())
                    .next_after(DateTime::UNIX_EPOCH)
                    .is_none() =>
            {
                Err(CronError::Never(expression.to_owned()))
            }
            Ok(cron) => Ok(Self(cron)),
            Err(reason) => Err(CronError::Unreadable {
                expression: expression.to_owned(),
                reason,
            }),
        }
    }

    /// The first time after this one, in UTC.
    #[must_use]
    pub fn next_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.0.find_next_occurrence(&time, false).ok()
    }

    /// The first time after this one, by the clocks of a zone.
    #[must_use]
    pub fn next_after_in(&self, time: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let local = zone.from_utc_datetime(&time.naive_utc());
        let next = self.0.find_next_occurrence(&local, false).ok()?;
        Some(next.with_timezone(&Utc))
    }

    /// The last time before this one, by the clocks of a zone.
    #[must_use]
    pub fn last_before_in(&self, time: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let local = zone.from_utc_datetime(&time.naive_utc());
        let last = self.0.find_previous_occurrence(&local, false).ok()?;
        Some(last.with_timezone(&Utc))
    }
}

impl TryFrom<String> for Cron {
    type Error = CronError;

    fn try_from(expression: String) -> Result<Self, CronError> {
        Self::read(&expression, Seconds::Disallowed)
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.to_string()
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_in_utc() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        for (expression, after, expected) in [
            ("0 2 * * *", "2026-03-29T01:59:59Z", "2026-03-29T02:00:00Z"),
            ("0 2 * * *", "2026-03-29T02:00:00Z", "2026-03-30T02:00:00Z"),
            ("0 3 * * 0", "2026-11-23T12:00:00Z", "2026-11-29T03:00:00Z"),
            (
                "30 3 29 2 *",
                "2026-11-23T12:00:00Z",
                "2028-02-29T03:30:00Z",
            ),
            (
                "*/15 * * * *",
                "2026-11-23T12:01:00Z",
                "2026-11-23T12:15:00Z",
            ),
        ] {
            let cron = Cron::try_from(expression.to_owned()).unwrap();
            assert_eq!(
                cron.next_after(at(after)),
                Some(at(expected)),
                "{expression}"
            );
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for expression in [
            "",
            "0 2 * *",
            "61 2 * * *",
            "every day",
            "0 0 30 2 *",
            "* * * * * *",
        ] {
            assert!(
                Cron::try_from(expression.to_owned()).is_err(),
                "{expression}"
            );
        }
    }
}
