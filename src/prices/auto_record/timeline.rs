//! The history of one page as far as a batch needs it, and what a new observation makes of it. Pure.
//!
//! A row of the history is a price that stood from one moment to another: from when it was first seen to when the same was
//! last seen. An observation is compared with its own neighbours in time, not with the latest row: results may come in any
//! order. What is equal to the neighbour before it (price, currency and availability) confirms that; what is equal to the
//! neighbour after it shows that that began earlier; anything else is a row of its own.

use chrono::{DateTime, Utc};

use gleaner_extract::price::Amount;

/// A moment, as the database knows it.
pub type Moment = DateTime<Utc>;

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    pub price: Amount,
    pub currency: String,
    /// Availability; nothing if it was not told.
    pub availability: Option<String>,
}

impl Value {
    fn is_same_price(&self, price: Amount, currency: &str) -> bool {
        self.price == price && self.currency == currency
    }

    /// By how much `self` differs from an earlier value, in percent of that; nothing between two currencies or from nought.
    #[must_use]
    pub fn change_percent(&self, from: &Self) -> Option<f64> {
        if self.currency != from.currency || from.price.is_zero() {
            return None;
        }
        let (old, new) = (from.price.approximate(), self.price.approximate());
        Some((new - old) / old * 100.0)
    }

    fn jumps(&self, from: &Self, max_change_percent: f64) -> bool {
        max_change_percent > 0.0
            && self
                .change_percent(from)
                .is_some_and(|change| change.abs() > max_change_percent)
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.price, self.currency)?;
        match &self.availability {
            Some(word) => write!(f, ", {word}"),
            None => Ok(()),
        }
    }
}

/// Where a row of the history comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It stands in the database, under this key.
    Stored(i64),
    /// This observation, by its place in the batch, made it.
    Seen(usize),
    /// The row with this place in the timeline goes on after something else came in between.
    Resumed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    pub origin: Origin,
    /// When it was first seen.
    pub since: Moment,
    /// When the same was last seen.
    pub until: Moment,
    pub value: Value,
    /// Whether the database has it otherwise, or not at all.
    pub is_changed: bool,
}

/// A price that jumped and waits for a second look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub price: Amount,
    pub currency: String,
    pub at: Moment,
}

/// What became of an observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is a row of its own.
    Recorded {
        /// What stood before it.
        before: Option<Value>,
        is_latest: bool,
        /// Whether it confirmed a price that was held.
        confirms: bool,
    },
    /// The same stands in the history already.
    Duplicate(Value),
    /// It jumps, and waits for a second look.
    Held {
        /// What it is compared with.
        before: Value,
    },
    /// It jumps, and what was seen later contradicts it.
    Contradicted {
        /// What it is compared with.
        before: Value,
    },
}

/// The part of one page's history that a batch touches.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    rows: Vec<HistoryRow>,
    held: Option<Held>,
    resolved: Vec<(Held, bool)>,
}

impl Timeline {
    /// With the rows that stand next to the batch's observations, in any order, some perhaps twice; and what is held.
    #[must_use]
    pub fn new(mut rows: Vec<HistoryRow>, held: Option<Held>) -> Self {
        rows.sort_by_key(|row| (row.since, key(row.origin)));
        rows.dedup_by_key(|row| row.origin);
        Self {
            rows,
            held,
            resolved: Vec::new(),
        }
    }

    /// The rows as they are now, in their order.
    #[must_use]
    pub fn rows(&self) -> &[HistoryRow] {
        &self.rows
    }

    /// What is held now.
    #[must_use]
    pub fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// What was held and is no longer, and whether it was confirmed.
    #[must_use]
    pub fn resolved(&self) -> &[(Held, bool)] {
        &self.resolved
    }

