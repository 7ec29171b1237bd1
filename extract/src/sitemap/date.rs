//! Dates as sitemaps and feeds write them.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Utc};

/// Reads the date of a sitemap or feed, in any form that can be read in one way only.
///
/// That is ISO 8601, with its digits together, or apart by other signs and without leading zeros; and the form of mail (RFC 2822),
/// with or without a time, as `date` prints it too.
///
/// What is left out is the first moment of what is there; a time without a zone is UTC. Returns `None` for anything else, and for
/// years before 1970, which are the unset dates of some generators.
#[must_use]
pub fn parse_lastmod(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    iso_date(text)
        .or_else(|| mail_date(text))
        .filter(|date| date.year() >= 1970)
}

/// `2024-05-06T07:08:09.25+02:00`, `2024-5-6 7:08`, `2024/05/06`, `20240506T070809Z`, `2024-05`, `2024`.
fn iso_date(text: &str) -> Option<DateTime<Utc>> {
    let mut rest = text.as_bytes();
    let year = i32::try_from(number(&mut rest, 4)?).ok()?;
    let separator = rest.first().copied().filter(|sign| b"-/.".contains(sign));
    let is_year = rest.is_empty();
    let month = date_part(&mut rest, separator)?;
    // Six digits may be a month, or a day of a year without its century.
    if separator.is_none() && !is_year && rest.is_empty() {
        return None;
    }
    let day = date_part(&mut rest, separator)?;
    let date = NaiveDate::from_ymd_opt(year, month, day)?;
    let mut time = NaiveTime::MIN;
    // Behind a space there may be a zone alone.
    if literal(&mut rest, b"Tt").is_some()
        || literal(&mut rest, b" ").is_some() && rest.first().is_some_and(u8::is_ascii_digit)
    {
        time = time_of_day(&mut rest)?;
    }
    let local = NaiveDateTime::new(date, time);
    Some(
        local
            .checked_sub_offset(offset(rest.trim_ascii())?)?
            .and_utc(),
    )
}

/// `Mon, 06 May 2024 07:08:09 +0200`, `6 May 2024`, and `Mon May 6 07:08:09 UTC 2024`.
fn mail_date(text: &str) -> Option<DateTime<Utc>> {
    // The name of the day may be wrong, or in another language, and says nothing more.
    let date = text.split_once(',').map_or(text, |(_, date)| date);
    let words: Vec<&str> = date.split_whitespace().take(MOST_WORDS).collect();
    let date = match *words.as_slice() {
        [_, month, day, time, year] if time.contains(':') && is_year(year) => {
            format!("{day} {month} {year} {time}")
        }
        [_, month, day, time, zone, year] if time.contains(':') && is_year(year) => {
            format!("{day} {month} {year} {time} {zone}")
        }
        _ => words.join(" "),
    };
    // The one name for it that the grammar does not have.
    let date = date.strip_suffix("UTC").unwrap_or(&date);
    ["", " +0000", " 00:00 +0000"].into_iter().find_map(|rest| {
        DateTime::parse_from_rfc2822(&format!("{date}{rest}"))
            .map(|date| date.to_utc())
            .ok()
    })
}

/// No date has more.
const MOST_WORDS: usize = 8;

fn is_year(word: &str) -> bool {
    word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit())
}

fn literal(rest: &mut &[u8], any_of: &[u8]) -> Option<()> {
    let (first, tail) = rest.split_first()?;
    any_of.contains(first).then(|| *rest = tail)
}

fn number(rest: &mut &[u8], digits: usize) -> Option<u32> {
    let (head, tail) = rest.split_at_checked(digits)?;
    let value = head.iter().try_fold(0, |sum: u32, byte| {
        byte.is_ascii_digit()
            .then(|| sum * 10 + u32::from(byte - b'0'))
    })?;
    *rest = tail;
    Some(value)
}

