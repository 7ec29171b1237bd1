//! Numbers of registers and tax offices that are told by how they are written.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::finder::{Group, Run};
use crate::table::rows;

/// How the tax numbers of a country are grouped.
struct Forms {
    /// The digits that they begin with.
    firsts: &'static str,
    groupings: Vec<Vec<usize>>,
}

static FORMS: LazyLock<HashMap<&'static str, Forms>> = LazyLock::new(|| {
    let lengths = |form: &str| form.split('-').filter_map(|n| n.parse().ok()).collect();
    rows(include_str!("../../data/tax_numbers.txt"))
        .filter_map(|row| match row.as_slice() {
            [country, firsts, forms] => Some((
                *country,
                Forms {
                    firsts,
                    groupings: forms.split('|').map(lengths).collect(),
                },
            )),
            _ => None,
        })
        .collect()
});

/// The places in a run without a label of the groups that make such numbers.
pub(super) fn places(run: &Run) -> Vec<usize> {
    let mut out = Vec::new();
    let mut start = 0;
    while start < run.groups.len() {
        let groups = run.groups.get(start..).unwrap_or_default();
        let country = run.country.filter(|_| start == 0);
        let length = country
            .and_then(|code| of_country(groups, std::str::from_utf8(&code).ok()?))
            .or_else(|| belgian(groups))
            .or_else(|| brazilian(groups))
            .filter(|_| run.may_start(start))
            .filter(|length| run.may_end(start + length))
            .unwrap_or(0);
        out.extend(start..start + length);
        start += length.max(1);
    }
    out
}

/// `BE 0471.234.567`: the code of a country, and digits as its tax numbers are grouped.
fn of_country(groups: &[Group], country: &str) -> Option<usize> {
    let forms = FORMS.get(country)?;
    let begins = groups
        .first()?
        .digits
        .starts_with(|c| forms.firsts.contains(c));
    let form = forms.groupings.iter().find(|form| {
        let front = groups.get(..form.len());
        front.is_some_and(|front| has_lengths(front, form))
    });
    form.map(Vec::len).filter(|_| begins)
}

/// The number of an enterprise in Belgium, `0403.170.701`: its last two digits prove the others (97 less the rest of dividing by 97).
fn belgian(groups: &[Group]) -> Option<usize> {
    let digits = written(groups, &[4, 3, 3], &[".", "."])?;
    let value: u64 = digits.parse().ok()?;
    (97 - value / 100 % 97 == value % 100).then_some(3)
}

/// `12.345.678/0001-95` and `123.456.789-09`: a company and a person in Brazil.
fn brazilian(groups: &[Group]) -> Option<usize> {
    written(groups, &[2, 3, 3, 4, 2], &[".", ".", "/", "-"])
        .or_else(|| written(groups, &[3, 3, 3, 2], &[".", ".", "-"]))
        .map(|digits| if digits.len() == 14 { 5 } else { 4 })
}

/// The digits of the first groups, if they are written so.
fn written(groups: &[Group], lengths: &[usize], separators: &[&str]) -> Option<String> {
    let front = groups.get(..lengths.len())?;
    let found = front.iter().skip(1).map(Group::separator);
    let is_so = has_lengths(front, lengths) && found.eq(separators.iter().copied());
    is_so.then(|| front.iter().map(|group| group.digits.as_str()).collect())
}

fn has_lengths(groups: &[Group], lengths: &[usize]) -> bool {
    let found = groups.iter().map(|group| group.digits.len());
    found.eq(lengths.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::super::finder::runs;
    use super::*;

    #[test]
    fn register_numbers_are_told_by_their_form() {
        let check = |text: &str, expected: bool| {
            let runs = runs(text);
            let run = runs.first().unwrap();
            let taken = places(run);
            assert_eq!(taken.len() == run.groups.len(), expected, "{text}");
        };
        check("Acme bvba - BE 0471.234.567", true);
        check("BE 0471234567", true);
        check("BE 0471 23 45 67", false);
        check("0403.170.701", true);
        check("0471.234.567", false);
        check("DE 123 456 789", true);
        check("DE 030 123 456", false);
        check("IT 01234567890", true);
        check("IT 02 3661 8300", false);
        check("UK 020 7946 0958", false);
        check("PL 123-456-32-18", true);
        check("12.345.678/0001-95", true);
        check("123.456.789-09", true);
        check("123.456.789", false);
    }
}