    /// Takes in an observation: the `place`-th of its batch, which saw `value` at `at`. `max_change_percent` as in the rules.
    pub fn observe(
        &mut self,
        place: usize,
        at: Moment,
        value: Value,
        max_change_percent: f64,
    ) -> Decision {
        let after = self.rows.partition_point(|row| row.since <= at);
        let is_latest = after == self.rows.len();
        let before = after.checked_sub(1);
        if let Some(row) = before.and_then(|place| self.rows.get_mut(place))
            && row.value == value
        {
            if row.until < at {
                row.until = at;
                row.is_changed = true;
            }
            self.forget_held_before(at);
            return Decision::Duplicate(value);
        }
        let stood_until = before.and_then(|place| Some(self.rows.get(place)?.until));
        if let Some(row) = self.rows.get_mut(after)
            && row.value == value
            && stood_until.is_none_or(|until| until <= at)
        {
            row.since = at;
            row.is_changed = true;
            self.forget_held_before(at);
            return Decision::Duplicate(value);
        }
        let previous = before.and_then(|place| Some(self.rows.get(place)?.value.clone()));
        if let Some(previous) = &previous
            && value.jumps(previous, max_change_percent)
        {
            let next = self.rows.get(after).map(|row| &row.value);
            match next {
                Some(next)
                    if value.currency == next.currency
                        && !value.jumps(next, max_change_percent) => {}
                Some(_) => {
                    return Decision::Contradicted {
                        before: previous.clone(),
                    };
                }
                None => return self.jump(place, at, value, previous.clone()),
            }
        }
        self.forget_held_before(at);
        self.insert(after, place, at, at, value);
        Decision::Recorded {
            before: previous,
            is_latest,
            confirms: false,
        }
    }

    /// A jump at the end of the history: held at first, recorded when seen again.
    fn jump(&mut self, place: usize, at: Moment, value: Value, before: Value) -> Decision {
        match self.held.take() {
            Some(held) if value.is_same_price(held.price, &held.currency) && held.at != at => {
                let (since, until) = (held.at.min(at), held.at.max(at));
                let after = self.rows.partition_point(|row| row.since <= since);
                self.insert(after, place, since, until, value);
                self.resolved.push((held, true));
                Decision::Recorded {
                    before: Some(before),
                    is_latest: true,
                    confirms: true,
                }
            }
            Some(held) if held.at > at => {
                self.held = Some(held);
                Decision::Contradicted { before }
            }
            replaced => {
                // A look at the same moment is the same look.
                self.resolved.extend(
                    replaced
                        .filter(|held| held.at != at)
                        .map(|held| (held, false)),
                );
                self.held = Some(Held {
                    price: value.price,
                    currency: value.currency,
                    at,
                });
                Decision::Held { before }
            }
        }
    }

    /// What is seen later than a held price, and is not that price, contradicts it.
    fn forget_held_before(&mut self, at: Moment) {
        let contradicted = self.held.take_if(|held| held.at < at);
        self.resolved.extend(contradicted.map(|held| (held, false)));
    }

    /// Puts a row in. Where the row before it was seen again later than this begins, that goes on afterwards.
    fn insert(&mut self, at_place: usize, seen: usize, since: Moment, until: Moment, value: Value) {
        let mut resumed = None;
        if let Some(row) = at_place
            .checked_sub(1)
            .and_then(|place| self.rows.get_mut(place))
            && row.until > until
        {
            resumed = Some(HistoryRow {
                origin: Origin::Resumed,
                since: row.until,
                until: row.until,
                value: row.value.clone(),
                is_changed: true,
            });
            row.until = row.since;
            row.is_changed = true;
        }
        self.rows.insert(
            at_place,
            HistoryRow {
                origin: Origin::Seen(seen),
                since,
                until,
                value,
                is_changed: true,
            },
        );
        if let Some(resumed) = resumed {
            self.rows.insert(at_place + 1, resumed);
        }
    }
}