/// Reads one digit or two.
fn short_number(rest: &mut &[u8]) -> Option<u32> {
    number(rest, 2).or_else(|| number(rest, 1))
}

/// Reads the separator and the number behind it, which has two digits where there is none; 1 where the text has ended, which is
/// what a month or a year alone leaves out.
fn date_part(rest: &mut &[u8], separator: Option<u8>) -> Option<u32> {
    if rest.is_empty() {
        return Some(1);
    }
    match separator {
        Some(sign) => {
            literal(rest, &[sign])?;
            short_number(rest)
        }
        None => number(rest, 2),
    }
}

/// Reads `7:08`, `07:08:09.25` and `070809`.
fn time_of_day(rest: &mut &[u8]) -> Option<NaiveTime> {
    let hour = short_number(rest)?;
    let has_colons = literal(rest, b":").is_some();
    let minute = number(rest, 2)?;
    let (mut second, mut nanosecond) = (0, 0);
    let has_seconds = if has_colons {
        literal(rest, b":").is_some()
    } else {
        rest.first().is_some_and(u8::is_ascii_digit)
    };
    if has_seconds {
        second = number(rest, 2)?;
        if literal(rest, b".,").is_some() {
            nanosecond = fraction(rest)?;
        }
    }
    // A leap second counts as the last one of its minute.
    let second = second.min(59 + u32::from(second > 60));
    NaiveTime::from_hms_nano_opt(hour, minute, second, nanosecond)
}

/// Reads the digits after the decimal point as nanoseconds; those beyond the ninth are dropped.
fn fraction(rest: &mut &[u8]) -> Option<u32> {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (head, tail) = rest.split_at_checked(digits)?;
    if digits == 0 {
        return None;
    }
    *rest = tail;
    let padded = head.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    Some(padded.fold(0, |sum: u32, byte| sum * 10 + u32::from(byte - b'0')))
}

