//! Times, days and postal codes, most of them from–to: groups of digits of which no number is made.
//!
//! `08.00-12.00 13.00-17.00`, `03.08.24-04.08.24`, `1-5.7.2024`, `07001-07095`: no country writes its numbers so.

use super::finder::Group;

/// Digits of the postal codes that are listed from–to.
const POSTAL_DIGITS: std::ops::RangeInclusive<usize> = 5..=6;

/// The places of such groups.
///
/// After the label of a telephone only what is certain counts: `0800-1200` and `12.10.24` are numbers then.
pub(super) fn places(groups: &[Group], is_labelled: bool) -> Vec<usize> {
    let reader = Reader {
        groups,
        is_labelled,
    };
    let mut out = Vec::new();
    let mut start = 0;
    while start < groups.len() {
        let length = reader.span(start).unwrap_or(0);
        out.extend(start..start + length);
        start += length.max(1);
    }
    out
}

struct Reader<'a> {
    groups: &'a [Group],
    is_labelled: bool,
}

/// What each of these reads is so many groups long.
impl Reader<'_> {
    fn span(&self, start: usize) -> Option<usize> {
        let may_start = start == 0 || self.is_loose(start);
        let reads: [fn(&Self, usize) -> Option<usize>; 6] = [
            Self::days,
            Self::date,
            Self::hours,
            Self::bare_hours,
            Self::clocks,
            Self::codes,
        ];
        reads
            .iter()
            .filter(|_| may_start)
            .filter_map(|read| read(self, start))
            .find(|length| self.is_loose(start + length))
    }

    /// Whether one thing may end and another begin before this group, or whether there is none.
    fn is_loose(&self, at: usize) -> bool {
        self.groups.get(at).is_none_or(Group::is_loose)
    }

    fn separator(&self, at: usize) -> Option<&str> {
        self.groups.get(at).map(Group::separator)
    }

    /// A dash before this group, with or without spaces, perhaps after a full stop (`01.-05.07.`).
    fn is_dash(&self, at: usize) -> bool {
        let separator = self.separator(at).unwrap_or_default().trim();
        let dash = separator.strip_prefix('.').unwrap_or(separator);
        matches!(
            dash,
            "-" | "‐" | "‑" | "‒" | "–" | "—" | "―" | "−" | "~" | "－"
        )
    }

    fn value(&self, at: usize, digits: std::ops::RangeInclusive<usize>) -> Option<u32> {
        let group = self.groups.get(at)?;
        digits
            .contains(&group.digits.len())
            .then(|| group.digits.parse().ok())?
    }

    fn hour(&self, at: usize) -> Option<u32> {
        self.value(at, 1..=2).filter(|hour| *hour <= 24)
    }

    /// `8.30`, in minutes after midnight: the minutes that doors open at.
    fn time(&self, at: usize) -> Option<u32> {
        let (hour, minute) = (self.hour(at)?, self.value(at + 1, 2..=2)?);
        let is_time = self.separator(at + 1)? == "." && minute < 60 && minute.is_multiple_of(5);
        is_time.then_some(hour * 60 + minute)
    }

    /// `8.30`, or the hour alone: minutes after midnight, and the groups that say so.
    fn moment(&self, at: usize) -> Option<(u32, usize)> {
        let time = self.time(at).map(|time| (time, 2));
        time.or_else(|| Some((self.hour(at)? * 60, 1)))
    }

    /// `8.30-12.00`, `9-12.30`
    fn hours(&self, at: usize) -> Option<usize> {
        let (from, first) = self.moment(at)?;
        let (to, second) = self.moment(at + first)?;
        let is_span = self.is_dash(at + first) && first + second > 2;
        (is_span && (from < to || !self.is_labelled)).then_some(first + second)
    }

    /// `9-12 14-18`: hours without minutes, if there are two spans of them.
    fn bare_hours(&self, at: usize) -> Option<usize> {
        let is_span = |at: usize| {
            let hours = self.hour(at).zip(self.hour(at + 1));
            self.is_dash(at + 1) && hours.is_some_and(|(from, to)| from < to)
        };
        (is_span(at) && is_span(at + 2) && self.is_loose(at + 2)).then_some(4)
    }

    /// `0900-1730`
    fn clocks(&self, at: usize) -> Option<usize> {
        let is_clock =
            |time: &u32| *time <= 2400 && time % 100 < 60 && (time % 100).is_multiple_of(15);
        let from = self.value(at, 4..=4).filter(is_clock)?;
        let to = self.value(at + 1, 4..=4).filter(is_clock)?;
        (!self.is_labelled && self.is_dash(at + 1) && from < to).then_some(2)
    }

    /// `3.8.2024`, `2024-08-03`, and without a label `03.08.24`.
    fn date(&self, at: usize) -> Option<usize> {
        let separator = self.separator(at + 1)?;
        let is_even = matches!(separator, "." | "/" | "-") && self.separator(at + 2)? == separator;
        let year = |at: usize| {
            self.value(at, 4..=4)
                .is_some_and(|year| (1900..=2100).contains(&year))
        };
        let is_short = !self.is_labelled && self.value(at + 2, 2..=2).is_some();
        let is_date = self.is_day(at, at + 1) && (year(at + 2) || is_short)
            || year(at) && self.is_day(at + 2, at + 1);
        (is_even && is_date).then_some(3)
    }

    /// A day and a month, in either order.
    fn is_day(&self, day: usize, month: usize) -> bool {
        let at = |at: usize| self.value(at, 1..=2).filter(|value| *value > 0);
        at(day)
            .zip(at(month))
            .is_some_and(|(day, month)| day.max(month) <= 31 && day.min(month) <= 12)
    }

    /// `03.08.24-04.08.24`, `03.07 - 17.07.15`, `1-5.7.2024`, `01.12.-24.12`
    fn days(&self, at: usize) -> Option<usize> {
        [self.date(at), self.day_month(at), self.day(at)]
            .into_iter()
            .flatten()
            .find_map(|first| {
                let then = at + first;
                let last = self.date(then).or_else(|| {
                    let is_pair = first == 2 && !self.is_labelled;
                    self.day_month(then).filter(|_| is_pair)
                })?;
                self.is_dash(then).then_some(first + last)
            })
    }

    fn day_month(&self, at: usize) -> Option<usize> {
        let is_joined = matches!(self.separator(at + 1)?, "." | "/");
        (is_joined && self.is_day(at, at + 1)).then_some(2)
    }

    fn day(&self, at: usize) -> Option<usize> {
        self.value(at, 1..=2)
            .filter(|day| (1..=31).contains(day))
            .map(|_| 1)
    }

    /// `07001-07095`: codes as long as each other, one after the other, of one region.
    fn codes(&self, at: usize) -> Option<usize> {
        let code = |at: usize| {
            let group = self.groups.get(at)?;
            POSTAL_DIGITS
                .contains(&group.digits.len())
                .then_some(group.digits.as_str())
        };
        let (from, to) = (code(at)?, code(at + 1)?);
        let is_span = from.len() == to.len() && from < to && from.get(..1) == to.get(..1);
        (!self.is_labelled && self.is_dash(at + 1) && is_span).then_some(2)
    }
}

