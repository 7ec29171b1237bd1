//! The plans against libphonenumber: the table of the crate, and the numbers that the original makes out of the same digits.

use std::fmt::Write as _;
use std::path::Path;

use phonenumber::metadata::DATABASE;
use phonenumber::{
    Mode, Type,
    metadata::{Descriptor, Metadata},
};
use proptest::prelude::*;

use super::*;

const HEAD: &str = "\
# The numbering plans of all countries. Columns: region (ISO 3166-1 alpha-2; 001 for none), country code, national prefix,
# what is dialled before a national number (a pattern), what takes its place if its last group matched, international prefix (a
# pattern), how national numbers begin where others share the code (a pattern), national numbers of any type (a pattern), and of
# each type: premium rate, toll free, shared cost, voice over IP, personal, pager, universal access, voicemail, fixed line, mobile.
# Before the pattern of a type may stand the lengths of its numbers. \"-\" for none. The main country of a code stands first.
# Source: Google's libphonenumber (Apache License 2.0), as in the crate phonenumber; a test writes this file.
# Version: 2026-11-23
";

/// The table as the crate's metadata make it.
fn table() -> String {
    let mut codes: Vec<u16> = DATABASE.iter().map(Metadata::country_code).collect();
    codes.extend((800..=999).filter(|code| DATABASE.by_code(code).is_some()));
    codes.sort_unstable();
    codes.dedup();
    let mut out = HEAD.to_owned();
    for code in codes {
        for plan in DATABASE.by_code(&code).expect("a code of the metadata") {
            writeln!(out, "{}", row(plan)).expect("memory");
        }
    }
    out
}

fn row(plan: &Metadata) -> String {
    let plain = |text: &str| text.split_whitespace().collect::<String>();
    let or_none = |text: Option<&str>| text.map_or_else(|| "-".to_owned(), plain);
    let kind = |kind: &Descriptor| {
        let lengths: Vec<String> = kind.possible_length().iter().map(u16::to_string).collect();
        format!(
            "{} {}",
            lengths.join(","),
            plain(kind.national_number().as_str())
        )
        .trim_start()
        .to_owned()
    };
    let all = plan.descriptors();
    let types = [
        all.premium_rate(),
        all.toll_free(),
        all.shared_cost(),
        all.voip(),
        all.personal_number(),
        all.pager(),
        all.uan(),
        all.voicemail(),
        all.fixed_line(),
        all.mobile(),
    ];
    let mut cells = vec![
        plan.id().to_owned(),
        plan.country_code().to_string(),
        or_none(plan.national_prefix()),
        or_none(
            plan.national_prefix_for_parsing()
                .map(|regex| regex.as_str()),
        ),
        or_none(plan.national_prefix_transform_rule()),
        or_none(plan.international_prefix().map(|regex| regex.as_str())),
        or_none(plan.leading_digits().map(|regex| regex.as_str())),
        kind(all.general()),
    ];
    cells.extend(types.map(|found| found.map_or_else(|| "-".to_owned(), kind)));
    cells.join("\t")
}

/// `UPDATE_PHONE_PLANS=1` rewrites the table after an update of the crate.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "whether to rewrite the table is no configuration"
)]
fn the_table_is_that_of_libphonenumber() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/data/phone_plans.txt");
    if std::env::var("UPDATE_PHONE_PLANS").is_ok_and(|value| value == "1") {
        std::fs::write(&path, table()).expect("the table is written");
    }
    let written = std::fs::read_to_string(&path).expect("the table");
    let is_same = written == table();
    assert!(
        is_same,
        "phone_plans.txt is old (UPDATE_PHONE_PLANS=1 rewrites it)"
    );
}

#[test]
fn every_pattern_is_read() {
    let plans = PLANS.by_code.values().flatten();
    for plan in plans {
        let patterns = plan.types.iter().map(|(_, pattern)| pattern);
        for lazy in patterns.chain([&plan.any]).chain(&plan.leading_digits) {
            assert!(Pattern::read(lazy.text).is_some(), "{}", lazy.text);
        }
        for prefix in plan.dialled_prefix.iter().chain(&plan.international_prefix) {
            let is_pattern = matches!(prefix, Prefix::Pattern { .. });
            assert_eq!(prefix.regex().is_some(), is_pattern, "{prefix:?}");
        }
    }
}

fn dial(region: Option<&str>, digits: &str) -> Option<Number> {
    match region {
        Some(region) => Country::by_region(region).expect("a country").dial(digits),
        None => dial_abroad(digits),
    }
}

#[test]
fn digits_are_the_number_that_libphonenumber_says() {
    let given = |cell: &'static str| (cell != "-").then_some(cell);
    let mut count = 0;
    let mut wrong = Vec::new();
    for row in rows(include_str!("numbers.txt")) {
        let [region, digits, e164] = *row.as_slice() else {
            panic!("{row:?}");
        };
        let found = dial(given(region), digits).map(|number| number.e164);
        if found.as_deref() != given(e164) {
            wrong.push(format!("{region} {digits} {e164} {found:?}"));
        }
        count += 1;
    }
    assert!(count > 1_000, "{count} numbers");
    assert!(wrong.is_empty(), "{} {wrong:#?}", wrong.len());
}

/// The crate's answers are right only for numbers that do not begin like what is dialled before them.
#[test]
fn numbers_dialled_in_the_whole_country_are_told() {
    let mut count = 0;
    for plan in DATABASE.iter().filter(|plan| plan.id() != "001") {
        let all = plan.descriptors();
        let kinds = [all.fixed_line(), all.mobile(), all.toll_free(), all.uan()];
        for example in kinds
            .into_iter()
            .flatten()
            .filter_map(|kind| kind.example())
        {
            let text = format!("+{}{example}", plan.country_code());
            let Ok(expected) = phonenumber::parse(None, &text) else {
                continue;
            };
            // The crate looks at numbers without their leading zeros here, so that Botswana's 0800 is not free.
            let is_told = expected.national().zeros() == 0 && expected.is_valid();
            if !is_told || expected.format().mode(Mode::E164).to_string() != text {
                continue;
            }
            let is_national = matches!(
                expected.number_type(&DATABASE),
                Type::TollFree | Type::SharedCost | Type::Uan
            );
            let found = dial(None, text.trim_start_matches('+')).expect(&text);
            assert_eq!(found.reach == Reach::Nation, is_national, "{text}");
            count += 1;
        }
    }
    assert!(count > 500, "{count} examples");
}

proptest! {
    #[test]
    fn few_or_many_digits_are_no_surprise(digits in "[0-9]{0,30}") {
        for plan in PLANS.by_region.values() {
            drop(Country(plan).dial(&digits));
        }
        drop(dial_abroad(&digits));
    }
}