/// Rows of the same moment stand in the order of their keys; new ones after them.
fn key(origin: Origin) -> (u8, i64) {
    match origin {
        Origin::Stored(id) => (0, id),
        Origin::Seen(place) => (1, i64::try_from(place).unwrap_or(i64::MAX)),
        Origin::Resumed => (2, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(second: i64) -> Moment {
        DateTime::from_timestamp(second, 0).expect("a moment")
    }

    /// `100`, `100 OutOfStock`, `100 USD`, `100 USD OutOfStock`.
    fn value(text: &str) -> Value {
        let mut value = Value {
            price: Amount::ZERO,
            currency: "EUR".to_owned(),
            availability: None,
        };
        for word in text.split(' ') {
            match word {
                "USD" => value.currency = word.to_owned(),
                "InStock" | "OutOfStock" => value.availability = Some(word.to_owned()),
                price => value.price = price.parse().expect("a price"),
            }
        }
        value
    }

    fn word(decision: &Decision) -> &'static str {
        match decision {
            Decision::Recorded { confirms: true, .. } => "confirmed",
            Decision::Recorded {
                is_latest: true, ..
            } => "recorded",
            Decision::Recorded { .. } => "between",
            Decision::Duplicate(_) => "duplicate",
            Decision::Held { .. } => "held",
            Decision::Contradicted { .. } => "contradicted",
        }
    }

    /// Observations as `second value`, separated by commas, each with what is to become of it; then the rows they leave, as
    /// `since-until price`.
    fn check(observations: &[(i64, &str, &str)], rows: &str) -> Timeline {
        let mut timeline = Timeline::default();
        for (place, (second, text, expected)) in observations.iter().enumerate() {
            let decision = timeline.observe(place, moment(*second), value(text), 50.0);
            assert_eq!(
                word(&decision),
                *expected,
                "{second}: {text} in {observations:?}"
            );
        }
        let left: Vec<String> = timeline
            .rows()
            .iter()
            .map(|row| {
                let (since, until) = (row.since.timestamp(), row.until.timestamp());
                format!("{since}-{until} {}", row.value.price)
            })
            .collect();
        assert_eq!(left.join(", "), rows, "{observations:?}");
        timeline
    }

    #[test]
    fn only_changes_are_rows() {
        check(
            &[
                (1, "100", "recorded"),
                (2, "100.00", "duplicate"),
                (3, "100", "duplicate"),
            ],
            "1-3 100",
        );
        check(
            &[
                (1, "100", "recorded"),
                (2, "110", "recorded"),
                (3, "100", "recorded"),
            ],
            "1-1 100, 2-2 110, 3-3 100",
        );
    }

    /// W-34: the same number in another currency, or no longer to be had, is news.
    #[test]
    fn w34_currency_and_availability_count() {
        check(
            &[
                (1, "100 InStock", "recorded"),
                (2, "100 USD InStock", "recorded"),
                (3, "100 USD OutOfStock", "recorded"),
                (4, "100 USD OutOfStock", "duplicate"),
            ],
            "1-1 100, 2-2 100, 3-4 100",
        );
    }

    /// W-34: an observation that comes late is compared with what stood then.
    #[test]
    fn w34_late_observations_find_their_own_neighbours() {
        // Equal to the row before: it confirms that, and not the latest.
        check(
            &[
                (1, "100", "recorded"),
                (5, "120", "recorded"),
                (3, "100", "duplicate"),
            ],
            "1-3 100, 5-5 120",
        );
        // Equal to the row after: that began earlier.
        check(
            &[
                (1, "100", "recorded"),
                (5, "120", "recorded"),
                (3, "120", "duplicate"),
            ],
            "1-1 100, 3-5 120",
        );
        // Before everything.
        check(
            &[(5, "120", "recorded"), (3, "100", "between")],
            "3-3 100, 5-5 120",
        );
        // In between.
        check(
            &[
                (1, "100", "recorded"),
                (5, "120", "recorded"),
                (3, "110", "between"),
            ],
            "1-1 100, 3-3 110, 5-5 120",
        );
    }

    #[test]
    fn what_was_seen_again_later_goes_on_after_what_came_in_between() {
        let timeline = check(
            &[
                (1, "100", "recorded"),
                (5, "100", "duplicate"),
                (3, "110", "recorded"),
            ],
            "1-1 100, 3-3 110, 5-5 100",
        );
        assert_eq!(timeline.rows()[2].origin, Origin::Resumed);
        // Also where the row after is equal: the one before was seen after this.
        check(
            &[
                (1, "100", "recorded"),
                (5, "100", "duplicate"),
                (6, "110", "recorded"),
                (3, "110", "between"),
            ],
            "1-1 100, 3-3 110, 5-5 100, 6-6 110",
        );
    }

    /// W-37, PT-2: a jump is believed when it is seen twice.
    #[test]
    fn w37_a_jump_is_held_until_it_is_confirmed() {
        let timeline = check(
            &[
                (1, "100", "recorded"),
                (2, "10", "held"),
                (3, "10 OutOfStock", "confirmed"),
            ],
            "1-1 100, 2-3 10",
        );
        assert_eq!(timeline.held(), None);
        // To the threshold is no jump.
        check(
            &[
                (1, "100", "recorded"),
                (2, "50", "recorded"),
                (3, "75", "recorded"),
            ],
            "1-1 100, 2-2 50, 3-3 75",
        );
        check(&[(1, "100", "recorded"), (2, "49.99", "held")], "1-1 100");
        // Another currency is no jump, and neither is the first price.
        check(
            &[(1, "100", "recorded"), (2, "10000 USD", "recorded")],
            "1-1 100, 2-2 10000",
        );
    }

    #[test]
    fn a_jump_that_is_contradicted_is_dropped() {
        // By the price that stood.
        let timeline = check(
            &[
                (1, "100", "recorded"),
                (2, "10", "held"),
                (3, "100", "duplicate"),
                (4, "10", "held"),
            ],
            "1-3 100",
        );
        assert_eq!(timeline.held().map(|held| held.at), Some(moment(4)));
        // By a plausible third.
        let timeline = check(
            &[
                (1, "100", "recorded"),
                (2, "10", "held"),
                (3, "90", "recorded"),
            ],
            "1-1 100, 3-3 90",
        );
        assert_eq!(timeline.held(), None);
        // By another jump, which waits in its turn.
        check(
            &[
                (1, "100", "recorded"),
                (2, "10", "held"),
                (3, "900", "held"),
                (4, "900", "confirmed"),
            ],
            "1-1 100, 3-4 900",
        );
        // The same moment is no second look.
        check(
            &[(1, "100", "recorded"), (2, "10", "held"), (2, "10", "held")],
            "1-1 100",
        );
        // Seen earlier, told later: it is a second look all the same.
        check(
            &[
                (1, "100", "recorded"),
                (3, "10", "held"),
                (2, "10", "confirmed"),
            ],
            "1-1 100, 2-3 10",
        );
    }

    #[test]
    fn a_late_jump_is_measured_against_both_sides() {
        let past = [
            (1, "100", "recorded"),
            (3, "300", "held"),
            (4, "300", "confirmed"),
        ];
        let with = |late: (i64, &'static str, &'static str)| [past[0], past[1], past[2], late];
        check(&with((2, "200", "between")), "1-1 100, 2-2 200, 3-4 300");
        check(&with((2, "900", "contradicted")), "1-1 100, 3-4 300");
        check(&with((2, "300", "duplicate")), "1-1 100, 2-4 300");
    }

    #[test]
    fn rows_given_twice_count_once() {
        let row = |id, second: i64| HistoryRow {
            origin: Origin::Stored(id),
            since: moment(second),
            until: moment(second),
            value: value("100"),
            is_changed: false,
        };
        let mut timeline = Timeline::new(vec![row(7, 5), row(3, 1), row(7, 5)], None);
        assert_eq!(timeline.rows().len(), 2);
        let decision = timeline.observe(0, moment(6), value("100"), 50.0);
        assert_eq!(word(&decision), "duplicate");
        let changed: Vec<bool> = timeline.rows().iter().map(|row| row.is_changed).collect();
        assert_eq!(changed, [false, true]);
    }

    proptest::proptest! {
        /// Whatever comes in whatever order: rows stand in order, do not overlap, and hold no price that nobody saw.
        #[test]
        fn history_stays_in_order(seen in proptest::collection::vec((0_i64..20, 1_u64..5), 0..40)) {
            let mut timeline = Timeline::default();
            for (place, (second, price)) in seen.iter().enumerate() {
                let value = value(&price.to_string());
                timeline.observe(place, moment(*second), value, 0.0);
            }
            for pair in timeline.rows().windows(2) {
                proptest::prop_assert!(pair[0].since <= pair[0].until);
                proptest::prop_assert!(pair[0].until <= pair[1].since, "{:?}", pair);
            }
            for row in timeline.rows() {
                let was_seen = seen.iter().any(|(second, price)| {
                    moment(*second) == row.since && value(&price.to_string()) == row.value
                });
                proptest::prop_assert!(was_seen, "{row:?}");
            }
        }
    }
}