/// Reads `Z`, `+hh:mm`, `+hhmm`, `+hh` or nothing, and a name behind it that says the same: `UTC`, `GMT`, `[UTC]`.
fn offset(text: &[u8]) -> Option<FixedOffset> {
    let named = |name: &[u8]| text.strip_suffix(name).map(<[u8]>::trim_ascii);
    let mut rest = [&b"[UTC]"[..], b"UTC", b"GMT"]
        .into_iter()
        .find_map(named)
        .unwrap_or(text);
    let sign = match rest {
        [] | [b'Z' | b'z'] => return FixedOffset::east_opt(0),
        [b'+', tail @ ..] => {
            rest = tail;
            1
        }
        [b'-', tail @ ..] => {
            rest = tail;
            -1
        }
        _ => return None,
    };
    let hours = number(&mut rest, 2)?;
    let minutes = if rest.is_empty() {
        0
    } else {
        // The colon is optional.
        let _colon: Option<()> = literal(&mut rest, b":");
        number(&mut rest, 2)?
    };
    if !rest.is_empty() || minutes > 59 {
        return None;
    }
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    FixedOffset::east_opt(sign * seconds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_read_in_the_forms_sitemaps_use() {
        for (text, expected) in [
            ("2024-05-06", Some("2024-05-06T00:00:00Z")),
            (" 2024-05-06T07:08:09Z\n", Some("2024-05-06T07:08:09Z")),
            ("2024-05-06T07:08:09", Some("2024-05-06T07:08:09Z")),
            ("2024-05-06 07:08", Some("2024-05-06T07:08:00Z")),
            (
                "2024-05-06T07:08:09.250+02:00",
                Some("2024-05-06T05:08:09.250Z"),
            ),
            ("2024-05-06T07:08:09-0330", Some("2024-05-06T10:38:09Z")),
            ("2024-05-06T07:08:09 +01", Some("2024-05-06T06:08:09Z")),
            ("2024-02-29", Some("2024-02-29T00:00:00Z")),
            ("2016-12-31T23:59:60Z", Some("2016-12-31T23:59:59Z")),
            (
                "2024-05-06T07:08:09.1234567891Z",
                Some("2024-05-06T07:08:09.123456789Z"),
            ),
            ("2023-02-29", None),
            ("2024-13-01", None),
            ("0000-00-00", None),
            ("0001-01-01T00:00:00Z", None),
            ("2024-05", Some("2024-05-01T00:00:00Z")),
            ("2024", Some("2024-01-01T00:00:00Z")),
            ("2024-", None),
            ("2024-5", Some("2024-05-01T00:00:00Z")),
            ("2024-1-5", Some("2024-01-05T00:00:00Z")),
            ("2024-1-5T7:08", Some("2024-01-05T07:08:00Z")),
            ("2024/05/6", Some("2024-05-06T00:00:00Z")),
            ("2024.5.06 07:08:09", Some("2024-05-06T07:08:09Z")),
            ("20240506", Some("2024-05-06T00:00:00Z")),
            ("20240506T070809+0200", Some("2024-05-06T05:08:09Z")),
            ("20240506T0708Z", Some("2024-05-06T07:08:00Z")),
            ("2024-05-06 07:08:09 UTC", Some("2024-05-06T07:08:09Z")),
            ("2024-05-06T07:08:09GMT", Some("2024-05-06T07:08:09Z")),
            (
                "2024-05-06 07:08:09 +0200 UTC",
                Some("2024-05-06T05:08:09Z"),
            ),
            ("2024-05-06T07:08:09Z[UTC]", Some("2024-05-06T07:08:09Z")),
            ("2024-05-06Z", Some("2024-05-06T00:00:00Z")),
            ("2024-05-06+02:00", Some("2024-05-05T22:00:00Z")),
            ("2024-05/06", None),
            ("2024-05-067", None),
            ("2024-005-06", None),
            ("202405", None),
            ("5/6/2024", None),
            ("06.05.2024", None),
            ("2024-05-06T25:00:00Z", None),
            ("2024-05-06T07:08:61Z", None),
            ("2024-05-06T07:08:09+25:00", None),
            ("2024-05-06T07:08:09 CET", None),
            ("2024-05-06T", None),
            ("yesterday", None),
            ("", None),
        ] {
            let expected: Option<DateTime<Utc>> = expected.map(|text| text.parse().unwrap());
            assert_eq!(parse_lastmod(text), expected, "for {text:?}");
        }
    }

    #[test]
    fn the_form_of_mail_is_read_too() {
        let expected: Option<DateTime<Utc>> = Some("2024-05-06T05:08:09Z".parse().unwrap());
        for text in [
            "Mon, 06 May 2024 07:08:09 +0200",
            "Sun, 06 May 2024 07:08:09 +0200",
            "Mo, 6 May 2024 05:08:09 GMT",
            "06 May 24 01:08:09 EDT",
            "Mon, 06 May 2024 05:08:09",
            "Mon, 06 May 2024 05:08:09 UTC",
            "Mon May  6 05:08:09 2024",
            "Mon May 6 05:08:09 UTC 2024",
            "Mon May 6 01:08:09 EDT 2024",
        ] {
            assert_eq!(parse_lastmod(text), expected, "for {text:?}");
        }
        let midnight: Option<DateTime<Utc>> = Some("2024-05-06T00:00:00Z".parse().unwrap());
        for text in ["6 May 2024", "Mon, 6 May 2024"] {
            assert_eq!(parse_lastmod(text), midnight, "for {text:?}");
        }
        for text in [
            "soon",
            "Mon, soon",
            ",",
            "Thu, 01 Jan 1969 00:00:00 GMT",
            "6 Mai 2024",
        ] {
            assert_eq!(parse_lastmod(text), None, "for {text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}", likely in "[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.+Z-]{0,20})?") {
            for text in [text, likely] {
                let date = parse_lastmod(&text);
                prop_assert!(date.is_none() || !text.is_empty());
            }
        }
    }
}