#[cfg(test)]
mod tests {
    use super::super::finder::runs;
    use super::*;

    fn rest(text: &str, is_labelled: bool) -> String {
        let runs = runs(text);
        let groups: Vec<&Group> = runs.iter().flat_map(|run| run.groups.iter()).collect();
        let taken = runs
            .iter()
            .flat_map(|run| {
                let taken = places(&run.groups, is_labelled);
                (0..run.groups.len()).map(move |at| taken.contains(&at))
            })
            .collect::<Vec<_>>();
        let left = groups.iter().zip(taken).filter(|(_, taken)| !taken);
        let left: Vec<&str> = left.map(|(group, _)| group.digits.as_str()).collect();
        left.join(" ")
    }

    #[test]
    fn times_days_and_codes_are_taken_and_the_rest_is_left() {
        let check = |text: &str, left: &str| assert_eq!(rest(text, false), left, "{text}");
        check("Mo-Fr 08.00-12.00 13.00-17.00", "");
        check("8.30-12 13-17.30", "");
        check("8.30 – 12.00 / 14.00 – 18.30", "");
        check("9-12 14-18", "");
        check("0900-1730", "");
        check("22.00-02.00", "");
        check("Seminar 03.08.24-04.08.24 in Bonn", "");
        check("03.07 - 17.07.15", "");
        check("01.12.2025 - 24.12.2025", "");
        check("01.-05.07.2024", "");
        check("1-5.7.2024", "");
        check("12/10/2024-14/10/2024", "");
        check("2025-12-01 – 2025-12-24 09.00-18.00", "");
        check("01.12.-24.12", "");
        check("NJ 07001-07095", "");
        check("CT 06101 - 06190 06401-06498", "");
        check("08.00-12.00 030 1234567", "030 1234567");
        check("030 1234567 08.00-12.00", "030 1234567");
        check("01.45.84.83.75", "01 45 84 83 75");
        check("01.02.03.04.05", "01 02 03 04 05");
        check("06-12.30.45.50", "06 12 30 45 50");
        check("06 12 34 56 78", "06 12 34 56 78");
        check("0800-1234", "0800 1234");
        check("98765-43210", "98765 43210");
        check("22 10 15 30", "22 10 15 30");
    }

    #[test]
    fn a_label_leaves_what_may_be_a_number() {
        let check = |text: &str, left: &str| assert_eq!(rest(text, true), left, "{text}");
        check("08.00-12.00", "");
        check("0800-1200", "0800 1200");
        check("12.10.24", "12 10 24");
        check("12.10.2024", "");
        check("07001-07095", "07001 07095");
    }
}
