//! When a schedule fires: a matter of its rule, of the first time that nobody has seen to, and of the time it is. No clock is read
//! here.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Cron;

/// So many times of a cron expression are counted one by one. Of more, only the last ones are looked for, and the others are
/// known to be more than this.
const COUNTED: usize = 10_000;

/// When its times come.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// By a cron expression and the clocks of a zone.
    Cron { cron: Box<Cron>, zone: Tz },
    /// So often, counted from when it was first seen.
    Every(TimeDelta),
}

/// What becomes of times that nobody has seen to when they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Missed {
    /// They are left out; but the last one still counts while it is no older than the grace.
    Skip,
    /// All of them together are one firing, for the last.
    Once,
    /// Each is a firing of its own, but for no more than so many of the last.
    Each(NonZeroU32),
}

/// When a schedule fires, and what becomes of times that it missed.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    pub rule: Rule,
    pub missed: Missed,
    /// For [`Missed::Skip`]: up to how late a time counts.
    pub grace: TimeDelta,
    /// Each firing is put off by some part of this, the same on every node.
    pub jitter: TimeDelta,
    /// What sets the parts of this schedule apart from those of others.
    pub name: String,
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing before this time; never, if there is none.
    Wait(Option<DateTime<Utc>>),
    /// To fire.
    Fire(Due),
    /// Too late to fire: these times are to be let go.
    Leave(Due),
}

/// A time that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The time that it fires for, or the last of those that are let go.
    pub due_at: DateTime<Utc>,
    /// Times that are not fired for.
    pub missed: i64,
    /// The first time that nobody has seen to after this; none if there will be none.
    pub next_at: Option<DateTime<Utc>>,
}

impl Rule {
    /// The first time of one that begins now.
    #[must_use]
    pub fn next_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron { cron, zone } => cron.next_after_in(time, *zone),
            Self::Every(span) => time.checked_add_signed(*span),
        }
    }

    /// The first of its times from `at` on, itself one of them, that is later than `time`.
    #[must_use]
    pub fn first_after(&self, at: DateTime<Utc>, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            _ if at > time => Some(at),
            Self::Cron { .. } => self.next_after(time),
            Self::Every(span) => {
                let steps = steps(*span, time - at).checked_add(1)?;
                at.checked_add_signed(span.checked_mul(i32::try_from(steps).ok()?)?)
            }
        }
    }

    /// In words, as it is kept: two rules that are told alike are due alike.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Self::Cron { cron, zone } => format!("{cron} {zone}"),
            Self::Every(span) => {
                let span = span.to_std().unwrap_or_default();
                format!("every {}", humantime::format_duration(span))
            }
        }
    }
}

/// How many whole spans there are in a time.
fn steps(span: TimeDelta, time: TimeDelta) -> i64 {
    let span = span.num_milliseconds().max(1);
    time.num_milliseconds() / span
}

impl Timing {
    /// What is to be done now, if `next_at` is the first of its times that nobody has seen to.
    #[must_use]
    pub fn turn(&self, next_at: DateTime<Utc>, now: DateTime<Utc>) -> Turn {
        let first = next_at + self.delay(next_at);
        if first > now {
            return Turn::Wait(Some(first));
        }
        let wanted = match self.missed {
            Missed::Each(most) => usize::try_from(most.get()).unwrap_or(usize::MAX),
            Missed::Skip | Missed::Once => 1,
        };
        let (come, all) = self.come(next_at, now, wanted);
        let due_at = come.front().copied().unwrap_or(next_at);
        let latest = come.back().copied().unwrap_or(next_at);
        let fired = i64::try_from(come.len()).unwrap_or(i64::MAX);
        let due = |missed| Due {
            due_at,
            missed,
            next_at: self.after(due_at),
        };
        if self.missed == Missed::Skip && now - latest - self.delay(latest) > self.grace {
            return Turn::Leave(due(all));
        }
        Turn::Fire(due(all - fired))
    }

    /// The first time that fires after now, if `next_at` is the first that nobody has seen to.
    #[must_use]
    pub fn upcoming(
        &self,
        next_at: DateTime<Utc>,
        now: DateTime<Utc>,
        count: usize,
    ) -> Vec<DateTime<Utc>> {
        let first = self.rule.first_after(next_at, now);
        std::iter::successors(first, |time| self.after(*time))
            .take(count)
            .collect()
    }

    /// The time after one of its times.
    fn after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.rule.next_after(time)
    }

    /// The last ones of its times that have come, the oldest first, and how many have.
    fn come(
        &self,
        first: DateTime<Utc>,
        now: DateTime<Utc>,
        wanted: usize,
    ) -> (VecDeque<DateTime<Utc>>, i64) {
        let has_come = |time: &DateTime<Utc>| *time + self.delay(*time) <= now;
        match &self.rule {
            Rule::Every(span) => {
                let at = |step: i64| {
                    let step = i32::try_from(step).ok()?;
                    first.checked_add_signed(span.checked_mul(step)?)
                };
                let mut last = steps(*span, now - first);
                while last > 0 && !at(last).as_ref().is_some_and(has_come) {
                    last -= 1;
                }
                let from = (last + 1).saturating_sub(i64::try_from(wanted).unwrap_or(i64::MAX));
                let times = (from.max(0)..=last).filter_map(at);
                (times.collect(), last + 1)
            }
            Rule::Cron { cron, zone } => {
                let mut times = VecDeque::new();
                let mut all = 0;
                let mut next = Some(first);
                while let Some(time) = next.filter(has_come) {
                    all += 1;
                    times.push_back(time);
                    if times.len() > wanted {
                        times.pop_front();
                    }
                    next = cron.next_after_in(time, *zone);
                    if all == COUNTED {
                        break;
                    }
                }
                if next.as_ref().is_some_and(has_come) {
                    times.clear();
                    let earlier = |time: &DateTime<Utc>| cron.last_before_in(*time, *zone);
                    // Those at this very second are before the next.
                    let from = now + TimeDelta::seconds(1);
                    let latest = std::iter::successors(earlier(&from), earlier).filter(has_come);
                    for time in latest.take(wanted).take_while(|time| *time >= first) {
                        times.push_front(time);
                    }
                    all += 1;
                }
                (times, i64::try_from(all).unwrap_or(i64::MAX))
            }
        }
    }

    /// How much later than its time it fires.
    #[must_use]
    pub fn delay(&self, time: DateTime<Utc>) -> TimeDelta {
        let most = self.jitter.num_milliseconds();
        if most <= 0 {
            return TimeDelta::zero();
        }
        let digest = Sha256::digest(format!("{} {}", self.name, time.timestamp_millis()));
        let mut part = [0; 8];
        for (into, byte) in part.iter_mut().zip(digest) {
            *into = byte;
        }
        // Of the lower half, so that it is no negative number.
        let part = i64::from_be_bytes(part) & i64::MAX;
        TimeDelta::milliseconds(part % most)
    }
}

#[cfg(test)]
mod tests;
